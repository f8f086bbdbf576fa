"""Answers that include a write: what the write's token means, and the wait for the boards."""

import asyncio
import math
from collections import OrderedDict
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import TypeVar

from grpc import aio

from leaderboard_service import metrics
from leaderboard_service.boards import Need, OtherTenure, not_visible
from leaderboard_service.domain.answer import Position
from leaderboard_service.fallback import Remaining
from leaderboard_service.status import Status
from leaderboard_service.token_secrets import TokenSecrets
from shared import write_token
from shared.errors import (
    DeadlineExceeded,
    InvalidInput,
    LaurelError,
    ResourceExhausted,
    Unavailable,
)
from shared.gen.laurel.progress.v1.progress_pb2 import ResolveConsistencyTokenRequest
from shared.gen.laurel.progress.v1.progress_pb2_grpc import StandingsServiceStub
from shared.signed_token import MAX_CHARS, Signer
from shared.status import error_from_peer

T = TypeVar("T")

_PATIENCE_S = 2.0
# The share of a caller's time that may go by before PostgreSQL is asked.
_SHARE = 0.7
_KNOWN = 10_000
_WAITING = 1_000
# An erasure begins a tenure, and then everyone's token is looked up anew: not all at once, for
# ProgressService takes 256.
_RESOLVING = 200
# How often a token is looked up once more when a tenure has begun meanwhile.
_AGAIN = 2
# A token that was not signed here is shown to ProgressService now and then, for a short time.
_PROBE_EVERY_S = 10.0
_PROBE_S = 0.5


class Consistency:
    """Asks questions so that the answer includes the write that a token names.

    A write is numbered by ProgressService soon after it was answered, and folded there in the same
    transaction; the boards in Redis follow. So the number is waited for, then the boards, 2 s or
    the caller's deadline in all; when Redis does not get there in time PostgreSQL answers.
    """

    def __init__(
        self,
        stub: StandingsServiceStub,
        signer: Signer,
        status: Status,
        *,
        boards_in_redis: Callable[[], bool],
    ) -> None:
        self._stub = stub
        self._signer = signer
        self._status = status
        self._boards_in_redis = boards_in_redis
        # That a write has a number within a tenure is so for ever.
        self._known: OrderedDict[str, Position] = OrderedDict()
        self._waiting = 0
        self._resolving = asyncio.Semaphore(_RESOLVING)
        self._probe_at = -math.inf
        self._secrets = TokenSecrets()
        metrics.WRITE_WAITERS.set_function(lambda: self._waiting)

    async def ask(
        self, token: str, remaining: Remaining, question: Callable[[Need], Awaitable[T]]
    ) -> T:
        """The answer; with a token, one that includes the write.

        Raises InvalidInput (INVALID_CONSISTENCY_TOKEN) for a text that is no token of a write,
        FailedPrecondition (EPOCH_MISMATCH) when the write is not of this history, Unavailable
        (WRITE_NOT_VISIBLE) when neither store includes it in time, and (TOKEN_SECRETS_DIFFER) when
        the services do not take each other's tokens, ResourceExhausted (TOO_MANY_READS), and what
        the question raises.
        """
        if not token:
            return await question(Need(remaining))
        await self._check(token)
        ends_at = _ends_at(remaining)
        position = self._known.get(token)
        if position is None or self._status.applied_sequence < position.sequence:
            position = await self._resolved(token, ends_at)
        for _ in range(_AGAIN):
            try:
                return await question(Need(remaining, position, asks_again=True))
            except OtherTenure:
                position = await self._resolved(token, ends_at)
        return await question(Need(remaining, position))

    async def _check(self, token: str) -> None:
        try:
            write_token.decode(self._signer, token)
        except InvalidInput:
            if self._secrets.differ or await self._is_known_there(token):
                raise self._secrets.found_different() from None
            raise

    async def _is_known_there(self, token: str) -> bool:
        """Whether ProgressService, which has signed the tokens of all writes, says that this is
        one; it is asked of one token in a while.
        """
        now = asyncio.get_running_loop().time()
        if now < self._probe_at or len(token) > MAX_CHARS:
            return False
        self._probe_at = now + _PROBE_EVERY_S
        request = ResolveConsistencyTokenRequest(consistency_token=token)
        try:
            await self._stub.ResolveConsistencyToken(request, timeout=_PROBE_S)
        except aio.AioRpcError as error:
            # A token of a write that was undone is looked up too, so it was signed there.
            return error_from_peer(error).reason == "EPOCH_MISMATCH"
        return True

    async def _resolved(self, token: str, ends_at: float) -> Position:
        """What an answer must have reached; not before Redis has, if it does in time."""
        if self._waiting >= _WAITING:
            raise ResourceExhausted(
                "TOO_MANY_READS", "Too many reads wait for a write.", retry_delay_s=0.1
            )
        self._waiting += 1
        try:
            async with self._place(ends_at):
                position = await self._resolve(token, _left_s(ends_at))
            if self._boards_in_redis():
                await self._status.wait_applied(position.sequence, _left_s(ends_at))
            return position
        finally:
            self._waiting -= 1

    @asynccontextmanager
    async def _place(self, ends_at: float) -> AsyncIterator[None]:
        """One of those who may ask ProgressService at a time."""
        try:
            async with asyncio.timeout_at(ends_at):
                await self._resolving.acquire()
        except TimeoutError:
            raise not_visible() from None
        try:
            yield
        finally:
            self._resolving.release()

    async def _resolve(self, token: str, patience_s: float) -> Position:
        request = ResolveConsistencyTokenRequest(consistency_token=token)
        try:
            found = await self._stub.ResolveConsistencyToken(request, timeout=patience_s)
        except aio.AioRpcError as error:
            raise self._failed(error_from_peer(error)) from None
        self._secrets.found_same()
        # In the present tenure: whoever is at or beyond it there has the write.
        position = Position(found.head.epoch, found.position.sequence)
        self._known[token] = position
        if len(self._known) > _KNOWN:
            self._known.popitem(last=False)
        return position

    def _failed(self, error: LaurelError) -> LaurelError:
        if error.reason == "INVALID_CONSISTENCY_TOKEN":
            # It was a token here.
            return self._secrets.found_different()
        return _late(error)


def _ends_at(remaining: Remaining) -> float:
    """Until when the boards may take to include the write, by the loop's clock."""
    left_s = remaining()
    patience_s = _PATIENCE_S if left_s is None else min(_PATIENCE_S, left_s * _SHARE)
    return asyncio.get_running_loop().time() + patience_s


def _left_s(ends_at: float) -> float:
    return max(ends_at - asyncio.get_running_loop().time(), 0.0)


def _late(error: LaurelError) -> LaurelError:
    return not_visible() if isinstance(error, DeadlineExceeded | Unavailable) else error
