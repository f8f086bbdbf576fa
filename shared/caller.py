"""The call being served: its id, and who makes it."""

import re
import secrets
from contextvars import ContextVar
from typing import Any

from shared.identity import ANYONE, NOBODY, Actor, Identity, Role

REQUEST_ID_KEY = "x-request-id"
ACTOR_KEY = "x-laurel-actor"
AUTHORIZATION_KEY = "authorization"
_REQUEST_ID = re.compile(r"[A-Za-z0-9._:-]{1,64}")
_ACTOR = re.compile(r"[\x21-\x7e]{1,128}")


class Caller:
    """A call being served, and what it says of itself. Its metadata is read when it is first
    asked for, and once.
    """

    __slots__ = ("_authorization", "_context", "_id", "_named", "identity")

    def __init__(self, context: Any) -> None:
        self._context = context
        self._id = ""
        self._named = ""
        self._authorization = ""
        self.identity: Identity = ANYONE

    @property
    def request_id(self) -> str:
        """The caller's id where it sent a well-formed one, else a new one."""
        if not self._id:
            self._read()
        return self._id

    @property
    def authorization(self) -> str:
        """Its token, unverified; "" without one."""
        if not self._id:
            self._read()
        return self._authorization

    @property
    def actor(self) -> str:
        """For whom it is made: see `actor` below."""
        if not self._id:
            self._read()
        may_name_others = self.identity.role is not Role.USER
        return (self._named if may_name_others else "") or self.identity.subject

    def _read(self) -> None:
        # First: grpc logs metadata that it cannot decode, and each line of the log asks for the id.
        self._id = secrets.token_hex(8)
        given = ""
        for key, value in self._context.invocation_metadata() or ():
            if key == AUTHORIZATION_KEY and not self._authorization and isinstance(value, str):
                self._authorization = value
            elif key == REQUEST_ID_KEY and not given and _matches(_REQUEST_ID, value):
                self._id = given = value
            elif key == ACTOR_KEY and not self._named and _matches(_ACTOR, value):
                self._named = value


def _matches(form: re.Pattern[str], value: object) -> bool:
    return isinstance(value, str) and form.fullmatch(value) is not None


current_call: ContextVar[Caller | None] = ContextVar("laurel_call", default=None)


def request_id() -> str:
    """The id of the call being served, "" outside of one; it travels as `x-request-id`."""
    call = current_call.get()
    return call.request_id if call else ""


def identity() -> Identity:
    """Who makes the call being served; `ANYONE` outside of one."""
    call = current_call.get()
    return call.identity if call else ANYONE


def actor() -> Actor:
    """Who makes the call being served, for the record; NOBODY outside of one.

    The name is the subject of the caller's token. A backend or an administrator's console that
    acts for someone says for whom in `x-laurel-actor`, 1 to 128 printable ASCII characters without
    spaces; anything else is read as nothing, and so is what a user says there.
    """
    call = current_call.get()
    return Actor(call.actor, call.identity.subject) if call else NOBODY
