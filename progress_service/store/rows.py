"""Rows on their way into PostgreSQL: columns as arrays, so that many rows are one statement."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any


def _quoted(value: str) -> str:
    return '"' + value.replace("\\", "\\\\").replace('"', '\\"') + '"'


def _hex(value: bytes) -> str:
    return f'"\\\\x{value.hex()}"'


# Array literals instead of the driver's binary arrays: encoding those costs a type check for
# each element (2.4 million of them in 20,000 submissions).
_LITERALS: Mapping[str, Callable[[Any], str]] = {
    "smallint": str,
    "integer": str,
    "bigint": str,
    # The shortest text that reads back as the same double, in PostgreSQL too.
    "double precision": repr,
    "boolean": str,
    "date": str,
    "text": _quoted,
    "id": lambda value: f'"{value}"',
    "timestamptz": lambda value: f'"{value.isoformat()}"',
    "bytea": _hex,
}


class RowSet:
    """The shape of rows that one statement takes as arrays, named for its parameters.

    The type "id" is text that needs no escaping: what `bounds.is_id` admits, or empty.
    `source` is the SQL that turns the parameters back into rows, in their order, with the
    extra column `ordinal`.
    """

    def __init__(self, name: str, columns: Mapping[str, str]) -> None:
        self.columns = tuple(columns)
        self._literals = [(f"{name}_{column}", _LITERALS[kind]) for column, kind in columns.items()]
        casts = ", ".join(
            f"CAST(CAST(:{name}_{column} AS text) AS {kind.replace('id', 'text')}[])"
            for column, kind in columns.items()
        )
        names = ", ".join((*columns, "ordinal"))
        self.source = f"unnest({casts}) WITH ORDINALITY AS {name}_rows ({names})"

    @property
    def names(self) -> str:
        """The columns, as SQL lists them."""
        return ", ".join(self.columns)

    def params(self, rows: Sequence[tuple[Any, ...]]) -> dict[str, str]:
        """The statement's parameters for these rows; None is NULL."""
        if not rows:
            return {name: "{}" for name, _ in self._literals}
        return {
            name: "{"
            + ",".join(["NULL" if value is None else literal(value) for value in column])
            + "}"
            for (name, literal), column in zip(self._literals, zip(*rows, strict=True), strict=True)
        }
