"""Streams that are open when a key is removed: those that it let in end, the others go on."""

import asyncio
from pathlib import Path
from typing import Any

import pytest
from grpc import aio
from prometheus_client import REGISTRY

from progress_service.settings import ProgressSettings
from shared.auth import key_watch
from shared.errors import LaurelError, Unauthenticated
from shared.gen.laurel.leaderboard.v1 import leaderboard_pb2
from shared.gen.laurel.progress.v1 import progress_pb2
from shared.status import error_from_rpc
from tests.access import bearer
from tests.auth_keys import key_set, signing_key, until
from tests.conftest import running_progress
from tests.leaderboard_app import dial, running
from tests.pair import Pair
from tests.watchers import watched

OLD, NEW = signing_key("old"), signing_key("new", "ES256")


@pytest.fixture
def keys(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(key_watch, "FILE_EVERY_S", 0.3)
    file = tmp_path / "keys.json"
    file.write_bytes(key_set(OLD, NEW))
    return file


def replace(file: Path, content: bytes) -> None:
    """All of it at once, as it should be done."""
    other = file.with_suffix(".new")
    other.write_bytes(content)
    other.replace(file)


async def end(call: Any) -> LaurelError:
    """What a stream ends with, soon."""
    async with asyncio.timeout(10):
        while True:
            try:
                assert await call.read() is not aio.EOF
            except aio.AioRpcError as error:
                return error_from_rpc(error)


def of(authorization: str) -> dict[str, Any]:
    return {"metadata": (("authorization", authorization),)}


async def test_watches_that_a_removed_key_let_in_end_and_the_others_go_on(
    redis_url: str, keys: Path
) -> None:
    async with watched(redis_url, auth_jwks=str(keys)) as scene:
        request = leaderboard_pb2.WatchTopRequest()
        callers = (OLD.bearer("ada"), NEW.bearer("grace"), bearer("user", "alan"))
        calls: list[Any] = [scene.client.boards.WatchTop(request, **of(one)) for one in callers]
        old, new, own = calls
        for call in calls:
            await call.read()
        replace(keys, key_set(NEW))

        error = await end(old)
        assert (type(error), error.reason) == (Unauthenticated, "TOKEN_INVALID")
        await scene.peer.credit("u1", 5)
        for call in (new, own):
            message = await call.read()
            assert [entry.user_id for entry in message.entries] == ["u1"]
            call.cancel()


async def test_a_thousand_watches_end_when_their_key_is_removed(redis_url: str, keys: Path) -> None:
    async with watched(redis_url, auth_jwks=str(keys), user_streams=0) as scene:
        request = leaderboard_pb2.WatchTopRequest()
        calls = [
            scene.client.boards.WatchTop(request, **of(OLD.bearer(f"user-{number % 50}")))
            for number in range(1_000)
        ]
        for call in calls:
            await call.read()
        replace(keys, key_set(NEW))
        assert {(await end(call)).reason for call in calls} == {"TOKEN_INVALID"}


def refused_streams() -> float:
    """How many streams of the history have ended for want of a valid token."""
    labels = {
        "code": "UNAUTHENTICATED",
        "method": "laurel.progress.v1.ProgressService/WatchXpDeltas",
    }
    return REGISTRY.get_sample_value("laurel_rpcs_total", labels) or 0.0


async def test_a_stream_of_the_history_ends_and_the_follower_goes_on_with_its_next_token(
    postgres_url: str, redis_url: str, keys: Path, tmp_path: Path
) -> None:
    settings = ProgressSettings(postgres_url=postgres_url, auth_jwks=str(keys), drain_seconds=0.5)
    old, new = (key.token("leaderboard-service", roles=["service"]) for key in (OLD, NEW))
    file = tmp_path / "token"
    file.write_text(old)
    async with (
        running_progress(settings) as progress,
        running(redis_url, progress.target, call_token_file=file) as app,
        dial(app) as channel,
    ):
        pair = Pair(channel, progress)
        await progress.put_users("ann")
        await progress.award("ann", 5)
        assert await pair.top(metric="xp") == {"ann": 5}
        request = progress_pb2.WatchXpDeltasRequest()
        call = progress.progress.WatchXpDeltas(request, **of(f"Bearer {old}"))
        before = refused_streams()
        replace(keys, key_set(NEW))

        error = await end(call)
        assert (type(error), error.reason) == (Unauthenticated, "TOKEN_INVALID")
        await until(lambda: refused_streams() >= before + 2)
        replace(file, new.encode())
        await progress.award("ann", 7)
        assert await pair.top(metric="xp") == {"ann": 12}
