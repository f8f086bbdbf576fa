"""Promise 2 for snapshots: all of it is what SQL says at its one position.

A snapshot that was cut short is right as far as it goes.
"""

from typing import Any

from tests.faults.case import Case
from tests.faults.recording import Stream
from tests.faults.standing import Cursor, spelled_out
from tests.faults.verdict import ANSWERS, Verdict
from tests.history_fold import BoardName, Folded, name_of

METHOD = "SnapshotStandings"


def check(case: Case, verdict: Verdict) -> None:
    """Compares every snapshot with the fold at its position, in the order of positions."""
    taken: list[tuple[int, int, int, Stream]] = []
    for number, stream in enumerate(case.recorded.streams):
        told = [message for _, message in stream.messages if message_has_content(stream, message)]
        if not told:
            continue
        lives = case.timeline.holding(told[0].position)
        if not lives:
            _wrong(stream, "its position is of no history", verdict)
            continue
        taken.append((lives[0].number, told[0].position.sequence, number, stream))
    cursors = [Cursor(life) for life in case.timeline.lives]
    for life_number, sequence, _, stream in sorted(taken, key=lambda one: one[:3]):
        try:
            cursors[life_number].move(sequence)
        except (AssertionError, ValueError):
            continue  # The history is damaged: others say so.
        verdict.count(ANSWERS, METHOD)
        wrong = _compare(stream, cursors[life_number].folded)
        if wrong:
            _wrong(stream, wrong, verdict)


def message_has_content(stream: Stream, message: Any) -> bool:
    """Whether it is a message of a snapshot, and more than a sign of life."""
    return stream.method == METHOD and (
        message.complete or bool(message.profiles) or message.HasField("board")
    )


def _wrong(stream: Stream, text: str, verdict: Verdict) -> None:
    about = f"{METHOD} of {stream.client} ({stream.begun:.3f} s): {text}"
    verdict.broken(ANSWERS, "wrong snapshot", stream.ended or stream.begun, about)


def _compare(stream: Stream, folded: Folded) -> str:
    messages = [message for _, message in stream.messages if message_has_content(stream, message)]
    if any(message.position != messages[0].position for message in messages):
        return "it has several positions"
    profiles = {one.user_id: one for message in messages for one in message.profiles}
    scores: dict[BoardName, dict[str, int]] = {}
    for message in messages:
        if message.HasField("board"):
            board = scores.setdefault(name_of(message.board), {})
            board |= {one.user_id: one.score for one in message.standings if one.score}
    return _against(stream, folded, profiles, {one: held for one, held in scores.items() if held})


def _against(
    stream: Stream,
    folded: Folded,
    profiles: dict[str, Any],
    scores: dict[BoardName, dict[str, int]],
) -> str:
    request, whole = stream.request, stream.messages[-1][1].complete
    wanted = folded.counted
    if request.boards:
        names = [spelled_out(board) for board in request.boards]
        wanted = {board: held for board, held in wanted.items() if board in names}
        if any(not name[3] and name[2] != 1 for name in names):
            whole = False  # Which period is the present one is for the service to say.
            wanted = folded.counted
    floors = {floor.window: floor.first_period for floor in request.floors}
    wanted = {board: held for board, held in wanted.items() if board[3] >= floors.get(board[2], "")}
    people = {} if request.without_profiles else folded.profiles
    if whole and (profiles, scores) != (people, wanted):
        return _first_difference(profiles, people) or _first_difference(scores, wanted)
    for user_id, profile in profiles.items():
        if people.get(user_id) != profile:
            return f"profile {user_id} is {profile}, must be {people.get(user_id)}"
    for board, held in scores.items():
        for user_id, score in held.items():
            if wanted.get(board, {}).get(user_id) != score:
                right = wanted.get(board, {}).get(user_id)
                return f"{user_id} on {board} has {score}, must have {right}"
    return ""


def _first_difference(found: dict[Any, Any], expected: dict[Any, Any]) -> str:
    for key in sorted({*found, *expected}, key=str):
        if found.get(key) != expected.get(key):
            return f"{key}: must be {expected.get(key)!r}, is {found.get(key)!r}"
    return ""
