"""Clients that write, and repeat what was not acknowledged until it is."""

import asyncio
import random

from google.protobuf.message import Message

from shared.gen.laurel.leaderboard.v1 import leaderboard_pb2 as pb
from tests.faults.recording import Call, Failure
from tests.faults.workload import world, writes
from tests.faults.workload.client import READ_S, WRITE_S, Client, Run
from tests.faults.workload.recorder import Asker
from tests.faults.workload.writes import Draw, Memory, Receipt, Write

_DEFINITE = {
    "INVALID_ARGUMENT",
    "NOT_FOUND",
    "ALREADY_EXISTS",
    "FAILED_PRECONDITION",
    "OUT_OF_RANGE",
    "PERMISSION_DENIED",
    "UNIMPLEMENTED",
}
_REFUSED = {"VELOCITY_EXCEEDED", "TOO_MANY_FLAGGED_ATTEMPTS"}
"""Bounds that waiting does not lift soon: nothing was recorded."""
_FIRST_PAUSE_S, _LONGEST_PAUSE_S = 0.05, 0.5


def is_definite(call: Call) -> bool:
    """Whether the answer tells for good what became of the write."""
    failure: Failure | None = call.failure
    return failure is None or failure.code in _DEFINITE or failure.reason in _REFUSED


async def settle(ask: Asker, write: Write, gave_up: asyncio.Event) -> Call:
    """The definite answer to a write, which is repeated until there is one; after `gave_up` the
    last answer, whatever it is. Repetitions go to each replica in turn.
    """
    pause_s, turn = _FIRST_PAUSE_S, 0
    while True:
        call = await ask.call(write.path, write.request, deadline_s=WRITE_S, turn=turn)
        if is_definite(call) or gave_up.is_set():
            return call
        await asyncio.sleep(pause_s)
        pause_s, turn = min(2 * pause_s, _LONGEST_PAUSE_S), turn + 1


class Writer(Client):
    """Writes one thing at a time; now and then reads at once with the token that it was given, or
    with an old one.
    """

    def __init__(self, run: Run, ask: Asker, rate: float, gave_up: asyncio.Event) -> None:
        super().__init__(run, ask, rate)
        self._gave_up = gave_up
        self._memory = Memory()
        self._draw = Draw(self._memory, run.today)

    async def act(self, number: int, chance: random.Random) -> None:
        write = self._draw.any(f"{self.name}-{number}", chance)
        at_once, late = chance.random() < 0.35, chance.random() < 0.1
        receipt = await self._write(write)
        if receipt is not None and at_once:
            await self._read(receipt, chance)
        elif late and self._memory.receipts:
            old = self._memory.receipts[chance.randrange(len(self._memory.receipts))]
            await self._read(old, chance)

    async def _write(self, write: Write) -> Receipt | None:
        call = await settle(self.ask, write, self._gave_up)
        if call.response is None:
            return None
        return self._memory.keep(write, call.response)

    async def _read(self, receipt: Receipt, chance: random.Random) -> None:
        """A board, as it is with the write on it."""
        board, users = world.board(chance, self.today), [receipt.user_id, *world.USERS[:5]]
        token, user_id = receipt.token, receipt.user_id
        reads: dict[str, Message] = {
            "GetTop": pb.GetTopRequest(board=board, consistency_token=token),
            "GetRank": pb.GetRankRequest(board=board, user_id=user_id, consistency_token=token),
            "GetAround": pb.GetAroundRequest(board=board, user_id=user_id, consistency_token=token),
            "BatchGetRanks": pb.BatchGetRanksRequest(
                board=board, user_ids=users, consistency_token=token
            ),
        }
        method = chance.choice(list(reads))
        await self.ask.call(
            f"LeaderboardService/{method}",
            reads[method],
            deadline_s=READ_S,
            follows=receipt.request_id,
        )


class Burst(Writer):
    """Many submissions and awards at once, so that several groups are committed side by side."""

    def __init__(
        self, run: Run, ask: Asker, rate: float, gave_up: asyncio.Event, size: int = 16
    ) -> None:
        super().__init__(run, ask, rate, gave_up)
        self._size = size

    async def act(self, number: int, chance: random.Random) -> None:
        kinds = (self._draw.submission, self._draw.award)
        drawn = [
            chance.choice(kinds)(f"{self.name}-{number}.{one}", chance) for one in range(self._size)
        ]
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(self._write(write)) for write in drawn]
        receipts = [receipt for task in tasks if (receipt := task.result()) is not None]
        for receipt in receipts[:2]:
            await self._read(receipt, chance)


class Eraser(Writer):
    """Removes a person, who then comes back under the same id."""

    async def act(self, number: int, chance: random.Random) -> None:
        user_id = chance.choice(world.ERASABLE)
        await self._write(writes.erasure(user_id))
        await self._write(writes.arrival(user_id, f"{self.name}-{number}"))
