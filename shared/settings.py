"""Settings that every process of Laurel shares, read from `LAUREL_…` variables."""

import sys
from pathlib import Path
from typing import Annotated, Literal, Self
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from pydantic import AfterValidator, Field, SecretStr, ValidationError
from pydantic_settings import BaseSettings, SettingsConfigDict

from shared.signed_token import Signer

Port = Annotated[int, Field(ge=1, le=65535)]
MIN_SECRET_CHARS = 32


def _known_zone(name: str) -> str:
    try:
        ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        raise ValueError(f"{name!r} is not an IANA time zone") from None
    return name


def _long_secret(secret: SecretStr) -> SecretStr:
    if len(secret.get_secret_value()) < MIN_SECRET_CHARS:
        raise ValueError(f"must be at least {MIN_SECRET_CHARS} characters")
    return secret


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
        description="Address that the services, the gateway and the metrics listen on; clients on "
        "this machine look for them there.",
    )
    progress_port: Port = Field(50051, description="Port of ProgressService.")
    leaderboard_port: Port = Field(50052, description="Port of LeaderboardService.")
    gateway_port: Port = Field(8080, description="Port of the gRPC-Web gateway (Envoy).")
    metrics_port: Annotated[int, Field(ge=0, le=65534)] = Field(
        9464,
        description="Port of the Prometheus metrics; 0: none. `laurel up` gives this one to "
        "ProgressService and the next to LeaderboardService.",
    )
    progress_address: str = Field(
        "", description="Where to reach ProgressService; empty: this machine, at its port."
    )
    leaderboard_address: str = Field(
        "", description="Where to reach LeaderboardService; empty: this machine, at its port."
    )
    timezone: Annotated[str, AfterValidator(_known_zone)] = Field(
        "UTC", description="IANA zone whose civil dates the windows are made of."
    )
    log_level: Literal["debug", "info", "warning", "error"] = Field(
        "info", description="The least level that is logged."
    )
    log_format: Literal["json", "text"] = Field("json", description="Form of the log lines.")
    drain_seconds: Annotated[float, Field(ge=0, le=600)] = Field(
        10.0, description="How long calls under way may take after SIGTERM."
    )

    def reachable(self, port: int) -> str:
        """Where this machine reaches what listens on `bind_host` at the port, host:port."""
        host = reachable_host(self.bind_host)
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

    @property
    def signer(self) -> Signer:
        """What makes and opens tokens."""
        return Signer(self.token_secret.get_secret_value())
