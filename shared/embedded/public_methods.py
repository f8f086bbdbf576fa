"""The methods of the contract, and which of them are public: read from its descriptors."""

import pkgutil
from collections.abc import Iterator
from importlib import import_module

from google.protobuf.descriptor import FileDescriptor, MethodDescriptor

from shared.access import rule_of
from shared.gen import laurel


def methods() -> Iterator[MethodDescriptor]:
    """Every method of every service in shared.gen, in the order of the files."""
    for file in _files():
        for service in file.services_by_name.values():
            yield from service.methods


def public_methods() -> list[MethodDescriptor]:
    """Those that pass the gateway's public listener. ValueError when one has no access rule."""
    return [method for method in methods() if rule_of(method).public]


def path_of(method: MethodDescriptor) -> str:
    """The path of its calls, /package.Service/Method."""
    return f"/{method.containing_service.full_name}/{method.name}"


def _files() -> Iterator[FileDescriptor]:
    for module in pkgutil.walk_packages(laurel.__path__, f"{laurel.__name__}."):
        if module.name.endswith("_pb2"):
            yield import_module(module.name).DESCRIPTOR
