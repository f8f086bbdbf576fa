"""The rule of a method is in its contract: one that has none, or one that makes no sense, keeps a
server from starting.
"""

import pytest
from google.protobuf import descriptor_pb2, descriptor_pool
from google.protobuf.descriptor import MethodDescriptor

from shared.access import AccessRule, rule_of
from shared.errors import PermissionDenied
from shared.gen.laurel.progress.v1 import admin_pb2, catalog_pb2
from shared.gen.laurel.types.v1 import access_pb2
from shared.identity import Identity, Role

ANN = Identity("ann", Role.USER)
BACKEND = Identity("backend", Role.SERVICE)
USER, ADMIN = access_pb2.ROLE_USER, access_pb2.ROLE_ADMIN


def method(rule: access_pb2.AccessRule | None) -> MethodDescriptor:
    """A method with this rule; its request has user_id, and owner with user_id within."""
    text = descriptor_pb2.FieldDescriptorProto.TYPE_STRING
    inner = descriptor_pb2.FieldDescriptorProto.TYPE_MESSAGE
    one = descriptor_pb2.FieldDescriptorProto.LABEL_OPTIONAL
    file = descriptor_pb2.FileDescriptorProto(name="made.proto", package="made", syntax="proto3")
    owner = file.message_type.add(name="Owner")
    owner.field.add(name="user_id", number=1, type=text, label=one)
    request = file.message_type.add(name="Request")
    request.field.add(name="user_id", number=1, type=text, label=one)
    request.field.add(name="owner", number=2, type=inner, label=one, type_name=".made.Owner")
    made = file.service.add(name="Made").method.add(
        name="Do", input_type=".made.Request", output_type=".made.Request"
    )
    if rule is not None:
        made.options.Extensions[access_pb2.access].CopyFrom(rule)
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    return pool.FindServiceByName("made.Made").methods_by_name["Do"]


def test_a_method_that_does_not_say_who_may_call_it_has_no_rule() -> None:
    with pytest.raises(ValueError, match=r"made\.Made\.Do does not say who may call it"):
        rule_of(method(None))


@pytest.mark.parametrize(
    "rule",
    [
        access_pb2.AccessRule(public=True),
        access_pb2.AccessRule(role=USER, own_only=True),
        access_pb2.AccessRule(role=USER, user_field="nobody"),
        access_pb2.AccessRule(role=USER, user_field="owner.nobody"),
        access_pb2.AccessRule(role=USER, user_field="user_id.nobody"),
        access_pb2.AccessRule(
            role=USER, fields=[access_pb2.FieldAccess(field="nothing", role=ADMIN)]
        ),
        access_pb2.AccessRule(role=USER, fields=[access_pb2.FieldAccess(field="owner")]),
        access_pb2.AccessRule(role=7),  # type: ignore[arg-type]
    ],
)
def test_a_rule_that_makes_no_sense_is_none(rule: access_pb2.AccessRule) -> None:
    with pytest.raises(ValueError):  # noqa: PT011 - whatever it says
        rule_of(method(rule))


def test_a_rule_is_read_from_the_contract() -> None:
    declared = access_pb2.AccessRule(
        role=USER,
        user_field="owner.user_id",
        own_only=True,
        fields=[access_pb2.FieldAccess(field="user_id", role=ADMIN)],
    )

    assert rule_of(method(declared)) == AccessRule(
        Role.USER, ("owner", "user_id"), own_only=True, fields=(("user_id", Role.ADMIN),)
    )


def test_a_part_that_is_left_out_is_not_made_up() -> None:
    rule = AccessRule(Role.USER, ("user", "user_id"), own_only=True)
    request = catalog_pb2.PutUserRequest()

    rule.check(ANN, request)

    assert not request.HasField("user")
    request.user.SetInParent()
    rule.check(ANN, request)
    assert request.user.user_id == "ann"


def test_a_field_that_is_set_takes_its_role_even_when_what_is_in_it_is_empty() -> None:
    rule = AccessRule(Role.SERVICE, fields=(("courses", Role.ADMIN),))
    request = admin_pb2.ImportProgressRequest()

    rule.check(BACKEND, request)
    request.courses.add()
    with pytest.raises(PermissionDenied):
        rule.check(BACKEND, request)
