"""What a command prints: tables for people, one JSON document for programs.

Texts that users chose (names, ids, messages) are shown and never obeyed: no markup, no control
characters.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from typing import Any

from google.protobuf.json_format import MessageToDict
from google.protobuf.message import Message
from rich.console import Console, RenderableType
from rich.table import Table
from rich.text import Text

from shared.cli.calls import one_line

PLAIN_WIDTH = 160


def show(*parts: RenderableType) -> None:
    """Print to stdout: fitted to a terminal, or at a fixed width into a pipe or file."""
    console = Console(highlight=False)
    if not console.is_terminal:
        console = Console(highlight=False, width=PLAIN_WIDTH)
    for part in parts:
        console.print(part)


def plain(text: str) -> Text:
    """A text from outside, on one line."""
    return Text(one_line(text))


def number(value: int) -> Text:
    """An integer with its thousands set apart."""
    return Text(f"{value:,}", justify="right")


def figures_table(figures: Mapping[str, int | str]) -> Table:
    """Names and their figures, one pair a line."""
    table = Table(box=None, show_header=False)
    table.add_column()
    table.add_column(justify="right")
    for name, figure in figures.items():
        table.add_row(name, number(figure) if isinstance(figure, int) else figure)
    return table


def message_document(message: Message) -> dict[str, Any]:
    """The message in protobuf's JSON mapping, by the contract's field names, zero values too."""
    return MessageToDict(
        message, preserving_proto_field_name=True, always_print_fields_with_no_presence=True
    )


def print_json(document: Mapping[str, Any]) -> None:
    """Print one JSON document to stdout."""
    sys.stdout.write(json.dumps(document, indent=2) + "\n")


def print_line(line: str) -> None:
    """Print one line of a series to stdout, so that a reader has it at once."""
    sys.stdout.write(line + "\n")
    sys.stdout.flush()
