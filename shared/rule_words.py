"""The rules of the contract in words, for those whose requests break them."""

import re
from collections.abc import Iterable
from typing import Any

from google.protobuf.descriptor import FieldDescriptor

from shared.gen.buf.validate.validate_pb2 import (
    DoubleRules,
    FieldRules,
    Int32Rules,
    Int64Rules,
    StringRules,
)
from shared.ids import ID_FORM

_MAX_EXACT = 2**53 - 1
_UPPER = re.compile(r"(?<=[a-z])(?=[A-Z])")

PATTERNS = {
    "^[A-Za-z0-9._:-]{1,64}$": f"must be {ID_FORM}",
    "^[A-Za-z0-9._:-]{0,64}$": f"must be empty or {ID_FORM}",
    r"^[\x21-\x7e]{1,128}$": "must be 1 to 128 printable ASCII characters",
    "^[0-9]{1,18}$": "must be an id that this service gave",
    "^[A-Za-z0-9_-]*$": "is not a token that this service gave",
    "^[0-9]{4}-[0-9]{2}-[0-9]{2}$": 'must be a date like "2026-11-20"',
    "^([0-9]{4}(-[0-9]{2}(-[0-9]{2})?|-W[0-9]{2})?)?$": (
        'must be empty, or like "2026", "2026-11", "2026-W47" or "2026-11-20"'
    ),
    "^[0-9]{4}(-[0-9]{2}(-[0-9]{2})?|-W[0-9]{2})?$": (
        'must be like "2026", "2026-11", "2026-W47" or "2026-11-20"'
    ),
    r"^(https://[\x21-\x7e]+)?$": "must be an https URL of at most {max_len} characters",
    "^[A-Za-z0-9._+/-]{0,64}$": 'must be an IANA time zone such as "Asia/Jakarta"',
    r"^[^\p{Cc}\x{2028}\x{2029}\x{202a}-\x{202e}\x{2066}-\x{2069}]*$": (
        "must be at most {max_len} printable characters"
    ),
}
"""What a pattern of the contract says; with it, max_len."""


def words(rule_id: str, rules: FieldRules, field: FieldDescriptor) -> str:
    """What the rule of this id says of the value of `field`; `rules` are the field's, or those of
    its items.
    """
    kind, _, rule = rule_id.partition(".")
    match kind:
        case "required":
            text = "must be set"
        case "string":
            text = _string(rule, rules.string)
        case "enum":
            text = _enum(rule, rules.enum.not_in, field)
        case "repeated":
            least, most = rules.repeated.min_items, rules.repeated.max_items
            text = f"must hold {_range(least, most) if least else f'at most {most}'}"
        case "duration":
            days = (rules.duration.gte.ToTimedelta().days, rules.duration.lte.ToTimedelta().days)
            text = f"must be {_range(*days)} days"
        case "timestamp":
            text = f"must not be before {rules.timestamp.gte.ToDatetime():%Y-%m-%d}"
        case _:
            text = _number(getattr(rules, kind))
    return text


def _string(rule: str, rules: StringRules) -> str:
    match rule:
        case "uuid":
            return "must be a UUID"
        case "not_in":
            return f"must not be {_either(rules.not_in)}"
        case _:
            return PATTERNS[rules.pattern].format(max_len=rules.max_len)


def _enum(rule: str, refused: Iterable[int], field: FieldDescriptor) -> str:
    enum: Any = field.enum_type
    if rule == "not_in":
        return f"must not be {_either(enum.values_by_number[one].name for one in refused)}"
    return f"is not a known {_UPPER.sub(' ', enum.name).lower()}"


def _number(rules: Int32Rules | Int64Rules | DoubleRules) -> str:
    if rules.HasField("lte"):
        return f"must be {_range(rules.gte, rules.lte)}"
    return f"must be at least {rules.gte}" if rules.gte else "must not be negative"


def _range(least: float, most: float) -> str:
    return f"{_figure(least)} to {_figure(most)}"


def _figure(number: float) -> str:
    if number == _MAX_EXACT:
        return "2^53 - 1"
    return f"{number:.15g}"


def _either(values: Iterable[str]) -> str:
    return " or ".join(values)
