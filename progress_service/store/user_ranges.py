"""All users, a range at a time, and statements about the users of a range."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import TextClause, text
from sqlalchemy.ext.asyncio import AsyncConnection

_BEYOND = "\U0010ffff"
"""Sorts after every id."""
_TARGET_S = 0.5

_COUNT = text("SELECT count(*) FROM users")
_NEXT = text(
    """SELECT count(*) AS users, max(user_id) AS last
       FROM (SELECT user_id FROM users WHERE user_id > :after ORDER BY user_id LIMIT :limit) next"""
)

_OF_RANGE = "{table}.user_id > :after AND {table}.user_id <= :through"
_OF_USERS = "{table}.user_id = ANY(CAST(:ids AS text[]))"


@dataclass(frozen=True, slots=True)
class UserRange:
    """The users after `after` up to `through`, whether they exist or not; `users` do."""

    after: str
    through: str
    users: int

    @property
    def is_last(self) -> bool:
        """Whether no user comes after it."""
        return self.through == _BEYOND


Users = UserRange | Sequence[str]
"""Whom to look at: all in a range, or these."""


@dataclass(slots=True)
class Stride:
    """How many users to look at together, so that it takes about as long whatever they hold:
    far less than statement_timeout, and many times what a statement costs anyway.
    """

    users: int = 50
    most: int = 2_000

    def took(self, seconds: float) -> None:
        """So long took the last range."""
        if seconds > _TARGET_S:
            self.users = max(self.users // 2, 1)
        elif seconds < _TARGET_S / 2:
            self.users = min(self.users * 2, self.most)


class OfUsers:
    """A statement about chosen users; {e}, {t}, … stand for the choice from the table so called."""

    def __init__(self, sql: str) -> None:
        self._of_range, self._of_users = (
            text(sql.format(**{table: chosen.format(table=table) for table in "etsaprc"}))
            for chosen in (_OF_RANGE, _OF_USERS)
        )

    def of(self, users: Users) -> tuple[TextClause, dict[str, Any]]:
        """The statement, and its parameters."""
        if isinstance(users, UserRange):
            return self._of_range, {"after": users.after, "through": users.through}
        return self._of_users, {"ids": [*users]}


async def count_users(connection: AsyncConnection) -> int:
    """All users, erased ones too."""
    return int((await connection.execute(_COUNT)).scalar_one())


async def next_range(connection: AsyncConnection, after: str, limit: int) -> UserRange:
    """The next `limit` users; ranges that follow each other from "" on leave no gap, so that
    rows of users who do not exist are found too.
    """
    row = (await connection.execute(_NEXT, {"after": after, "limit": limit})).one()
    return UserRange(after, row.last if row.users == limit else _BEYOND, row.users)
