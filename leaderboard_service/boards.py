"""Answers about boards: from Redis where it can, else from PostgreSQL."""

from collections.abc import Awaitable, Callable
from typing import TypeVar

import structlog

from leaderboard_service import metrics
from leaderboard_service.breaker import RedisBreaker
from leaderboard_service.domain.answer import After, ListAnswer, RankAnswer, Source, TopAnswer
from leaderboard_service.domain.board import Board
from leaderboard_service.domain.epochs import Epochs
from leaderboard_service.fallback import Fallback, Remaining
from leaderboard_service.lane import NotReadable, Overdue
from leaderboard_service.reader import BoardReader
from leaderboard_service.store.boards import Broken, GenerationGone
from leaderboard_service.store.client import RedisUnavailable
from leaderboard_service.store.generations import Generations
from leaderboard_service.store.keys import Generation
from leaderboard_service.store.reads import NotKept

log = structlog.get_logger(__name__)

AnswerT = TypeVar("AnswerT", RankAnswer, ListAnswer, TopAnswer)


class OtherEpoch(Exception):
    """The page to go on from is of an epoch that PostgreSQL must judge."""


class Boards:
    """What the RPCs ask.

    Raises Unavailable (BOARDS_UNAVAILABLE) when neither store answers, ResourceExhausted when
    too many reads are under way, DeadlineExceeded when the caller's time is up.
    """

    def __init__(
        self,
        reader: BoardReader,
        fallback: Fallback,
        generations: Generations,
        breaker: RedisBreaker,
    ) -> None:
        self._reader = reader
        self._fallback = fallback
        self._generations = generations
        self._breaker = breaker
        self._epochs = Epochs()
        self.answers = {Source.REDIS: 0, Source.POSTGRESQL: 0}
        """Answers given since the start, by source."""
        self._counters = {
            source: metrics.ANSWERS.labels(source.name.lower()) for source in self.answers
        }

    async def rank(self, board: Board, user_id: str, remaining: Remaining) -> RankAnswer:
        """Where one user stands."""
        return await self._answer(
            lambda: self._reader.rank(board, user_id),
            lambda: self._fallback.rank(board, user_id, remaining),
        )

    async def top(
        self,
        board: Board,
        size: int,
        after: After | None,
        user_id: str,
        remaining: Remaining,
    ) -> TopAnswer:
        """A page, and the entry of `user_id` unless that is empty.

        Raises InvalidInput (INVALID_PAGE_TOKEN) when `after` is of another history.
        """
        if after is None:
            return await self._answer(
                lambda: self._reader.top(board, size, None, user_id),
                lambda: self._fallback.top(board, size, None, user_id, remaining),
            )
        answer = await self._answer(
            lambda: self._page_after(board, size, after, user_id),
            lambda: self._fallback.top(board, size, after, user_id, remaining),
        )
        self._epochs.learn(answer.stamp.position.epoch, after.epoch)
        return answer

    async def _page_after(self, board: Board, size: int, after: After, user_id: str) -> TopAnswer:
        """Redis's page, if `after` is known to be of its history; OtherEpoch if it is not."""
        answer = await self._reader.top(board, size, after, user_id)
        if not self._epochs.same(answer.stamp.position.epoch, after.epoch):
            raise OtherEpoch
        return answer

    async def around(
        self, board: Board, user_id: str, count: int, remaining: Remaining
    ) -> ListAnswer:
        """The entries around one user; none when the user is not on the board."""
        return await self._answer(
            lambda: self._reader.around(board, user_id, count),
            lambda: self._fallback.around(board, user_id, count, remaining),
        )

    async def batch(
        self, board: Board, user_ids: tuple[str, ...], remaining: Remaining
    ) -> ListAnswer:
        """The entries of these users, best first."""
        return await self._answer(
            lambda: self._reader.batch(board, user_ids),
            lambda: self._fallback.batch(board, user_ids, remaining),
        )

    async def _answer(
        self,
        from_redis: Callable[[], Awaitable[AnswerT]],
        from_postgresql: Callable[[], Awaitable[AnswerT]],
    ) -> AnswerT:
        answer = await self._from_redis(from_redis)
        if answer is None:
            answer = await from_postgresql()
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
            except (NotKept, OtherEpoch, Overdue, RedisUnavailable) as error:
                reason = _reason(error)
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


def _reason(error: Exception) -> str:
    match error:
        case NotKept():
            return "old period"
        case OtherEpoch():
            return "other epoch"
        case Overdue():
            return "redis slow"
        case _:
            return "redis down"
