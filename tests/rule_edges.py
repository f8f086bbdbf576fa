"""Values at the edges of what fields may hold, by the field's type."""

from collections.abc import Iterator
from typing import Any, NamedTuple

from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.duration_pb2 import Duration
from google.protobuf.message import Message
from google.protobuf.timestamp_pb2 import Timestamp
from hypothesis import strategies as st

F = FieldDescriptor

LENGTHS = [0, 1, 18, 19, 40, 41, 64, 65, 100, 101, 128, 129, 200, 201, 500, 501, 512, 513, 2_049]
# Line ends, controls, joiners, direction; digits and letters that are not ASCII's; two planes.
ODD = [
    *"\n \t\0\x1f\x7f\x85/!~",
    *"\u2028\u2029\u200d\u200f\u202a\u202e\u2066\u2069\ufeff\xe9\u0663\uff10\u212a\u017f\U0001f600",
]
FORMS = [
    "xp",
    "marks",
    "level",
    "2026",
    "2026-11",
    "2026-W47",
    "2026-W54",
    "2026-11-20",
    "2026-02-30",
    "2026-1-2",
    "0000-01-01",
    "1999-12-31",
    "2000-01-01",
    "2100-12-31",
    "2101-01-01",
    "٢٠٢٦-11-20",
    "Asia/Jakarta",
    "America/Argentina/ComodRivadavia",
    "Etc/GMT+5",
    "https://example.com/a.png?x=%20#y",
    "https://",
    "http://example.com/",
    "https://example.com/a b",
    "https://example.com:0/",
    "00000000-0000-4000-8000-000000000000",
]
TEXTS = [
    *FORMS,
    *(one * length for one in ("a", "0", "é", "\U0001f600", " ") for length in LENGTHS),
    *("https://a/" + "a" * (length - 10) for length in (511, 512, 513)),
    *(text for odd in ODD for text in (odd, f"a{odd}", f"{odd}a", f"a{odd}a", f"2026{odd}")),
]
INTEGERS = [
    *range(-2, 8),
    *(bound + by for bound in (366, 500, 5_000, 2**31, 2**53, -(2**31)) for by in (-1, 0, 1)),
    2**63 - 1,
    -(2**63),
]
RATIOS = [-1.0, -1e-300, -0.0, 0.0, 0.5, 1.0, 1.0000001, 2.0, float("inf"), float("nan")]
SECONDS = [
    *(bound + by for bound in (0, 366 * 86_400, 946_684_800, 1_763_640_000) for by in (-1, 0, 1)),
    *(
        bound + by
        for bound in (253_402_300_800, -62_135_596_800, 315_576_000_000)
        for by in (-1, 0)
    ),
    2**63 - 1,
    -(2**63),
]
# Whole milliseconds, which is what the domain keeps of a duration.
NANOS = [0, 1_000_000, 999_000_000, -1_000_000, 10**9, -(10**9), 2**31 - 1, -(2**31)]
SIZES = [0, 1, 2, 5, 6, 10, 11, 500, 501]


class Place(NamedTuple):
    """The descriptor of a field somewhere in a message; `path` leads to the message that has it."""

    path: tuple[tuple[str, int | None], ...]
    field: Any


def places(message: Message, path: tuple[tuple[str, int | None], ...] = ()) -> Iterator[Place]:
    """Every field of the message and of the first of each that is set in it."""
    for field in message.DESCRIPTOR.fields:
        yield Place(path, field)
        value: Any = getattr(message, field.name)
        if field.message_type is None or field.message_type.full_name.startswith("google."):
            continue
        if field.is_repeated:
            yield from places(value[0], (*path, (field.name, 0)))
        elif message.HasField(field.name):
            yield from places(value, (*path, (field.name, None)))


def changed(message: Message, place: Place, value: Any) -> Message:
    """A copy that holds this value there; None: nothing."""
    copy = type(message)()
    copy.CopyFrom(message)
    at: Any = copy
    for name, index in place.path:
        at = getattr(at, name) if index is None else getattr(at, name)[index]
    at.ClearField(place.field.name)
    if value is not None:
        if place.field.is_repeated:
            getattr(at, place.field.name).extend(value)
        elif place.field.message_type is not None:
            getattr(at, place.field.name).CopyFrom(value)
        else:
            setattr(at, place.field.name, value)
    return copy


def edges(message: Message, place: Place) -> list[Any]:
    """What to put there."""
    field = place.field
    singles = [*_fitting(field)]
    if not field.is_repeated:
        return [None, *singles]
    at: Any = message
    for name, index in place.path:
        at = getattr(at, name) if index is None else getattr(at, name)[index]
    items = getattr(at, field.name)
    return [
        *([items[0]] * size for size in SIZES),
        *([items[0], one] for one in singles),
    ]


def _fitting(field: Any) -> Iterator[Any]:
    match field.type:
        case F.TYPE_STRING:
            yield from TEXTS
        case F.TYPE_INT32:
            yield from (one for one in INTEGERS if -(2**31) <= one < 2**31)
        case F.TYPE_INT64:
            yield from (one for one in INTEGERS if -(2**63) <= one < 2**63)
        case F.TYPE_ENUM:
            yield from (*range(-1, 8), 2**31 - 1, -(2**31))
        case F.TYPE_DOUBLE:
            yield from RATIOS
        case F.TYPE_BOOL:
            yield from (False, True)
        case F.TYPE_MESSAGE:
            kind: Any = {"Timestamp": Timestamp, "Duration": Duration}.get(field.message_type.name)
            if kind:
                yield from (kind(seconds=s, nanos=n) for s in SECONDS for n in NANOS)


def any_value(field: Any) -> st.SearchStrategy[Any]:
    """Any value of a field that is no list."""
    match field.type:
        case F.TYPE_STRING:
            near = st.from_regex(r"[A-Za-z0-9._:-]{0,70}.?\n?", fullmatch=True)
            return st.text(max_size=600) | near
        case F.TYPE_INT32 | F.TYPE_ENUM:
            return st.integers(-(2**31), 2**31 - 1)
        case F.TYPE_INT64:
            return st.integers(-(2**63), 2**63 - 1)
        case F.TYPE_DOUBLE:
            return st.floats()
        case F.TYPE_BOOL:
            return st.booleans()
    return st.builds(
        Timestamp if field.message_type.name == "Timestamp" else Duration,
        seconds=st.integers(-(2**40), 2**40),
        nanos=st.integers(-1_100, 1_100).map(lambda ms: ms * 1_000_000),
    )
