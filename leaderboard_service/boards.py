"""Answers about boards: from Redis where it can, else from PostgreSQL."""

from collections.abc import Awaitable, Callable
from typing import TypeVar

import structlog

from leaderboard_service import metrics
from leaderboard_service.breaker import RedisBreaker
from leaderboard_service.domain.answer import After, ListAnswer, RankAnswer, Source, TopAnswer
from leaderboard_service.domain.board import Board
from leaderboard_service.fallback import Fallback
from leaderboard_service.lane import NotReadable
from leaderboard_service.reader import BoardReader
from leaderboard_service.store.boards import Broken, GenerationGone
from leaderboard_service.store.client import RedisUnavailable
from leaderboard_service.store.generations import Generations
from leaderboard_service.store.keys import Generation
from leaderboard_service.store.reads import NotKept

log = structlog.get_logger(__name__)

AnswerT = TypeVar("AnswerT", RankAnswer, ListAnswer, TopAnswer)


class Boards:
    """What the RPCs ask. `remaining_s` is what the caller's deadline leaves, None without one.

    Raises Unavailable (BOARDS_UNAVAILABLE) when neither store answers, ResourceExhausted when
    too many reads are under way.
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
        self.answers = {Source.REDIS: 0, Source.POSTGRESQL: 0}
        """Answers given since the start, by source."""
        self._counters = {
            source: metrics.ANSWERS.labels(source.name.lower()) for source in self.answers
        }

    async def rank(self, board: Board, user_id: str, remaining_s: float | None) -> RankAnswer:
        """Where one user stands."""
        return await self._answer(
            lambda: self._reader.rank(board, user_id),
            lambda: self._fallback.rank(board, user_id, remaining_s),
        )

    async def top(
        self,
        board: Board,
        size: int,
        after: After | None,
        user_id: str,
        remaining_s: float | None,
    ) -> TopAnswer:
        """A page, and the entry of `user_id` unless that is empty."""
        return await self._answer(
            lambda: self._reader.top(board, size, after, user_id),
            lambda: self._fallback.top(board, size, after, user_id, remaining_s),
        )

    async def around(
        self, board: Board, user_id: str, count: int, remaining_s: float | None
    ) -> ListAnswer:
        """The entries around one user; none when the user is not on the board."""
        return await self._answer(
            lambda: self._reader.around(board, user_id, count),
            lambda: self._fallback.around(board, user_id, count, remaining_s),
        )

    async def batch(
        self, board: Board, user_ids: tuple[str, ...], remaining_s: float | None
    ) -> ListAnswer:
        """The entries of these users, best first."""
        return await self._answer(
            lambda: self._reader.batch(board, user_ids),
            lambda: self._fallback.batch(board, user_ids, remaining_s),
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
            except NotKept:
                reason = "old period"
                break
            except RedisUnavailable:
                reason = "redis down"
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
