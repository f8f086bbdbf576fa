"""Keeps the boards in Redis at the newest position, and has them rebuilt when that cannot be."""

import asyncio
import random
import time

import structlog
from grpc import aio
from tenacity import AsyncRetrying, RetryCallState, wait_random_exponential

from leaderboard_service import metrics
from leaderboard_service.applier import Applier, Target
from leaderboard_service.breaker import RedisBreaker
from leaderboard_service.rebuild import Rebuilder
from leaderboard_service.status import Status
from leaderboard_service.store.boards import Broken, GenerationGone, Meta, Moved
from leaderboard_service.store.client import RedisUnavailable
from leaderboard_service.streams import next_message
from shared.gen.laurel.progress.v1.progress_pb2 import WatchXpDeltasRequest
from shared.gen.laurel.progress.v1.progress_pb2_grpc import ProgressServiceStub
from shared.gen.laurel.types.v1.types_pb2 import Position as PositionMessage
from shared.status import error_from_rpc

log = structlog.get_logger(__name__)

# ProgressService sends a checkpoint at least every 15 s.
_SILENCE_S = 40.0
_RETRY_CAP_S = 5.0
# The history that Redis stands in is not that of PostgreSQL (any more).
_REFUSALS = frozenset({"HISTORY_TRUNCATED", "EPOCH_MISMATCH"})


class Refused(Exception):
    """ProgressService does not know the position that Redis holds."""


class Follower:
    """Reads Redis's position, streams on from there, and applies; for ever.

    What it knows of Redis it has from Redis: after any doubt the position is read again.
    """

    def __init__(
        self,
        stub: ProgressServiceStub,
        target: Target,
        rebuilder: Rebuilder,
        breaker: RedisBreaker,
        status: Status,
    ) -> None:
        self._stub = stub
        self._target = target
        self._writer = target.writer
        self._generations = target.generations
        self._rebuilder = rebuilder
        self._breaker = breaker
        self._status = status

    async def run(self) -> None:
        """Follows for ever; failures are logged and tried again after a pause."""
        while True:
            retrying = AsyncRetrying(
                wait=wait_random_exponential(multiplier=0.1, max=_RETRY_CAP_S),
                before_sleep=_log_failure,
            )
            await retrying(self._follow)
            # The stream was open and has ended, as when ProgressService restarts.
            await asyncio.sleep(random.uniform(0.02, 0.1))

    async def _follow(self) -> None:
        """One stream, from Redis's position to its end. Raises when it did not get going."""
        await self._breaker.wait_closed()
        try:
            generation = await self._generations.refresh()
            meta = await self._writer.meta(generation) if generation else None
            if generation is None or meta is None:
                await self._rebuilder.rebuild("there are no boards")
                return
            applier = Applier(self._target, generation, meta)
            self._status.applied_sequence = meta.position.sequence
            await self._apply_stream(applier)
        except RedisUnavailable as error:
            self._breaker.trip(error)
            raise

    async def _apply_stream(self, applier: Applier) -> None:
        try:
            await self._stream(applier)
        except Refused as refused:
            log.warning("position refused; boards are rebuilt", reason=str(refused))
            await self._generations.retire(applier.generation)
        except Broken as broken:
            metrics.MISMATCHES.labels("broken").inc()
            log.warning("boards are not as counted; they are rebuilt", what=str(broken))
            await self._generations.retire(applier.generation)
        except GenerationGone:
            metrics.MISMATCHES.labels("gone").inc()
        except Moved as moved:
            log.warning("redis has moved", position=str(moved))

    async def _stream(self, applier: Applier) -> None:
        position = applier.meta.position
        after = PositionMessage(epoch=position.epoch, sequence=position.sequence)
        call = self._stub.WatchXpDeltas(WatchXpDeltasRequest(after=after))
        received = False
        try:
            while (message := await next_message(call, _SILENCE_S)) is not None:
                received = True
                self._status.connected = True
                self._note_head(message.head_sequence)
                await applier.take(message)
                self._note_applied(applier.meta)
                if self._generations.current != applier.generation:
                    return
            self._status.connected = False
        except TimeoutError:
            self._status.connected = False
            raise
        except aio.AioRpcError as error:
            self._status.connected = False
            refusal = error_from_rpc(error)
            if refusal.reason in _REFUSALS:
                raise Refused(refusal.reason) from None
            if not received:
                raise
        finally:
            call.cancel()

    def _note_head(self, sequence: int) -> None:
        self._status.head_sequence = sequence
        metrics.HEAD.set(sequence)

    def _note_applied(self, meta: Meta) -> None:
        sequence = meta.position.sequence
        if sequence != self._status.applied_sequence:
            lag_us = max(time.time_ns() // 1000 - meta.numbered_us, 0)
            self._status.lag_us = lag_us
            metrics.LAG_SECONDS.observe(lag_us / 1e6)
        self._status.applied_sequence = sequence
        metrics.SEQUENCE.set(sequence)


def _log_failure(state: RetryCallState) -> None:
    error = state.outcome.exception() if state.outcome else None
    if isinstance(error, aio.AioRpcError):
        log.warning("progress service does not answer", code=error.code().name)
    elif isinstance(error, RedisUnavailable):
        log.warning("follower waits for redis", error=str(error))
    else:
        log.error("follower failed", exc_info=error)
