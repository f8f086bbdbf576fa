"""Promises 2 and 3: every answer about a board says what it is, and is what SQL says there.

What is wrong after Redis was in trouble breaks promise 3, otherwise promise 2. Redis has the boards
again at the end.
"""

from itertools import groupby

from shared.gen.laurel.leaderboard.v1 import leaderboard_pb2 as pb
from shared.gen.laurel.types.v1 import types_pb2
from tests.faults.case import Case
from tests.faults.claims import WATCHES, Claim
from tests.faults.expectations import RULES, difference
from tests.faults.standing import Cursor, View, spelled_out
from tests.faults.timeline import Life
from tests.faults.verdict import ANSWERS, EXACTLY_ONCE, REDIS, Verdict
from tests.history_fold import BoardName, name_of

OF_BOARDS = " from "
"""What counts of answers about boards have in their names."""
_PERIOD_CHARS: dict[int, int] = {
    types_pb2.WINDOW_ALL_TIME: 0,
    types_pb2.WINDOW_YEAR: 4,
    types_pb2.WINDOW_MONTH: 7,
    types_pb2.WINDOW_WEEK: 8,
    types_pb2.WINDOW_DAY: 10,
}


def check(case: Case, verdict: Verdict) -> None:
    """Compares every claim with the fold at its position."""
    placed: list[tuple[int, int, int]] = []
    for number, claim in enumerate(case.claims):
        lives = case.timeline.holding(claim.position)
        if not lives:
            verdict.broken(
                promise_of(case, claim), "position of no history", claim.ended, str(claim)
            )
        else:
            placed.append((lives[0].number, claim.position.sequence, number))
    for life_number, group in groupby(sorted(placed), key=lambda one: one[0]):
        cursor = Cursor(case.timeline.lives[life_number])
        for _, sequence, number in group:
            if not _move(cursor, sequence, verdict):
                break
            _compare(case, case.claims[number], cursor, verdict)
    _check_order_of_watches(case, verdict)
    _check_the_end(case, verdict)


def promise_of(case: Case, claim: Claim) -> str:
    """Which promise a wrong answer breaks."""
    troubled = case.redis_troubled_at
    return REDIS if troubled is not None and claim.ended >= troubled else ANSWERS


def _move(cursor: Cursor, sequence: int, verdict: Verdict) -> bool:
    """Whether the history is sound up to there; nothing can be compared beyond."""
    try:
        cursor.move(sequence)
    except (AssertionError, ValueError) as error:
        text = f"life {cursor.life.number}, after {cursor.folded.sequence}: {error}"
        verdict.broken(EXACTLY_ONCE, "a history that has no meaning", cursor.life.ended, text)
        return False
    return True


def _compare(case: Case, claim: Claim, cursor: Cursor, verdict: Verdict) -> None:
    promise = promise_of(case, claim)
    source = pb.Source.Name(claim.source) if claim.names_board else "PostgreSQL itself"
    verdict.count(promise, f"{claim.method}{OF_BOARDS}{source}")
    if claim.names_board and claim.source == pb.SOURCE_UNSPECIFIED:
        verdict.broken(promise, "answer without a source", claim.ended, str(claim))
    wrong = _stated(claim) or _time_stated(claim, cursor.life)
    if not wrong and claim.asked.request.DESCRIPTOR.fields_by_name.get("page_token"):
        token = claim.asked.request.page_token
        wrong = "its page token was given to nobody" if token not in {"", *case.pages} else ""
    if not wrong:
        wrong = _content(case, claim, cursor, verdict)
    if wrong:
        verdict.broken(promise, f"wrong answer to {claim.method}", claim.ended, f"{claim}: {wrong}")


def _stated(claim: Claim) -> str:
    """The board is the one that was asked for, spelled out."""
    if not claim.names_board:
        return ""
    asked, said = spelled_out(claim.asked.request.board), name_of(claim.state.board)
    same = asked[:3] == said[:3] and (said[3] == asked[3] if asked[3] else True)
    if not same or len(said[3]) != _PERIOD_CHARS.get(said[2]):
        return f"board must be {asked}, is {said}"
    return ""


