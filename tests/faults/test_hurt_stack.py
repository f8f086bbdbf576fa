"""The stack: that it is a real one, what can be read from it, and that nothing of it is left."""

import asyncio
import signal
import sys
from asyncio.subprocess import PIPE
from pathlib import Path
from typing import Any

import psutil
import pytest

from shared.gen.laurel.progress.v1 import admin_pb2
from shared.gen.laurel.progress.v1 import progress_pb2 as pb
from shared.gen.laurel.types.v1 import types_pb2
from tests.faults.guard import ROOT
from tests.faults.plan import Plan
from tests.faults.scene import USER, Scene, scene
from tests.faults.stack import Stack
from tests.faults.waiting import until

_PLAN = Plan(seed=1, duration_s=8.0)
_HARNESS = """
import asyncio, sys
from pathlib import Path
from tests.faults.plan import Plan
from tests.faults.stack import Stack

async def main():
    async with Stack(Path(sys.argv[1]), Plan(1, 8.0), lambda: 0.0) as stack:
        for name in stack.servers:
            await stack.freeze(name)
        print(stack.folder, flush=True)
        await asyncio.Event().wait()

asyncio.run(main())
"""


async def test_what_is_submitted_through_the_proxies_is_on_the_board(tmp_path: Path) -> None:
    async with scene(tmp_path, _PLAN) as played:
        folder = played.stack.folder
        await played.award(30)
        await played.award(12)
        await played.board_holds(42)
        assert all(proxy.connections for proxy in played.stack.hops.every)
        await _the_branch_is_the_history(played)
        assert played.stack.deaths == []
        assert _left_of(folder) == ["folder", "mount", "processes"]
    assert _left_of(folder) == []
    assert sorted(path.suffix for path in (tmp_path / "logs").iterdir()) == [".log"] * 4


async def _the_branch_is_the_history(played: Scene) -> None:
    """What is read from PostgreSQL is what a watcher is told, and the ledger what was awarded."""
    call = played.progress.WatchXpDeltas(pb.WatchXpDeltasRequest())
    watched = await _changes(call, await played.stack.head())
    call.cancel()
    await played.stack.finish_branch()
    (branch,) = played.stack.branches
    assert branch.changes == watched
    assert [change.WhichOneof("kind") for change in watched] == [
        "profile_change",
        "xp_delta",
        "xp_delta",
    ]
    assert [(entry.user_id, entry.amount) for entry in branch.entries] == [(USER, 30), (USER, 12)]
    assert [key.request_id for key in branch.keys] == ["award-0", "award-1"]
    assert [tenure.after_sequence for tenure in branch.tenures] == [0]
    position = (await played.top()).state.position
    assert position == types_pb2.Position(epoch=branch.tenures[0].epoch, sequence=len(watched))


async def test_a_branch_holds_changes_as_they_were_when_they_were_numbered(tmp_path: Path) -> None:
    """Also those that an erasure emptied later, and those that are pruned."""
    keep = {"LAUREL_HISTORY_KEEP": "PT1S", "LAUREL_HISTORY_KEEP_CHANGES": "0"}
    async with scene(tmp_path, Plan(1, 8.0, settings=keep)) as played:
        watching = played.progress.WatchXpDeltas(pb.WatchXpDeltasRequest())
        awarded = await played.award(5)
        for window in (types_pb2.WINDOW_ALL_TIME, types_pb2.WINDOW_DAY):
            board = types_pb2.Board(metric="xp", window=window)
            await played.admin.ResetWindow(
                admin_pb2.ResetWindowRequest(board=board, request_id=f"reset-{window}")
            )
        await played.progress.RevokeXp(
            pb.RevokeXpRequest(entry_id=awarded.entry_id, request_id="revoke")
        )
        watched = await _changes(watching, 5)
        await played.admin.EraseUser(admin_pb2.EraseUserRequest(user_id=USER))
        watched += await _changes(watching, 1)
        watching.cancel()
        await until(lambda: _are_pruned(played), "the history is pruned")
        await played.stack.finish_branch()
        (branch,) = played.stack.branches
    assert branch.changes == watched
    assert [change.WhichOneof("kind") for change in watched] == [
        "profile_change",
        "xp_delta",
        "window_reset",
        "window_reset",
        "xp_delta",
        "user_erasure",
    ]
    assert {board.window for board in watched[4].xp_delta.excluded_boards} == {
        types_pb2.WINDOW_ALL_TIME,
        types_pb2.WINDOW_DAY,
    }
    assert USER not in {entry.user_id for entry in branch.entries}
    assert {key.user_id for key in branch.keys} == {""}


async def _changes(call: Any, count: int) -> list[pb.Change]:
    """The next ones of a watch."""
    found: list[pb.Change] = []
    async with asyncio.timeout(30):
        while len(found) < count:
            found += (await call.read()).changes
    return found


async def _are_pruned(played: Scene) -> bool:
    async with played.stack.postgres.connection() as connection:
        return not await connection.fetchval("SELECT count(*) FROM public.changes")


async def test_a_service_that_ends_by_itself_is_known(tmp_path: Path) -> None:
    async with Stack(tmp_path, _PLAN, lambda: 0.0) as stack:
        await stack.kill("leaderboard-0")
        await stack.restart("leaderboard-0")
        assert stack.deaths == []
        psutil.Process(stack.pids["progress-0"]).terminate()
        await until(lambda: _is("progress-0" not in stack.pids), "it has ended")
        (death,) = stack.deaths
        assert death.startswith("progress_service ended with 0")
        await stack.heal()
        assert stack.pids.keys() == stack.servers.keys()


async def test_a_stack_that_fails_to_start_leaves_nothing(tmp_path: Path) -> None:
    stack = Stack(tmp_path, Plan(1, 8.0, settings={"LAUREL_GROUP_SIZE": "none"}), lambda: 0.0)
    with pytest.raises(RuntimeError, match="LAUREL_GROUP_SIZE"):
        await stack.__aenter__()
    assert _left_of(stack.folder) == []


async def test_a_harness_that_is_killed_leaves_nothing(tmp_path: Path) -> None:
    """Not even of processes that are stopped."""
    harness = await asyncio.create_subprocess_exec(
        sys.executable, "-c", _HARNESS, str(tmp_path), cwd=ROOT, stdout=PIPE
    )
    assert harness.stdout is not None
    folder = Path((await asyncio.wait_for(harness.stdout.readline(), 60)).decode().strip())
    assert _left_of(folder) == ["folder", "mount", "processes"]
    harness.send_signal(signal.SIGKILL)
    await harness.communicate()
    await until(lambda: _is(not _left_of(folder)), "everything is gone")


def _left_of(folder: Path) -> list[str]:
    """What there is of a stack."""
    found = []
    if folder.exists():
        found.append("folder")
    if str(folder) in Path("/proc/self/mounts").read_text("utf-8"):
        found.append("mount")
    for process in psutil.process_iter(["cwd"]):
        if str(process.info["cwd"] or "").startswith(str(folder)):
            found.append("processes")
            break
    return found


async def _is(condition: bool) -> bool:
    return condition
