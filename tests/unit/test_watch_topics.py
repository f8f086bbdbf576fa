"""What each of a topic's watchers is sent, however fast it takes it."""

import asyncio
from contextlib import suppress
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from leaderboard_service.domain.answer import Entry, Position, Source, Stamp
from leaderboard_service.domain.board import Board
from leaderboard_service.servicers.encode import Encoder
from leaderboard_service.watching.messages import Rank, Subject, Top
from leaderboard_service.watching.reading import Reading
from leaderboard_service.watching.topic import Topic, Watch
from shared.errors import Unavailable
from shared.gen.laurel.leaderboard.v1 import leaderboard_pb2 as pb
from shared.periods import Window
from tests.signing import SIGNER

BOARD = Board("xp", "", Window.DAY, "2026-11-20")
NEXT_DAY = Board("xp", "", Window.DAY, "2026-11-21")
ENCODER = Encoder(ZoneInfo("UTC"), SIGNER)
REST_S = 10.0


class Reader:
    """Takes a message whenever it is let."""

    def __init__(self, topic: Topic) -> None:
        self.watch = Watch(topic, 0.0)
        topic.add(self.watch)
        self.messages: list[bytes] = []
        self._taken = asyncio.Event()
        self.task = asyncio.create_task(self.watch.run(self._write, 60))

    async def _write(self, message: bytes) -> None:
        self.messages.append(message)
        await self._taken.wait()

    async def take(self, *, all_: bool = False) -> None:
        """Takes what is being sent; `all_`: and whatever else is sent from now on."""
        self._taken.set()
        if not all_:
            self._taken = asyncio.Event()
        await settle()

    async def close(self) -> None:
        self.task.cancel()
        with suppress(asyncio.CancelledError):
            await self.task


async def settle() -> None:
    """Lets everything run that can."""
    for _ in range(10):
        await asyncio.sleep(0)


class World:
    """A topic and a position that moves on with each reading."""

    def __init__(self, subject: Subject) -> None:
        self.topic = Topic(subject)
        self._sequence = 0

    async def read(self, *entries: Entry, at: float = 1.0, board: Board = BOARD) -> None:
        self._sequence += 1
        stamp = Stamp(Source.REDIS, Position("e", self._sequence), 1, 1)
        reading = Reading(board, stamp, len(entries), entries)
        state = ENCODER.state(board, stamp, len(entries))
        for watch in self.topic.take(reading, state, at, REST_S):
            watch.wake()
        await settle()


def entry(rank: int, user: str = "ann") -> Entry:
    return Entry(rank, user, 100 - rank, user, "")


def ranks(message: bytes) -> list[int]:
    return [one.rank for one in pb.WatchTopResponse.FromString(message).entries]


async def test_all_watchers_of_a_top_are_sent_the_same_bytes() -> None:
    world = World(Top(10))
    readers = [Reader(world.topic) for _ in range(5)]
    for rank in (1, 2):
        await world.read(entry(rank))
        first = readers[0].messages[-1]
        assert ranks(first) == [rank]
        assert all(reader.messages[-1] is first for reader in readers)
        for reader in readers:
            await reader.take()
    for reader in readers:
        await reader.close()


async def test_a_slow_watcher_gets_the_newest_and_not_what_was_before() -> None:
    world = World(Top(10))
    slow, quick = Reader(world.topic), Reader(world.topic)
    await quick.take(all_=True)
    for rank in range(1, 101):
        await world.read(entry(rank))
    assert len(quick.messages) == 100
    assert [ranks(message) for message in slow.messages] == [[1]]
    await slow.take()
    assert [ranks(message) for message in slow.messages] == [[1], [100]]
    await slow.take()
    assert len(slow.messages) == 2
    await slow.close()
    await quick.close()


async def test_nothing_is_sent_when_only_the_position_has_changed() -> None:
    world = World(Top(10))
    reader = Reader(world.topic)
    await reader.take(all_=True)
    for _ in range(5):
        await world.read(entry(1))
    assert len(reader.messages) == 1
    await world.read(entry(1), board=NEXT_DAY)
    assert len(reader.messages) == 2
    await reader.close()


