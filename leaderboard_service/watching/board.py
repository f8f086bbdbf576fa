"""One board that is watched: read when it is due, and told to those who watch it."""

import asyncio
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC

import structlog

from leaderboard_service import metrics
from leaderboard_service.boards import Boards
from leaderboard_service.civil_clock import CivilClock
from leaderboard_service.domain.answer import Source
from leaderboard_service.servicers.encode import Encoder
from leaderboard_service.watching.asked import Asked
from leaderboard_service.watching.messages import Subject
from leaderboard_service.watching.reading import Reading, read
from leaderboard_service.watching.schedule import Rhythm, Schedule
from leaderboard_service.watching.topic import Topic, Watch
from leaderboard_service.watching.turns import Turns
from shared.errors import DeadlineExceeded, LaurelError, ResourceExhausted, Unavailable
from shared.periods import period_end
from shared.trouble import Trouble

log = structlog.get_logger(__name__)

# Woken together; then the process does something else.
_CHUNK = 50
_LONG_S = 60.0
# What a read of everything may take, with the wait for one's turn.
_READ_S = 5.0


class Behind(Exception):
    """What was read is older than what was said: Redis is not yet where PostgreSQL was."""


@dataclass(frozen=True)
class Means:
    """What watched boards work with."""

    boards: Boards
    encoder: Encoder
    clock: CivilClock
    turns: Turns
    reads: asyncio.Semaphore
    """How many boards are read at once."""
    rhythm: Rhythm


class WatchedBoard:
    """A board as asked for, and all who watch it. `run` reads and tells until nobody does.

    What is said is never older than what was said before.
    """

    def __init__(self, asked: Asked, means: Means) -> None:
        self._asked = asked
        self._means = means
        self._schedule = Schedule(means.rhythm)
        self._loop = asyncio.get_running_loop()
        self._board = asked.on(means.clock.today())
        self._topics: dict[Subject, Topic] = {}
        self._woken = asyncio.Event()
        self._answered_at = self._loop.time()
        self._sequence = 0
        """The furthest position that was said."""
        self._trouble = Trouble(log)

    @property
    def watched(self) -> bool:
        """Whether anyone watches."""
        return bool(self._topics)

    def touch(self) -> None:
        """What it shows may have changed."""
        if self._schedule.touch():
            self._woken.set()

    def join(self, subject: Subject) -> Watch:
        """A new watch, to be told something as soon as the board has been read."""
        topic = self._topics.get(subject)
        if topic is None:
            topic = self._topics[subject] = Topic(subject)
        watch = Watch(topic, self._loop.time())
        topic.add(watch)
        self._schedule.join()
        self._woken.set()
        return watch

    def leave(self, watch: Watch) -> None:
        """The watch is over."""
        topic = watch.topic
        del topic.watches[watch]
        if not topic.watches:
            del self._topics[topic.subject]
            self._woken.set()

    def end(self, error: LaurelError) -> None:
        """Ends all watches with the error."""
        for topic in self._topics.values():
            for watch in topic.watches:
                watch.end(error)

    async def run(self) -> None:
        """Reads and tells while anyone watches."""
        while await self._due():
            try:
                await self._publish()
            except (Behind, DeadlineExceeded, ResourceExhausted, TimeoutError, Unavailable):
                self._fail()
            except LaurelError as error:
                self.end(error)
                self._fail()
            except Exception as error:  # noqa: BLE001 - logged, and tried again
                self._trouble.failed("watched board failed", error)
                self._fail()
            else:
                self._trouble.over("watched board works again")

    async def _due(self) -> bool:
        """Waits until the board is to be read; False when nobody watches any more."""
        while self._topics:
            self._woken.clear()
            moved = self._asked.on(self._means.clock.today()) != self._board
            wait_s = self._schedule.due_at(moved=moved) - self._loop.time()
            if wait_s <= 0:
                return True
            with suppress(TimeoutError):
                async with asyncio.timeout(min(wait_s, self._look_s())):
                    await self._woken.wait()
        return False

    def _look_s(self) -> float:
        """Until the period ends, or the clock is to be looked at again."""
        clock = self._means.clock
        end = period_end(self._board.window, self._board.period, clock.zone)
        if end is None or not self._asked.moves_on:
            return _LONG_S
        left_s = (end - clock.now().astimezone(UTC)).total_seconds()
        return min(max(left_s, 0.001), self._means.rhythm.look_s)

    async def _publish(self) -> None:
        """Reads everything that is watched, and tells whom it is news to."""
        means = self._means
        self._schedule.begin()
        self._board = board = self._asked.on(means.clock.today())
        topics = list(self._topics.values())
        async with asyncio.timeout(_READ_S), means.reads:
            subjects = [topic.subject for topic in topics]
            readings = await read(means.boards, means.turns, board, subjects)
        sequences = [reading.stamp.position.sequence for reading in readings.values()]
        if min(sequences) < self._sequence:
            raise Behind
        now = self._answered_at = self._loop.time()
        self._sequence = max(sequences)
        told = [
            watch for topic in topics for watch in self._take(topic, readings[topic.subject], now)
        ]
        sources = {reading.stamp.source for reading in readings.values()}
        self._schedule.publish(
            now,
            polled=Source.POSTGRESQL in sources,
            silent_at=min(topic.said_at for topic in topics) + means.rhythm.keep_alive_s,
        )
        await self._tell(told)

    def _take(self, topic: Topic, reading: Reading, now: float) -> list[Watch]:
        state = self._means.encoder.state(reading.board, reading.stamp, reading.total)
        # Once one topic needs a keep-alive the others get theirs early: so that they all do in one
        # read the next time.
        return topic.take(reading, state, now, self._means.rhythm.keep_alive_s / 2)

    async def _tell(self, watches: Sequence[Watch]) -> None:
        for start in range(0, len(watches), _CHUNK):
            chunk = watches[start : start + _CHUNK]
            await self._means.turns.take(len(chunk))
            for watch in chunk:
                watch.wake()
            metrics.WATCH_MESSAGES.inc(len(chunk))

    def _fail(self) -> None:
        """Tries again soon, and ends the watches that were told nothing for too long."""
        now = self._loop.time()
        self._schedule.fail(now)
        since = now - self._means.rhythm.give_up_s
        error = Unavailable("BOARDS_UNAVAILABLE", "The board cannot be read; call again.")
        for topic in self._topics.values():
            for watch in topic.watches:
                if watch.told_at <= since:
                    watch.end(error)
        if self._answered_at <= since:
            # Nobody is left who was told what is ahead: the history itself may have gone back.
            self._sequence = 0