def _time_stated(claim: Claim, life: Life) -> str:
    sequence = claim.position.sequence
    if not sequence or sequence > len(life.changes):
        return ""
    numbered, said = life.changes[sequence - 1].numbered_time, claim.state.as_of_time
    return "" if numbered == said else f"as_of_time must be {numbered}, is {said}"


def _boards(claim: Claim, cursor: Cursor) -> list[BoardName]:
    if claim.names_board:
        return [name_of(claim.state.board)]
    everything = View(("", "", 0, ""), [], {}, cursor.folded)
    return everything.periods_of(claim.asked.request.board)


def _content(case: Case, claim: Claim, cursor: Cursor, verdict: Verdict) -> str:
    """What is wrong with it on every board that it can be about."""
    wrong = ""
    for board in _boards(claim, cursor):
        rule = RULES[claim.method]
        wrong = difference(rule, cursor.view(board), claim.asked, claim.response)
        if not wrong:
            return ""
        gone = _erased_later(case, claim)
        if gone and getattr(claim.response, "keep_alive", False):
            return ""
        for view in cursor.others(board, gone) if gone else ():
            if not difference(rule, view, claim.asked, claim.response):
                verdict.count(promise_of(case, claim), "answers without what was redacted")
                return ""
    return wrong


def _erased_later(case: Case, claim: Claim) -> list[str]:
    """Users whose changes the follower may have read as redactions already: an erasure after the
    position was under way before the answer. PostgreSQL's own answers never lack them.
    """
    if claim.from_postgresql:
        return []
    return sorted(
        {
            user_id
            for life in case.timeline.holding(claim.position)
            for user_id, sequences in life.erased_at.items()
            if sequences[-1] > claim.position.sequence
            and any(call.begun <= claim.ended for call in case.erasures.get(user_id, ()))
        }
    )


def _check_order_of_watches(case: Case, verdict: Verdict) -> None:
    """A message of a watch is no older than the one before; previous_rank is the rank in it."""
    for stream in case.recorded.streams:
        if stream.method not in WATCHES:
            continue
        before, rank = None, 0
        for at, message in stream.messages:
            about = f"{stream.method} of {stream.client} ({stream.begun:.3f} s)"
            if before is not None:
                verdict.count(ANSWERS, "messages of watches in order")
                old, new = before.state.position, message.state.position
                common = [life for life in case.timeline.holding(old) if life.holds(new)]
                if common and new.sequence < old.sequence:
                    text = f"{about}: {new.sequence} after {old.sequence}"
                    verdict.broken(ANSWERS, "a watch goes back", at, text)
            if stream.method == "WatchRank" and not message.keep_alive:
                same = before is not None and before.state.board == message.state.board
                expected = rank if same else 0
                if message.previous_rank != expected:
                    text = f"{about}: {message.previous_rank}, must be {expected}"
                    verdict.broken(ANSWERS, "wrong previous_rank", at, text)
                rank = message.entry.rank if message.HasField("entry") else 0
            before = message


def _check_the_end(case: Case, verdict: Verdict) -> None:
    """When all is calm, boards are of the present history, and those of all time from Redis."""
    promise = REDIS if case.redis_troubled_at is not None else ANSWERS
    for claim in case.claims:
        if not claim.names_board or claim.method in WATCHES or not case.is_calm(claim.begun):
            continue
        verdict.count(promise, "answers at the end")
        if not case.timeline.last.holds(claim.position):
            verdict.broken(promise, "answer of a history that is gone", claim.ended, str(claim))
        if _is_for_redis(claim) and claim.source != pb.SOURCE_REDIS:
            verdict.broken(promise, "not from Redis at the end", claim.ended, str(claim))


def _is_for_redis(claim: Claim) -> bool:
    """Whether Redis answers it when all is well: it keeps all time, walks through few scores only
    for a dense rank, and leaves pages of other tenures to PostgreSQL.
    """
    request = claim.asked.request
    dense = request.rank_mode == types_pb2.RANK_MODE_DENSE
    all_time = claim.state.board.window == types_pb2.WINDOW_ALL_TIME
    return all_time and not dense and not getattr(request, "page_token", "")
