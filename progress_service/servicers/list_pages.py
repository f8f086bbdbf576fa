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
from progress_service.store.list_places import Row, head_after
from progress_service.store.positions import Position
from shared import page_token
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

    async def next_token(self, connection: AsyncConnection, rows: Sequence[Any]) -> str:
        """The token of the page after this one, whose rows are the first `size` of `rows`; empty:
        there is none. In the transaction that has read them.

        Raises InvalidInput (INVALID_PAGE_TOKEN) when the page before was of another history. Costs
        a statement, unless the whole list is one page.
        """
        more = len(rows) > self.size
        if self.last is None and not more:
            return ""
        at = await self._head(connection)
        if at is None:
            raise page_token.of_another_history()
        if not more:
            return ""
        row = rows[self.size - 1]
        written = row.create_time if self.listing.table else None
        last = ListToken(getattr(row, self.listing.key), at.epoch, at.sequence, written)
        return list_token.encode(self.signer, self.listing.name, self.filters, last)

    async def _head(self, connection: AsyncConnection) -> Position | None:
        """The head of the history, if that is the one of the page before."""
        last, row = self.last, None
        if last is None:
            return await head_after(connection, None)
        if isinstance(last.key, int) and last.write_time is not None:
            row = Row(self.listing.table, last.key, last.write_time)
        return await head_after(connection, Position(last.epoch, last.sequence), row)


def page_of(signer: Signer, listing: Listing, filters: tuple[str, ...], request: Any) -> ListPage:
    """What `page_size` and `page_token` of a request ask for.

    Raises InvalidInput (INVALID_FIELD, INVALID_PAGE_TOKEN).
    """
    size = codec.page_size(request.page_size)
    last = list_token.decode(signer, request.page_token, listing.name, filters)
    if last is not None and isinstance(last.key, int) != bool(listing.table):
        raise list_token.foreign()
    return ListPage(signer, listing, filters, size, last)
