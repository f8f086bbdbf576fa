"""`laurel token`, and how the other commands come by theirs."""

import time
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from shared.auth.authenticator import Authenticator
from shared.cli import backfill, boards, import_csv, verify
from shared.cli.calls import CommandError, Peer, connected
from shared.cli.import_csv_columns import KINDS, KindName
from shared.cli.main import app
from shared.errors import Unauthenticated
from shared.gen.laurel.leaderboard.v1 import leaderboard_pb2 as pb
from shared.gen.laurel.leaderboard.v1.leaderboard_pb2_grpc import (
    LeaderboardServiceServicer,
    add_LeaderboardServiceServicer_to_server,
)
from shared.gen.laurel.progress.v1 import admin_pb2
from shared.gen.laurel.progress.v1.admin_pb2_grpc import (
    ProgressAdminServiceServicer,
    ProgressAdminServiceStub,
    add_ProgressAdminServiceServicer_to_server,
)
from shared.identity import Identity, Role
from tests.access import AUTH_SECRET, token
from tests.auth_keys import settings
from tests.unit.cli_peer import abort_with, serving

HOME_SECRET = "the secret in a home: also 32 characters or more"


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("LAUREL_HOME", str(tmp_path))
    monkeypatch.delenv("LAUREL_CALL_TOKEN_FILE", raising=False)
    return tmp_path


def printed(*options: str, role: str = "user", sub: str = "ada") -> str:
    """The token, which is all that is printed."""
    result = CliRunner().invoke(app, ["token", "--role", role, "--sub", sub, *options])
    assert (result.exit_code, result.stderr) == (0, "")
    (line,) = result.stdout.splitlines()
    assert " " not in line
    return line


async def identified(text: str, secret: str = AUTH_SECRET) -> Identity:
    return await Authenticator(settings(auth_secret=secret)).identify(f"Bearer {text}")


@pytest.mark.parametrize("role", list(Role))
async def test_it_prints_a_token_alone_that_the_services_accept(role: Role) -> None:
    identity = await identified(printed(role=role.name.lower()))
    assert (identity.subject, identity.role) == ("ada", role)
    assert 3_600 <= identity.expires - 30 - time.time() + 2 <= 3_602


async def test_it_says_of_a_person_what_it_is_told() -> None:
    told = {"name": "Ada Lovelace", "picture": "https://example.com/a", "zoneinfo": "Asia/Jakarta"}
    options = [part for name, text in told.items() for part in (f"--{name}", text)]
    identity = await identified(printed(*options))
    assert {name: getattr(identity, name) for name in told} == told


@pytest.mark.parametrize(
    ("ttl", "seconds"),
    [("90s", 90), ("15m", 900), ("2h", 7_200), ("30d", 2_592_000), ("720h", 2_592_000)],
)
async def test_it_is_valid_for_as_long_as_is_asked(ttl: str, seconds: int) -> None:
    identity = await identified(printed("--ttl", ttl))
    assert abs(identity.expires - 30 - time.time() - seconds) < 5


@pytest.mark.parametrize(
    "options",
    [
        ["--role", "user"],
        ["--sub", "ada"],
        ["--role", "root", "--sub", "ada"],
        ["--role", "user", "--sub", "a|b"],
        ["--role", "user", "--sub", ""],
        ["--role", "user", "--sub", "a" * 65],
        *(
            ["--role", "user", "--sub", "ada", "--ttl", ttl]
            for ttl in ("0s", "31d", "721h", "-1h", "1", "h", "1.5h", "", "9999999999d", "1h ")
        ),
    ],
    ids=str,
)
def test_wrong_usage_exits_2_and_prints_no_token(options: list[str]) -> None:
    result = CliRunner().invoke(app, ["token", *options])
    assert (result.exit_code, result.stdout) == (2, "")


