"""The call being served: its id, and who makes it."""

from contextvars import ContextVar
from typing import Protocol


class Call(Protocol):
    """A call being served. What it says of itself is read when it is first asked for."""

    @property
    def request_id(self) -> str: ...

    @property
    def actor(self) -> str: ...


current_call: ContextVar[Call | None] = ContextVar("laurel_call", default=None)


def request_id() -> str:
    """The id of the call being served, "" outside of one; it travels as `x-request-id`."""
    call = current_call.get()
    return call.request_id if call else ""


def actor() -> str:
    """Who makes the call being served, for the record; "" when that is not known.

    What a caller inside says in `x-laurel-actor`, 1 to 128 printable ASCII characters without
    spaces; anything else is read as nothing. The gateway removes it from calls from outside.
    """
    call = current_call.get()
    return call.actor if call else ""
