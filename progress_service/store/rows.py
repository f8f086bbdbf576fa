"""Rows on their way into PostgreSQL: columns as arrays, so that many rows are one statement."""

from collections.abc import Mapping, Sequence
from typing import Any


class RowSet:
    """The shape of rows that one statement takes as arrays, named for its parameters.

    `source` is the SQL that turns the parameters back into rows, in their order, with the
    extra column `ordinal`.
    """

    def __init__(self, name: str, columns: Mapping[str, str]) -> None:
        self.name = name
        self.columns = tuple(columns)
        casts = ", ".join(
            f"CAST(:{name}_{column} AS {kind}[])" for column, kind in columns.items()
        )
        names = ", ".join((*columns, "ordinal"))
        self.source = f"unnest({casts}) WITH ORDINALITY AS {name}_rows ({names})"

    @property
    def names(self) -> str:
        """The columns, as SQL lists them."""
        return ", ".join(self.columns)

    def params(self, rows: Sequence[tuple[Any, ...]]) -> dict[str, list[Any]]:
        """The statement's parameters for these rows."""
        values = [list(column) for column in zip(*rows, strict=True)] if rows else []
        return {
            f"{self.name}_{column}": values[n] if values else []
            for n, column in enumerate(self.columns)
        }
