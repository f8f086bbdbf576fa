"""The real data set goes in by the command, and the right boards come out of both stores.

In one file, and so in one test process: two imports at once would tell nothing of their speed.
"""

import asyncio
import functools
import json
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from tests.e2e import oulad_boards, oulad_shuffled
from tests.e2e.oulad_expected import PASS_MARK, Expected
from tests.e2e.oulad_stack import IMPORT_TIMEOUT_S, OuladStack, data_folder, expected

pytestmark = pytest.mark.timeout(420)

PAST_WINDOWS = ("YEAR", "MONTH", "WEEK")


async def test_killed_services_lose_nothing_and_pay_nothing_twice() -> None:
    data_folder()
    with OuladStack() as stack:
        await _import_until_progress_service_is_killed(stack, entries=60_000)
        kept = (await stack.progress_status()).ledger_entries
        assert 60_000 <= kept < expected().entries
        await _import_through_a_crash_of_leaderboard_service(stack, entries=200_000)
        head = await stack.visible()
        await _assert_the_boards(stack, head, expected())


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


async def _assert_the_boards(stack: OuladStack, head: int, right: Expected) -> None:
    status = await stack.progress_status()
    assert status.ledger_entries == right.entries
    assert head == right.users + right.entries
    keys = [key for key in right.boards() if key.window == "ALL_TIME"]
    read = functools.partial(oulad_boards.read_with_get_top, stack.leaderboard_address)
    await oulad_boards.assert_boards(read, keys, right, head=head)
    users, boards, sequence = await oulad_boards.read_snapshot(stack.progress_address)
    assert (len(users), sequence) == (right.users, head)
    oulad_boards.assert_snapshot(boards, right)


async def test_shuffled_repeated_and_sent_again_it_comes_to_what_the_clean_data_do(
    tmp_path: Path,
) -> None:
    """Everything that counts: which of two equal rows arrives first makes no difference, and
    OULAD has each student's assessment once; so even the boards of days are those of the data.
    """
    right = expected()
    users, attempts = tmp_path / "users.csv", tmp_path / "attempts.csv"
    oulad_shuffled.write_users(data_folder(), users)
    sent = oulad_shuffled.write_shuffled(data_folder(), attempts, seed=20141120)
    assert sent.replayed > 16_000
    assert sent.recorded - right.recorded > 8_000
    with OuladStack() as stack:
        await stack.put_courses(data_folder())
        assert stack.import_csv("users", users)["stored"] == right.users
        counts = stack.import_csv("attempts", attempts)
        figures = {name: counts[name] for name in ("received", "recorded", "replayed", "rejected")}
        assert figures == {name: getattr(sent, name) for name in figures}
        assert counts["xp_credited"] == right.xp_credited
        await _assert_the_boards(stack, await stack.visible(), right)
        learners = await oulad_boards.read_learners(stack.progress_address)
        assert learners == {
            key: (one.completed, sum(one.marks.values())) for key, one in sent.learners.items()
        }
        some = sorted(sent.learners)[::250]
        levels = await oulad_boards.read_levels(stack.progress_address, some)
        for key in some:
            one = sent.learners[key]
            assert levels[key] == {
                level_id: (marks, marks >= PASS_MARK, one.attempts[level_id])
                for level_id, marks in one.marks.items()
            }


class Imported(NamedTuple):
    """A stack after two imports, what each reported, and how long it all took."""

    stack: OuladStack
    first: dict[str, Any]
    second: dict[str, Any]
    head: int
    visible_s: float


@pytest.fixture(scope="module")
def imported() -> Iterator[Imported]:
    data_folder()
    with OuladStack() as stack:
        started = time.monotonic()
        first = stack.import_oulad()
        head = asyncio.run(stack.visible())
        visible_s = time.monotonic() - started
        second = stack.import_oulad()
        assert asyncio.run(stack.visible()) == head
        yield Imported(stack, first, second, head, visible_s)


def test_the_first_import_records_every_row_that_has_a_score(
    imported: Imported, record_property: Callable[[str, object], None]
) -> None:
    right = expected()
    counts = imported.first
    assert (counts["received"], counts["recorded"]) == (173_912, 173_739)
    assert (counts["replayed"], counts["rejected"]) == (0, 173)
    assert counts["xp_credited"] == right.xp_credited
    (rejection,) = counts["rejections"]
    assert (rejection["reason"], rejection["count"]) == ("INVALID_SCORE", 173)
    record_property(
        "measured",
        f"OULAD import: {counts['attempts_per_s']:,.0f} attempts/s acknowledged "
        f"({counts['elapsed_s']:.1f} s); on every board {imported.visible_s:.1f} s after the "
        f"start; again, all replayed: {imported.second['elapsed_s']:.1f} s",
    )


def test_the_second_import_replays_all_and_credits_nothing(imported: Imported) -> None:
    counts = imported.second
    assert (counts["received"], counts["recorded"]) == (173_912, 0)
    assert (counts["replayed"], counts["rejected"]) == (173_739, 173)
    assert counts["xp_credited"] == 0


async def test_the_history_holds_one_change_for_each_profile_and_entry(imported: Imported) -> None:
    right = expected()
    status = await imported.stack.progress_status()
    assert status.users == right.users
    assert status.ledger_entries == right.entries
    assert imported.head == right.users + right.entries


async def test_all_time_boards_of_redis_equal_the_computation(imported: Imported) -> None:
    right = expected()
    keys = [key for key in right.boards() if key.window == "ALL_TIME"]
    assert len(keys) == 2 * (1 + 22)
    read = functools.partial(oulad_boards.read_with_get_top, imported.stack.leaderboard_address)
    await oulad_boards.assert_boards(read, keys, right, head=imported.head)


async def test_boards_of_past_weeks_months_and_years_equal_the_computation(
    imported: Imported,
) -> None:
    right = expected()
    keys = [key for key in right.boards() if key.window in PAST_WINDOWS]
    years = {key.period for key in keys if key.window == "YEAR"}
    assert {"2013", "2014"} <= years
    read = functools.partial(oulad_boards.read_with_get_top, imported.stack.leaderboard_address)
    await oulad_boards.assert_boards(read, keys, right, head=imported.head)


async def test_standings_of_postgresql_equal_the_computation(imported: Imported) -> None:
    right = expected()
    keys = [
        key
        for key in right.boards()
        if key.window == "ALL_TIME" or (key.window in PAST_WINDOWS and not key.course)
    ]
    read = functools.partial(oulad_boards.read_with_list_standings, imported.stack.progress_address)
    await oulad_boards.assert_boards(read, keys, right, head=imported.head)


async def test_a_snapshot_holds_every_board_and_no_other(imported: Imported) -> None:
    right = expected()
    users, boards, sequence = await oulad_boards.read_snapshot(imported.stack.progress_address)
    assert len(users) == right.users
    assert sequence == imported.head
    oulad_boards.assert_snapshot(boards, right)
