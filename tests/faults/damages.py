"""What can be wrong with a run, by the promise that it breaks: each changes one thing in it."""

from dataclasses import replace
from typing import Any

from shared.gen.laurel.progress.v1 import admin_pb2
from shared.gen.laurel.progress.v1 import progress_pb2 as pb
from shared.gen.laurel.types.v1 import types_pb2
from tests.faults.damages_bounds import ERRED, GROWN, Damage
from tests.faults.fabricated import Told
from tests.faults.recording import Call, Entry, Key
from tests.faults.verdict import (
    ANSWERS,
    BOUNDS,
    CONSISTENCY,
    ERRORS,
    EXACTLY_ONCE,
    LAG,
    WATCHERS,
)


def found(told: Told, method: str, number: int = 0) -> Call:
    """The run's calls of a method, by number."""
    return [one for one in told.recorded.calls if one.method == method][number]


def sent(told: Told, number: int) -> Any:
    """A message of the first watch of the history."""
    return told.recorded.streams[0].messages[number][1]


def _lose_an_entry(told: Told) -> None:
    del told.branch.entries[0]


def _credit_less(told: Told) -> None:
    told.branch.entries[0] = replace(told.branch.entries[0], amount=39)


def _credit_twice(told: Told) -> None:
    told.branch.entries.append(Entry(99, "ann", "xp", 40, None, None, "challenge"))


def _credit_twice_in_the_history_too(told: Told) -> None:
    told.award("ann", 40, "r1")
    told.recorded.calls.pop()


def _answer_a_repetition_with_another_entry(told: Told) -> None:
    told.award("ann", 40, "r1")


def _forget_a_key(told: Told) -> None:
    del told.branch.keys[0]


def _say_twice_that_it_is_the_first_answer(told: Told) -> None:
    told.repeat(found(told, "AwardXp"), replayed=False)


def _tell_another_total(told: Told) -> None:
    found(told, "AwardXp").response.total += 1


def _pay_less_than_was_said(told: Told) -> None:
    found(told, "SubmitProgress").response.xp_earned = 51


def _record_an_attempt_twice(told: Told) -> None:
    told.branch.attempts.append(replace(told.branch.attempts[0], attempt_id=199))


def _lose_an_attempt(told: Told) -> None:
    told.branch.attempts.clear()


def _lose_a_revocation(told: Told) -> None:
    number = next(n for n, one in enumerate(told.branch.entries) if one.amount < 0)
    told.branch.entries[number] = replace(told.branch.entries[number], of_entry_id=1)
    found(told, "GetRank", 1).request.consistency_token = ""


def _reset_elsewhere(told: Told) -> None:
    found(told, "ResetWindow").response.position.sequence -= 1


def _number_an_entry_twice(told: Told) -> None:
    again = pb.Change()
    again.CopyFrom(told.branch.changes[-1])
    again.sequence += 1
    told.branch.changes.append(again)


def _number_another_day(told: Told) -> None:
    told.branch.entries[0] = replace(told.branch.entries[0], occurred_date="2026-11-19")


def _number_other_windows(told: Told) -> None:
    told.branch.entries[0] = replace(told.branch.entries[0], windows=1 << types_pb2.WINDOW_DAY)


def _leave_an_entry_without_a_number(told: Told) -> None:
    told.award("ann", 1, "r9")
    del told.branch.changes[-1]


def _leave_a_gap_in_the_numbers(told: Told) -> None:
    told.award("ann", 1, "r9")
    told.branch.changes[-1].sequence += 1


def _credit_nobody(told: Told) -> None:
    award = told.award("eve", 1, "r9")
    told.rank("ann")
    told.branch.changes[-1].xp_delta.user_id = award.request.user_id = "zoe"
    told.branch.entries[-1] = replace(told.branch.entries[-1], user_id="zoe")
    told.branch.keys[-1] = Key("zoe", "r9")
    award.response.total = 1


def _lose_a_profile(told: Told) -> None:
    told.user("ann", "Anna")
    del told.branch.changes[-1]


def _count_a_correction_where_its_entry_is_gone(told: Told) -> None:
    told.revoke(1, "r9")
    del told.branch.changes[-1].xp_delta.excluded_boards[:]


