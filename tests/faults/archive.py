"""A run on disk: one JSON object a line, each with its kind; gzip where the name ends with .gz.

Read by people too: messages are written as protobuf's JSON, with their type's name.
"""

import dataclasses
import gzip
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO, Any, cast

from google.protobuf import json_format, symbol_database
from google.protobuf.message import Message

from shared.gen.laurel.leaderboard.v1 import admin_pb2 as _leaderboard_admin  # noqa: F401
from shared.gen.laurel.leaderboard.v1 import leaderboard_pb2 as _leaderboard  # noqa: F401
from shared.gen.laurel.progress.v1 import admin_pb2 as _progress_admin  # noqa: F401
from shared.gen.laurel.progress.v1 import catalog_pb2 as _catalog  # noqa: F401
from shared.gen.laurel.progress.v1 import progress_pb2
from tests.faults.recording import (
    Act,
    Attempt,
    Branch,
    Call,
    Entry,
    Failure,
    Key,
    Recorded,
    Sample,
    Stream,
    Tenure,
)

_MESSAGE = "@type"
_LISTS: dict[str, type[Any]] = {"calls": Call, "streams": Stream, "acts": Act, "samples": Sample}
_OF_BRANCH: dict[str, type[Any]] = {
    "entries": Entry,
    "attempts": Attempt,
    "keys": Key,
    "tenures": Tenure,
}
_MESSAGES = symbol_database.Default()


def save(recorded: Recorded, path: Path) -> None:
    """Writes the run; `load` gives it back."""
    with _open(path, "wt") as file:
        for kind, one in _lines(recorded):
            file.write(json.dumps({"kind": kind, **one}, ensure_ascii=False) + "\n")


def load(path: Path) -> Recorded:
    """The run that `save` wrote. Raises ValueError for any other file."""
    recorded: Recorded | None = None
    with _open(path, "rt") as file:
        for line in file:
            one = json.loads(line)
            kind = one.pop("kind", None)
            if kind == "run":
                recorded = Recorded(**one | {"canaries": tuple(one["canaries"])})
            elif recorded is None:
                raise ValueError(f"{path} does not begin with a run")
            else:
                _add(recorded, kind, one)
    if recorded is None:
        raise ValueError(f"{path} is empty")
    return recorded


def _open(path: Path, mode: str) -> IO[str]:
    if path.suffix == ".gz":
        return cast("IO[str]", gzip.open(path, mode, compresslevel=3, encoding="utf-8"))
    return cast("IO[str]", path.open(mode, encoding="utf-8"))


def _lines(recorded: Recorded) -> Iterator[tuple[str, dict[str, Any]]]:
    yield "run", _fields(recorded, without={*_LISTS, "branches"})
    for name in _LISTS:
        for one in getattr(recorded, name):
            yield name, _fields(one)
    for number, branch in enumerate(recorded.branches):
        yield "branches", _fields(branch, without={*_OF_BRANCH, "changes"})
        for change in branch.changes:
            yield "changes", {"branch": number, "change": _plain(change)}
        for name in _OF_BRANCH:
            for one in getattr(branch, name):
                yield name, {"branch": number, **_fields(one)}


def _fields(one: Any, without: set[str] | None = None) -> dict[str, Any]:
    return {
        field.name: _plain(getattr(one, field.name))
        for field in dataclasses.fields(one)
        if field.name not in (without or set())
    }


def _plain(value: Any) -> Any:
    if isinstance(value, Message):
        found = json_format.MessageToDict(value, preserving_proto_field_name=True)
        return {_MESSAGE: value.DESCRIPTOR.full_name, **found}
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return _fields(value)
    if isinstance(value, list | tuple):
        return [_plain(one) for one in value]
    return value


def _message(value: Any) -> Any:
    if not isinstance(value, dict):
        return value
    fields = {key: one for key, one in value.items() if key != _MESSAGE}
    kind = _MESSAGES.GetSymbol(value[_MESSAGE])
    return json_format.ParseDict(fields, kind())


def _failure(value: Any) -> Failure | None:
    return None if value is None else Failure(**value | {"texts": tuple(value["texts"])})


_READ: dict[str, Callable[[Any], Any]] = {
    "request": _message,
    "response": _message,
    "failure": _failure,
    "messages": lambda messages: [(at, _message(one)) for at, one in messages],
}


def _add(recorded: Recorded, kind: str | None, one: dict[str, Any]) -> None:
    if kind in _LISTS:
        read = {name: _READ.get(name, _same)(value) for name, value in one.items()}
        getattr(recorded, kind).append(_LISTS[kind](**read))
    elif kind == "branches":
        recorded.branches.append(Branch(**one))
    elif kind == "changes":
        change = cast("progress_pb2.Change", _message(one["change"]))
        recorded.branches[one["branch"]].changes.append(change)
    elif kind in _OF_BRANCH:
        branch = recorded.branches[one.pop("branch")]
        getattr(branch, kind).append(_OF_BRANCH[kind](**one))
    else:
        raise ValueError(f"a line of the kind {kind!r}")


def _same(value: Any) -> Any:
    return value
