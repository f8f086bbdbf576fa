"""The token that a process calls others with: minted and renewed, or from a file."""

import time
from pathlib import Path
from typing import Any

import jwt
import pytest

from shared.auth.authenticator import Authenticator
from shared.auth.call_token import CallToken
from shared.identity import Identity, Role
from shared.settings import CommonSettings
from tests.access import AUTH_SECRET, token
from tests.auth_keys import OTHER_SECRET, settings, until


def common(**given: Any) -> CommonSettings:
    return CommonSettings(**{"auth_secret": AUTH_SECRET, **given})


def claims_of(authorization: str) -> dict[str, Any]:
    scheme, _, text = authorization.partition(" ")
    assert scheme == "Bearer"
    claims: dict[str, Any] = jwt.decode(text, options={"verify_signature": False})
    return claims


async def test_services_accept_it_as_its_subject_and_role() -> None:
    give = CallToken(common(), "leaderboard-service", Role.SERVICE)
    identity = await Authenticator(settings()).identify(give())

    assert identity == Identity("leaderboard-service", Role.SERVICE, identity.expires)
    assert 6 * 3600 <= identity.expires - time.time() <= 6 * 3600 + 31


@pytest.mark.parametrize(
    "given",
    [
        {"auth_audience": "another"},
        {"auth_issuer": "https://id.example"},
        {"auth_roles_claim": "realm_access.roles"},
        {"auth_secret": f"{OTHER_SECRET},{AUTH_SECRET}"},
    ],
    ids=str,
)
async def test_it_says_what_the_same_settings_ask_for(given: dict[str, Any]) -> None:
    authorization = CallToken(common(**given), "laurel-cli", Role.ADMIN)()
    identity = await Authenticator(settings(**given)).identify(authorization)
    assert (identity.subject, identity.role) == ("laurel-cli", Role.ADMIN)


async def test_the_first_of_several_secrets_signs() -> None:
    give = CallToken(common(auth_secret=f"{OTHER_SECRET},{AUTH_SECRET}"), "a", Role.SERVICE)
    assert jwt.decode(
        give().removeprefix("Bearer "), OTHER_SECRET, algorithms=["HS256"], audience="laurel"
    )


async def test_it_is_the_same_until_it_is_renewed_before_it_ends() -> None:
    give = CallToken(common(), "a", Role.SERVICE, life_s=4.0)
    first = give()
    assert give() is first
    started = time.time()
    await until(lambda: give() != first)
    took_s = time.time() - started
    assert 1.5 <= took_s < 4.0
    assert claims_of(give())["exp"] > claims_of(first)["exp"]


async def test_it_is_made_anew_when_the_clock_is_set_back(monkeypatch: pytest.MonkeyPatch) -> None:
    give = CallToken(common(), "a", Role.SERVICE)
    now = time.time()
    monkeypatch.setattr(time, "time", lambda: now + 3_000)
    ahead = give()
    monkeypatch.undo()
    assert claims_of(give())["iat"] <= time.time() < claims_of(ahead)["iat"]


@pytest.mark.parametrize("secret", [None, ",", " , "])
def test_without_a_source_it_is_empty(secret: str | None) -> None:
    assert CallToken(common(auth_secret=secret), "a", Role.SERVICE)() == ""


async def test_a_file_is_read_and_again_when_it_changes(tmp_path: Path) -> None:
    file = tmp_path / "token"
    first, second, third = (token("service", f"backend-{number}") for number in range(3))
    file.write_text(f"{first}\n")
    give = CallToken(common(call_token_file=file), "ignored", Role.ADMIN)
    assert give() == f"Bearer {first}"

    file.write_text(second)
    await until(lambda: give() == f"Bearer {second}")
    other = tmp_path / "other"
    other.write_text(third)
    other.replace(file)
    await until(lambda: give() == f"Bearer {third}")


@pytest.mark.parametrize(
    "content",
    ["", " \n", "two words", "t\x00oken", "tökén", "x" * 9_000, "line\nline"],
    ids=["empty", "blank", "two words", "NUL", "not ASCII", "long", "two lines"],
)
async def test_a_file_without_one_token_leaves_the_last_one_in_force(
    content: str, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "token"
    good = token("service", "backend")
    file.write_text(good)
    give = CallToken(common(call_token_file=file), "ignored", Role.ADMIN)
    assert give() == f"Bearer {good}"

    file.write_text(content)
    said = ""
    deadline = time.monotonic() + 10
    while "holds no token" not in said:
        assert time.monotonic() < deadline
        assert give() == f"Bearer {good}"
        said += "".join(capfd.readouterr())
    assert content.strip() == "" or content not in said
    assert good not in said


def test_a_file_that_is_not_there_is_no_token_and_is_said_once(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    give = CallToken(common(call_token_file=tmp_path / "none"), "ignored", Role.ADMIN)
    assert [give() for _ in range(1_000)] == [""] * 1_000
    assert "".join(capfd.readouterr()).count("No such file") == 1


def test_no_secret_is_shown_by_a_repr() -> None:
    give = CallToken(common(), "a", Role.SERVICE)
    assert AUTH_SECRET not in f"{give!r}{vars(give)}"
