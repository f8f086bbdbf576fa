"""What is done to ProgressService so that the boards change: by hand, or at random by a crowd."""

import random
from datetime import UTC, datetime, timedelta
from itertools import count
from typing import Any

from google.protobuf.timestamp_pb2 import Timestamp

from shared.gen.laurel.progress.v1 import admin_pb2, catalog_pb2
from shared.gen.laurel.types.v1 import types_pb2
from shared.periods import Window, period_of
from tests.progress import Progress

_ids = count(1)


def ago(days: int) -> Timestamp:
    time = Timestamp()
    time.FromDatetime(datetime.now(UTC) - timedelta(days=days))
    return time


def period(window: Window, days_ago: int = 0) -> str:
    """The period then, in the deployment's zone, which is UTC in tests."""
    return period_of(window, (datetime.now(UTC) - timedelta(days=days_ago)).date())


async def award(progress: Progress, user: str, amount: int, **fields: Any) -> str:
    """The entry's id."""
    return (await progress.award(user, amount, **fields)).entry_id


async def hide(progress: Progress, user: str, *, hidden: bool = True) -> None:
    profile = catalog_pb2.User(user_id=user, display_name=user.title(), hidden=hidden)
    await progress.catalog.PutUser(catalog_pb2.PutUserRequest(user=profile))


async def reset(progress: Progress, **board: Any) -> types_pb2.Position:
    request = admin_pb2.ResetWindowRequest(
        board=types_pb2.Board(**board), request_id=f"reset-{next(_ids)}"
    )
    return (await progress.admin.ResetWindow(request)).position


async def erase(progress: Progress, user: str) -> types_pb2.Position:
    request = admin_pb2.EraseUserRequest(user_id=user)
    return (await progress.admin.EraseUser(request)).position


class Crowd:
    """Does things at random to a few people: on levels l1 and l2 of course c and l3 of d."""

    users = tuple(f"u{number}" for number in range(6))

    def __init__(self, progress: Progress, seed: int) -> None:
        self._progress = progress
        self._random = random.Random(seed)
        self._known: set[str] = set()
        self._entries: list[tuple[str, str]] = []
        """(user, entry) of those that are not revoked; `_attempts` the same."""
        self._attempts: list[tuple[str, str]] = []

    async def act(self, times: int) -> None:
        often = [self._award, self._submit]
        seldom = [self._revoke, self._void, self._hide, self._reset, self._erase]
        for _ in range(times):
            await self._random.choice([*often, *often, *seldom])()

    async def _award(self) -> None:
        user, amount = await self._somebody(), self._random.randint(1, 9)
        course, days = self._random.choice(["", "c", "d"]), self._random.choice([0, 0, 3, 20, 60])
        entry = await award(self._progress, user, amount, course_id=course, occurred_time=ago(days))
        self._entries.append((user, entry))

    async def _submit(self) -> None:
        user, of = await self._somebody(), self._random.choice(["l1", "l2", "l3"])
        done = await self._progress.submit(user, of, self._random.randint(3, 10))
        self._attempts.append((user, done.attempt_id))

    async def _revoke(self) -> None:
        if self._entries:
            number = self._random.randrange(len(self._entries))
            await self._progress.revoke(self._entries.pop(number)[1])

    async def _void(self) -> None:
        if self._attempts:
            number = self._random.randrange(len(self._attempts))
            await self._progress.void(self._attempts.pop(number)[1])

    async def _hide(self) -> None:
        await hide(self._progress, await self._somebody(), hidden=self._random.random() < 0.6)

    async def _reset(self) -> None:
        window = self._random.choice(list(Window))
        await reset(
            self._progress,
            metric=self._random.choice(["xp", "marks"]),
            course_id=self._random.choice(["", "c"]),
            window=types_pb2.Window.ValueType(window),
            period=period(window, self._random.choice([0, 3, 60])),
        )

    async def _erase(self) -> None:
        user = await self._somebody()
        await erase(self._progress, user)
        self._known.remove(user)
        self._entries = [one for one in self._entries if one[0] != user]
        self._attempts = [one for one in self._attempts if one[0] != user]

    async def _somebody(self) -> str:
        user = self._random.choice(self.users)
        if user not in self._known:
            await self._progress.put_users(user)
            self._known.add(user)
        return user
