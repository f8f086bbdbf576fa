"""Settings that every process of Laurel shares, read from `LAUREL_…` variables."""

import sys
from pathlib import Path
from typing import Annotated, Literal, Self
from zoneinfo import ZoneInfo

from pydantic import AfterValidator, Field, SecretStr, ValidationError, model_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from shared.auth.key_source import check_source
from shared.bad_setting import BadSetting
from shared.exposure import check_call, check_no_auth, check_plaintext, is_this_machine
from shared.periods import known_zone
from shared.signed_token import Signer
from shared.tls_files import TlsFiles, check

Port = Annotated[int, Field(ge=1, le=65535)]
MIN_SECRET_CHARS = 32


def _long_secret(secret: SecretStr) -> SecretStr:
    if len(secret.get_secret_value()) < MIN_SECRET_CHARS:
        raise ValueError(f"must be at least {MIN_SECRET_CHARS} characters")
    return secret


def split_secrets(secrets: SecretStr | None) -> tuple[str, ...]:
    """The secrets of a comma-separated list, in its order."""
    text = secrets.get_secret_value() if secrets else ""
    return tuple(part for one in text.split(",") if (part := one.strip()))


def _long_secrets(secrets: SecretStr) -> SecretStr:
    for one in split_secrets(secrets):
        _long_secret(SecretStr(one))
    return secrets


