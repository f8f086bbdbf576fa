"""Answers that include a write: what the write's token means, and the wait for the boards."""

import asyncio
import math
from collections import OrderedDict
from collections.abc import Awaitable, Callable
from typing import TypeVar

from grpc import aio

from leaderboard_service import metrics
from leaderboard_service.boards import Need
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
        known = self._known.get(token)
        if known is not None and self._status.applied_sequence >= known.sequence:
            try:
                return await question(Need(remaining, known))
            except (Unavailable, ResourceExhausted):
                pass  # Perhaps another tenure has begun, and how it goes on is not known here.
        return await question(Need(remaining, await self._resolved(token, remaining)))

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

    async def _resolved(self, token: str, remaining: Remaining) -> Position:
        """What an answer must have reached; not before Redis has, if it does in time."""
        if self._waiting >= _WAITING:
            raise ResourceExhausted(
                "TOO_MANY_READS", "Too many reads wait for a write.", retry_delay_s=0.1
            )
        self._waiting += 1
        try:
            loop = asyncio.get_running_loop()
            left_s = remaining()
            patience_s = min(_PATIENCE_S, _PATIENCE_S if left_s is None else left_s * _SHARE)
            ends_at = loop.time() + patience_s
            position = await self._resolve(token, patience_s)
            if self._boards_in_redis():
                await self._status.wait_applied(position.sequence, ends_at - loop.time())
            return position
        finally:
            self._waiting -= 1

    async def _resolve(self, token: str, patience_s: float) -> Position:
        request = ResolveConsistencyTokenRequest(consistency_token=token)
        try:
            found = await self._stub.ResolveConsistencyToken(request, timeout=max(patience_s, 0.0))
        except aio.AioRpcError as error:
            raise self._failed(error_from_peer(error)) from None
        self._secrets.found_same()
        # In the present tenure: whoever is at or beyond it there, or in one that goes on from it,
        # has the write.
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


def _late(error: LaurelError) -> LaurelError:
    if isinstance(error, DeadlineExceeded | Unavailable):
        return Unavailable(
            "WRITE_NOT_VISIBLE", "The write is not on the boards yet.", retry_delay_s=0.25
        )
    return error
