"""Nothing but WatchXpDeltas needs what is pruned: every other answer is the same without it."""

from typing import Any

import pytest

from progress_service.store import erasures
from shared.gen.laurel.progress.v1 import catalog_pb2
from shared.gen.laurel.progress.v1 import progress_pb2 as pb
from shared.gen.laurel.types.v1 import types_pb2
from tests.audit import verify
from tests.erasure_traces import traces
from tests.history_fold import Folded, fold, snapshot, watched
from tests.learning_play import Play
from tests.pair_acts import Crowd
from tests.progress import Progress, level
from tests.pruned import prune
from tests.told import Retries, told

WRITES = ("SubmitProgress", "AwardXp", "RevokeXp", "VoidAttempt")
ALL_TIME, DAY = types_pb2.WINDOW_ALL_TIME, types_pb2.WINDOW_DAY


async def resolved(progress: Progress, token: str) -> pb.ResolveConsistencyTokenResponse:
    request = pb.ResolveConsistencyTokenRequest(consistency_token=token)
    return await progress.standings.ResolveConsistencyToken(request)


async def put(progress: Progress, user_id: str, name: str) -> str:
    """The token of the profile's change."""
    user = catalog_pb2.User(user_id=user_id, display_name=name)
    return (await progress.catalog.PutUser(catalog_pb2.PutUserRequest(user=user))).consistency_token


async def two_courses(progress: Progress) -> None:
    await progress.put_course("c", level("l1"), level("l2"))
    await progress.put_course("d", level("l3"))


class Retold:
    """What a crowd did, asked for again, and everything that is told of it."""

    def __init__(self, progress: Progress) -> None:
        self.progress = progress
        self.writes = Retries(progress.progress, WRITES)
        self.acts = Retries(progress.admin, ["ResetWindow", "EraseUser"])
        progress.progress, progress.admin = self.writes, self.acts  # type: ignore[assignment]

    async def forget_users_of_today(self) -> None:
        """An erasure that is asked for again erases who has the id now."""
        async with self.progress.sql() as sql:
            users = {row[0] for row in await sql.fetch("SELECT user_id FROM users")}
        calls = self.acts.calls
        calls[:] = [one for one in calls if getattr(one[1], "user_id", None) not in users]

    async def everything(self) -> list[Any]:
        # First of all, for what an erased user had asked for is new when it is asked for again.
        retried = [await self.writes.all_again(), await self.acts.all_again()]
        awards = [one for method, _, one in self.writes.calls if method == "AwardXp"]
        tokens = [pb.AwardXpResponse.FromString(one).consistency_token for one in awards]
        places = [str((await resolved(self.progress, one)).position) for one in tokens if one]
        return [*retried, places, await told(self.progress, Crowd.users)]


@pytest.mark.parametrize("seed", [1, 2, 3])
async def test_every_answer_is_the_same_when_everything_is_pruned(
    progress: Progress, seed: int
) -> None:
    await two_courses(progress)
    retold = Retold(progress)
    await Crowd(progress, seed).act(150)
    for user in ("u1", "u2"):
        await progress.put_users(user)
        await progress.erase(user)
    await retold.forget_users_of_today()
    await retold.everything()
    before = await retold.everything()
    assert {method for method, _ in before[1]} == {"ResetWindow", "EraseUser"}
    head = await progress.settled()
    assert await prune(progress) == head.sequence
    async with progress.sql() as sql:
        assert await sql.fetchval("SELECT count(*) FROM changes") == 0
    after = await retold.everything()
    for one, other in zip(before, after, strict=True):
        assert one == other


@pytest.mark.parametrize("seed", [4, 5, 6])
async def test_what_is_done_after_pruning_ends_where_it_would_without(
    progress: Progress, seed: int
) -> None:
    """Revocations of pruned entries after resets, erasures of whose past is pruned, and the rest:
    the fold of PostgreSQL stays that of the history, and follows from the ledger.
    """
    await two_courses(progress)
    crowd, folded, after = Crowd(progress, seed), Folded(), types_pb2.Position()
    for _ in range(12):
        await crowd.act(25)
        head = await progress.settled()
        fold(await watched(progress, head.sequence, after), folded)
        after = head
        stored, position = await snapshot(progress)
        assert position == head
        assert stored.profiles == folded.profiles
        assert stored.counted == folded.counted
        assert (await verify(progress))[0] == []
        await prune(progress)


async def test_what_is_revoked_or_replaced_on_a_board_that_was_reset_stays_off_it(
    progress: Progress,
) -> None:
    await two_courses(progress)
    await progress.put_users("ann", "bob")
    entry = await progress.award("ann", 10)
    good, _ = await progress.submit("bob", "l1", 10), await progress.submit("bob", "l1", 6)
    for n, metric in enumerate(("xp", "marks")):
        await progress.reset(f"q{n}", metric=metric, window=ALL_TIME)
    since = await progress.award("ann", 3)
    assert await prune(progress) > 0
    await progress.revoke(entry.entry_id)
    await progress.void(good.attempt_id)
    assert await progress.top() == [(1, "ann", 3)]
    assert await progress.top(metric="marks") == []
    await progress.revoke(since.entry_id)
    assert await progress.top() == []
    assert (await verify(progress))[0] == []