def _leave_a_correction_out_for_nothing(told: Told) -> None:
    told.revoke(1, "r9")
    told.branch.changes[-1].xp_delta.excluded_boards.add(metric="xp", window=1)


def _find_a_mismatch(told: Told) -> None:
    mismatch = admin_pb2.Mismatch(user_id="ann")
    message = admin_pb2.VerifyLedgerResponse(mismatches=[mismatch])
    told.stream("VerifyLedger", admin_pb2.VerifyLedgerRequest(), message)


LEDGER: list[Damage] = [
    _lose_an_entry,
    _credit_less,
    _credit_twice,
    _credit_twice_in_the_history_too,
    _answer_a_repetition_with_another_entry,
    _forget_a_key,
    _say_twice_that_it_is_the_first_answer,
    _tell_another_total,
    _pay_less_than_was_said,
    _record_an_attempt_twice,
    _lose_an_attempt,
    _lose_a_revocation,
    _reset_elsewhere,
    _number_an_entry_twice,
    _number_another_day,
    _number_other_windows,
    _leave_an_entry_without_a_number,
    _leave_a_gap_in_the_numbers,
    _lose_a_profile,
    _credit_nobody,
    _count_a_correction_where_its_entry_is_gone,
    _leave_a_correction_out_for_nothing,
    _find_a_mismatch,
]


def _skip_a_change(told: Told) -> None:
    del sent(told, 0).changes[1]


def _repeat_a_change(told: Told) -> None:
    sent(told, 0).changes.append(sent(told, 0).changes[-1])


def _turn_changes_round(told: Told) -> None:
    changes = sent(told, 0).changes
    turned = [changes[1], changes[0], *changes[2:]]
    del changes[:]
    changes.extend(turned)


def _send_another_amount(told: Told) -> None:
    next(one for one in sent(told, 0).changes if one.HasField("xp_delta")).xp_delta.amount += 1


def _redact_for_nothing(told: Told) -> None:
    sent(told, 0).changes[1].redaction.SetInParent()


def _say_through_what_was_not_sent(told: Told) -> None:
    sent(told, 0).through.sequence += 1


def _say_a_head_that_is_not(told: Told) -> None:
    sent(told, 0).head_sequence += 1


def _miss_a_part(told: Told) -> None:
    del told.recorded.streams[0].messages[1]


def _end_without_an_error(told: Told) -> None:
    told.watch().left = False


def _refuse_a_position_that_is_good(told: Told) -> None:
    position = types_pb2.Position(epoch="e1", sequence=3)
    told.watch(position, reason="FAILED_PRECONDITION/EPOCH_MISMATCH")


def _truncate_what_is_kept(told: Told) -> None:
    told.watch(reason="OUT_OF_RANGE/HISTORY_TRUNCATED")


WATCHED: list[Damage] = [
    _skip_a_change,
    _repeat_a_change,
    _turn_changes_round,
    _send_another_amount,
    _redact_for_nothing,
    _say_through_what_was_not_sent,
    _say_a_head_that_is_not,
    _miss_a_part,
    _end_without_an_error,
    _refuse_a_position_that_is_good,
    _truncate_what_is_kept,
]


def _answer_from_before_the_write(told: Told) -> None:
    later = told.award("ann", 1, "r9")
    found(told, "GetRank").request.consistency_token = later.response.consistency_token


def _honour_a_token_of_no_write(told: Told) -> None:
    found(told, "GetRank").request.consistency_token = "forged"


READS_OF_WRITES: list[Damage] = [_answer_from_before_the_write, _honour_a_token_of_no_write]


def _lag(told: Told) -> None:
    told.recorded.lag_s = 100.0


def _never_catch_up(told: Told) -> None:
    told.recorded.lag_s = None


def _read_from_postgresql_at_the_end(told: Told) -> None:
    found(told, "GetTop", -1).response.state.source = 2


DAMAGES: dict[str, list[Damage]] = {
    EXACTLY_ONCE: LEDGER,
    WATCHERS: WATCHED,
    CONSISTENCY: READS_OF_WRITES,
    BOUNDS: GROWN,
    ERRORS: ERRED,
    LAG: [_lag, _never_catch_up],
    ANSWERS: [_read_from_postgresql_at_the_end],
}
