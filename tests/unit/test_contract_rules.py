"""The rules of the contract: every request field has some, they compile, and there are words."""

import re
import time
from typing import Any

import pytest
from google.protobuf.descriptor import Descriptor, FieldDescriptor
from google.protobuf.descriptor_pb2 import FieldDescriptorProto, FileDescriptorProto
from google.protobuf.message import Message
from protovalidate import Validator, ViolationPb

from shared.errors import InvalidInput
from shared.gen.buf.validate import validate_pb2
from shared.gen.buf.validate.validate_pb2 import IGNORE_ALWAYS
from shared.gen.laurel.leaderboard.v1 import leaderboard_pb2
from shared.gen.laurel.progress.v1 import admin_pb2, catalog_pb2, progress_pb2
from shared.gen.laurel.types.v1 import types_pb2
from shared.rule_words import words
from shared.validation import check, reason_of, rules_of
from tests.contract import instance, request_fields, request_messages

FIELDS = [*request_fields()]
VALIDATOR = Validator()
STRINGS = [one for one in FIELDS if one.type == FieldDescriptor.TYPE_STRING]


def needs_rules(field: FieldDescriptor) -> bool:
    """A bool has no wrong value. What is wrong with a message its own fields say, but for those of
    google.protobuf, which have no rules.
    """
    if field.message_type is not None:
        return field.message_type.full_name.startswith("google.")
    return field.type != FieldDescriptor.TYPE_BOOL


@pytest.mark.parametrize("field", FIELDS, ids=lambda one: one.full_name)
def test_every_request_field_has_a_rule(field: FieldDescriptor) -> None:
    rules = rules_of(field)
    if rules.ignore == IGNORE_ALWAYS:
        return
    if field.is_repeated:
        assert rules.repeated.max_items > 0
        rules = rules.repeated.items
        if rules.ignore == IGNORE_ALWAYS:
            return
    if needs_rules(field):
        assert rules.WhichOneof("type") is not None


@pytest.mark.parametrize("field", STRINGS, ids=lambda one: one.full_name)
def test_no_string_is_of_any_length(field: FieldDescriptor) -> None:
    for long in ("a" * 5_000, "0" * 5_000, "https://" + "a" * 5_000):
        value: Any = [long] if field.is_repeated else long
        request = instance(field.containing_type, **{field.name: value})
        assert field.name in {
            one.proto.field.elements[0].field_name
            for one in VALIDATOR.collect_violations(request)
            if one.proto.field
        }


@pytest.mark.parametrize("message", request_messages(), ids=lambda one: one.full_name)
def test_the_rules_of_a_request_compile(message: Descriptor) -> None:
    # An error would be raised at the first message of the type, whatever is in it.
    VALIDATOR.collect_violations(instance(message))


@pytest.mark.parametrize("field", FIELDS, ids=lambda one: one.full_name)
def test_every_rule_has_words(field: FieldDescriptor) -> None:
    own = rules_of(field)
    for rules in (own, own.repeated.items):
        kind = rules.WhichOneof("type")
        for rule, _ in getattr(rules, kind).ListFields() if kind else ():
            if rule.name != "items":
                said = words(f"{kind}.{rule.name}", rules, field)
                assert re.match("must |is not ", said)
                assert "{" not in said


def test_a_reason_of_its_own_is_told_where_the_contract_says_so() -> None:
    found: dict[str, set[str]] = {}
    for field in request_fields():
        found.setdefault(reason_of(field), set()).add(field.name)
    del found["INVALID_FIELD"]
    assert found == {
        "INVALID_SCORE": {"correct_answers", "total_questions"},
        "INVALID_PAGE_TOKEN": {"page_token"},
        "INVALID_CONSISTENCY_TOKEN": {"consistency_token"},
    }


def refusal(request: Message) -> InvalidInput:
    with pytest.raises(InvalidInput) as caught:
        check(request)
    return caught.value


def named(error: InvalidInput) -> list[str]:
    return [one.field for one in error.violations]


def test_fields_are_named_by_their_paths_and_in_words() -> None:
    levels = [
        catalog_pb2.Level(level_id="a"),
        catalog_pb2.Level(level_id="b", prerequisite_level_ids=["a", "!"], pass_ratio=2),
    ]
    sections = [catalog_pb2.Section(section_id="s", levels=levels)]
    course = catalog_pb2.Course(course_id="c", unlock_mode=9, sections=sections)  # type: ignore[arg-type]
    error = refusal(catalog_pb2.PutCourseRequest(course=course))
    at = "course.sections[0].levels[1]"
    assert {one.field: one.description for one in error.violations} == {
        "course.unlock_mode": "is not a known unlock mode",
        f"{at}.pass_ratio": "must be 0 to 1",
        f"{at}.prerequisite_level_ids[1]": "must be 1 to 64 of A-Z a-z 0-9 . _ : -",
    }
    assert error.reason == "INVALID_FIELD"
    assert error.message.startswith("course.unlock_mode: is not a known unlock mode; ")


