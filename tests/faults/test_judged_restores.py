"""PostgreSQL is put back to an older copy: what may be lost, and what must be refused."""

from dataclasses import dataclass, replace
from typing import Any

from shared.gen.laurel.leaderboard.v1 import leaderboard_pb2 as boards
from shared.gen.laurel.progress.v1 import progress_pb2 as pb
from shared.gen.laurel.types.v1 import types_pb2
from tests.faults.fabricated import POSTGRESQL, XP, Told, a_run
from tests.faults.fabricated_writes import TODAY
from tests.faults.judging import judge
from tests.faults.recording import Act, Call
from tests.faults.validators.restores import REFUSED
from tests.faults.verdict import ANSWERS, EXACTLY_ONCE, RESTORE, WATCHERS

_REFUSED = "FAILED_PRECONDITION/EPOCH_MISMATCH"


@dataclass
class _Restored:
    """A run with a restore. Of what was given before it, `lost` and `page` are beyond the copy."""

    told: Told
    kept: Call
    lost: Call
    page: Call
    head: types_pb2.Position


def _restored() -> _Restored:
    told = a_run()
    kept = told.award("ann", 3, "k1")
    copy = told.copy()
    lost = told.award("ann", 500, "k2")
    page = told.top(size=2)
    head = told.position
    told.watch()
    told.restore(copy, "e3")
    told.award("bob", 600, "k3")
    _give_old_things(told, lost, page, head)
    told.watch(types_pb2.Position(epoch="e2", sequence=3))
    told.rank("ann", kept.response.consistency_token)
    told.calm()
    told.top()
    return _Restored(told, kept, lost, page, head)


def _give_old_things(told: Told, lost: Call, page: Call, head: types_pb2.Position) -> None:
    """All of them are refused."""
    token = lost.response.consistency_token
    told.call("GetRank", boards.GetRankRequest(consistency_token=token), reason=_REFUSED)
    again = boards.GetTopRequest(page_token=page.response.next_page_token)
    told.call("GetTop", again, reason="INVALID_ARGUMENT/INVALID_PAGE_TOKEN")
    told.watch(head, reason=_REFUSED)


def _broken(told: Told) -> set[str]:
    return {violation.promise for violation in judge(told.recorded).violations}


def test_what_was_acknowledged_between_the_copy_and_the_restore_may_be_lost() -> None:
    restored = _restored()
    verdict = judge(restored.told.recorded)
    assert verdict.ok, [str(one) for one in verdict.violations] + verdict.empty


def test_what_was_acknowledged_before_the_copy_may_not() -> None:
    told = _restored().told
    entries = told.branch.entries
    told.branch.entries = [entry for entry in entries if entry.amount != 3]
    assert _broken(told) >= {EXACTLY_ONCE}


def test_what_was_acknowledged_after_the_restore_may_not() -> None:
    told = _restored().told
    told.branch.entries = [entry for entry in told.branch.entries if entry.amount != 600]
    assert _broken(told) == {EXACTLY_ONCE}


def test_a_lost_write_may_be_repeated_and_has_an_answer_of_its_own() -> None:
    restored = _restored()
    restored.told.award("ann", 500, "k2")
    assert not _broken(restored.told)


def test_a_repetition_of_a_kept_write_has_the_first_answer() -> None:
    restored = _restored()
    restored.told.award("ann", 3, "k1")
    assert _broken(restored.told) == {EXACTLY_ONCE}


def test_a_token_of_a_lost_write_is_not_honoured() -> None:
    restored = _restored()
    restored.told.rank("ann", restored.lost.response.consistency_token)
    assert _broken(restored.told) == {RESTORE}


def _honoured_profile() -> tuple[Told, Call]:
    """A run in which the token of a profile that a restore has undone is honoured."""
    told = a_run()
    copy = told.copy()
    lost = told.user("ann", "Annette")
    head = told.position
    told.restore(copy, "e3")
    told.user("bob", "Bobby")
    told.watch(head, reason=_REFUSED)
    told.top()
    told.now += 1
    answer = told.rank("ann", lost.response.consistency_token)
    told.calm()
    told.top()
    return told, answer


def test_a_token_of_a_lost_profile_is_not_honoured() -> None:
    told, _ = _honoured_profile()
    assert _broken(told) == {RESTORE}


def test_a_token_of_a_lost_profile_may_be_answered_with_the_head_of_a_pruned_history() -> None:
    told, answer = _honoured_profile()
    told.recorded.acts.append(Act("history.pruned", "", 1.0, 2.0, effect="all of it"))
    told.watch(reason="OUT_OF_RANGE/HISTORY_TRUNCATED")
    assert not _broken(told)
    answer.response.state.position.sequence -= 1
    answer.response.state.as_of_time.seconds -= 1
    assert _broken(told) == {RESTORE}


def test_a_token_of_a_kept_write_is_not_refused() -> None:
    restored = _restored()
    request = boards.GetRankRequest(consistency_token=restored.kept.response.consistency_token)
    restored.told.call("GetRank", request, reason=_REFUSED)
    assert _broken(restored.told) == {RESTORE}


