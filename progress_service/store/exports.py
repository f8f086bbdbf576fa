"""Everything stored about a user, as JSON, from one snapshot, spooled to disk.

Sent from the file: a snapshot that stayed open while a slow reader takes it would keep the
sequencer's queue from being cleaned.
"""

from collections.abc import Iterator
from tempfile import TemporaryFile
from typing import BinaryIO, cast

import asyncpg
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from progress_service.domain.request import RequestKind
from progress_service.store import admin_actions
from progress_service.store.admin_actions import AdminAction
from progress_service.store.database import Database, Purpose
from progress_service.store.ledger_write import PROFILE_CHANGE, STANDING_CORRECTION, XP_DELTA
from progress_service.store.not_found import user_not_found
from shared.identity import Actor

METHOD = "laurel.progress.v1.ProgressAdminService/ExportUser"
CHUNK = 1_000
CHUNK_BYTES = 1 << 20

_SETTINGS = text("SELECT set_config('statement_timeout', '0', true)")
# Writers do not mind; an erasure waits until this transaction ends.
_HOLD = text("SELECT user_id FROM users WHERE user_id = :user_id FOR KEY SHARE")

_DAYS = """(SELECT coalesce(jsonb_agg(jsonb_build_array(lower(d), upper(d) - 1)), '[]')
            FROM unnest({days}) d)"""
_NAME_OF_WINDOW = "(ARRAY['all_time', 'year', 'month', 'week', 'day'])"
_REQUEST_KINDS = " ".join(f"WHEN {kind.value} THEN '{kind.name.lower()}'" for kind in RequestKind)
# That it is no credit follows from the kinds; only so spelled it is what changes_user holds.
_OTHERS = f"""
    change_id, kind, display_name, avatar_url, hidden, metric, course_id, board_window, period,
    amount FROM {{table}}
    WHERE user_id = $1 AND kind IN ({PROFILE_CHANGE}, {STANDING_CORRECTION}) AND kind <> {XP_DELTA}
"""
_ENTRY = f"""(to_jsonb(e)
               || jsonb_build_object(
                   'entry_id', e.entry_id::text,
                   'attempt_id', coalesce(e.attempt_id::text, ''),
                   'revokes_entry_id', coalesce(e.revokes_entry_id::text, ''),
                   'windows', (SELECT jsonb_agg({_NAME_OF_WINDOW}[w] ORDER BY w)
                               FROM generate_series(1, 5) w
                               WHERE e.windows = 0 OR e.windows & (1 << w) <> 0)))"""