def test_a_reason_is_told_when_it_is_that_of_every_wrong_field() -> None:
    request = progress_pb2.SubmitProgressRequest(user_id="a", level_id="b", request_id="r")
    error = refusal(request)
    assert (error.reason, named(error)) == ("INVALID_SCORE", ["correct_answers", "total_questions"])
    request.ClearField("request_id")
    error = refusal(request)
    assert error.reason == "INVALID_FIELD"
    assert named(error) == ["request_id", "correct_answers", "total_questions"]
    both = leaderboard_pb2.GetTopRequest(page_token=" ", consistency_token=" ")
    assert refusal(both).reason == "INVALID_FIELD"


def test_of_what_was_sent_nothing_is_repeated() -> None:
    sent = "<b>%s{0}</b>\n\x1b[31m"
    error = refusal(
        catalog_pb2.PutUserRequest(
            user=catalog_pb2.User(user_id=sent, display_name=sent, avatar_url=sent, time_zone=sent)
        )
    )
    said = error.message + "".join(one.description for one in error.violations)
    assert len(error.violations) == 4
    assert not {*"<%{\n\x1b"} & {*said}


def test_violations_are_few_and_soon_found_however_many_there_are() -> None:
    few = leaderboard_pb2.BatchGetRanksRequest(user_ids=[""] * 250)
    assert named(refusal(few)) == [f"user_ids[{n}]" for n in range(10)]
    began = time.perf_counter()
    wrong = catalog_pb2.Level(prerequisite_level_ids=["!"] * 5_000)
    sections = [catalog_pb2.Section(levels=[wrong] * 100)]
    many = catalog_pb2.PutCourseRequest(course=catalog_pb2.Course(sections=sections))
    assert named(refusal(many)) == ["course.course_id"]
    too_many = leaderboard_pb2.BatchGetRanksRequest(user_ids=["!"] * 1_000_000)
    assert named(refusal(too_many)) == ["user_ids"]
    # To name each of these 1.5 million takes 20 s.
    assert time.perf_counter() - began < 2


def test_an_import_is_not_refused_for_one_of_its_items() -> None:
    wrong = admin_pb2.ImportProgressRequest(
        users=[catalog_pb2.User()],
        courses=[catalog_pb2.Course()],
        attempts=[admin_pb2.ImportedAttempt()],
        awards=[progress_pb2.AwardXpRequest()],
        active_days=[admin_pb2.ActiveDay()],
    )
    check(wrong)
    for item in (wrong.users[0], wrong.courses[0], wrong.attempts[0], wrong.awards[0]):
        refusal(item)
    wrong.users.extend([catalog_pb2.User()] * 1_000)
    assert named(refusal(wrong)) == ["users"]


def test_a_course_is_read_with_the_version_that_an_answer_had() -> None:
    section = catalog_pb2.Section(section_id="s")
    for version in (-1, 0, 2**63 - 1):
        course = catalog_pb2.Course(course_id="c", version=version, sections=[section])
        check(catalog_pb2.PutCourseRequest(course=course))


def test_the_excerpt_says_what_protovalidate_says() -> None:
    whole = FileDescriptorProto.FromString(ViolationPb.desc().file.proto.to_binary())
    excerpt = FileDescriptorProto()
    validate_pb2.DESCRIPTOR.CopyToProto(excerpt)
    assert excerpt.package == whole.package
    assert {*map(signature, excerpt.extension)} <= {*map(signature, whole.extension)}
    messages = {one.name: {*map(signature, one.field)} for one in whole.message_type}
    for message in excerpt.message_type:
        assert {*map(signature, message.field)} <= messages[message.name]
    values = {(one.name, each.name, each.number) for one in whole.enum_type for each in one.value}
    for enum in excerpt.enum_type:
        assert {(enum.name, each.name, each.number) for each in enum.value} <= values


def signature(field: FieldDescriptorProto) -> tuple[object, ...]:
    return field.name, field.number, field.type, field.label, field.type_name, field.extendee


def test_an_empty_board_and_position_are_right() -> None:
    check(leaderboard_pb2.GetTopRequest(board=types_pb2.Board()))
    check(progress_pb2.WatchXpDeltasRequest(after=types_pb2.Position()))
    refusal(progress_pb2.WatchXpDeltasRequest(after=types_pb2.Position(epoch="0")))
