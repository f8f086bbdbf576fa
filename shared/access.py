"""Who may call what: the rules that the contract declares, and their enforcement."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from google.protobuf.descriptor import Descriptor, FieldDescriptor, MethodDescriptor
from google.protobuf.message import Message

from shared.errors import PermissionDenied
from shared.gen.laurel.types.v1 import access_pb2
from shared.identity import Identity, Role


@dataclass(frozen=True, slots=True)
class AccessRule:
    """What `laurel.types.v1.access` says of one method."""

    role: Role
    user_field: tuple[str, ...] = ()
    own_only: bool = False
    fields: tuple[tuple[str, Role], ...] = ()
    public: bool = False

    def admit(self, identity: Identity) -> None:
        """Raises PermissionDenied (ROLE_REQUIRED) when the caller's role is too small."""
        if identity.role < self.role:
            raise _role_required(self.role, "This method takes")

    def check(self, identity: Identity, request: Message) -> None:
        """Holds a request against the rule, and names the caller where it names no user.

        Raises PermissionDenied: NOT_YOUR_OWN, or ROLE_REQUIRED for a field.
        """
        for name, role in self.fields:
            if identity.role < role and _is_set(request, name):
                raise _role_required(role, f"{name} takes")
        if identity.role is Role.USER and self.user_field:
            self._check_user(identity, request)

    def _check_user(self, identity: Identity, request: Message) -> None:
        holder: Any = request
        for name in self.user_field[:-1]:
            if not holder.HasField(name):
                return  # Without it the request is not valid; nothing is made up.
            holder = getattr(holder, name)
        named = getattr(holder, self.user_field[-1])
        if not named:
            setattr(holder, self.user_field[-1], identity.subject)
        elif self.own_only and named != identity.subject:
            raise PermissionDenied(
                "NOT_YOUR_OWN",
                f"{'.'.join(self.user_field)} must be your own: the token's sub.",
                metadata={"field": ".".join(self.user_field)},
            )


def rule_of(method: MethodDescriptor) -> AccessRule:
    """The rule of a method. Raises ValueError when it has none, or one that makes no sense: a
    server with such a method does not start.
    """
    declared = method.GetOptions().Extensions[access_pb2.access]
    if not declared.role:
        raise ValueError(f"{method.full_name} does not say who may call it")
    rule = AccessRule(
        role=Role(declared.role),
        user_field=tuple(declared.user_field.split(".")) if declared.user_field else (),
        own_only=declared.own_only,
        fields=tuple((field.field, Role(field.role)) for field in declared.fields),
        public=declared.public,
    )
    _check_names(method.input_type, rule)
    return rule


def _check_names(request: Descriptor, rule: AccessRule) -> None:
    holder: Descriptor | None = request
    for name in rule.user_field:
        if holder is None or name not in holder.fields_by_name:
            raise ValueError(f"{request.full_name} has no field {'.'.join(rule.user_field)}")
        field: FieldDescriptor = holder.fields_by_name[name]
        holder = field.message_type
    if rule.own_only and not rule.user_field:
        raise ValueError(f"{request.full_name}: own_only without user_field")
    for name, _ in rule.fields:
        if name not in request.fields_by_name:
            raise ValueError(f"{request.full_name} has no field {name}")


def _is_set(request: Message, name: str) -> bool:
    return any(field.name == name for field, _ in request.ListFields())


def _role_required(role: Role, subject: str) -> PermissionDenied:
    name = role.name.lower()
    return PermissionDenied("ROLE_REQUIRED", f"{subject} the role {name}.", metadata={"role": name})