async def test_stats_foretell_what_is_cancelled_of_a_pruned_entry(progress: Progress) -> None:
    await progress.put_users("ann")
    before = await progress.award("ann", 10)
    await progress.reset("q1", window=DAY)
    since = await progress.award("ann", 3)
    await progress.settled()
    await prune(progress)

    async def today() -> int:
        (xp,) = [one for one in (await progress.stats("ann")).metrics if one.metric == "xp"]
        return xp.day

    async with progress.numbering_held():
        await progress.revoke(before.entry_id)
        assert await today() == 3
        await progress.revoke(since.entry_id)
        assert await today() == 0
    await progress.settled()
    assert await today() == 0


async def test_an_erasure_takes_out_a_person_whose_past_is_pruned_and_leaves_no_trace(
    progress: Progress,
) -> None:
    await two_courses(progress)
    await put(progress, "annette", "Annette Kern")
    await progress.award("annette", 7)
    await progress.submit("annette", "l1")
    await progress.settled()
    await prune(progress)
    await progress.award("annette", 2)
    erased = await progress.erase("annette")
    assert await traces(progress, "annette", "kern") == {"changes": 1, "admin_actions": 1}
    assert await progress.top() == []
    await prune(progress)
    assert await traces(progress, "annette", "kern") == {"admin_actions": 1}
    assert await progress.erase("annette") == erased, "asked again, long afterwards"
    assert (await verify(progress))[0] == []


async def test_each_erasure_of_an_id_is_answered_with_its_own_place(progress: Progress) -> None:
    places = []
    for _ in range(3):
        await progress.put_users("ann")
        places.append(await progress.erase("ann"))
        await prune(progress)
        assert await progress.erase("ann") == places[-1]
    assert places[0].sequence < places[1].sequence < places[2].sequence


async def test_an_erasure_that_an_older_release_recorded_is_answered_with_its_place(
    progress: Progress,
) -> None:
    """It says nothing of the change that it queues."""
    await progress.put_users("bob")
    async with progress.sql() as sql, sql.transaction():
        await sql.execute(
            "INSERT INTO unnumbered_changes (kind, user_id, pseudonym) VALUES (3, 'ann', '~1')"
        )
        await sql.execute(
            """INSERT INTO admin_actions (method, actor, user_id, detail)
               VALUES ($1, '', 'ann', '')""",
            erasures.METHOD,
        )
    assert (await progress.erase("ann")).sequence == 2
    await prune(progress)
    assert (await progress.erase("ann")).sequence == 2


async def test_a_token_of_a_pruned_write_is_answered_and_another_writes_is_refused(
    progress: Progress,
) -> None:
    profile = await put(progress, "ann", "Ann")
    award = await progress.award("ann", 7)
    await put(progress, "ann", "Anna")
    await progress.settled()
    before = [await resolved(progress, one) for one in (profile, award.consistency_token)]
    await prune(progress)
    after = [await resolved(progress, one) for one in (profile, award.consistency_token)]
    assert after[1] == before[1]
    assert after[0].position == after[0].head == before[0].head, "nothing of it is left"
    await progress.erase("ann")
    of_erased = await resolved(progress, award.consistency_token)
    assert of_erased.position == of_erased.head


@pytest.mark.parametrize("every", [1, 3])
async def test_a_story_with_pruning_in_between_ends_where_the_model_does(
    progress: Progress, every: int
) -> None:
    steps: list[Any] = [
        ("submit", "ann", "l1", 9, 2, 0),
        ("award", "ann", 4, 0, 0, 0),
        ("quick", "bob", "l2", 10, 1, 0),
        ("submit", "bob", "l1", 3, 1, 0),
        ("submit", "ann", "l1", 9, 2, 0),
        ("revoke", "ann", 0),
        ("void", "ann", 0),
        ("accept", "bob", 0),
        ("submit", "ann", "l2", 8, 0, 1),
        ("revoke", "ann", 2),
        ("erase", "bob"),
        ("create", "bob"),
        ("award", "bob", 9, 3, 1, 1),
        ("revoke", "bob", 0),
        ("void", "ann", 1),
    ]

    class Pruning(Play):
        async def prune(self, _: int) -> None:
            await progress.settled()
            await prune(progress)

    told_steps = [
        one
        for n, step in enumerate(steps)
        for one in ([step, ("prune", 0)] if n % every == 0 else [step])
    ]
    await Pruning(progress).run(told_steps)
