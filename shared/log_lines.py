"""What a log line may hold, whatever somebody has put into it.

Each event is one line of at most MAX_BYTES, which no text in it can break, end or forge, and it
never fails to be written for what it holds. As text a traceback follows on lines of its own that
begin with MARGIN, as no other line does.
"""

import json
from collections.abc import Iterable, Iterator, Mapping, MutableMapping
from itertools import islice
from typing import Any

import orjson
from structlog.dev import ConsoleRenderer

from shared.redaction import Redaction

MAX_BYTES = 16_384
"""Container runtimes cut longer lines in pieces."""
MARGIN = "  | "

_CHARS = 1_000
"""Of a text, at first; a traceback may have ten times as many."""
_FEW_CHARS = 100
_ENOUGH_CHARS = 100_000
_MAX_ITEMS = 20
_MAX_FIELDS = 40
_MAX_DEPTH = 3
_TRACES = frozenset({"exception", "stack"})
_ALWAYS = ("timestamp", "level", "event", "request_id")

Event = MutableMapping[str, Any]


class LogLines:
    """Renders structlog's events."""

    def __init__(self, redaction: Redaction, *, colors: bool = False) -> None:
        self._hide = redaction.hide
        self._console = ConsoleRenderer(colors=colors)

    def as_json(self, _logger: object, _method: str, event: Event) -> bytes:
        """One JSON object."""
        line = b""
        for kept in self._ever_less(event):
            line = escaped(orjson.dumps(kept))
            if len(line) <= MAX_BYTES:
                break
        return line

    def as_text(self, logger: object, method: str, event: Event) -> str:
        """For people: `<time> [<level>] <event> key=value …`."""
        line = ""
        for kept in self._ever_less(event):
            shown = {printable(key): _shown(key, value) for key, value in kept.items()}
            line = str(self._console(logger, method, shown))
            if len(line.encode()) <= MAX_BYTES:
                break
        return line

    def _ever_less(self, event: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
        """The event in plain values: as it is, then shorter and shorter until it fits."""
        yield self._plain_fields(event, _CHARS)
        yield self._plain_fields(event, _FEW_CHARS)
        yield self._plain_fields({key: event[key] for key in _ALWAYS if key in event}, _FEW_CHARS)

    def _plain_fields(self, event: Mapping[str, Any], chars: int) -> dict[str, Any]:
        return {
            self._text(str(key) or "_", _FEW_CHARS): self._plain(
                value, 10 * chars if key in _TRACES else chars, _MAX_DEPTH
            )
            for key, value in islice(event.items(), _MAX_FIELDS)
        }

    def _plain(self, value: object, chars: int, depth: int) -> Any:
        """The value in JSON's types, bounded."""
        if value is None or isinstance(value, bool | float):
            return value
        if isinstance(value, int) and -(2**63) <= value < 2**63:
            return int(value)
        if isinstance(value, str):
            return self._text(value, chars)
        if depth and isinstance(value, Mapping):
            return {
                self._text(str(key), _FEW_CHARS): self._plain(one, chars, depth - 1)
                for key, one in islice(value.items(), _MAX_ITEMS)
            }
        if depth and isinstance(value, list | tuple | set | frozenset):
            return self._items(value, len(value), chars, depth - 1)
        return self._text(_repr(value), chars)

    def _items(self, values: Iterable[object], count: int, chars: int, depth: int) -> list[Any]:
        items = [self._plain(one, chars, depth) for one in islice(values, _MAX_ITEMS)]
        return [*items, f"… {count - _MAX_ITEMS} more"] if count > _MAX_ITEMS else items

    def _text(self, text: str, chars: int) -> str:
        # Cut twice: a secret that the first cut splits is left out by the second.
        hidden = self._hide(_cut(text, _ENOUGH_CHARS))
        # Half of a surrogate pair, as a file's name may have, is in no encoding.
        whole = hidden if hidden.isascii() else hidden.encode(errors="backslashreplace").decode()
        return _cut(whole, chars)


def escaped(line: bytes) -> bytes:
    """A JSON text whose other control characters are escaped as well: JSON lets them stand from
    U+007F on, and a terminal obeys some.
    """
    if line.isascii() and b"\x7f" not in line:
        return line
    text = line.decode()
    if text.isprintable():
        return line
    return "".join(one if one.isprintable() else json.dumps(one)[1:-1] for one in text).encode()


def printable(text: str) -> str:
    r"""The text with each character that is not shown as it is written out, such as \x1b."""
    if text.isprintable():
        return text
    return "".join(
        one if one.isprintable() else one.encode("unicode_escape").decode() for one in text
    )


def _shown(key: str, value: Any) -> Any:
    if not isinstance(value, str):
        return value
    if key not in _TRACES:
        return printable(value)
    return "\n".join(f"{MARGIN}{printable(line)}" for line in value.split("\n"))


def _cut(text: str, chars: int) -> str:
    """The text, or its beginning and its end."""
    if len(text) <= chars:
        return text
    first = chars // 2
    last = chars - first
    return f"{text[:first]} … {len(text) - chars} characters … {text[-last:]}"


def _repr(value: object) -> str:
    try:
        return repr(value)
    except Exception as error:  # noqa: BLE001 - whatever it is: the line must be written
        return f"<{type(value).__name__}: {type(error).__name__}>"
