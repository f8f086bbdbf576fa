"""A user's totals per window: the folded standings and the user's own unnumbered changes."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, datetime

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from progress_service.domain.ledger import XP
from progress_service.domain.streak import Run
from progress_service.store import amnesty, evaluations
from progress_service.store.courses import CourseCache
from progress_service.store.evaluations import Key
from progress_service.store.learner_read import Learner, read_users
from progress_service.store.ledger_write import USER_ERASURE, WINDOW_RESET, XP_DELTA
from progress_service.store.positions import Head, read_head
from shared.periods import Window, periods_of

_USER = text(
    """SELECT greatest(u.update_time,
                       (SELECT a.create_time FROM attempts a WHERE a.user_id = u.user_id
                        ORDER BY a.attempt_id DESC LIMIT 1),
                       (SELECT e.create_time FROM xp_entries e WHERE e.user_id = u.user_id
                        ORDER BY e.entry_id DESC LIMIT 1)) AS update_time,
              s.levels_completed, s.stale
       FROM users u
       CROSS JOIN LATERAL (
           SELECT coalesce(sum(c.levels_completed) FILTER (WHERE c.course_version = o.version), 0)
                      AS levels_completed,
                  array_agg(c.course_id) FILTER (WHERE c.course_version <> o.version) AS stale
           FROM course_progress c JOIN courses o USING (course_id) WHERE c.user_id = u.user_id
       ) s
       WHERE u.user_id = :user_id"""
)
_CURRENT = """unnest(CAST(:windows AS smallint[]), CAST(:periods AS text[]))
              AS p (board_window, period)"""
# Cost: five primary-key look-ups for each metric of the catalog.
_STANDINGS = text(
    f"""SELECT b.metric, b.board_window, s.score
        FROM metrics m
        CROSS JOIN {_CURRENT}
        JOIN boards b ON b.metric = m.metric AND b.course_id = ''
                     AND b.board_window = p.board_window AND b.period = p.period
        JOIN standings s ON s.board_id = b.board_id AND s.user_id = :user_id"""
)
# What the boards will hold of the user's own changes that have no number yet, as the sequencer
# will fold them: not what a reset that waits too, or the erasure of who had the id before, comes
# after; nor, on a board that was or will be reset, what cancels or replaces an entry from
# before that.
# `restarts`: such a reset or erasure waits, so the present score is not part of the sum.
# Cost: the user's waiting changes, and those that concern no user. Index:
# unnumbered_changes_user, and of an entry that is cancelled, on a board that was reset,
# changes_entry and pruned_changes_entry.
_UNNUMBERED = text(
    f"""
    WITH waiting AS MATERIALIZED (
        SELECT * FROM unnumbered_changes WHERE user_id IN (:user_id, '')
    ), restart AS (
        SELECT w.metric, p.board_window, max(w.change_id) AS change_id
        FROM waiting w JOIN {_CURRENT} USING (board_window, period)
        WHERE w.kind = {WINDOW_RESET} AND w.course_id = ''
        GROUP BY w.metric, p.board_window
        UNION ALL
        SELECT m.metric, p.board_window, w.change_id
        FROM waiting w CROSS JOIN metrics m CROSS JOIN {_CURRENT}
        WHERE w.kind = {USER_ERASURE}
    ), restarted AS (
        SELECT metric, board_window, max(change_id) AS change_id FROM restart GROUP BY 1, 2
    ), counted AS (
        SELECT w.metric, p.board_window, w.amount
        FROM waiting w
        CROSS JOIN LATERAL board_periods(w.occurred_date, w.windows) h
        JOIN {_CURRENT} ON p.board_window = h.board_window AND p.period = h.period
        LEFT JOIN restarted r ON r.metric = w.metric AND r.board_window = p.board_window
        LEFT JOIN boards b ON w.of_entry_id IS NOT NULL AND b.metric = w.metric AND b.course_id = ''
                          AND b.board_window = p.board_window AND b.period = p.period
        LEFT JOIN waiting q ON q.entry_id = w.of_entry_id
        WHERE w.kind = {XP_DELTA}
          AND coalesce(w.change_id > r.change_id, true)
          AND (w.of_entry_id IS NULL OR r.change_id IS NULL OR q.change_id > r.change_id)
          AND coalesce((SELECT c.sequence FROM numbered_changes c
                        WHERE c.entry_id = w.of_entry_id AND b.reset_sequence > 0)
                       > b.reset_sequence, true)
    )
    SELECT metric, board_window, false AS restarts, sum(amount)::bigint AS amount
    FROM counted GROUP BY metric, board_window
    UNION ALL
    SELECT metric, board_window, true, 0 FROM restarted
    ORDER BY restarts DESC
    """
)


@dataclass(frozen=True, slots=True)
class UserStats:
    """`totals`: per metric and window; `head`: the history that is in them, at least."""

    learner: Learner
    amnesty: tuple[Run, ...]
    levels_completed: int
    update_time: datetime
    totals: Mapping[str, Mapping[Window, int]]
    head: Head


async def load(
    connection: AsyncConnection, courses: CourseCache, user_id: str, today: date
) -> UserStats | None:
    """The user's totals in the periods that hold `today`, from one snapshot; None: no user.

    Courses that were edited since the user was judged count as by their current versions.
    """
    learner = (await read_users(connection, [user_id])).get(user_id)
    if learner is None:
        return None
    user = (await connection.execute(_USER, {"user_id": user_id})).one()
    current = periods_of(today)
    totals: dict[str, dict[Window, int]] = {XP: {}}
    params = {
        "user_id": user_id,
        "windows": [int(window) for window, _ in current],
        "periods": [period for _, period in current],
    }
    for row in await connection.execute(_STANDINGS, params):
        totals.setdefault(row.metric, {})[Window(row.board_window)] = row.score
    for row in await connection.execute(_UNNUMBERED, params):
        if row.restarts and row.metric not in totals:
            continue
        scores = totals.setdefault(row.metric, {})
        window = Window(row.board_window)
        scores[window] = 0 if row.restarts else scores.get(window, 0) + row.amount
    completed = user.levels_completed
    for course_id in user.stale or ():
        course = await courses.current(connection, course_id)
        (sums,) = await evaluations.sums_now(connection, courses, [Key(user_id, course)])
        completed += sums.levels_completed
    return UserStats(
        learner=learner,
        amnesty=await amnesty.load_runs(connection),
        levels_completed=completed,
        update_time=user.update_time,
        totals=totals,
        head=await read_head(connection),
    )
