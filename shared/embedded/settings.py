"""Settings of the embedded stack and of the gateway."""

import re
from typing import Annotated

from pydantic import AfterValidator, Field, SecretStr

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
    gateway_admin_port: Annotated[int, Field(ge=0, le=65535)] = Field(
        0, description="Port of Envoy's admin interface, on 127.0.0.1; 0: none."
    )


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
