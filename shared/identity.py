"""Who makes a call, and what that lets it do."""

import math
from dataclasses import dataclass
from enum import IntEnum
from typing import NamedTuple


class Role(IntEnum):
    """What a caller may do; each role may also do what the lesser ones may. The numbers are those
    of the contract's `laurel.types.v1.Role`.
    """

    USER = 1
    SERVICE = 2
    ADMIN = 3


@dataclass(frozen=True, slots=True)
class Identity:
    """A caller, as its verified token tells.

    `expires` is when the token ends, in seconds since 1970, clock skew included; infinite for one
    who needs no token. The last three are what the token says of a person, "" where it does not.
    """

    subject: str
    role: Role
    expires: float = math.inf
    name: str = ""
    picture: str = ""
    zoneinfo: str = ""


class Actor(NamedTuple):
    """Who did something, for the record. `caller`: the subject of the token that the call was made
    with; `name`: for whom, as the caller says, or the caller; "" where that is not known.
    """

    name: str = ""
    caller: str = ""

    def without(self, subject: str) -> "Actor":
        """The same, with nothing that names this one."""
        return Actor(*("" if one == subject else one for one in self))


NOBODY = Actor()

ANYONE = Identity("", Role.ADMIN)
"""The caller where authentication is off, and outside of any call: nothing is kept from it."""
