"""Boards as clients see them, and as a sorted list has them, whichever store the answers are
from: Redis in one part and in many, a Redis Cluster, or PostgreSQL alone.
"""

import random
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass

import pytest

from leaderboard_service.composition import LeaderboardApp
from leaderboard_service.domain.answer import Entry
from leaderboard_service.domain.fold import Profile
from progress_service.settings import ProgressSettings
from shared.gen.laurel.leaderboard.v1.leaderboard_pb2_grpc import LeaderboardServiceStub
from shared.gen.laurel.types.v1 import types_pb2
from shared.rank_mode import RankMode
from tests.conftest import new_database, new_redis, running_progress
from tests.leaderboard_app import POSTGRESQL, REDIS, dial, running
from tests.leaderboard_model import ranking
from tests.pair import Pair
from tests.pair_acts import ago, hide
from tests.ports import free_port
from tests.progress import Progress, level
from tests.scored_board import put_scores

STORES = ["redis", "redis in 16 parts", "redis cluster", "postgresql"]
MODES = list(RankMode)
TIES = {"ann": 50, "bob": 50, "cat": 30, "dan": 30, "eve": 10}
NOW = {"ann": 1, "bob": 2, "cat": 3, "dan": 4}
"""The XP of those, as many points as in TIES in all, that is of today and of course "c"."""
LONG_AGO = 400
"""The days since the other XP: in no window's present period."""


@dataclass
class Scene:
    """Some boards, and the store that all answers are from; "ghost" is hidden and on each."""

    app: LeaderboardApp
    boards: LeaderboardServiceStub
    progress: Progress
    source: int
    scores: dict[str, dict[str, int]]
    """By metric, as each board has one of its own."""
    ties: types_pb2.Board
    crowd: types_pb2.Board
    """Some hundred users who have few scores among them."""
    ladder: types_pb2.Board
    """More users than a dense rank may have different scores above it, each with another."""

    def listed(self, board: types_pb2.Board, mode: RankMode) -> list[Entry]:
        """The whole board, as it must be."""
        profiles = {user: Profile(user.title(), "", hidden=user == "ghost") for user in _NAMED}
        return ranking(self.scores[board.metric], profiles, mode)


_NAMED = (*TIES, "ghost")


def numbered(mode: RankMode) -> types_pb2.RankMode.ValueType:
    """The mode as requests have it."""
    return types_pb2.RankMode.ValueType(mode)


def entries(messages: object) -> list[Entry]:
    """As a sorted list has them."""
    return [
        Entry(
            one.rank,
            one.user_id,
            one.score,
            one.display_name,
            one.avatar_url,
            tuple(one.also_scores),
        )
        for one in messages  # type: ignore[attr-defined]
    ]


@dataclass(frozen=True)
class Place:
    """Where both services keep what they know, and which of them board answers are from."""

    postgres_url: str
    redis_url: str
    parts: int
    source: int


@contextmanager
def open_place(store: str, request: pytest.FixtureRequest) -> Iterator[Place]:
    """Not to be called within an event loop: servers are started."""
    server = request.getfixturevalue("postgres_server")
    with new_database(server) as url, _redis(store, request) as redis_url:
        parts = 1 if store == "redis" else 16
        yield Place(url, redis_url, parts, POSTGRESQL if store == "postgresql" else REDIS)


@contextmanager
def _redis(store: str, request: pytest.FixtureRequest) -> Iterator[str]:
    if store == "redis cluster":
        cluster = request.getfixturevalue("redis_cluster")
        for node in cluster.masters:
            node.client.flushall()
        yield cluster.url
    elif store == "postgresql":
        yield f"redis://127.0.0.1:{free_port()}/0"  # where nobody answers
    else:
        with new_redis(request.getfixturevalue("scratch")) as server:
            yield server.url()


@asynccontextmanager
async def open_scene(place: Place) -> AsyncIterator[Scene]:
    """Returns when everything is answered from there."""
    settings = ProgressSettings(postgres_url=place.postgres_url, drain_seconds=0.5)
    async with (
        running_progress(settings) as progress,
        running(place.redis_url, progress.target, partitions=place.parts) as app,
        dial(app) as channel,
    ):
        pair = Pair(channel, progress)
        scene = await _fill(app, pair, place.source)
        if scene.source == REDIS:
            await pair.settled()
        yield scene


async def _fill(app: LeaderboardApp, pair: Pair, source: int) -> Scene:
    progress = pair.progress
    await progress.put_users(*_NAMED)
    await progress.put_course("c", level("l"))
    await hide(progress, "ghost")
    crowd, ladder = _many()
    await _put_many(progress, [*crowd, *ladder])
    for user, score in TIES.items():
        now = NOW.get(user, 0)
        await progress.award(user, score - now, occurred_time=ago(LONG_AGO))
        if now:
            await progress.award(user, now, course_id="c")
    found: dict[str, dict[str, int]] = {}
    boards = []
    for of_users in (TIES, crowd, ladder):
        scores = {**of_users, "ghost": 25}
        board = await put_scores(progress, scores)
        board.window = types_pb2.WINDOW_ALL_TIME
        found[board.metric] = scores
        boards.append(board)
    return Scene(app, pair.boards, progress, source, found, *boards)


def _many() -> tuple[dict[str, int], dict[str, int]]:
    """The scores of `crowd` and of `ladder`."""
    chance = random.Random(4)
    crowd = {f"u{number}": chance.randint(1, 40) for number in range(300)}
    return crowd, {f"l{number}": 1 + number * 3 for number in range(1100)}


async def _put_many(progress: Progress, users: list[str]) -> None:
    """Users without names, faster than one by one."""
    async with progress.sql() as sql:
        await sql.execute(
            """WITH put AS (
                   INSERT INTO users (user_id, display_name, avatar_url, time_zone, hidden)
                   SELECT user_id, '', '', 'UTC', false FROM unnest($1::text[]) t (user_id)
                   RETURNING user_id
               )
               INSERT INTO unnumbered_changes (kind, user_id, display_name, avatar_url, hidden)
               SELECT 2, user_id, '', '', false FROM put""",
            users,
        )
