"""Keeps the boards in Redis at the newest position, and has them rebuilt when that cannot be."""

import asyncio
import random
import time

import structlog
from grpc import aio

from leaderboard_service import metrics
from leaderboard_service.applier import Applier, Target
from leaderboard_service.breaker import RedisBreaker
from leaderboard_service.domain.answer import Position
from leaderboard_service.rebuild import Rebuilder
from leaderboard_service.status import Status
from leaderboard_service.store.boards import Broken, GenerationGone, Meta, Moved
from leaderboard_service.store.client import RedisRefused, RedisUnavailable
from leaderboard_service.streams import HistoryCall, ReadAhead, next_message
from shared.gen.laurel.progress.v1.progress_pb2 import WatchXpDeltasRequest
from shared.gen.laurel.progress.v1.progress_pb2_grpc import ProgressServiceStub
from shared.gen.laurel.types.v1.types_pb2 import Position as PositionMessage
from shared.status import error_from_peer
from shared.trouble import Trouble

log = structlog.get_logger(__name__)

# ProgressService sends a checkpoint at least every 15 s.
_SILENCE_S = 40.0
_FIRST_PAUSE_S = 0.05
_RETRY_CAP_S = 2.0
# After so long a try counts as one that went well.
_STEADY_S = 5.0
# The history that Redis stands in is not that of PostgreSQL (any more).
_REFUSALS = frozenset({"HISTORY_TRUNCATED", "EPOCH_MISMATCH"})


class Refused(Exception):
    """ProgressService does not know the position that Redis holds."""


class NotBuilt(Exception):
    """There are no boards to follow; the rebuilder has logged why."""


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
        self._trouble = Trouble(log)
        self._failures = 0
        self._hurried_at = -_STEADY_S

    async def run(self) -> None:
        """Follows for ever; what does not last is tried again after a growing pause."""
        while True:
            began = time.monotonic()
            self._failures += 1
            try:
                await self._follow()
            except Exception as error:  # noqa: BLE001 - logged, and tried again
                self._note_failure(error)
            # A stream may end, as when ProgressService restarts; one after another may not.
            if time.monotonic() - began >= _STEADY_S:
                self._failures = 0
            await asyncio.sleep(_pause_s(self._failures))

    def _hurry(self) -> None:
        """What to do next is known, so it is done soon, however often tries failed before; unless
        that was so a moment ago: boards that go wrong as soon as they are built can wait.
        """
        now = time.monotonic()
        if now - self._hurried_at >= _STEADY_S:
            self._failures = 0
            self._hurried_at = now

    async def _follow(self) -> None:
        """One stream, from Redis's position to its end. Raises when it did not get going."""
        # What others do to the boards while this one does not follow is not told otherwise.
        self._target.touched(None)
        await self._breaker.wait_closed()
        try:
            generation = await self._generations.refresh()
            meta = await self._writer.meta(generation) if generation else None
            if generation is None or meta is None:
                await self._have_built()
                return
            # From here on the stream tells.
            self._target.touched(None)
            applier = Applier(self._target, generation, meta)
            self._status.note_applied(meta.position.sequence)
            await self._apply_stream(applier)
        except RedisUnavailable as error:
            self._breaker.trip(error)
            raise

    async def _have_built(self) -> None:
        try:
            await self._rebuilder.rebuild("there are no boards")
        except RedisUnavailable:
            raise
        except Exception as error:
            raise NotBuilt from error
        self._hurry()

    async def _apply_stream(self, applier: Applier) -> None:
        try:
            await self._stream(applier)
        except Refused as refused:
            log.warning("position refused; boards are rebuilt", reason=str(refused))
            await self._generations.retire(applier.generation)
            self._hurry()
        except Broken as broken:
            metrics.MISMATCHES.labels("broken").inc()
            log.warning("boards are not as counted; they are rebuilt", what=str(broken))
            await self._generations.retire(applier.generation)
            self._hurry()
        except GenerationGone:
            metrics.MISMATCHES.labels("gone").inc()
        except Moved as moved:
            log.warning("redis has moved", position=str(moved))
            self._hurry()

    async def _check_ahead(self, meta: Meta) -> None:
        """Raises Refused unless the parts that are ahead are in this history too.

        The stream goes on from the one that is least far, whose position may be of a past that
        this history shares with a lost one that others have followed.
        """
        for position in meta.positions:
            if position == meta.position:
                continue
            call = self._watch(position)
            try:
                await next_message(call, _SILENCE_S)
            except aio.AioRpcError as error:
                _check_refused(error)
                raise
            finally:
                call.cancel()

    def _watch(self, after: Position) -> HistoryCall:
        position = PositionMessage(epoch=after.epoch, sequence=after.sequence)
        return self._stub.WatchXpDeltas(WatchXpDeltasRequest(after=position))

    async def _stream(self, applier: Applier) -> None:
        ahead = ReadAhead(self._watch(applier.meta.position), _SILENCE_S, self._note_head)
        received = False
        try:
            while (message := await ahead.next()) is not None:
                if not received:
                    # After a message of this stream: a history that was put back before it is
                    # known to this check, and one that is put back later ends the stream.
                    await self._check_ahead(applier.meta)
                received = True
                self._status.connected = True
                if applier.goes_on_with(message):
                    self._status.epochs.follow(message.through.epoch, applier.meta.position)
                await applier.take(message)
                self._note_applied(applier.meta)
                self._trouble.over("follower goes on")
                if self._generations.current != applier.generation:
                    return
            self._status.connected = False
        except TimeoutError:
            self._status.connected = False
            raise
        except aio.AioRpcError as error:
            self._status.connected = False
            _check_refused(error)
            if not received:
                raise
        finally:
            await ahead.close()

    def _note_head(self, sequence: int) -> None:
        self._status.head_sequence = sequence
        metrics.HEAD.set(sequence)

    def _note_applied(self, meta: Meta) -> None:
        sequence = meta.position.sequence
        if sequence != self._status.applied_sequence:
            lag_us = max(time.time_ns() // 1000 - meta.last.numbered_us, 0)
            self._status.lag_us = lag_us
            metrics.LAG_SECONDS.observe(lag_us / 1e6)
        self._status.note_applied(sequence)
        metrics.SEQUENCE.set(sequence)

    def _note_failure(self, error: Exception) -> None:
        if isinstance(error, aio.AioRpcError):
            self._trouble.met("progress service does not answer", code=error.code().name)
        elif isinstance(error, RedisRefused):
            self._trouble.met("redis refuses changes", error=str(error))
        elif isinstance(error, TimeoutError):
            self._trouble.met("progress service is silent")
        elif not isinstance(error, NotBuilt | RedisUnavailable):
            self._trouble.failed("follower failed", error)


def _check_refused(error: aio.AioRpcError) -> None:
    """Raises Refused if that is what the error says."""
    refusal = error_from_peer(error)
    if refusal.reason in _REFUSALS:
        raise Refused(refusal.reason) from None


def _pause_s(failures: int) -> float:
    longest = min(_FIRST_PAUSE_S * 2.0 ** min(failures, 30), _RETRY_CAP_S)
    return random.uniform(0.5, 1.0) * longest
