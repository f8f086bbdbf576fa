"""What a CSV file may hold: the columns of each kind, and how their texts are read.

A column is a field of the contract, by its name there; only `time_spent_seconds` is a number
where the contract has a Duration. An empty value leaves its field unset.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, date, datetime
from enum import StrEnum
from functools import partial
from typing import Any, NamedTuple

from shared.gen.laurel.progress.v1.admin_pb2 import ImportProgressRequest

Put = Callable[[Any, str], None]
"""Sets a field of an item to what a text says; raises ValueError with what is wrong with it."""

REQUEST_ID = "request_id"
"""The column that is made up where it is missing or empty."""

_WHOLE = re.compile(r"[+-]?[0-9]{1,19}", re.ASCII)
_DECIMAL = re.compile(r"([+-]?)([0-9]{1,12})(?:\.([0-9]+))?", re.ASCII)
_RFC_3339 = re.compile(
    r"\d{4}-\d\d-\d\d[Tt ]\d\d:\d\d:\d\d(?:\.\d+)?(?P<offset>[Zz]|[+-]\d\d:\d\d)?", re.ASCII
)
_DATE = re.compile(r"\d{4}-\d\d-\d\d", re.ASCII)
_FLAGS = {"true": True, "1": True, "false": False, "0": False}
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class Column(NamedTuple):
    """A column by name; `form` is what its values look like, for people."""

    name: str
    form: str
    put: Put
    required: bool = False


class KindName(StrEnum):
    """Of a file; all its rows are of one."""

    USERS = "users"
    ATTEMPTS = "attempts"
    AWARDS = "awards"
    ACTIVE_DAYS = "active-days"


@dataclass(frozen=True)
class Kind:
    """What each row of a file becomes: an item of `field` of a request."""

    name: KindName
    field: str
    columns: tuple[Column, ...]

    @property
    def has_request_ids(self) -> bool:
        """Whether its items are recorded, each under a request id; else they are stored."""
        return any(column.name == REQUEST_ID for column in self.columns)

    def items(self, request: ImportProgressRequest) -> Any:
        """Those of a request."""
        return getattr(request, self.field)

    def described(self) -> str:
        """The columns in one line."""
        return ", ".join(
            f"{one.name} ({'required, ' if one.required else ''}{one.form})" for one in self.columns
        )


def _text(field: str, item: Any, text: str) -> None:
    setattr(_owner(item, field), field, text)


def _whole(field: str, bits: int, item: Any, text: str) -> None:
    if not _WHOLE.fullmatch(text):
        raise ValueError("is not a whole number")
    number = int(text)
    if not -(2 ** (bits - 1)) <= number < 2 ** (bits - 1):
        raise ValueError("is out of range")
    setattr(_owner(item, field), field, number)


def _flag(field: str, item: Any, text: str) -> None:
    flag = _FLAGS.get(text.lower())
    if flag is None:
        raise ValueError("is none of true, false, 1, 0")
    setattr(item, field, flag)


def _seconds(field: str, item: Any, text: str) -> None:
    match = _DECIMAL.fullmatch(text)
    if not match:
        raise ValueError("is not a number of seconds")
    sign = -1 if match[1] == "-" else 1
    duration = getattr(_owner(item, field), field)
    duration.seconds = sign * int(match[2])
    duration.nanos = sign * int((match[3] or "0")[:9].ljust(9, "0"))


def _moment(field: str, item: Any, text: str) -> None:
    match = _RFC_3339.fullmatch(text)
    if not match:
        raise ValueError("is not a time like 2026-11-20T09:30:00Z")
    if not match["offset"]:
        raise ValueError("has no offset from UTC, as in 2026-11-20T09:30:00+07:00")
    try:
        since = datetime.fromisoformat(text.upper()) - _EPOCH
    except (ValueError, OverflowError):
        raise ValueError("is not a time that there is") from None
    stamp = getattr(_owner(item, field), field)
    stamp.seconds = since.days * 86_400 + since.seconds
    stamp.nanos = since.microseconds * 1_000


def _day(field: str, item: Any, text: str) -> None:
    if not _DATE.fullmatch(text):
        raise ValueError("is not a date like 2026-11-20")
    try:
        date.fromisoformat(text)
    except ValueError:
        raise ValueError("is not a day that there is") from None
    setattr(item, field, text)


def _owner(item: Any, field: str) -> Any:
    """The message that has the field: an imported attempt holds its submission."""
    return item if field in item.DESCRIPTOR.fields_by_name else item.attempt


def _id(field: str, *, required: bool = False) -> Column:
    return Column(field, "an id", partial(_text, field), required)


def _string(field: str) -> Column:
    return Column(field, "text", partial(_text, field))


def _number(field: str, bits: int) -> Column:
    return Column(field, "a whole number", partial(_whole, field, bits), required=True)


def _boolean(field: str) -> Column:
    return Column(field, "true, false, 1 or 0", partial(_flag, field))


_OCCURRED_TIME = Column(
    "occurred_time", "RFC 3339, such as 2026-11-20T09:30:00Z", partial(_moment, "occurred_time")
)

KINDS = {
    kind.name: kind
    for kind in (
        Kind(
            KindName.USERS,
            "users",
            (
                _id("user_id", required=True),
                _string("display_name"),
                _string("avatar_url"),
                _string("time_zone"),
                _boolean("hidden"),
            ),
        ),
        Kind(
            KindName.ATTEMPTS,
            "attempts",
            (
                _id("user_id", required=True),
                _id("level_id", required=True),
                _number("correct_answers", 32),
                _number("total_questions", 32),
                Column("time_spent_seconds", "a number", partial(_seconds, "time_spent")),
                _OCCURRED_TIME,
                _boolean("without_xp"),
                _string(REQUEST_ID),
            ),
        ),
        Kind(
            KindName.AWARDS,
            "awards",
            (
                _id("user_id", required=True),
                _number("amount", 64),
                _id("source", required=True),
                _id("metric"),
                _string("reference"),
                _id("course_id"),
                _OCCURRED_TIME,
                _string(REQUEST_ID),
            ),
        ),
        Kind(
            KindName.ACTIVE_DAYS,
            "active_days",
            (
                _id("user_id", required=True),
                Column("date", "such as 2026-11-20", partial(_day, "date"), required=True),
            ),
        ),
    )
}