def test_a_page_token_from_beyond_the_copy_is_not_honoured() -> None:
    restored = _restored()
    last = restored.page.response.entries[-1]
    token = restored.page.response.next_page_token
    call = restored.told.top(token=token)
    del call.response.entries[:]
    rest = [
        one
        for one in restored.told.entries(XP)
        if (-one.score, one.user_id) > (-last.score, last.user_id)
    ]
    call.response.entries.extend(rest)
    assert _broken(restored.told) == {RESTORE}


def test_a_position_from_beyond_the_copy_is_not_honoured() -> None:
    restored = _restored()
    told = restored.told
    told.award("bob", 1, "k4")
    told.award("bob", 2, "k5")
    told.watch(restored.head)
    assert _broken(told) == {RESTORE}


def test_a_watch_that_was_open_goes_on_only_from_what_is_kept() -> None:
    told = a_run()
    copy = told.copy()
    told.award("ann", 500, "k2")
    old, copied = told.part(0, len(told.branch.changes)), told.now
    told.restore(copy, "e3")
    told.award("ann", 1, "k3")
    told.award("ann", 2, "k4")
    new = told.part(len(told.branch.changes) - 1, len(told.branch.changes))
    stream = told.stream("WatchXpDeltas", pb.WatchXpDeltasRequest(), old, new)
    stream.begun, stream.messages[0] = 1.0, (copied, old)
    assert _broken(told) == {WATCHERS}


def test_a_watch_that_was_open_may_go_on_from_what_is_kept() -> None:
    told = a_run()
    copy = told.copy()
    through = len(told.branch.changes)
    old, sent = told.part(0, through), told.now
    told.award("ann", 500, "k2")
    told.restore(copy, "e3")
    told.award("ann", 1, "k3")
    new = told.part(through, len(told.branch.changes))
    stream = told.stream("WatchXpDeltas", pb.WatchXpDeltasRequest(), old, new)
    stream.begun, stream.messages[0] = 1.0, (sent, old)
    assert not _broken(told)


def test_postgresql_answers_of_its_own_present_and_redis_may_be_late() -> None:
    restored = _restored()
    told = restored.told
    before = restored.page.response
    late = boards.GetTopResponse()
    late.CopyFrom(before)
    told.recorded.calm_at = told.now + 100
    told.call("GetTop", boards.GetTopRequest(page_size=2), late)
    assert not _broken(told), "so far the boards had not been rebuilt"
    late.state.source = POSTGRESQL
    assert _broken(told) == {RESTORE}
    late.state.source = boards.SOURCE_REDIS
    told.recorded.calm_at = told.now - 1
    assert _broken(told), "now they had"


def test_a_position_means_one_thing() -> None:
    told = _restored().told
    first, second = told.recorded.branches
    changed: Any = pb.Change()
    changed.CopyFrom(second.changes[4])
    changed.profile_change.display_name = "someone"
    second.changes[4] = changed
    assert RESTORE in _broken(told)
    assert first.changes[4] != second.changes[4]


def test_a_restore_after_which_nothing_old_was_offered_proves_nothing() -> None:
    told = a_run()
    copy = told.copy()
    told.award("ann", 500, "k2")
    told.top()
    told.restore(copy, "e3")
    told.award("bob", 600, "k3")
    told.calm()
    told.top()
    verdict = judge(told.recorded)
    assert (verdict.violations, verdict.empty) == ([], [f"{RESTORE}: {REFUSED}"])


def test_what_is_forged_may_be_refused_also_while_there_is_no_database() -> None:
    told = _restored().told
    now, told.now = told.now, told.recorded.branches[0].ended + 0.2
    forged = boards.GetTopRequest(page_token="forged")
    told.call("GetTop", forged, reason="INVALID_ARGUMENT/INVALID_PAGE_TOKEN")
    call = told.recorded.calls[-1]
    told.recorded.calls[-1] = replace(call, ended=call.begun + 0.1)
    position = types_pb2.Position(epoch="forged", sequence=3)
    told.now = call.begun
    told.watch(position, reason=_REFUSED)
    told.now = now
    assert not _broken(told)


def test_a_page_of_another_tenure_may_be_read_from_postgresql_at_the_end() -> None:
    told = a_run()
    page = told.top(size=2)
    told.tenure("e9")
    told.award("ann", 1, "p1")
    last = page.response.entries[-1].user_id
    rest = told.top(token=page.response.next_page_token, after=last)
    rest.response.state.source = POSTGRESQL
    assert not _broken(told)


def test_a_page_of_a_board_that_is_another_one_on_another_day_may_be_refused() -> None:
    for period, promises in (("", set()), ("2026-11-20", {RESTORE})):
        told = a_run()
        board = types_pb2.Board(metric="xp", window=types_pb2.WINDOW_DAY, period=period)
        page = told.top(TODAY, size=1)
        page.request.board.CopyFrom(board)
        again = boards.GetTopRequest(board=board, page_token="next")
        page.response.next_page_token = "next"
        told.award("bob", 1, "p1")
        told.call("GetTop", again, reason="INVALID_ARGUMENT/INVALID_PAGE_TOKEN")
        assert _broken(told) - {ANSWERS} == promises
