"""Either service is killed in the middle of the import; run again, the boards are the same."""

import functools
import json

import pytest

from tests.e2e import oulad_boards
from tests.e2e.oulad_stack import IMPORT_TIMEOUT_S, OuladStack, data_folder, expected

pytestmark = [pytest.mark.timeout(420), pytest.mark.xdist_group("oulad_crash")]


async def test_killed_services_lose_nothing_and_pay_nothing_twice() -> None:
    data_folder()
    with OuladStack() as stack:
        await _import_until_progress_service_is_killed(stack, entries=60_000)
        kept = (await stack.progress_status()).ledger_entries
        assert 60_000 <= kept < expected().entries
        await _import_through_a_crash_of_leaderboard_service(stack, entries=200_000)
        head = await stack.visible()
        await _assert_the_boards(stack, head)


async def _import_until_progress_service_is_killed(stack: OuladStack, *, entries: int) -> None:
    with stack.importing() as process:
        await stack.entries_reach(entries)
        stack.kill_service("progress_service")
        stdout, stderr = process.communicate(timeout=IMPORT_TIMEOUT_S)
    assert process.returncode == 1
    assert stdout == ""
    assert stderr.startswith("laurel: UNAVAILABLE: ")
    assert "running the same command again is safe" in stderr


async def _import_through_a_crash_of_leaderboard_service(
    stack: OuladStack, *, entries: int
) -> None:
    with stack.importing() as process:
        await stack.entries_reach(entries)
        stack.kill_service("leaderboard_service")
        stdout, stderr = process.communicate(timeout=IMPORT_TIMEOUT_S)
    assert process.returncode == 0, stderr
    counts = json.loads(stdout)
    assert (counts["received"], counts["rejected"]) == (173_912, 173)
    assert counts["recorded"] > 0
    assert counts["replayed"] > 0
    assert counts["recorded"] + counts["replayed"] == 173_739


async def _assert_the_boards(stack: OuladStack, head: int) -> None:
    right = expected()
    status = await stack.progress_status()
    assert status.ledger_entries == right.entries
    assert head == right.users + right.entries
    keys = [key for key in right.boards() if key.window == "ALL_TIME"]
    read = functools.partial(oulad_boards.read_with_get_top, stack.leaderboard_address)
    await oulad_boards.assert_boards(read, keys, right, head=head)
    users, boards, sequence = await oulad_boards.read_snapshot(stack.progress_address)
    assert (len(users), sequence) == (right.users, head)
    oulad_boards.assert_snapshot(boards, right)
