"""Settings of the embedded stack and of the gateway."""

import re
from collections.abc import Callable
from typing import Annotated

from pydantic import AfterValidator, Field
from pydantic_settings import SettingsConfigDict

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


def reachable_host(bind_host: str) -> str:
    """Where this machine reaches a server that listens on `bind_host`."""
    everywhere = {"0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104 - compared, not bound
    return everywhere.get(bind_host, bind_host)


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
    gateway_admin_port: Annotated[int, Field(ge=0, le=65535)] = Field(
        0, description="Port of Envoy's admin interface, on 127.0.0.1; 0: none."
    )


def _url(*schemes: str) -> Callable[[str], str]:
    def check(text: str) -> str:
        if not text.startswith(schemes):
            raise ValueError(f"it must begin with {' or '.join(schemes)}")
        return text

    return check


PostgresUrl = Annotated[str, AfterValidator(_url("postgresql://"))]
RedisUrl = Annotated[str, AfterValidator(_url("redis://", "rediss://", "unix://"))]


class EmbeddedSettings(GatewaySettings):
    """What `laurel up` needs to know. A URL that is not set means an embedded server."""

    # A variable that is set to nothing is not set.
    model_config = SettingsConfigDict(env_ignore_empty=True)

    postgres_url: PostgresUrl | None = Field(
        None,
        description="PostgreSQL to use, postgresql://user:password@host:port/database; unset: "
        "one of our own.",
    )
    redis_url: RedisUrl | None = Field(
        None, description="Redis to use, redis://, rediss:// or unix://; unset: one of our own."
    )
