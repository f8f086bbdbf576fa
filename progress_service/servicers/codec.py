"""Protobuf to domain and back, where several servicers need it."""

import re
from datetime import UTC, date, datetime, timedelta

from google.protobuf.duration_pb2 import Duration
from google.protobuf.timestamp_pb2 import Timestamp

from progress_service.domain import bounds
from progress_service.domain.submission import request_id_violations
from progress_service.store.positions import Position
from shared.errors import invalid_field, invalid_fields
from shared.gen.laurel.types.v1 import types_pb2

DEFAULT_PAGE_SIZE = 50
MAX_PAGE_SIZE = 500

_DATE = re.compile("[0-9]{4}-[0-9]{2}-[0-9]{2}")
_MAX_NANOS = 999_999_999
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def timestamp(moment: datetime) -> Timestamp:
    """An aware datetime as a Timestamp, to the microsecond."""
    since = moment - _EPOCH
    return Timestamp(seconds=since.days * 86_400 + since.seconds, nanos=since.microseconds * 1_000)


def moment(stamp: Timestamp, field: str) -> datetime:
    """A Timestamp as an aware datetime; InvalidInput when it is none."""
    if not 0 <= stamp.nanos <= _MAX_NANOS:
        raise invalid_field(field, "must have nanos of 0 to 999,999,999")
    try:
        return _EPOCH + timedelta(seconds=stamp.seconds, microseconds=stamp.nanos // 1_000)
    except OverflowError:
        raise invalid_field(field, "is not a time") from None


def milliseconds(duration: Duration, field: str) -> int:
    """A Duration in whole milliseconds, rounded down: a negative one stays negative.

    InvalidInput when its parts have different signs or nanos make up a second.
    """
    seconds, nanos = duration.seconds, duration.nanos
    if abs(nanos) > _MAX_NANOS or (seconds < 0 < nanos) or (nanos < 0 < seconds):
        raise invalid_field(field, "is not a duration: see its nanos")
    return duration.seconds * 1_000 + duration.nanos // 1_000_000


def duration(ms: int) -> Duration:
    """Milliseconds as a Duration."""
    return Duration(seconds=ms // 1_000, nanos=ms % 1_000 * 1_000_000)


def page_size(asked: int) -> int:
    """0: 50; more than 500: 500; negative: InvalidInput."""
    if asked < 0:
        raise invalid_field("page_size", "must not be negative")
    return min(asked, MAX_PAGE_SIZE) or DEFAULT_PAGE_SIZE


def required_id(value: str, field: str) -> str:
    """The id itself; InvalidInput when it is malformed or empty."""
    if not bounds.is_id(value):
        raise invalid_field(field, f"must be {bounds.ID_FORM}")
    return value


def request_id(value: str) -> str:
    """The request id itself; InvalidInput when it is malformed or empty."""
    violations = [*request_id_violations(value)]
    if violations:
        raise invalid_fields(violations)
    return value


def position_message(position: Position) -> types_pb2.Position:
    """A position for the wire."""
    return types_pb2.Position(epoch=position.epoch, sequence=position.sequence)


def civil_date(text: str, field: str) -> date:
    """An ISO date such as "2026-11-20"; InvalidInput otherwise."""
    try:
        # Other ISO forms, such as "2026-W47-5", are dates to Python, and to nobody else here.
        if _DATE.fullmatch(text):
            return date.fromisoformat(text)
    except ValueError:
        pass
    raise invalid_field(field, 'must be a date like "2026-11-20"')


def number_id(text: str, field: str) -> int:
    """The id of an attempt or entry; InvalidInput when it is not one that this service gives."""
    if not (text.isascii() and text.isdigit() and len(text) <= 18):
        raise invalid_field(field, "must be an id that this service gave")
    return int(text)