async def test_the_secret_of_a_home_is_used_where_no_other_is_set(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (home / "auth-secret").write_text(f"{HOME_SECRET}\n")
    assert (await identified(printed())).subject == "ada"
    monkeypatch.setenv("LAUREL_AUTH_SECRET", "")
    assert (await identified(printed(), HOME_SECRET)).subject == "ada"


def test_without_a_secret_one_line_says_so(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("LAUREL_AUTH_SECRET")
    result = CliRunner().invoke(app, ["token", "--role", "user", "--sub", "ada"])
    assert (result.exit_code, result.stdout) == (2, "")
    assert result.stderr == (
        "laurel: nothing to sign with: LAUREL_AUTH_SECRET is not set, and "
        f"{home}/auth-secret: No such file or directory\n"
    )


class Doorkeeper(ProgressAdminServiceServicer):
    """Notes the token of each call, and refuses it."""

    def __init__(self) -> None:
        self.seen: list[str] = []

    async def GetStatus(
        self, request: admin_pb2.GetStatusRequest, context: Any
    ) -> admin_pb2.GetStatusResponse:
        for key, value in context.invocation_metadata():
            if key == "authorization":
                self.seen.append(value.removeprefix("Bearer "))
        await abort_with(context, Unauthenticated("TOKEN_INVALID", "No."))
        return admin_pb2.GetStatusResponse()


async def ask(target: str) -> None:
    """What a command does."""
    async with connected(Peer("ProgressService", target)) as channel:
        request = admin_pb2.GetStatusRequest()
        await ProgressAdminServiceStub(channel).GetStatus(request, timeout=10)


async def call(door: Doorkeeper) -> str:
    """The line that a command fails with when the door is kept so."""
    keep = partial(add_ProgressAdminServiceServicer_to_server, door)
    with serving(keep) as target, pytest.raises(CommandError) as failed:
        await ask(target)
    return failed.value.line()


async def test_commands_call_as_an_administrator_for_minutes() -> None:
    door = Doorkeeper()
    line = await call(door)
    identity = await identified(door.seen[0])
    assert (identity.subject, identity.role) == ("laurel-cli", Role.ADMIN)
    assert identity.expires - time.time() < 15 * 60
    assert line == (
        "UNAUTHENTICATED (TOKEN_INVALID): No. The token was signed with LAUREL_AUTH_SECRET"
    )


class Board(LeaderboardServiceServicer):
    """Notes the token of each read."""

    def __init__(self) -> None:
        self.seen: list[str] = []

    def _note(self, context: Any) -> None:
        metadata = dict(context.invocation_metadata())
        self.seen.append(metadata["authorization"].removeprefix("Bearer "))

    async def GetTop(self, request: pb.GetTopRequest, context: Any) -> pb.GetTopResponse:
        self._note(context)
        return pb.GetTopResponse()

    async def GetRank(self, request: pb.GetRankRequest, context: Any) -> pb.GetRankResponse:
        self._note(context)
        return pb.GetRankResponse()


async def test_boards_are_read_as_a_user() -> None:
    board = Board()
    with serving(partial(add_LeaderboardServiceServicer_to_server, board)) as target:
        peer = Peer("LeaderboardService", target)
        await boards.get_top(peer, pb.GetTopRequest())
        await boards.get_rank(peer, pb.GetRankRequest(user_id="ada"))
    identities = [await identified(text) for text in board.seen]
    assert [one.role for one in identities] == [Role.USER, Role.USER]


class Archive(ProgressAdminServiceServicer):
    """Notes the tokens of long streams, and ends them."""

    def __init__(self) -> None:
        self.seen: dict[str, str] = {}

    async def _note(self, name: str, context: Any) -> None:
        metadata = dict(context.invocation_metadata())
        self.seen[name] = metadata["authorization"].removeprefix("Bearer ")
        await abort_with(context, Unauthenticated("TOKEN_INVALID", "No."))

    async def ImportProgress(self, requests: Any, context: Any) -> None:
        await self._note("import", context)

    async def VerifyLedger(self, request: Any, context: Any) -> None:
        await self._note("verify", context)

    async def BackfillTotals(self, request: Any, context: Any) -> None:
        await self._note("backfill", context)


async def test_long_streams_have_a_token_for_as_long_as_they_may_take(tmp_path: Path) -> None:
    archive = Archive()
    rows = tmp_path / "users.csv"
    rows.write_text("user_id,display_name\nada,Ada\n")
    with serving(partial(add_ProgressAdminServiceServicer_to_server, archive)) as target:
        peer = Peer("ProgressService", target)
        kind = KINDS[KindName.USERS]
        for work in (
            import_csv.import_csv(peer, rows, kind, batch=10, dry_run=False),
            verify.verify(peer),
            backfill.backfill(peer, dry_run=True, credit_missing=False),
        ):
            with pytest.raises(CommandError):
                await work
    for name, role, hours in (
        ("import", Role.SERVICE, 6),
        ("verify", Role.ADMIN, 24),
        ("backfill", Role.ADMIN, 24),
    ):
        identity = await identified(archive.seen[name])
        assert identity.role is role
        assert abs(identity.expires - time.time() - hours * 3600) < 60


async def test_commands_use_the_secret_of_a_home(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("LAUREL_AUTH_SECRET")
    (home / "auth-secret").write_text(f"{HOME_SECRET}\n")
    door = Doorkeeper()
    assert (await call(door)).endswith(f"The token was signed with {home}/auth-secret")
    assert (await identified(door.seen[0], HOME_SECRET)).subject == "laurel-cli"


async def test_commands_use_the_token_of_a_file_before_any_secret(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    given = token("admin", "console")
    (tmp_path / "token").write_text(f"{given}\n")
    monkeypatch.setenv("LAUREL_CALL_TOKEN_FILE", str(tmp_path / "token"))
    door = Doorkeeper()
    assert (await call(door)).endswith("The token came from LAUREL_CALL_TOKEN_FILE")
    assert door.seen == [given]


async def test_without_any_token_a_refused_command_says_where_to_put_one(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delenv("LAUREL_AUTH_SECRET")
    door = Doorkeeper()
    line = await call(door)
    assert door.seen == []
    for name in ("LAUREL_AUTH_SECRET", "LAUREL_CALL_TOKEN_FILE", "LAUREL_HOME"):
        assert name in line


def test_a_token_file_without_a_token_is_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LAUREL_CALL_TOKEN_FILE", str(tmp_path / "none"))
    result = CliRunner().invoke(app, ["verify"])
    assert result.exit_code == 1
    assert result.stderr == "laurel: LAUREL_CALL_TOKEN_FILE: No such file or directory\n"