def reachable_host(bind_host: str) -> str:
    """Where this machine reaches a server that listens on `bind_host`."""
    everywhere = {"0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104 - compared, not bound
    return everywhere.get(bind_host, bind_host)


class CommonSettings(BaseSettings):
    """What both services, the CLI and the embedded stack agree on.

    Each field is the environment variable `LAUREL_<FIELD>`; unknown variables are ignored, and one
    that is set to nothing is not set.
    """

    model_config = SettingsConfigDict(
        env_prefix="LAUREL_",
        env_ignore_empty=True,
        extra="ignore",
        frozen=True,
        # A URL has a password.
        hide_input_in_errors=True,
    )

    home: Path = Field(
        Path(".laurel"), description="Folder of the embedded servers' data, logs and sockets."
    )
    bind_host: str = Field(
        "127.0.0.1",
        description="Address that the services and the gateway listen on; clients on this machine "
        "look for them there. One that others reach needs TLS, and LAUREL_AUTH=on.",
    )
    progress_port: Port = Field(50051, description="Port of ProgressService.")
    leaderboard_port: Port = Field(50052, description="Port of LeaderboardService.")
    gateway_port: Port = Field(8080, description="Port of the gRPC-Web gateway (Envoy).")
    metrics_port: Annotated[int, Field(ge=0, le=65534)] = Field(
        9464,
        description="Port of the Prometheus metrics; 0: none. `laurel up` gives this one to "
        "ProgressService and the next to LeaderboardService.",
    )
    metrics_host: str = Field(
        "",
        description="Address that the metrics listen on, always plain HTTP without a token: naming "
        "it is what opens them to everyone who reaches it. Empty: this machine alone.",
    )
    progress_address: str = Field(
        "", description="Where to reach ProgressService; empty: this machine, at its port."
    )
    leaderboard_address: str = Field(
        "", description="Where to reach LeaderboardService; empty: this machine, at its port."
    )
    timezone: Annotated[str, AfterValidator(known_zone)] = Field(
        "UTC", description="IANA zone whose civil dates the windows are made of."
    )
    log_level: Literal["debug", "info", "warning", "error"] = Field(
        "info", description="The least level that is logged."
    )
    log_format: Literal["json", "text"] = Field("json", description="Form of the log lines.")
    auth_secret: Annotated[SecretStr, AfterValidator(_long_secrets)] | None = Field(
        None,
        description="Verifies HS256 tokens, and signs those that LeaderboardService and the "
        "command line call with: random, at least 32 characters. Several, separated by commas: the "
        "first signs, all verify, so that one can be replaced without a refused call. With `laurel "
        "up` not required.",
    )
    auth_audience: str = Field("laurel", description="The `aud` that a token must name.")
    auth_issuer: str = Field("", description="The `iss` that a token must have; empty: any.")
    auth_roles_claim: str = Field(
        "roles",
        description="The claim with the roles user, service and admin: a list or words of a text; "
        "a.b is b within a. The highest counts; a token with none of them is a user's.",
    )
    call_token_file: Path | None = Field(
        None,
        description="File with the token that LeaderboardService or the command line calls with, "
        "read again when it changes; unset: they make their own with LAUREL_AUTH_SECRET. A stream "
        "ends with its token: it must outlive a snapshot of all standings.",
    )
    tls_cert_file: Path | None = Field(
        None,
        description="PEM file of the certificate, with its chain, that is shown to callers, and to "
        "servers that ask for one. Read again when it changes. Unset: no TLS.",
    )
    tls_key_file: Path | None = Field(
        None, description="PEM file of the certificate's key, which only its owner may read."
    )
    tls_ca_file: Path | None = Field(
        None,
        description="PEM file of the authorities whose certificates are trusted; with it, calls to "
        "the services use TLS.",
    )
    allow_plaintext_on_network: bool = Field(
        default=False,
        description="Lets others than this machine call, and be called, without TLS. Only where "
        "something else keeps the network between them private.",
    )
    drain_seconds: Annotated[float, Field(ge=0, le=600)] = Field(
        10.0, description="How long calls under way may take after SIGTERM."
    )

    @model_validator(mode="after")
    def _has_usable_tls_files(self) -> Self:
        check(TlsFiles(self.tls_cert_file, self.tls_key_file, self.tls_ca_file).read())
        return self

    def check_plaintext(self, setting: str, host: str) -> None:
        """Raises BadSetting when others could call the host, which the setting names, without TLS
        and nothing allows that: for the settings of what listens.
        """
        check_plaintext(
            setting,
            host,
            tls=self.tls_cert_file is not None,
            allowed=self.allow_plaintext_on_network,
        )

    def check_call(self, setting: str, target: str) -> None:
        """Raises BadSetting as `check_plaintext`, for the settings of what is called."""
        allowed = self.allow_plaintext_on_network
        check_call(setting, target, tls=self.tls_ca_file is not None, allowed=allowed)

    @property
    def metrics_bind_host(self) -> str:
        """Where the metrics listen: where the services do, if only this machine reaches that."""
        if self.metrics_host:
            return self.metrics_host
        return self.bind_host if is_this_machine(self.bind_host) else "127.0.0.1"

    def reachable(self, port: int, bind_host: str = "") -> str:
        """Where this machine reaches what listens at the port, host:port; on LAUREL_BIND_HOST if
        not on another.
        """
        host = reachable_host(bind_host or self.bind_host)
        return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"

    @property
    def progress_target(self) -> str:
        """The gRPC target of ProgressService."""
        return self.progress_address or self.reachable(self.progress_port)

    @property
    def leaderboard_target(self) -> str:
        """The gRPC target of LeaderboardService."""
        return self.leaderboard_address or self.reachable(self.leaderboard_port)

    @property
    def zone(self) -> ZoneInfo:
        """The deployment's time zone."""
        return ZoneInfo(self.timezone)

    @classmethod
    def load(cls) -> Self:
        """The settings of this process, or one line on stderr and exit status 2."""
        try:
            return cls()
        except ValidationError as error:
            first = error.errors()[0]
            reason = first.get("ctx", {}).get("error")
            if isinstance(reason, BadSetting):
                reason.exit()
            name = "LAUREL_" + "_".join(str(part) for part in first["loc"]).upper()
            if first["type"] == "missing":
                text = "must be set"
            else:
                text = f"{first['msg'].removeprefix('Value error, ')}"
            about = f" {name}" if first["loc"] else ""
            sys.stderr.write(f"laurel: bad setting{about}: {text}\n")
            raise SystemExit(2) from None


class ServiceSettings(CommonSettings):
    """What both services are told besides."""

    token_secret: Annotated[SecretStr, AfterValidator(_long_secret)] = Field(
        description="Signs page tokens and consistency tokens: the same in both services and all "
        "their replicas, random, at least 32 characters. Another one makes the tokens that are "
        "out invalid. With `laurel up` not required.",
    )
    auth: Literal["on", "off"] = Field(
        "on", description="off: every caller may do everything, without a token."
    )
    allow_no_auth_on_network: bool = Field(
        default=False,
        description="Lets others than this machine call a service whose authentication is off.",
    )
    auth_jwks: Annotated[str, AfterValidator(check_source)] = Field(
        "",
        description="The key set (JWKS) that RS256 and ES256 tokens are verified with: a file, or "
        "an https:// URL. Empty: only tokens signed with LAUREL_AUTH_SECRET are accepted.",
    )
    auth_jwks_seconds: Annotated[float, Field(ge=1, le=86_400)] = Field(
        300.0,
        description="How often the key set is read again; also when a token names an unknown key. "
        "While that fails the one at hand stays in force.",
    )
    auth_leeway_seconds: Annotated[float, Field(ge=0, le=300)] = Field(
        30.0, description="How far the clocks of those who sign tokens may be off."
    )
    reflection: bool = Field(default=True, description="Whether the contract can be asked for.")
    tls_client_auth: bool = Field(
        default=False,
        description="Whether callers must show a certificate of LAUREL_TLS_CA_FILE (mutual TLS).",
    )
    max_request_bytes: Annotated[int, Field(ge=65_536, le=67_108_864)] = Field(
        4_194_304, description="The largest request. One by a user: at most 64 KiB."
    )
    user_calls_per_second: Annotated[float, Field(ge=0, le=100_000)] = Field(
        50.0,
        description="Calls of one user per second, in each process; twice as many at once. More "
        "are RESOURCE_EXHAUSTED. 0: unbounded.",
    )
    user_concurrent_calls: Annotated[int, Field(ge=0, le=100_000)] = Field(
        32, description="Calls of one user under way at once, in each process; 0: unbounded."
    )
    user_streams: Annotated[int, Field(ge=0, le=100_000)] = Field(
        16, description="Streams of one user open at once, in each process; 0: unbounded."
    )
    service_calls_per_second: Annotated[float, Field(ge=0, le=1_000_000)] = Field(
        0.0, description="The same for each backend (role service); 0: unbounded."
    )
    service_concurrent_calls: Annotated[int, Field(ge=0, le=100_000)] = Field(
        2_000, description="The same for each backend (role service); 0: unbounded."
    )
    service_streams: Annotated[int, Field(ge=0, le=100_000)] = Field(
        2_000, description="The same for each backend (role service); 0: unbounded."
    )

    max_concurrent_calls: Annotated[int, Field(ge=1, le=100_000)] = Field(
        3_000,
        description="Calls under way at once, of all callers, in each process; more are "
        "RESOURCE_EXHAUSTED (SERVER_BUSY) at once. About what it answers in a second.",
    )
    max_streams: Annotated[int, Field(ge=1, le=100_000)] = Field(
        6_000, description="The same of open streams."
    )

    @model_validator(mode="after")
    def _is_protected(self) -> Self:
        if self.tls_client_auth and not (self.tls_cert_file and self.tls_ca_file):
            raise BadSetting("tls_client_auth", "needs LAUREL_TLS_CERT_FILE and LAUREL_TLS_CA_FILE")
        self.check_plaintext("bind_host", self.bind_host)
        check_no_auth(
            "bind_host",
            self.bind_host,
            auth=self.auth == "on",
            allowed=self.allow_no_auth_on_network,
        )
        return self

    @model_validator(mode="after")
    def _can_verify_tokens(self) -> Self:
        if self.auth == "on" and not (split_secrets(self.auth_secret) or self.auth_jwks):
            raise BadSetting(
                "auth_secret",
                "must be set, or LAUREL_AUTH_JWKS: callers' tokens are verified with it "
                "(LAUREL_AUTH=off: every caller may do everything)",
            )
        return self

    @property
    def signer(self) -> Signer:
        """What makes and opens tokens."""
        return Signer(self.token_secret.get_secret_value())
