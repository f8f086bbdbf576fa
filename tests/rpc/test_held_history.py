"""A reader of the history that takes nothing holds a bounded part of it, and misses none of it."""

from leaderboard_service.domain.answer import Position
from leaderboard_service.history import MAX_HELD, History
from tests.crowds import crowd
from tests.progress import Progress, eventually

COUNT = 3 * MAX_HELD
NEW = Position("", 0)


async def rest_of(history: History, head: Position) -> list[int]:
    """The numbers of everything that it has yet to hand out."""
    found: list[int] = []
    reached = False
    while not reached:
        reached = await history.reach(head, 10)
        taken = history.take(head.sequence, COUNT)
        assert len(taken) <= MAX_HELD
        found += [change.sequence for change in taken]
    return found


async def test_what_is_held_is_bounded_and_a_reader_that_was_ended_meanwhile_goes_on(
    progress: Progress,
) -> None:
    # More than gRPC takes in for a reader that does not read.
    head = await crowd(progress, COUNT, url_chars=1500)
    publisher = progress.app.publisher
    publisher.stall_s = 0.2
    history = History(progress.progress, NEW)
    try:
        for _ in range(3):
            assert not await history.reach(head, 10)
            assert MAX_HELD - 1_000 < len(history._changes) <= MAX_HELD

        async def ended() -> bool:
            return publisher.watchers == 0

        await eventually(ended, "the reader that takes nothing is ended")
        assert await rest_of(history, head) == list(range(1, head.sequence + 1))
    finally:
        await history.close()


async def test_what_was_read_up_to_a_position_of_another_tenure_is_no_more_than_that(
    progress: Progress,
) -> None:
    head = await crowd(progress, COUNT)
    history = History(progress.progress, NEW)
    try:
        for _ in range(3):
            assert not await history.reach(Position("another", 10), 10)
            assert len(history._changes) <= MAX_HELD
        assert len(history.take(10, COUNT)) == 10
        assert await rest_of(history, head) == list(range(11, head.sequence + 1))
    finally:
        await history.close()


async def test_erasures_far_ahead_are_found_and_what_is_read_for_them_is_not_held(
    progress: Progress,
) -> None:
    await progress.put_users("ann", "bob", "cem", "dee")
    await progress.erase("ann")
    early = await progress.settled()
    await crowd(progress, COUNT)
    await progress.erase("bob")
    await progress.erase("dee")
    settled = await progress.settled()
    head = Position(settled.epoch, settled.sequence)
    history = History(progress.progress, NEW)
    try:
        for _ in range(2):
            assert await history.erased({"ann", "bob", "cem"}) == {"ann", "bob"}
            assert len(history._changes) <= MAX_HELD
            assert not await history.reach(head, 10)
        history.take(early.sequence, COUNT)
        assert await history.erased({"ann", "bob", "cem"}) == {"bob"}, "one of them is taken"
        assert await rest_of(history, head) == list(range(early.sequence + 1, head.sequence + 1))
        assert await history.erased({"ann", "bob", "cem"}) == set()
        assert progress.app.publisher.watchers <= 2
    finally:
        await history.close()
