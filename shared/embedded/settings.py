"""Settings of the embedded stack and of the gateway."""

import re
from typing import Annotated, Self

from pydantic import AfterValidator, Field, SecretStr, model_validator

from shared.bad_setting import BadSetting
from shared.settings import CommonSettings

ORIGIN = re.compile(r"[a-z][a-z0-9+.-]*://[^/\s,?#]+")
TARGET = re.compile(r"(\[[0-9A-Fa-f:.]+\]|[^\[\]:/\s]+):(\d{1,5})")


def _origins(text: str) -> str:
    for origin in split_origins(text):
        if origin != "*" and not ORIGIN.fullmatch(origin):
            raise ValueError(f"{origin!r} is not an origin such as https://app.example.com")
    return text


def _target(text: str) -> str:
    match = TARGET.fullmatch(text)
    if text and (match is None or not 1 <= int(match[2]) <= 65535):
        raise ValueError(f"{text!r} is not host:port")
    return text


def split_origins(text: str) -> list[str]:
    """The origins of a comma-separated list; empty for none."""
    return [origin for part in text.split(",") if (origin := part.strip())]


class GatewaySettings(CommonSettings):
    """What the gateway needs to know."""

    progress_address: Annotated[str, AfterValidator(_target)] = Field(
        "", description="Where to reach ProgressService; empty: this machine, at its port."
    )
    leaderboard_address: Annotated[str, AfterValidator(_target)] = Field(
        "", description="Where to reach LeaderboardService; empty: this machine, at its port."
    )
    cors_origins: Annotated[str, AfterValidator(_origins)] = Field(
        "",
        description="Origins of web pages that may call the gateway, separated by commas; "
        "* is any. Empty: pages served from this machine, at any port.",
    )
    admin_gateway_port: Annotated[int, Field(ge=0, le=65535)] = Field(
        8081,
        description="Port of the gateway's listener for administrators' consoles, which passes "
        "every method; 0: none.",
    )
    admin_gateway_host: str = Field(
        "127.0.0.1", description="Address that the listener for administrators' consoles has."
    )
    user_calls_per_second: Annotated[float, Field(ge=0, le=100_000)] = Field(
        50.0,
        description="As for the services. The gateway's public listener lets through four times as "
        "many by one token, or without one from one address; 0: unbounded.",
    )
    gateway_users_per_address: Annotated[int, Field(ge=0, le=100_000)] = Field(
        10,
        description="How many users' calls per second the public listener lets through from one "
        "address (IPv6: one /64), whatever their tokens: people may share an address. Behind a "
        "proxy that does not tell theirs all share one. 0: unbounded.",
    )
    gateway_trusted_hops: Annotated[int, Field(ge=0, le=16)] = Field(
        0,
        description="How many proxies (load balancers) stand before the public listener and write "
        "x-forwarded-for, so that the caller's address is known. 0: none, the header is not "
        "believed. Nobody may get around them then.",
    )
    gateway_heap_mib: Annotated[int, Field(ge=64, le=65_536)] = Field(
        512,
        description="MiB that the gateway may hold for connections and calls. Near that it ends "
        "the largest requests, then accepts no more of them, and then no connections.",
    )
    gateway_admin_port: Annotated[int, Field(ge=0, le=65535)] = Field(
        0, description="Port of Envoy's admin interface, on 127.0.0.1; 0: none."
    )

    @model_validator(mode="after")
    def _is_protected(self) -> Self:
        self.check_plaintext("bind_host", self.bind_host)
        if self.admin_gateway_port:
            self.check_plaintext("admin_gateway_host", self.admin_gateway_host)
        return self


class EmbeddedSettings(GatewaySettings):
    """What `laurel up` needs to know. A URL that is not set means an embedded server.

    Whether a URL or the secret is a good one is for the service to say that gets it: see
    `check_settings`.
    """

    postgres_url: str | None = Field(
        None,
        description="PostgreSQL to use, as for ProgressService; unset: one of our own.",
        repr=False,
    )
    redis_url: str | None = Field(
        None,
        description="Redis to use, as for LeaderboardService; unset: one of our own.",
        repr=False,
    )
    token_secret: SecretStr | None = Field(
        None,
        description="What the services sign tokens with; unset: one that is made at the first "
        "start and kept in LAUREL_HOME.",
    )

    @model_validator(mode="after")
    def _calls_as_it_listens(self) -> Self:
        if (self.tls_cert_file is None) != (self.tls_ca_file is None):
            raise BadSetting(
                "tls_ca_file",
                "must be set together with LAUREL_TLS_CERT_FILE: the stack's services call each "
                "other as they are called",
            )
        return self
