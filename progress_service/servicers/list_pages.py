"""Pages of the lists that ProgressService keeps: each goes on where the one before ended, in the
history that it was of.

A page is held against the numbered history, and its last row, if that has a number, against the
table. What else was committed without a number yet, or never gets one (the decision on an attempt,
say, or an edit of a course), is not missed when a restore to the past undoes that and nothing else.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy.ext.asyncio import AsyncConnection

from progress_service.servicers import codec, list_token
from progress_service.servicers.list_token import ListToken
from progress_service.store import listed_rows
from progress_service.store.positions import Position, check_position, read_head
from shared import page_token
from shared.errors import FailedPrecondition, InvalidInput
from shared.signed_token import Signer


@dataclass(frozen=True, slots=True)
class Listing:
    """A kind of list, ordered by the attribute `key` of its rows: an id, or the number that `table`
    gives them.
    """

    name: str
    key: str
    table: str = ""


ATTEMPTS = Listing("attempts", "attempt_id", "attempts")
COURSES = Listing("courses", "course_id")
ACTIONS = Listing("admin_actions", "action_id", "admin_actions")
ENTRIES = Listing("entries", "entry_id", "xp_entries")
FLAGGED = Listing("flagged_attempts", "attempt_id", "attempts")
LEARNERS = Listing("learners", "user_id")
USERS = Listing("users", "user_id")


@dataclass(frozen=True, slots=True)
class ListPage:
    """A page of `size` rows of a listing under `filters`; `last`: where the one before it ended."""

    signer: Signer
    listing: Listing
    filters: tuple[str, ...]
    size: int
    last: ListToken | None

    @property
    def after(self) -> str:
        """The key after which it begins, of a list by ids; empty: at the beginning."""
        return str(self.last.key) if self.last else ""

    @property
    def number(self) -> int | None:
        """The same, of a list by numbers."""
        return int(self.last.key) if self.last else None

    @property
    def limit(self) -> int:
        """How many rows to read: one more tells whether there is a page after it."""
        return self.size + 1

    async def check(self, connection: AsyncConnection) -> None:
        """Raises InvalidInput (INVALID_PAGE_TOKEN) when the page before was of another history.

        Cost: one or two statements, by primary keys, where there was a page before.
        """
        last = self.last
        if last is None:
            return
        await check_history(connection, Position(last.epoch, last.sequence))
        if isinstance(last.key, int) and last.write_time is not None:
            table = self.listing.table
            if not await listed_rows.exists(connection, table, last.key, last.write_time):
                raise page_token.of_another_history()

    async def next_token(self, connection: AsyncConnection, rows: Sequence[Any]) -> str:
        """The token of the page after this one, whose rows are the first `size` of `rows`; empty:
        there is none. Of the transaction that has read them.
        """
        if len(rows) <= self.size:
            return ""
        row, at = rows[self.size - 1], (await read_head(connection)).position
        written = row.create_time if self.listing.table else None
        last = ListToken(getattr(row, self.listing.key), at.epoch, at.sequence, written)
        return list_token.encode(self.signer, self.listing.name, self.filters, last)


def page_of(signer: Signer, listing: Listing, filters: tuple[str, ...], request: Any) -> ListPage:
    """What `page_size` and `page_token` of a request ask for.

    Raises InvalidInput (INVALID_FIELD, INVALID_PAGE_TOKEN).
    """
    size = codec.page_size(request.page_size)
    last = list_token.decode(signer, request.page_token, listing.name, filters)
    return ListPage(signer, listing, filters, size, last)


async def check_history(connection: AsyncConnection, position: Position) -> None:
    """Raises InvalidInput (INVALID_PAGE_TOKEN) unless a page's position is of this history."""
    try:
        await check_position(connection, position)
    except (FailedPrecondition, InvalidInput):
        raise page_token.of_another_history() from None
