"""Folding the changes that are numbered alone: a reset, an erasure, a mended standing.

Each works on the change that was numbered last, in the transaction that numbered it.
"""

from sqlalchemy import TextClause, text
from sqlalchemy.ext.asyncio import AsyncConnection

from progress_service.store import history_pruning
from progress_service.store.folding import COUNT_STEPS
from progress_service.store.ledger_write import (
    REDACTION,
    STANDING_CORRECTION,
    USER_ERASURE,
    WINDOW_RESET,
    XP_DELTA,
)

_BOARD_OF_CHANGE = """b.metric = c.metric AND b.course_id = c.course_id
                      AND b.board_window = c.board_window AND b.period = c.period"""
# A board that nobody was on yet has its row from here on: it must know when it was reset.
_MARK_RESET = text(
    """INSERT INTO boards (metric, course_id, board_window, period, reset_sequence)
       SELECT metric, course_id, board_window, period, sequence FROM changes
       WHERE sequence = :sequence
       ON CONFLICT (metric, course_id, board_window, period)
           DO UPDATE SET reset_sequence = EXCLUDED.reset_sequence
       RETURNING board_id"""
)
# Those that standings_rank lists, and those of hidden users. What stays has no score, so it is
# on no board. Cost: the users on the board, and a look-up for each hidden user.
_EMPTY_BOARD = text(
    """DELETE FROM standings
       WHERE board_id = :board_id AND score > 0 AND NOT hidden"""
)
_EMPTY_BOARD_OF_HIDDEN = text(
    """DELETE FROM standings s USING profiles p
       WHERE p.hidden AND s.user_id = p.user_id AND s.board_id = :board_id"""
)
_EMPTY_BUCKETS = text("DELETE FROM board_buckets WHERE board_id = :board_id")

# Cost: the user's standings.
_LEAVE_BOARDS = text(
    """
    WITH gone AS (
        DELETE FROM standings s USING changes c
        WHERE c.sequence = :sequence AND s.user_id = c.user_id
        RETURNING s.board_id, s.score, s.hidden
    ), counted AS (
        UPDATE board_buckets b SET users = b.users - 1 FROM gone g
        WHERE g.score > 0 AND NOT g.hidden
          AND b.board_id = g.board_id AND b.bucket = score_bucket(g.score)
    )
    DELETE FROM profiles p USING changes c WHERE c.sequence = :sequence AND p.user_id = c.user_id
    """
)
_REDACT = f"""
    UPDATE changes SET kind = {REDACTION}, user_id = '', metric = NULL, amount = NULL,
        source = NULL, course_id = NULL, occurred_time = NULL, occurred_date = NULL,
        windows = NULL, display_name = NULL, avatar_url = NULL, hidden = NULL,
        board_window = NULL, period = NULL, excluded_boards = NULL
"""
# The ledger goes by the pseudonym; entry_id stays, for the ledger needs the sequence. Of what is
# pruned nothing is left to redact.
# Index: xp_entries_user, changes_entry.
_REDACT_DELTAS = text(
    f"""{_REDACT}
        WHERE sequence < :sequence
          AND entry_id IN (SELECT entry_id FROM xp_entries WHERE user_id = :pseudonym)"""
)
# Earlier erasures of the same id stay: whoever stands before them needs them. Index: changes_user.
_REDACT_OTHERS = text(
    f"""{_REDACT}
        WHERE sequence < :sequence AND kind NOT IN ({XP_DELTA}, {USER_ERASURE})
          AND user_id = (SELECT user_id FROM changes WHERE sequence = :sequence)"""
)

# Of a user who is not there (any more) nothing is to be mended; the number stays.
_REDACT_UNKNOWN = text(
    f"""{_REDACT}
        WHERE sequence = :sequence
          AND NOT EXISTS (SELECT FROM profiles p WHERE p.user_id = changes.user_id)"""
)
_ENSURE_BOARD = text(
    f"""INSERT INTO boards (metric, course_id, board_window, period)
        SELECT c.metric, c.course_id, c.board_window, c.period FROM changes c
        WHERE c.sequence = :sequence AND c.kind = {STANDING_CORRECTION}
          AND NOT EXISTS (SELECT FROM boards b WHERE {_BOARD_OF_CHANGE})"""
)
_CORRECT = text(
    f"""
    WITH folded AS (
        INSERT INTO standings AS s (user_id, board_id, score, added, hidden)
        SELECT c.user_id, b.board_id, c.amount, c.amount, p.hidden
        FROM changes c
        JOIN boards b ON {_BOARD_OF_CHANGE}
        JOIN profiles p ON p.user_id = c.user_id
        WHERE c.sequence = :sequence
        ON CONFLICT (user_id, board_id) DO UPDATE
            SET score = EXCLUDED.score, added = EXCLUDED.score - s.score
        RETURNING board_id, score, added, hidden
    ), {COUNT_STEPS}
    """
)
# However many rows a board or a user has, it must not fail for that, again and again, nor for a
# batch that is being pruned: the lock's timeout is longer than `history_pruning.prune` can take.
_UNHURRIED = text(
    """SELECT set_config('statement_timeout', '0', true),
              set_config('lock_timeout', '15s', true)"""
)


async def fold_special(
    connection: AsyncConnection, kind: int, sequence: int, pseudonym: str | None
) -> None:
    """Folds the special change at `sequence`; `pseudonym`: of an erasure, what the user's ledger
    entries go by.
    """
    await connection.execute(_UNHURRIED)
    if kind == WINDOW_RESET:
        await _reset(connection, sequence)
    elif kind == USER_ERASURE:
        at = {"sequence": sequence}
        await history_pruning.keep_out(connection)
        await connection.execute(_LEAVE_BOARDS, at)
        await connection.execute(_REDACT_DELTAS, {**at, "pseudonym": pseudonym})
        await connection.execute(_REDACT_OTHERS, at)
    elif kind == STANDING_CORRECTION:
        await _each(connection, sequence, (_REDACT_UNKNOWN, _ENSURE_BOARD, _CORRECT))
    else:
        raise AssertionError(f"change of unknown kind {kind}")


async def _reset(connection: AsyncConnection, sequence: int) -> None:
    marked = await connection.execute(_MARK_RESET, {"sequence": sequence})
    board = {"board_id": marked.scalar_one()}
    for statement in (_EMPTY_BOARD, _EMPTY_BOARD_OF_HIDDEN, _EMPTY_BUCKETS):
        await connection.execute(statement, board)


async def _each(
    connection: AsyncConnection, sequence: int, statements: tuple[TextClause, ...]
) -> None:
    for statement in statements:
        await connection.execute(statement, {"sequence": sequence})
