"""`laurel token`: signs a token with the deployment's own secret."""

from __future__ import annotations

import re
import sys
import time
from datetime import timedelta
from enum import StrEnum
from typing import Annotated

import typer

from shared.auth.mint import minted
from shared.cli.calls import EXIT_USAGE, fail
from shared.cli.credentials import home_secret_file, signing_secret
from shared.identity import Identity, Role
from shared.ids import ID_FORM, is_id
from shared.settings import CommonSettings

MAX_TTL = timedelta(days=30)
_TTL = re.compile(r"([0-9]{1,9})([smhd])")
_UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days"}


class RoleChoice(StrEnum):
    """The roles, as they are named in tokens."""

    USER = "user"
    SERVICE = "service"
    ADMIN = "admin"


def _ttl(text: str) -> timedelta:
    match = _TTL.fullmatch(text)
    if match is None:
        raise typer.BadParameter("a number with its unit, such as 90s, 15m, 1h or 30d")
    ttl = timedelta(**{_UNITS[match[2]]: int(match[1])})
    if not timedelta() < ttl <= MAX_TTL:
        raise typer.BadParameter(f"more than nothing, and at most {MAX_TTL.days} days")
    return ttl


def _subject(text: str) -> str:
    if not is_id(text):
        raise typer.BadParameter(ID_FORM)
    return text


def token_command(
    role: Annotated[
        RoleChoice,
        typer.Option(
            help="user: submits and reads for itself; service: a backend, acts for any user; "
            "admin: everything."
        ),
    ],
    sub: Annotated[
        str,
        typer.Option(
            parser=_subject, metavar="ID", help=f"Who calls; a user's is its id. {ID_FORM}."
        ),
    ],
    ttl: Annotated[
        timedelta,
        typer.Option(parser=_ttl, metavar="TIME", help="How long it is valid: 90s, 15m, 1h, 30d."),
    ] = "1h",  # type: ignore[assignment] # typer parses defaults too
    name: Annotated[str, typer.Option(help="The person's name.")] = "",
    picture: Annotated[str, typer.Option(help="The https URL of the person's picture.")] = "",
    zoneinfo: Annotated[str, typer.Option(help="The person's IANA time zone.")] = "",
) -> None:
    """Print a token to call the services with, and nothing else.

    It is signed with LAUREL_AUTH_SECRET, or else with the secret that `laurel up` keeps in
    LAUREL_HOME. For $(laurel token …) in `authorization: Bearer …`.
    """
    settings = CommonSettings.load()
    try:
        secret = signing_secret(settings)
    except OSError as error:
        fail(
            "nothing to sign with: LAUREL_AUTH_SECRET is not set, and "
            f"{home_secret_file(settings)}: {error.strerror}",
            EXIT_USAGE,
        )
    expires = time.time() + ttl.total_seconds()
    identity = Identity(sub, Role[role.name], expires, name, picture, zoneinfo)
    sys.stdout.write(f"{minted(settings, secret, identity)}\n")
