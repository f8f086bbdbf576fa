"""ProgressService as a model: the real publisher on the model of the database, snapshots, and what
happens to streams.
"""

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, cast

from grpc import StatusCode, aio

from progress_service.publisher import Publisher
from progress_service.store.database import Database
from progress_service.store.positions import Position
from shared.errors import LaurelError, Unavailable
from shared.gen.laurel.progress.v1 import progress_pb2 as pb
from shared.gen.laurel.types.v1 import types_pb2
from shared.status import CODES, DETAILS_KEY, status_of
from tests.leaderboard_history import board_message
from tests.unit.simulation.history import HistoryDatabase, timestamp
from tests.unit.simulation.loop import VirtualLoop
from tests.unit.simulation.network import NOBODY

CHECKPOINT_S = 15.0


@dataclass
class SimulatedProgress:
    """What the stubs of both services call."""

    loop: VirtualLoop
    database: HistoryDatabase
    publisher: Publisher = field(init=False)
    down: bool = False
    cuts: float = 0.0
    """The share of messages with which a stream breaks off."""
    losses: float = 0.0
    """The share of messages that are lost: no transport does that, and it must do no harm."""
    silent: bool = False
    """Streams that are begun now go silent at once, and do not end."""
    _calls: "dict[Stream, None]" = field(default_factory=dict)
    """Those that have not ended, in their order."""

    def __post_init__(self) -> None:
        self.publisher = Publisher(cast("Database", self), CHECKPOINT_S, asyncio.Event())

    @asynccontextmanager
    async def read(self) -> AsyncIterator[HistoryDatabase]:
        """What the publisher reads from: each read is done within one moment."""
        await self.pause()
        self.check_up()
        yield self.database

    async def pause(self) -> None:
        """A network's time, which may be none."""
        drawn = self.loop.random.random()
        if drawn > 0.4:
            await asyncio.sleep(drawn**8 * 0.02)

    def check_up(self) -> None:
        """Raises Unavailable while the service is down."""
        if self.down:
            raise Unavailable("TEST_DOWN", "It is down.")

    def WatchXpDeltas(self, request: pb.WatchXpDeltasRequest) -> "Stream":
        return self._begin(WatchStream(self, request))

    def SnapshotStandings(self, request: pb.SnapshotStandingsRequest) -> "Stream":
        return self._begin(SnapshotStream(self, request))

    def _begin(self, stream: "Stream") -> "Stream":
        self._calls[stream] = None
        stream.task.add_done_callback(lambda _: self._calls.pop(stream, None), context=NOBODY)
        return stream

    def break_off(self) -> None:
        """Ends every stream, as when the service is killed."""
        for stream in list(self._calls):
            stream.end(rpc_error(Unavailable("TEST_KILLED", "The connection is lost.")))


class Stream:
    """A call that is answered by a stream: a task that sends, and what it has sent so far."""

    _ROOM = 4
    may_lose = False

    def __init__(self, progress: SimulatedProgress) -> None:
        self._progress = progress
        self._sent: deque[Any] = deque()
        self._over: BaseException | object | None = None
        self._changed = asyncio.Event()
        self._silent = progress.silent
        self.task = progress.loop.create_task(self._run(), context=NOBODY.copy())

    async def _run(self) -> None:
        try:
            await self._progress.pause()
            self._progress.check_up()
            await self.serve()
        except LaurelError as error:
            self.end(rpc_error(error))
        else:
            self.end(aio.EOF)

    async def serve(self) -> None:
        """Sends it all; raises a typed error otherwise."""
        raise NotImplementedError

    async def write(self, message: Any) -> None:
        """Sends a message, when there is room for it."""
        await self._progress.pause()
        while len(self._sent) >= self._ROOM or self._silent:
            self._changed.clear()
            await self._changed.wait()
        random = self._progress.loop.random
        if self._progress.cuts and random.random() < self._progress.cuts:
            if random.random() < 0.3:
                self._silent = True
            raise Unavailable("TEST_CUT", "The connection is lost.")
        losses = self._progress.losses if self.may_lose else 0.0
        if not losses or random.random() >= losses:
            self._sent.append(message)
        self._changed.set()

    def end(self, over: BaseException | object) -> None:
        """What has arrived can still be read."""
        if self._over is None:
            self._over = over
            self.task.cancel()
            self._changed.set()

    async def read(self) -> Any:
        """As grpc does: a message, EOF at the end, or the error."""
        while not self._sent or self._silent:
            if self._over is not None and not self._silent:
                if isinstance(self._over, BaseException):
                    raise self._over
                return self._over
            self._changed.clear()
            await self._changed.wait()
        self._changed.set()
        return self._sent.popleft()

    def cancel(self) -> bool:
        self.end(asyncio.CancelledError())
        return True


class WatchStream(Stream):
    """WatchXpDeltas: the real publisher's."""

    may_lose = True

    def __init__(self, progress: SimulatedProgress, request: pb.WatchXpDeltasRequest) -> None:
        self._after = Position(request.after.epoch, request.after.sequence)
        super().__init__(progress)

    async def serve(self) -> None:
        await self._progress.publisher.watch(self._after, self.write)


class SnapshotStream(Stream):
    """SnapshotStandings, as of when it is asked."""

    def __init__(self, progress: SimulatedProgress, request: pb.SnapshotStandingsRequest) -> None:
        self._floors = {floor.window: floor.first_period for floor in request.floors}
        super().__init__(progress)

    async def serve(self) -> None:
        for message in list(self._messages()):
            await self.write(message)

    def _messages(self) -> Iterator[pb.SnapshotStandingsResponse]:
        database = self._progress.database
        state = database.lineage.states[-1]
        at = pb.SnapshotStandingsResponse(
            position=types_pb2.Position(epoch=database.epoch, sequence=database.head),
            as_of_time=timestamp(database.lineage.times[-1]),
        )
        yield _and(
            at,
            profiles=[
                pb.ProfileChange(user_id=user, display_name=user.upper(), hidden=hidden)
                for user, hidden in state.hidden.items()
            ],
        )
        for name, scores in state.scores.items():
            board = board_message(name)
            if board.period < self._floors.get(board.window, ""):
                continue
            standings = [
                pb.Standing(user_id=user, score=score, hidden=state.hidden[user])
                for user, score in scores.items()
            ]
            yield _and(at, board=board, standings=standings)
        yield _and(at, complete=True)


def _and(at: pb.SnapshotStandingsResponse, **fields: Any) -> pb.SnapshotStandingsResponse:
    message = pb.SnapshotStandingsResponse(**fields)
    message.MergeFrom(at)
    return message


def rpc_error(error: LaurelError) -> aio.AioRpcError:
    """The error as a caller meets it."""
    code: StatusCode = CODES[type(error)]
    details = aio.Metadata((DETAILS_KEY, status_of(error).SerializeToString()))
    return aio.AioRpcError(code, aio.Metadata(), details, details=error.message)