async def test_a_keep_alive_comes_after_a_silence_and_never_instead_of_a_state() -> None:
    world = World(Rank("ann"))
    slow, quick = Reader(world.topic), Reader(world.topic)
    await quick.take(all_=True)
    await world.read(entry(3), at=0)
    await world.read(entry(2), at=1)
    await world.read(entry(2), at=1 + REST_S - 0.1)
    assert len(quick.messages) == 2
    await world.read(entry(2), at=1 + REST_S)
    last = pb.WatchRankResponse.FromString(quick.messages[-1])
    assert (last.keep_alive, last.HasField("entry"), last.previous_rank) == (True, False, 0)
    assert (len(quick.messages), last.state.position.sequence) == (3, 4)
    await slow.take(all_=True)
    first, last = map(pb.WatchRankResponse.FromString, slow.messages)
    assert (first.entry.rank, last.entry.rank, last.previous_rank) == (3, 2, 3)
    await slow.close()
    await quick.close()


async def test_the_rank_on_another_periods_board_is_no_previous_one() -> None:
    world = World(Rank("ann"))
    slow, quick = Reader(world.topic), Reader(world.topic)
    await quick.take(all_=True)
    await world.read(entry(3))
    await world.read(entry(2))
    await world.read(entry(4), board=NEXT_DAY)
    await world.read(entry(5), board=NEXT_DAY)
    await slow.take(all_=True)
    found = []
    for reader in (quick, slow):
        messages = map(pb.WatchRankResponse.FromString, reader.messages)
        found.append([(message.entry.rank, message.previous_rank) for message in messages])
        await reader.close()
    assert found == [[(3, 0), (2, 3), (4, 0), (5, 4)], [(3, 0), (5, 0)]]


async def test_a_watch_that_is_ended_raises_that_to_each() -> None:
    world = World(Top(1))
    readers = [Reader(world.topic) for _ in range(3)]
    error = Unavailable("DRAINING", "drains")
    for reader in readers:
        reader.watch.end(error)
    for reader in readers:
        with pytest.raises(Unavailable) as caught:
            await reader.task
        assert caught.value is error


STEPS = st.lists(
    st.one_of(
        # A reading with the user at a rank, or not on the board; a quiet one; one who comes; one
        # of those present who takes a message.
        st.tuples(st.just("rank"), st.integers(0, 4)),
        st.tuples(st.just("quiet"), st.just(0)),
        st.tuples(st.just("join"), st.just(0)),
        st.tuples(st.just("take"), st.integers(0, 9)),
    ),
    max_size=60,
)


@settings(max_examples=150, deadline=None)
@given(steps=STEPS)
def test_every_watcher_ends_on_the_newest_rank_and_knows_the_one_it_had_before(
    steps: list[tuple[str, int]],
) -> None:
    asyncio.run(_follow(steps))


async def _follow(steps: list[tuple[str, int]]) -> None:
    world = World(Rank("ann"))
    readers, rank, now = [Reader(world.topic)], 0, 0.0
    for kind, number in steps:
        now += 1.0
        if kind == "join":
            readers.append(Reader(world.topic))
        elif kind == "take":
            await readers[number % len(readers)].take()
        else:
            rank, now = (number, now) if kind == "rank" else (rank, now + REST_S)
            await world.read(*([entry(rank)] if rank else []), at=now)
    await world.read(*([entry(rank)] if rank else []), at=now)
    for reader in readers:
        await reader.take(all_=True)
        messages = list(map(pb.WatchRankResponse.FromString, reader.messages))
        states = [message for message in messages if not message.keep_alive]
        assert states[-1].entry.rank == rank
        before = [0, *(state.entry.rank for state in states)]
        assert [state.previous_rank for state in states] == before[:-1]
        sequences = [message.state.position.sequence for message in messages]
        assert sequences == sorted(sequences)
        await reader.close()
