"""Requests of any kind, drawn by hypothesis from the descriptors of the contract.

A message is odd in none of its fields, in one here and there, or in every one: whoever is odd in
all of them is refused for the first. What is not odd is plausible: an id that there is, a small
amount, a moment of these days.
"""

import time
from collections.abc import Mapping, Sequence
from typing import Any

from google.protobuf.descriptor import Descriptor, FieldDescriptor
from google.protobuf.message import Message
from google.protobuf.message_factory import GetMessageClass
from hypothesis import strategies as st

Field = FieldDescriptor
Known = Mapping[str, Sequence[str]]
"""Values that there are, by the name of the field: what gets a call past the first look."""

LONG = 70_000
"""More than the services take from a user."""
_ODD_TEXTS = [
    "",
    " ",
    "\x00",
    "a\x00b",
    '\n{"level":"error"}\n',
    "\r\n",
    "\x1b[2J",
    "\x7f",
    "\x85",
    "\u2028",
    "\u202e",
    "\ufeff",
    "\ufffd",
    "\uffff",
    "\u0301" * 40,
    "\U0010ffff",
    "\N{PILE OF POO}" * 25,
    "\u0130\u0131\u017f\u212a",
    "\ufdfa" * 33,
    "' OR 1=1 --",
    "'; drop table users; --",
    "\\x00",
    "%s%n%d",
    "{}{0}{user_id}",
    "${jndi:ldap://x}",
    "../../../etc/passwd",
    "*:board:*",
    "{user}:1",
    "NaN",
    "-1",
    "\u0663",
    "9" * 18,
    "9" * 19,
    "9" * 400,
    "2026-02-30",
    "0000-00-00",
    "9999-12-31",
    "2026-W00",
    "2026-W53",
    "0001",
    "Mars/Phobos",
    "/etc/localtime",
    "..",
    "https://",
    "https://" + "a" * 600,
    "javascript:alert(1)",
    "level",
    "xp",
    "marks",
    "~1",
    "A" * 64,
    "A" * 65,
    "A" * 128,
    "A" * 129,
    "é" * 501,
    "_" * 2048,
    "_" * 2049,
    "A" * LONG,
]
_TEXT = st.sampled_from(_ODD_TEXTS) | st.text(
    st.characters(blacklist_categories=["Cs"]), max_size=30
)
_EDGES_32 = [0, -1, 1, 2, 499, 500, 501, 5001, 2**15, 2**31 - 2, 2**31 - 1, -(2**31)]
_EDGES_64 = [*_EDGES_32, 2**31, 2**32, 2**53 - 1, 2**53, 2**53 + 1, 2**63 - 1, -(2**63)]
_DOUBLES = [0.0, -0.0, 1.0, 5e-324, -1e-9, 1.0000000001, 1.7976931348623157e308, float("inf")]
_NOT_DOUBLES = [float("-inf"), float("nan"), -float("nan")]
_ODD: dict[int, st.SearchStrategy[Any]] = {
    Field.TYPE_STRING: _TEXT,
    Field.TYPE_BOOL: st.booleans(),
    Field.TYPE_INT32: st.sampled_from(_EDGES_32) | st.integers(-(2**31), 2**31 - 1),
    Field.TYPE_INT64: st.sampled_from(_EDGES_64) | st.integers(-(2**63), 2**63 - 1),
    Field.TYPE_DOUBLE: st.sampled_from(_DOUBLES + _NOT_DOUBLES) | st.floats(),
    Field.TYPE_ENUM: st.sampled_from([-1, 0, 6, 99, 2**31 - 1, -(2**31)]),
}
_PLAUSIBLE: dict[int, st.SearchStrategy[Any]] = {
    Field.TYPE_STRING: st.text("abc-1", min_size=1, max_size=12),
    Field.TYPE_BOOL: st.booleans(),
    Field.TYPE_INT32: st.integers(1, 10),
    Field.TYPE_INT64: st.integers(1, 100),
    Field.TYPE_DOUBLE: st.sampled_from([0.0, 0.25, 0.5, 1.0]),
    Field.TYPE_ENUM: st.integers(0, 3),
}
_NONE, _SOME, _ALL = range(3)
_ONE = st.sampled_from([1, 1, 1, 0, 2])
_FEW = st.sampled_from([1, 1, 1, 2, 3])
_ANY_NUMBER = st.sampled_from([0, 1, 2, 11, 101, 501, 1001])
_ODDNESS = st.sampled_from([_NONE, _NONE, _SOME, _SOME, _ALL])
_ONE_IN_SIX = st.sampled_from([True] + [False] * 5)
_ONE_IN_TEN = st.integers(0, 9)
MAX_CHARS = 100_000
"""About the most in the lists of a request."""


