"""Boards as PostgreSQL keeps them: ranks by bucket counts equal ranks by sorting."""

import asyncio
from collections.abc import Sequence
from itertools import groupby, pairwise
from typing import NamedTuple, TypeAlias

import asyncpg
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from progress_service.domain.bounds import MAX_SCORE
from shared.gen.laurel.progress.v1 import catalog_pb2 as catalog
from shared.gen.laurel.progress.v1 import progress_pb2 as pb
from shared.gen.laurel.types.v1 import types_pb2
from tests.progress import Progress
from tests.scored_board import put_scores

# Ids in whose order bytes and letters differ, and prefixes of one another.
USERS = ["A", "B", "Z", "_", "a", "aa", "a.b", "a-b", "a:b", "b", "Ab", "aB", "0", "9", "10"]

# Anywhere, close together, and beside powers of two, where buckets end.
SCORES = (
    st.integers(1, MAX_SCORE)
    | st.integers(1, 5)
    | st.builds(
        lambda power, step: min(max(2**power + step, 1), MAX_SCORE),
        st.integers(0, 53),
        st.integers(-2, 2),
    )
)
COMPETITION, DENSE, ORDINAL = (
    types_pb2.RANK_MODE_COMPETITION,
    types_pb2.RANK_MODE_DENSE,
    types_pb2.RANK_MODE_ORDINAL,
)
MODES = (COMPETITION, DENSE, ORDINAL)
Mode: TypeAlias = types_pb2.RankMode.ValueType
RELAXED = settings(
    max_examples=18, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)


class Ranked(NamedTuple):
    """A standing as plain sorting finds it."""

    rank: int
    user_id: str
    score: int


def ranked(scores: dict[str, int], mode: Mode = COMPETITION) -> list[Ranked]:
    """By score, equal ones by user_id, numbered as the mode says."""
    best_first = sorted(scores.items(), key=lambda one: (-one[1], one[0].encode()))
    found: list[Ranked] = []
    for place, (score, tied) in enumerate(groupby(best_first, key=lambda one: one[1])):
        first = {COMPETITION: len(found), DENSE: place}.get(mode)
        for user_id, _ in tied:
            found.append(Ranked(1 + (len(found) if first is None else first), user_id, score))
    return found


def seen(standings: Sequence[pb.Standing]) -> list[Ranked]:
    return [Ranked(one.rank, one.user_id, one.score) for one in standings]


class Reader(NamedTuple):
    """Reads one board in one rank mode."""

    progress: Progress
    board: types_pb2.Board
    mode: Mode = COMPETITION

    async def page(self, size: int, token: str = "") -> pb.ListStandingsResponse:
        return await self.progress.standings.ListStandings(
            pb.ListStandingsRequest(
                board=self.board, page_size=size, page_token=token, rank_mode=self.mode
            )
        )

    async def around(self, user_id: str, size: int) -> pb.ListStandingsResponse:
        return await self.progress.standings.ListStandings(
            pb.ListStandingsRequest(
                board=self.board,
                page_size=size,
                around_user_id=user_id,
                user_id=user_id,
                rank_mode=self.mode,
            )
        )

    async def batch(self, user_ids: Sequence[str]) -> pb.BatchGetStandingsResponse:
        return await self.progress.standings.BatchGetStandings(
            pb.BatchGetStandingsRequest(board=self.board, user_ids=user_ids, rank_mode=self.mode)
        )


async def check_pages(reader: Reader, expected: list[Ranked], size: int) -> None:
    found: list[Ranked] = []
    token = ""
    while len(found) < len(expected):
        response = await reader.page(size, token)
        assert response.total_users == len(expected)
        assert len(response.standings) == min(size, len(expected) - len(found))
        found += seen(response.standings)
        token = response.next_page_token
    assert found == expected
    assert token == ""