_NUMBERED = "SELECT sequence, numbered_time, " + _OTHERS.format(table="changes")
_QUEUED = "SELECT NULL, NULL, " + _OTHERS.format(table="unnumbered_changes")
# In most, a row's columns as they are stored, less user_id; ids as strings, as in the contract.
# Cost: the user's rows, each by an index that begins with user_id; and what the user did to others,
# by xp_entries_actor, admin_actions_actor and admin_actions_caller.
_QUERIES = {
    "profile": f"""
        SELECT to_jsonb(u)
               || jsonb_build_object('active_days', {_DAYS.format(days="u.active_days")},
                                     'carried_days', {_DAYS.format(days="u.carried_days")})
        FROM users u WHERE u.user_id = $1""",
    "totals": """
        SELECT to_jsonb(t) - 'user_id' FROM user_totals t WHERE t.user_id = $1
        ORDER BY t.metric""",
    "standings": f"""
        SELECT jsonb_build_object('metric', b.metric, 'course_id', b.course_id,
                                  'window', {_NAME_OF_WINDOW}[b.board_window],
                                  'period', b.period, 'score', s.score)
        FROM standings s JOIN boards b USING (board_id) WHERE s.user_id = $1
        ORDER BY b.metric, b.course_id, b.board_window, b.period""",
    "course_progress": """
        SELECT to_jsonb(p) - 'user_id' FROM course_progress p WHERE p.user_id = $1
        ORDER BY p.course_id""",
    "level_progress": """
        SELECT to_jsonb(p) - 'user_id' FROM level_progress p WHERE p.user_id = $1
        ORDER BY p.course_id, p.level_id""",
    "attempts": """
        SELECT to_jsonb(a) - 'user_id' || jsonb_build_object('attempt_id', a.attempt_id::text)
        FROM attempts a WHERE a.user_id = $1 ORDER BY a.attempt_id""",
    "ledger": f"""
        SELECT {_ENTRY} - 'user_id'
        FROM xp_entries e WHERE e.user_id = $1 ORDER BY e.entry_id""",
    # What the user wrote for others, whom it names; their totals are not the user's.
    # Index: xp_entries_actor.
    "ledger_by_actor": f"""
        SELECT {_ENTRY} - 'total_after'
        FROM xp_entries e WHERE e.actor = $1 AND e.actor <> '' AND e.actor <> e.user_id
        ORDER BY e.entry_id""",
    "level_rewards": """
        SELECT to_jsonb(r) - 'user_id'
               || jsonb_build_object('attempt_id', coalesce(r.attempt_id::text, ''))
        FROM level_rewards r WHERE r.user_id = $1 ORDER BY r.level_id""",
    "award_references": """
        SELECT to_jsonb(r) - 'user_id' || jsonb_build_object('entry_id', r.entry_id::text)
        FROM award_references r WHERE r.user_id = $1 ORDER BY r.metric, r.source, r.reference""",
    "requests": f"""
        SELECT to_jsonb(k) - ARRAY['user_id', 'fingerprint']
               || jsonb_build_object('kind', CASE k.kind {_REQUEST_KINDS} END)
        FROM request_keys k WHERE k.user_id = $1 ORDER BY k.create_time, k.request_id""",
    "velocity": """
        SELECT to_jsonb(v) - 'user_id' FROM velocity v WHERE v.user_id = $1 ORDER BY v.source""",
    # As far as history is kept; credits are in the ledger.
    "history": f"""
        SELECT jsonb_strip_nulls(jsonb_build_object(
                   'sequence', c.sequence, 'numbered_time', c.numbered_time,
                   'kind', CASE c.kind WHEN {PROFILE_CHANGE} THEN 'profile_change'
                                       ELSE 'standing_correction' END,
                   'display_name', c.display_name, 'avatar_url', c.avatar_url,
                   'hidden', c.hidden, 'metric', c.metric, 'course_id', c.course_id,
                   'window', {_NAME_OF_WINDOW}[c.board_window], 'period', c.period,
                   'score', c.amount))
        FROM ({_NUMBERED} UNION ALL {_QUEUED}) c
        ORDER BY c.change_id""",
    "admin_actions": """
        SELECT to_jsonb(a) - ARRAY['action_id', 'change_id'] FROM admin_actions a
        WHERE a.user_id = $1 OR (a.actor = $1 AND a.actor <> '')
            OR (a.caller = $1 AND a.caller <> '')
        ORDER BY a.action_id""",
}


async def record(connection: AsyncConnection, user_id: str, actor: Actor) -> None:
    """Puts on record that the user's data are exported; raises NotFound (USER_NOT_FOUND)."""
    if (await connection.execute(_HOLD, {"user_id": user_id})).one_or_none() is None:
        raise user_not_found(user_id)
    await admin_actions.record(connection, [AdminAction(METHOD, actor, user_id, "")])


class Export:
    """The documents, on disk until closed."""

    def __init__(self) -> None:
        self._ends: dict[str, int] = {}
        self._file = cast("BinaryIO", TemporaryFile())  # noqa: SIM115 - closed by close()

    def close(self) -> None:
        """Removes what is on disk."""
        self._file.close()

    async def fill(self, database: Database, user_id: str) -> None:
        """Copies everything at one position; raises NotFound (USER_NOT_FOUND)."""
        async with database.read(Purpose.AUDIT) as connection:
            await connection.execute(_SETTINGS)
            raw = (await connection.get_raw_connection()).driver_connection
            if not isinstance(raw, asyncpg.Connection):
                raise TypeError("the pool's driver is asyncpg")
            for name, query in _QUERIES.items():
                await raw.copy_from_query(query, user_id, output=self._file)
                self._ends[name] = self._file.tell()
                if not self._file.tell():
                    raise user_not_found(user_id)

    def documents(self) -> Iterator[tuple[str, bytes]]:
        """(name, JSON array of objects) of each document, those of one name after each other.

        Each has at most 1,000 objects and about a MiB; a name that has no rows is an empty array.
        """
        self._file.seek(0)
        for name, end in self._ends.items():
            yield name, self._chunk(end)
            while self._file.tell() < end:
                yield name, self._chunk(end)

    def _chunk(self, end: int) -> bytes:
        rows: list[bytes] = []
        size = 0
        while len(rows) < CHUNK and size < CHUNK_BYTES and self._file.tell() < end:
            # COPY doubles the backslashes; JSON holds no other character that it escapes.
            row = self._file.readline().rstrip(b"\n").replace(rb"\\", b"\\")
            rows.append(row)
            size += len(row)
        return b"[" + b",\n".join(rows) + b"]"