def breadth(message: Descriptor) -> int:
    """The fields of a message and of all that is in it: what drawing one takes."""
    return 1 + sum(
        breadth(field.message_type) if field.message_type else 1 for field in message.fields
    )


def requests(message: Descriptor, known: Known) -> st.SearchStrategy[Message]:
    """Any request of this type."""

    @st.composite
    def drawn(draw: st.DrawFn) -> Message:
        return _Drawing(draw, known).message(message, draw(_ODDNESS))

    return drawn()


class _Drawing:
    """One request while it is drawn."""

    def __init__(self, draw: st.DrawFn, known: Known) -> None:
        self._draw = draw
        self._known = known
        self._room = MAX_CHARS

    def message(self, of: Descriptor, oddness: int, *, in_list: bool = False) -> Message:
        made = GetMessageClass(of)()
        if of.full_name in _TIMES:
            self._fill_time(made, of.full_name, oddness)
            return made
        for field in of.fields:
            odd = oddness == _ALL or (oddness == _SOME and self._draw(_ONE_IN_SIX))
            # Left out at times; nearly always there when all must be well.
            if self._draw(_ONE_IN_TEN) < (3 if odd else 1):
                continue
            if field.is_repeated:
                count = self._draw(_ONE if in_list else _ANY_NUMBER if odd else _FEW)
                getattr(made, field.name).extend(self._list(field, count, oddness, odd))
            elif field.message_type:
                part = self.message(field.message_type, _ALL if odd else oddness, in_list=in_list)
                getattr(made, field.name).CopyFrom(part)
            else:
                setattr(made, field.name, self._value(field, odd))
        return made

    def _list(self, field: Field, count: int, oddness: int, odd: bool) -> list[Any]:
        """So many, or as many as there is room for; copies of a few."""
        few: list[Any] = [
            self.message(field.message_type, oddness, in_list=True)
            if field.message_type
            else self._value(field, odd)
            for _ in range(min(count, 3))
        ]
        size = sum(one.ByteSize() if isinstance(one, Message) else len(str(one)) for one in few)
        fit = len(few) * self._room // max(size, 1)
        count = max(min(count, fit), len(few))
        self._room -= size * count // max(len(few), 1)
        return [few[number % len(few)] for number in range(count)]

    def _value(self, field: Field, odd: bool) -> Any:
        if odd:
            return self._draw(_ODD[field.type])
        if field.type == Field.TYPE_STRING and field.name in self._known:
            return self._draw(st.sampled_from(self._known[field.name]))
        return self._draw(_PLAUSIBLE[field.type])

    def _fill_time(self, made: Any, name: str, oddness: int) -> None:
        if oddness == _ALL:
            made.seconds = self._draw(_ODD[Field.TYPE_INT64])
            made.nanos = self._draw(_ODD[Field.TYPE_INT32])
        else:
            now = int(time.time()) if name.endswith("Timestamp") else 3600
            made.seconds = now - self._draw(st.integers(0, 3600))


_TIMES = {"google.protobuf.Timestamp", "google.protobuf.Duration"}
