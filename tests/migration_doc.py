"""docs/migration.md as its tests read it: its requests, its code, its words."""

import re
from pathlib import Path
from typing import NamedTuple

PATH = Path(__file__).resolve().parent.parent / "docs" / "migration.md"
TEXT = PATH.read_text(encoding="utf-8")

_BLOCK = re.compile(r"^( *)```(\w+)\n(.*?)^\1```$", re.MULTILINE | re.DOTALL)
_INLINE = re.compile(r"`([^`\n]+)`")
_REQUEST = re.compile(r"`(\w+)/(\w+)`\s+`(\{[^`]*\})`")
_CALL = re.compile(r"call laurel\.\w+\.v1\.(\w+)/(\w+)[\s\\]+'(\{.*?\})'", re.DOTALL)


class Request(NamedTuple):
    """One that the document shows."""

    service: str
    method: str
    json: str


def blocks(language: str, within: str = TEXT) -> list[str]:
    """The contents of the fenced blocks of a language, in their order."""
    return [body for _, found, body in _BLOCK.findall(within) if found == language]


def section(title: str) -> str:
    """What stands under a heading of any level, up to the next one."""
    _, _, rest = TEXT.partition(f"# {title}\n")
    assert rest, title
    return re.split(r"^#+ ", rest, maxsplit=1, flags=re.MULTILINE)[0]


def prose() -> str:
    """Everything that is in no fenced block."""
    return _BLOCK.sub("", TEXT)


def inline_code() -> list[str]:
    """What stands between backticks in the prose."""
    return _INLINE.findall(prose())


def requests() -> list[Request]:
    """Every request: in the prose with its method before it, in the shell as an argument of
    `call`.
    """
    shell = "\n".join(blocks("sh"))
    return [Request(*one) for one in [*_REQUEST.findall(prose()), *_CALL.findall(shell)]]
