"""Requests held against the rules that the contract declares for their fields.

The rules are Protovalidate's (https://protovalidate.com), which looks at the message in place and
keeps what it has compiled for each type.
"""

from dataclasses import dataclass
from typing import Any

from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.message import Message
from protovalidate import Validator, ViolationPb

from shared.errors import INVALID_FIELD, FieldViolation, invalid_fields
from shared.gen.buf.validate.validate_pb2 import FieldRules
from shared.gen.buf.validate.validate_pb2 import field as field_rules
from shared.gen.laurel.types.v1.violation_pb2 import violation_reason
from shared.rule_words import words

_MAX_VIOLATIONS = 10
_THOROUGH_BYTES = 512
"""A violation costs some 15 µs, and a large request may hold thousands: of such, one is named."""

_validator = Validator()


def check(request: Message) -> None:
    """Raises InvalidInput that names fields which break their rules, in words of the rule and
    never of the value: with the reason that the contract gives to all of these fields
    (`violation_reason`), else INVALID_FIELD.
    """
    found = _validator.collect_violations(request, fail_fast=True)
    if not found:
        return
    if request.ByteSize() <= _THOROUGH_BYTES:
        found = _validator.collect_violations(request)
    # A value may break several rules, which are one in words.
    wrong = {one.path: one for one in (_wrong(request, each.proto) for each in found)}
    reasons = {one.reason for one in wrong.values()}
    # Those with a reason of their own come last: among others it is not told.
    named = sorted(wrong.values(), key=lambda one: one.reason != INVALID_FIELD)[:_MAX_VIOLATIONS]
    raise invalid_fields(
        [FieldViolation(one.path, one.description) for one in named],
        reason=reasons.pop() if len(reasons) == 1 else INVALID_FIELD,
    )


def rules_of(field: FieldDescriptor) -> FieldRules:
    """The field's rules; an empty message without any."""
    return field.GetOptions().Extensions[field_rules]


def reason_of(field: FieldDescriptor) -> str:
    """The reason with which a request is refused when this field breaks its rules."""
    return field.GetOptions().Extensions[violation_reason] or INVALID_FIELD


@dataclass(frozen=True, slots=True)
class _Wrong:
    """A field that breaks a rule."""

    path: str
    description: str
    reason: str


def _wrong(request: Message, violation: ViolationPb) -> _Wrong:
    names: list[str] = []
    at: Any = request.DESCRIPTOR
    field, index = None, None
    for element in violation.field.elements if violation.field else ():
        field, index = at.fields_by_name[element.field_name], element.subscript
        names.append(f"{field.name}[{index.value}]" if index else field.name)
        at = field.message_type
    if field is None:
        raise TypeError(f"the rule {violation.rule_id} is not of a field")
    rules = rules_of(field)
    description = words(violation.rule_id, rules.repeated.items if index else rules, field)
    return _Wrong(".".join(names), description, reason_of(field))
