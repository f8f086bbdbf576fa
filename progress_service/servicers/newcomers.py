"""The profile of a user who calls for the first time."""

from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from functools import wraps
from typing import Any, Protocol, TypeVar

from grpc import aio
from sqlalchemy.ext.asyncio import AsyncConnection

from progress_service.domain.user import from_claims
from progress_service.store.database import Database
from progress_service.store.users import Profiles
from shared.caller import identity
from shared.errors import NotFound
from shared.identity import Role

Context = aio.ServicerContext[Any, Any]
Request = TypeVar("Request")
Answer = TypeVar("Answer")


@dataclass(frozen=True)
class Newcomers:
    """Creates profiles from what tokens say of users, if `enabled`; `on_commit` is called then."""

    database: Database
    profiles: Profiles
    on_commit: Callable[[], None]
    enabled: bool

    async def create(self, missing: NotFound) -> bool:
        """Creates the caller's profile if that is what is missing, and unless it is there by now;
        whether the call is worth another try.
        """
        caller = identity()
        if not (
            self.enabled
            and caller.role is Role.USER
            and missing.reason == "USER_NOT_FOUND"
            and missing.metadata.get("user_id") == caller.subject
        ):
            return False
        profile = from_claims(caller.subject, caller.name, caller.picture, caller.zoneinfo)

        async def work(connection: AsyncConnection) -> None:
            await self.profiles.create(connection, profile)

        await self.database.write(work)
        self.on_commit()
        return True


class WithNewcomers(Protocol):
    """A servicer whose methods may be a user's first call."""

    newcomers: Newcomers


Servicer = TypeVar("Servicer", bound=WithNewcomers)
Method = Callable[[Servicer, Request, Context], Coroutine[Any, Any, Answer]]


def may_be_first(
    method: "Method[Servicer, Request, Answer]",
) -> "Method[Servicer, Request, Answer]":
    """The method, which is called once more when its user's profile had to be created."""

    @wraps(method)
    async def called(servicer: Servicer, request: Request, context: Context) -> Answer:
        try:
            return await method(servicer, request, context)
        except NotFound as missing:
            if not await servicer.newcomers.create(missing):
                raise
        return await method(servicer, request, context)

    return called
