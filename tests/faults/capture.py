"""What PostgreSQL holds, past the services: every change as it was when its number was committed,
which a table of the harness's own keeps, and the ledger as it is.
"""

from typing import Any

import asyncpg
from google.protobuf.timestamp_pb2 import Timestamp

from shared.gen.laurel.progress.v1 import progress_pb2 as pb
from shared.gen.laurel.types.v1 import types_pb2
from tests.faults.recording import Attempt, Branch, Entry, Key, Tenure

# At commit, since the transaction that numbers a change goes on to complete it; and as the one who
# made this, so that the services need no right to it. Without a key: a number that is given twice
# is for the validators to find.
INSTALL = """
CREATE SCHEMA harness;
CREATE TABLE harness.captured_changes (
    LIKE public.changes, captured bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY
);
CREATE FUNCTION harness.capture() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER AS
$$ BEGIN
    INSERT INTO harness.captured_changes SELECT c.* FROM public.changes c
    WHERE c.sequence = NEW.sequence;
    RETURN NULL;
END $$;
CREATE CONSTRAINT TRIGGER captured AFTER INSERT ON public.changes
    DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION harness.capture();
"""

_CHANGES = "SELECT * FROM harness.captured_changes ORDER BY captured"
_BOARDS = "SELECT board_id, metric, course_id, board_window, period FROM public.boards"
_ENTRIES = """SELECT entry_id, user_id, metric, amount, attempt_id, of_entry_id, source, reference,
                     course_id, level_id, occurred_date::text, windows
              FROM public.xp_entries ORDER BY entry_id"""
_ATTEMPTS = """SELECT attempt_id, user_id, level_id, request_id, correct_answers, total_questions,
                      voided
               FROM public.attempts ORDER BY attempt_id"""
_KEYS = """SELECT user_id, request_id FROM public.request_keys
           UNION ALL SELECT '', request_id FROM public.admin_requests"""
_TENURES = "SELECT epoch::text, after_sequence FROM public.tenures ORDER BY tenure"


async def dump(connection: asyncpg.Connection, branch: Branch) -> None:
    """Fills the branch with what the database holds, as of one moment."""
    async with connection.transaction(isolation="repeatable_read", readonly=True):
        boards = {row["board_id"]: _board(row) for row in await connection.fetch(_BOARDS)}
        branch.changes = [_change(row, boards) for row in await connection.fetch(_CHANGES)]
        branch.entries = [Entry(**row) for row in await connection.fetch(_ENTRIES)]
        branch.attempts = [Attempt(**row) for row in await connection.fetch(_ATTEMPTS)]
        branch.keys = [Key(**row) for row in await connection.fetch(_KEYS)]
        branch.tenures = [Tenure(**row) for row in await connection.fetch(_TENURES)]


def _change(row: Any, boards: dict[int, types_pb2.Board]) -> pb.Change:
    change = pb.Change(sequence=row["sequence"], numbered_time=_timestamp(row["numbered_time"]))
    match row["kind"]:
        case 1:
            change.xp_delta.CopyFrom(_delta(row, boards))
        case 2:
            change.profile_change.user_id = row["user_id"]
            change.profile_change.display_name = row["display_name"]
            change.profile_change.avatar_url = row["avatar_url"]
            change.profile_change.hidden = row["hidden"]
        case 3:
            change.user_erasure.user_id = row["user_id"]
        case 4:
            change.window_reset.board.CopyFrom(_board(row))
        case 5:
            change.redaction.SetInParent()
        case 6:
            change.standing_correction.board.CopyFrom(_board(row))
            change.standing_correction.user_id = row["user_id"]
            change.standing_correction.score = row["amount"]
        case kind:
            raise ValueError(f"change {row['sequence']} is of an unknown kind, {kind}")
    return change


def _delta(row: Any, boards: dict[int, types_pb2.Board]) -> pb.XpDelta:
    return pb.XpDelta(
        entry_id=str(row["entry_id"]),
        user_id=row["user_id"],
        metric=row["metric"],
        amount=row["amount"],
        course_id=row["course_id"],
        occurred_time=_timestamp(row["occurred_time"]),
        source=row["source"],
        occurred_date=str(row["occurred_date"]),
        excluded_boards=[boards[board_id] for board_id in sorted(row["excluded_boards"] or ())],
        windows=[window for window in types_pb2.Window.values() if row["windows"] >> window & 1],
    )


def _board(row: Any) -> types_pb2.Board:
    return types_pb2.Board(
        metric=row["metric"],
        course_id=row["course_id"],
        window=row["board_window"],
        period=row["period"],
    )


def _timestamp(moment: Any) -> Timestamp:
    stamp = Timestamp()
    stamp.FromDatetime(moment)
    return stamp
