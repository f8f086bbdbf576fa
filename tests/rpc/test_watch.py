"""WatchXpDeltas: the history in order, without a gap, from any valid position on."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from datetime import UTC, datetime
from uuid import uuid4

from grpc import StatusCode, aio

from progress_service.settings import ProgressSettings
from shared.errors import FailedPrecondition, InvalidInput, OutOfRange, Unavailable
from shared.gen.laurel.progress.v1 import admin_pb2
from shared.gen.laurel.progress.v1 import catalog_pb2 as catalog
from shared.gen.laurel.progress.v1 import progress_pb2 as pb
from shared.gen.laurel.types.v1 import types_pb2
from tests.conftest import running_progress
from tests.progress import Progress, eventually, level, refused
from tests.pruned import prune

Message = pb.WatchXpDeltasResponse


@asynccontextmanager
async def watching(
    progress: Progress, epoch: str = "", sequence: int = 0
) -> AsyncIterator[AsyncIterator[Message]]:
    """The messages from a position on."""
    after = types_pb2.Position(epoch=epoch, sequence=sequence)
    call = progress.progress.WatchXpDeltas(pb.WatchXpDeltasRequest(after=after))
    try:
        yield aiter(call)
    finally:
        call.cancel()


async def changes_through(
    progress: Progress, head: int, epoch: str = "", sequence: int = 0
) -> list[pb.Change]:
    """Every change after the position, up to `head`."""
    found: list[pb.Change] = []
    async with asyncio.timeout(20), watching(progress, epoch, sequence) as messages:
        while sequence < head:
            message = await anext(messages)
            found += message.changes
            sequence = message.through.sequence
    return found


async def first_message(progress: Progress, epoch: str = "", sequence: int = 0) -> Message:
    async with asyncio.timeout(20), watching(progress, epoch, sequence) as messages:
        return await anext(messages)


async def test_a_watcher_sees_each_change_as_the_ledger_has_it(progress: Progress) -> None:
    user = catalog.User(user_id="ann", display_name="Ann", avatar_url="https://x.example/a")
    await progress.catalog.PutUser(catalog.PutUserRequest(user=user))
    await progress.put_course("c", level("l1", max_marks=0))
    earned = datetime(2026, 2, 28, 23, 30, tzinfo=UTC)
    await progress.submit("ann", "l1", occurred_time=earned)
    award = await progress.award("ann", 7, metric="marks", reference="r", source="quiz")
    await progress.revoke(award.entry_id)
    user.hidden = True
    await progress.catalog.PutUser(catalog.PutUserRequest(user=user))
    head = await progress.settled()
    found = await changes_through(progress, head.sequence)
    assert [one.sequence for one in found] == [1, 2, 3, 4, 5]
    assert [one.WhichOneof("kind") for one in found] == [
        "profile_change",
        "xp_delta",
        "xp_delta",
        "xp_delta",
        "profile_change",
    ]
    assert found[0].profile_change == pb.ProfileChange(
        user_id="ann", display_name="Ann", avatar_url="https://x.example/a"
    )
    assert found[4].profile_change.hidden
    entries = {one.entry_id: one for one in await progress.entries("ann")}
    deltas = [one.xp_delta for one in found[1:4]]
    for delta in deltas:
        entry = entries[delta.entry_id]
        assert (delta.user_id, delta.metric, delta.amount, delta.source, delta.course_id) == (
            entry.user_id,
            entry.metric,
            entry.amount,
            entry.source,
            entry.course_id,
        )
        assert delta.occurred_time == entry.occurred_time
    assert [(one.amount, one.source, one.course_id) for one in deltas] == [
        (50, "level", "c"),
        (7, "quiz", ""),
        (-7, "quiz", ""),
    ]
    assert deltas[0].occurred_date == "2026-02-28"
    assert [list(one.windows) for one in deltas] == [[], [1], [1]]
    assert list(deltas[0].excluded_boards) == []


async def test_a_watcher_that_is_idle_is_told_how_far_the_history_is(postgres_url: str) -> None:
    settings = ProgressSettings(
        postgres_url=postgres_url, drain_seconds=0.5, checkpoint_seconds=0.05
    )
    async with running_progress(settings) as progress:
        await progress.put_users("ann")
        head = await progress.settled()
        async with asyncio.timeout(20), watching(progress) as messages:
            first = await anext(messages)
            assert first.through == head
            checkpoints = [await anext(messages) for _ in range(3)]
        assert [len(one.changes) for one in checkpoints] == [0, 0, 0]
        assert {(one.through.sequence, one.head_sequence) for one in checkpoints} == {(1, 1)}
        sent = [one.send_time.ToNanoseconds() for one in checkpoints]
        assert sent == sorted(sent)


async def test_an_empty_history_has_a_checkpoint_too(progress: Progress) -> None:
    message = await first_message(progress)
    assert (len(message.changes), message.through.sequence, message.head_sequence) == (0, 0, 0)


async def test_a_change_reaches_every_watcher_once_it_has_a_number(progress: Progress) -> None:
    await progress.put_users("ann")
    head = await progress.settled()
    async with (
        asyncio.timeout(20),
        watching(progress, head.epoch, head.sequence) as one,
        watching(progress, head.epoch, head.sequence) as other,
    ):
        for messages in (one, other):
            assert list((await anext(messages)).changes) == []
        status = await progress.admin.GetStatus(admin_pb2.GetStatusRequest())
        assert status.watchers == 2
        await progress.award("ann", 7)
        for messages in (one, other):
            message = await anext(messages)
            while not message.changes:
                message = await anext(messages)
            assert [change.xp_delta.amount for change in message.changes] == [7]

    async def all_gone() -> bool:
        status = await progress.admin.GetStatus(admin_pb2.GetStatusRequest())
        return status.watchers == 0

    await eventually(all_gone, "the server has seen that the watchers went away")


async def test_a_message_holds_at_most_a_thousand_changes(progress: Progress) -> None:
    async with progress.sql() as sql:
        await sql.execute(
            """INSERT INTO unnumbered_changes (kind, user_id, display_name, avatar_url, hidden)
               SELECT 2, 'u' || n, '', '', false FROM generate_series(1, 2500) n"""
        )
    head = await progress.settled()
    sizes = []
    sequence = 0
    async with asyncio.timeout(20), watching(progress) as messages:
        while sequence < 2_500:
            message = await anext(messages)
            assert message.head_sequence == 2_500
            assert [change.sequence for change in message.changes] == list(
                range(sequence + 1, sequence + len(message.changes) + 1)
            )
            sequence = message.through.sequence
            sizes.append(len(message.changes))
    assert sizes == [1_000, 1_000, 500]
    assert head.sequence == 2_500


async def test_every_position_within_the_history_can_be_resumed_from(progress: Progress) -> None:
    await progress.put_users(*(f"u{n}" for n in range(12)))
    head = await progress.settled()
    for sequence in range(head.sequence + 1):
        message = await first_message(progress, head.epoch, sequence)
        assert [one.sequence for one in message.changes] == list(
            range(sequence + 1, head.sequence + 1)
        )


async def test_a_position_of_another_history_is_refused(progress: Progress) -> None:
    await progress.put_users("ann", "bob")
    head = await progress.settled()
    unknown = str(uuid4())
    for epoch, sequence in ((unknown, 0), (unknown, 1), (head.epoch, 3), (head.epoch, 2**62)):
        async with refused(FailedPrecondition, "EPOCH_MISMATCH") as errors:
            await first_message(progress, epoch, sequence)
        assert errors[0].metadata == {"epoch": epoch, "sequence": str(sequence)}


async def test_a_malformed_position_is_refused(progress: Progress) -> None:
    await progress.put_users("ann")
    head = await progress.settled()
    for epoch, sequence, field in (
        (head.epoch, -1, "after.sequence"),
        ("", -1, "after.sequence"),
        ("", 1, "after.epoch"),
        ("x", 1, "after.epoch"),
        (head.epoch[:-1], 1, "after.epoch"),
        ("' OR true --", 1, "after.epoch"),
    ):
        async with refused(InvalidInput, "INVALID_FIELD") as errors:
            await first_message(progress, epoch, sequence)
        assert [violation.field for violation in errors[0].violations] == [field]


async def test_a_position_older_than_what_is_kept_is_told_to_take_a_snapshot(
    progress: Progress,
) -> None:
    await progress.put_users(*(f"u{n}" for n in range(6)))
    head = await progress.settled()
    await prune(progress, keep_changes=3)
    for epoch, sequence in (("", 0), (head.epoch, 1), (head.epoch, 2)):
        async with refused(OutOfRange, "HISTORY_TRUNCATED") as errors:
            await first_message(progress, epoch, sequence)
        assert errors[0].metadata == {"sequence": str(sequence), "oldest_sequence": "4"}
    message = await first_message(progress, head.epoch, 3)
    assert [one.sequence for one in message.changes] == [4, 5, 6]
    await prune(progress)
    async with refused(OutOfRange, "HISTORY_TRUNCATED") as errors:
        await first_message(progress, head.epoch, 5)
    assert errors[0].metadata == {"sequence": "5", "oldest_sequence": "7"}
    assert (await first_message(progress, head.epoch, 6)).through == head


async def test_a_history_with_a_hole_is_not_sent_on(progress: Progress) -> None:
    await progress.put_users(*(f"u{n}" for n in range(6)))
    await progress.settled()
    async with progress.sql() as sql:
        await sql.execute("DELETE FROM changes WHERE sequence = 4")
    async with refused(FailedPrecondition, "HISTORY_DAMAGED"):
        await first_message(progress)


async def test_a_draining_server_ends_its_watchers_as_unavailable(progress: Progress) -> None:
    await progress.put_users("ann")
    await progress.settled()
    async with asyncio.timeout(20), watching(progress) as messages:
        await anext(messages)
        draining = asyncio.create_task(progress.app.server.drain(5))
        async with refused(Unavailable, "DRAINING"):
            async for _ in messages:
                pass
        await draining


async def test_connections_that_are_lost_cost_a_watcher_nothing_but_a_resume(
    progress: Progress,
) -> None:
    await progress.put_users("ann")
    seen: list[int] = []
    last = types_pb2.Position()

    async def watch_to_the_end() -> None:
        while 100 not in seen:
            with suppress(aio.AioRpcError):
                async with watching(progress, last.epoch, last.sequence) as messages:
                    async for message in messages:
                        seen.extend(change.xp_delta.amount for change in message.changes)
                        last.CopyFrom(message.through)
                        if 100 in seen:
                            return

    async def written(amount: int) -> bool:
        try:
            await progress.award("ann", amount, request_id=f"a{amount}")
        except aio.AioRpcError as error:
            return error.code() is not StatusCode.UNAVAILABLE
        return True

    async with progress.sql() as sql, asyncio.timeout(30), asyncio.TaskGroup() as tasks:
        tasks.create_task(watch_to_the_end())
        for amount in (1, 2, 3, 100):
            await sql.execute(
                """SELECT pg_terminate_backend(pid) FROM pg_stat_activity
                   WHERE datname = current_database() AND pid <> pg_backend_pid()"""
            )
            await eventually(lambda amount=amount: written(amount), "it is written")  # type: ignore[misc]
    assert seen == [0, 1, 2, 3, 100]
    assert last.sequence == 5
