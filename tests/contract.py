"""The contract's messages, found by its descriptors."""

import importlib
import pkgutil
from collections.abc import Iterable, Iterator
from typing import Any

from google.protobuf import message_factory
from google.protobuf.descriptor import Descriptor, FieldDescriptor, MethodDescriptor
from google.protobuf.message import Message

from shared.gen import laurel


def methods() -> list[MethodDescriptor]:
    """Every RPC of every service."""
    found: list[MethodDescriptor] = []
    for module in pkgutil.walk_packages(laurel.__path__, f"{laurel.__name__}."):
        if module.name.endswith("_pb2"):
            file: Any = importlib.import_module(module.name).DESCRIPTOR
            for service in file.services_by_name.values():
                found += service.methods
    return found


def request_messages() -> list[Descriptor]:
    """Every message that a request is, or has inside, but those of google.protobuf; by name."""
    found: dict[str, Descriptor] = {}
    _collect((method.input_type for method in methods()), found)
    return [found[name] for name in sorted(found)]


def _collect(messages: Iterable[Descriptor | None], found: dict[str, Descriptor]) -> None:
    for message in messages:
        if message and message.full_name.startswith("laurel.") and message.full_name not in found:
            found[message.full_name] = message
            _collect((field.message_type for field in message.fields), found)


def request_fields() -> Iterator[FieldDescriptor]:
    """Every field of those messages."""
    for message in request_messages():
        yield from message.fields


def instance(message: Descriptor | None, **fields: Any) -> Message:
    """A message of this type."""
    assert message is not None
    return message_factory.GetMessageClass(message)(**fields)
