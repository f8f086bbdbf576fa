"""A whole copy of profiles and standings at one position, spooled to disk.

Read as fast as PostgreSQL can COPY and sent from the file afterwards: a snapshot that
stayed open while a slow reader takes it would keep the sequencer's queue from being cleaned.
"""

import csv
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby
from tempfile import TemporaryFile
from typing import BinaryIO, NamedTuple, cast

import asyncpg
from sqlalchemy import text

from progress_service.store.database import Database
from progress_service.store.positions import Head, read_head
from progress_service.store.standings import BoardKey
from shared.periods import Window

CHUNK = 500
"""Some milliseconds of work for a message."""

_SETTINGS = text(
    "SELECT set_config('statement_timeout', '0', true), set_config('work_mem', '64MB', true)"
)

_PROFILES = """SELECT user_id, display_name, avatar_url, hidden::int FROM profiles
               ORDER BY user_id"""
_WANTED = """NOT EXISTS (SELECT FROM unnest($1::smallint[], $2::text[]) AS f (board_window, first)
                WHERE f.board_window = b.board_window AND b.period < f.first)"""
_COLUMNS = "b.metric, b.course_id, b.board_window, b.period, s.user_id, s.score, s.hidden::int"
# Cost: all standings, and a sort of them.
_ALL = f"""
    SELECT {_COLUMNS} FROM standings s JOIN boards b USING (board_id)
    WHERE s.score <> 0 AND {_WANTED}
    ORDER BY s.board_id
"""
# Cost: the standings of these boards. Index: standings_rank has those above zero of users who are
# shown, standings_unlisted all others.
_NAMED = f"""
    SELECT {_COLUMNS}
    FROM boards b
    CROSS JOIN LATERAL (
        SELECT user_id, score, hidden FROM standings
        WHERE board_id = b.board_id AND score > 0 AND NOT hidden
        UNION ALL
        SELECT user_id, score, hidden FROM standings
        WHERE board_id = b.board_id AND (hidden OR score < 0) AND score <> 0
    ) s
    WHERE {_WANTED}
      AND (b.metric, b.course_id, b.board_window, b.period)
          IN (SELECT * FROM unnest($3::text[], $4::text[], $5::smallint[], $6::text[]))
    ORDER BY b.board_id
"""


@dataclass(frozen=True, slots=True)
class Wanted:
    """What to copy. `boards` empty: all of them; of each window the periods before its floor are
    left out.
    """

    boards: Sequence[BoardKey] = ()
    floors: Sequence[tuple[Window, str]] = ()
    profiles: bool = True

    def standings_query(self) -> tuple[str, list[Sequence[object]]]:
        """The query of the standings and its arguments."""
        floors: list[Sequence[object]] = [
            [int(window) for window, _ in self.floors],
            [first for _, first in self.floors],
        ]
        if not self.boards:
            return _ALL, floors
        return _NAMED, [
            *floors,
            [board.metric for board in self.boards],
            [board.course_id for board in self.boards],
            [int(board.window) for board in self.boards],
            [board.period for board in self.boards],
        ]


class Scored(NamedTuple):
    """A user's score on a board; `hidden`: the board does not list it."""

    user_id: str
    score: int
    hidden: bool


@dataclass(frozen=True, slots=True)
class Profile:
    """A user's profile as of the snapshot."""

    user_id: str
    display_name: str
    avatar_url: str
    hidden: bool


class Spool:
    """The copy, on disk until closed."""

    def __init__(self) -> None:
        self.head: Head | None = None
        # Closed by close().
        self._profiles = cast("BinaryIO", TemporaryFile())  # noqa: SIM115
        self._standings = cast("BinaryIO", TemporaryFile())  # noqa: SIM115

    def close(self) -> None:
        """Removes what is on disk."""
        self._profiles.close()
        self._standings.close()

    async def fill(self, database: Database, wanted: Wanted) -> Head:
        """Copies what is wanted at one position."""
        query, arguments = wanted.standings_query()
        async with database.read() as connection:
            # As long as it takes: the copy of a large history must not fail for its size.
            await connection.execute(_SETTINGS)
            self.head = await read_head(connection)
            raw = (await connection.get_raw_connection()).driver_connection
            if not isinstance(raw, asyncpg.Connection):
                raise TypeError("the pool's driver is asyncpg")
            if wanted.profiles:
                await raw.copy_from_query(_PROFILES, output=self._profiles, format="csv")
            await raw.copy_from_query(query, *arguments, output=self._standings, format="csv")
        return self.head

    def profiles(self) -> Iterator[list[Profile]]:
        """Every profile, by user_id, a chunk at a time."""
        chunk: list[Profile] = []
        for user_id, name, avatar, hidden in _rows(self._profiles):
            chunk.append(Profile(user_id, name, avatar, hidden == "1"))
            if len(chunk) == CHUNK:
                yield chunk
                chunk = []
        if chunk:
            yield chunk

    def standings(self) -> Iterator[tuple[BoardKey, list[Scored]]]:
        """Every score but 0, hidden users included, board by board, a chunk at a time."""
        for key, rows in groupby(_rows(self._standings), key=lambda row: tuple(row[:4])):
            board = BoardKey(key[0], key[1], Window(int(key[2])), key[3])
            chunk: list[Scored] = []
            for row in rows:
                chunk.append(Scored(row[4], int(row[5]), row[6] == "1"))
                if len(chunk) == CHUNK:
                    yield board, chunk
                    chunk = []
            if chunk:
                yield board, chunk


def _rows(file: BinaryIO) -> Iterator[list[str]]:
    file.seek(0)
    return csv.reader(line.decode() for line in file)
