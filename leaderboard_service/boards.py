"""Answers about boards: from Redis where it can, else from PostgreSQL."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import TypeVar

import structlog

from leaderboard_service import metrics
from leaderboard_service.breaker import RedisBreaker
from leaderboard_service.domain.answer import ListAnswer, Position, RankAnswer, Source, TopAnswer
from leaderboard_service.domain.epochs import Epochs
from leaderboard_service.domain.question import After, AroundAsk, BatchAsk, RankAsk, TopAsk
from leaderboard_service.fallback import Fallback, Remaining
from leaderboard_service.lane import NotReadable, Overdue, Unreadable
from leaderboard_service.reader import BoardReader
from leaderboard_service.store.boards import Broken, GenerationGone
from leaderboard_service.store.client import RedisUnavailable
from leaderboard_service.store.generations import Generations
from leaderboard_service.store.keys import Generation
from leaderboard_service.store.reading import NotKept, TooDeep, Uneven
from shared.errors import Unavailable

log = structlog.get_logger(__name__)

AnswerT = TypeVar("AnswerT", RankAnswer, ListAnswer, TopAnswer)


class OtherEpoch(Exception):
    """The page to go on from is of a position that PostgreSQL must judge."""


class OtherTenure(Exception):
    """The answer would be late enough, but is of another tenure than what is known of the write: of
    the same history or not.
    """


_REASONS: dict[type[Exception], str] = {
    NotKept: "old period",
    TooDeep: "dense",
    Uneven: "parts differ",
    OtherEpoch: "other epoch",
    Overdue: "redis slow",
    Unreadable: "unreadable",
}
"""Why PostgreSQL is asked though the boards in Redis are whole."""
_REFUSALS = tuple(_REASONS)


@dataclass(frozen=True, slots=True)
class Need:
    """What a caller asks of an answer besides: to come in time, and not to be older."""

    remaining: Remaining
    at_least: Position | None = None
    """Where the write is that the answer is to include, in the present tenure."""
    asks_again: bool = False
    """Whether OtherTenure is wanted, to look up where the write is in that tenure."""


class Boards:
    """What the RPCs ask.

    Raises OtherTenure where that is wanted; Unavailable when neither store answers
    (BOARDS_UNAVAILABLE) or holds the write that is needed (WRITE_NOT_VISIBLE), ResourceExhausted
    when too many reads are under way, DeadlineExceeded when the caller's time is up.
    """

    def __init__(
        self,
        reader: BoardReader,
        fallback: Fallback,
        generations: Generations,
        breaker: RedisBreaker,
        epochs: Epochs,
    ) -> None:
        self._reader = reader
        self._fallback = fallback
        self._generations = generations
        self._breaker = breaker
        self._epochs = epochs
        self.answers = {Source.REDIS: 0, Source.POSTGRESQL: 0}
        """Answers given since the start, by source."""
        self._counters = {
            source: metrics.ANSWERS.labels(source.name.lower()) for source in self.answers
        }

    async def rank(self, ask: RankAsk, need: Need) -> RankAnswer:
        """Where one user stands."""
        return await self._answer(
            need,
            lambda: self._reader.rank(ask),
            lambda: self._fallback.rank(ask, need.remaining),
        )

    async def top(self, ask: TopAsk, need: Need) -> TopAnswer:
        """A page, and the entry of one user besides, if one was asked for.

        Raises InvalidInput (INVALID_PAGE_TOKEN) when `ask.after` is of another history.
        """
        answer = await self._answer(
            need,
            lambda: self._page(ask),
            lambda: self._fallback.top(ask, need.remaining),
        )
        if ask.after is not None:
            self._epochs.learn(answer.stamp.position, _ended_at(ask.after))
        return answer

    async def _page(self, ask: TopAsk) -> TopAnswer:
        """Redis's page, if what it comes after is known to be of its history, else OtherEpoch."""
        answer = await self._reader.top(ask)
        at = answer.stamp.position
        if ask.after is not None and not self._epochs.same(at, _ended_at(ask.after)):
            raise OtherEpoch
        return answer

    async def around(self, ask: AroundAsk, need: Need) -> ListAnswer:
        """The entries around one user; none when the user is not on the board."""
        return await self._answer(
            need,
            lambda: self._reader.around(ask),
            lambda: self._fallback.around(ask, need.remaining),
        )

    async def batch(self, ask: BatchAsk, need: Need) -> ListAnswer:
        """The entries of these users, best first."""
        return await self._answer(
            need,
            lambda: self._reader.batch(ask),
            lambda: self._fallback.batch(ask, need.remaining),
        )

    async def _answer(
        self,
        need: Need,
        from_redis: Callable[[], Awaitable[AnswerT]],
        from_postgresql: Callable[[], Awaitable[AnswerT]],
    ) -> AnswerT:
        answer = await self._from_redis(from_redis)
        if answer is not None and not _reaches(answer, need):
            metrics.FALLBACKS.labels("write not visible yet").inc()
            answer = None
        if answer is None:
            answer = await from_postgresql()
            if not _reaches(answer, need):
                raise not_visible()
        source = answer.stamp.source
        self.answers[source] += 1
        self._counters[source].inc()
        return answer

    async def _from_redis(self, ask: Callable[[], Awaitable[AnswerT]]) -> AnswerT | None:
        """Redis's answer; None when it has none, having seen to what is wrong."""
        # A generation that has been replaced meanwhile is no reason to ask PostgreSQL.
        reason = "no boards"
        for _ in range(2):
            generation = self._generations.current
            if generation is None:
                break
            if not self._breaker.closed:
                reason = "redis down"
                break
            try:
                return await ask()
            except RedisUnavailable:
                reason = "redis down"
                break
            except _REFUSALS as error:
                reason = _REASONS[type(error)]
                break
            except NotReadable:
                continue
            except Broken as error:
                log.warning("board is not as counted; all are rebuilt", board=str(error))
                await self._recover(generation)
            except GenerationGone:
                await self._recover(generation)
        metrics.FALLBACKS.labels(reason).inc()
        return None

    async def _recover(self, generation: Generation) -> None:
        try:
            await self._generations.recover(generation)
        except RedisUnavailable as error:
            self._breaker.trip(error)


def not_visible() -> Unavailable:
    """The error of a read whose write no store includes in time."""
    return Unavailable(
        "WRITE_NOT_VISIBLE", "The write is not on the boards yet.", retry_delay_s=0.25
    )


def _ended_at(after: After) -> Position:
    return Position(after.epoch, after.sequence)


def _reaches(answer: AnswerT, need: Need) -> bool:
    """Whether it is surely not older than it may be. Raises OtherTenure where that is wanted."""
    position, at_least = answer.stamp.position, need.at_least
    if at_least is None:
        return True
    if position.sequence < at_least.sequence:
        return False
    if position.epoch == at_least.epoch:
        return True
    if need.asks_again:
        raise OtherTenure
    return False