async def check_around(reader: Reader, expected: list[Ranked], size: int) -> None:
    for place, one in enumerate(expected):
        start = max(0, min(place - size // 2, len(expected) - size))
        response = await reader.around(one.user_id, size)
        assert seen(response.standings) == expected[start : start + size]
        assert seen([response.user_standing]) == [one]
        rest = await reader.page(500, response.next_page_token)
        if response.next_page_token:
            assert seen(rest.standings) == expected[start + size :] != []
        else:
            assert start + size >= len(expected)


async def check_batch(reader: Reader, expected: list[Ranked]) -> None:
    response = await reader.batch([*USERS, "nobody", USERS[0]])
    assert response.total_users == len(expected)
    assert seen(response.standings) == expected
    for one in response.standings:
        assert one.users_below == sum(other.score < one.score for other in expected)
        better = [other.score for other in expected if other.score > one.score]
        assert one.score_to_next_rank == (min(better) - one.score if better else 0)
    for few in (expected[::3], expected[-1:]):
        response = await reader.batch([one.user_id for one in few])
        assert seen(response.standings) == few


@RELAXED
@given(
    st.dictionaries(st.sampled_from(USERS), SCORES, min_size=1),
    st.integers(1, 6),
    st.sampled_from(MODES),
)
async def test_every_way_to_read_a_board_equals_sorting_its_scores(
    progress: Progress, scores: dict[str, int], size: int, mode: Mode
) -> None:
    await progress.put_users(*USERS)
    reader = Reader(progress, await put_scores(progress, scores), mode)
    expected = ranked(scores, mode)
    await check_pages(reader, expected, size)
    await check_around(reader, expected, size)
    await check_batch(reader, expected)


@pytest.mark.parametrize(
    ("mode", "numbers"),
    [(COMPETITION, [1, 1, 3, 3, 5]), (DENSE, [1, 1, 2, 2, 3]), (ORDINAL, [1, 2, 3, 4, 5])],
)
@pytest.mark.parametrize("factor", [1, 10], ids=["few points", "many points"])
async def test_ties_are_numbered_as_the_mode_says_across_pages(
    progress: Progress, mode: Mode, numbers: list[int], factor: int
) -> None:
    users = ["a", "b", "c", "d", "e"]
    await progress.put_users(*users)
    points = [one * factor for one in (50, 50, 30, 30, 10)]
    scores = dict(zip(users, points, strict=True))
    reader = Reader(progress, await put_scores(progress, scores), mode)
    first = await reader.page(3)
    second = await reader.page(3, first.next_page_token)
    assert [one.rank for one in first.standings] == numbers[:3]
    assert [one.rank for one in second.standings] == numbers[3:]
    for user_id, rank in zip(users, numbers, strict=True):
        assert [one.rank for one in (await reader.batch([user_id])).standings] == [rank]


async def test_a_hidden_user_is_counted_in_no_mode(progress: Progress) -> None:
    await progress.put_users("a", "b", "c")
    for points in (5, 500):
        board = await put_scores(progress, {"a": points, "b": points - 1, "c": points - 2})
        for hidden, numbers in ((True, [1, 2]), (False, [1, 2, 3])):
            user = catalog.User(user_id="a", hidden=hidden)
            await progress.catalog.PutUser(catalog.PutUserRequest(user=user))
            await progress.settled()
            for mode in MODES:
                found = await Reader(progress, board, mode).batch(["a", "b", "c"])
                assert [one.rank for one in found.standings] == numbers


async def above(sql: asyncpg.Connection, score: int) -> tuple[int, int]:
    """board_above, and the same by counting."""
    row = await sql.fetchrow(
        """SELECT board_above(board_id, $1),
                  (SELECT count(*) FROM standings s
                   WHERE s.board_id = b.board_id AND s.score > $1 AND NOT s.hidden)
           FROM boards b WHERE b.metric = 'xp' AND b.course_id = '' AND b.board_window = 1""",
        score,
    )
    assert row is not None
    return row[0], row[1]


async def test_counting_by_buckets_equals_counting_for_scores_of_every_size(
    progress: Progress,
) -> None:
    powers = [2**n + step for n in range(54) for step in (-1, 0, 1)]
    scores = sorted({one for one in powers if 1 <= one <= MAX_SCORE} | set(range(1, 200)))
    async with progress.sql() as sql:
        await sql.execute(
            """INSERT INTO unnumbered_changes (kind, user_id, entry_id, metric, amount, source,
                                               course_id, occurred_time, occurred_date, windows)
               SELECT 1, 'u' || n, nextval('entry_ids'), 'xp', amount, 'test', '', now(),
                      '2026-11-20', 2
               FROM unnest($1::bigint[]) WITH ORDINALITY t (amount, n)""",
            scores,
        )
        await progress.settled()
        for score in (0, *scores, *(one + 1 for one in scores[-100:-1])):
            counted = await above(sql, score)
            assert counted[0] == counted[1] == sum(one > score for one in scores), score


@settings(RELAXED, max_examples=40)
@given(st.lists(SCORES, min_size=2, max_size=200))
async def test_a_bucket_never_falls_as_the_score_rises_and_its_end_lies_beyond_it(
    progress: Progress, scores: list[int]
) -> None:
    async with progress.sql() as sql:
        rows = await sql.fetch(
            """SELECT score, score_bucket(score) AS bucket, score_bucket_end(score) AS past
               FROM unnest($1::bigint[]) score ORDER BY score""",
            scores,
        )
    for lower, higher in pairwise(rows):
        assert lower["bucket"] <= higher["bucket"]
        if lower["bucket"] == higher["bucket"]:
            assert higher["score"] < lower["past"]
    assert all(row["past"] > row["score"] for row in rows)


async def test_bucket_counts_follow_every_change_of_a_score(progress: Progress) -> None:
    await progress.put_users("ann", "bob", "eve")
    entries = []
    for amount in (1, 62, 1, 1_000_000, MAX_SCORE - 1_000_064):
        entries.append(await progress.award("ann", amount))
        await progress.award("bob", 40)
    await progress.award("eve", 64)
    hidden = catalog.User(user_id="bob", hidden=True)
    await progress.catalog.PutUser(catalog.PutUserRequest(user=hidden))
    for entry in entries[2:]:
        await progress.revoke(entry.entry_id)
        await progress.settled()
    async with progress.sql() as sql:
        rows = await sql.fetch(
            """SELECT b.board_id, k.bucket, k.users,
                      (SELECT count(*) FROM standings s
                       WHERE s.board_id = b.board_id AND NOT s.hidden AND s.score > 0
                         AND score_bucket(s.score) = k.bucket) AS counted
               FROM boards b JOIN board_buckets k USING (board_id)"""
        )
        listed = await sql.fetchval("SELECT count(*) FROM standings WHERE NOT hidden AND score > 0")
    assert [row["users"] for row in rows] == [row["counted"] for row in rows]
    assert sum(row["users"] for row in rows) == listed == 10
    assert await progress.top() == [(1, "eve", 64), (2, "ann", 63)]


async def test_writes_while_a_board_is_read_never_show_in_part(progress: Progress) -> None:
    """Each answer equals sorting at its position: the sum of all scores tells which one."""
    users = [f"u{n}" for n in range(8)]
    await progress.put_users(*users)
    for user_id in users:
        await progress.award(user_id, 1)
    await progress.settled()

    async def write() -> None:
        for n in range(60):
            await progress.award(users[n * 5 % 8], 1)

    writing = asyncio.create_task(write())
    sums: list[int] = []
    while not writing.done():
        response = await Reader(progress, types_pb2.Board()).page(50)
        found = seen(response.standings)
        assert found == ranked({one.user_id: one.score for one in found})
        # Eight profiles and then one change for each point.
        assert sum(one.score for one in found) == response.position.sequence - 8
        sums.append(response.position.sequence)
    await writing
    assert sums == sorted(sums)
    assert len({*sums}) > 1
