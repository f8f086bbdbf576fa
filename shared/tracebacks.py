"""An exception as the log tells it: what failed and where, and nothing of the data at hand.

Of an exception's text that is left out which a database adds: statements, and the values of rows.
Local variables are never shown.
"""

import traceback
from collections.abc import Iterator
from itertools import islice, takewhile

_MAX_FRAMES = 12
"""Of each exception, the innermost."""
_MAX_EXCEPTIONS = 6
"""Of a chain of causes."""
_MAX_MEMBERS = 3
_MAX_DEPTH = 2
"""Of groups within groups."""
# How asyncpg and SQLAlchemy begin the lines that they add.
_OF_THE_DATA = ("DETAIL:", "HINT:", "[SQL:", "[parameters:", "[SQL parameters", "(Background on")


def told(error: BaseException) -> str:
    """Python's own form, without the outer calls of a long stack; causes come first."""
    return "\n".join(_chain(error, 0))


def summary(error: BaseException) -> str:
    """Its type and text; of a group, those of the first within."""
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return _summary(error)


def _chain(error: BaseException, depth: int) -> Iterator[str]:
    chain = list(islice(_with_causes(error), _MAX_EXCEPTIONS))
    for number, one in enumerate(reversed(chain)):
        if number:
            yield "which led to:"
        yield from _one(one, depth)


def _with_causes(error: BaseException) -> Iterator[BaseException]:
    found: BaseException | None = error
    while found is not None:
        yield found
        found = found.__cause__ or (None if found.__suppress_context__ else found.__context__)


def _one(error: BaseException, depth: int) -> Iterator[str]:
    if error.__traceback__ is not None:
        yield "Traceback (most recent call last):"
        frames = sum(1 for _ in traceback.walk_tb(error.__traceback__))
        if frames > _MAX_FRAMES:
            yield f"  … {frames - _MAX_FRAMES} outer calls"
        for entry in traceback.format_tb(error.__traceback__, limit=-_MAX_FRAMES):
            yield entry.rstrip("\n")
    yield _summary(error)
    if isinstance(error, BaseExceptionGroup) and depth < _MAX_DEPTH:
        for member in error.exceptions[:_MAX_MEMBERS]:
            for line in _chain(member, depth + 1):
                yield from (f"    {part}" for part in line.split("\n"))


def _summary(error: BaseException) -> str:
    kind = type(error)
    name = kind.__qualname__
    if kind.__module__ not in {"builtins", "__main__"}:
        name = f"{kind.__module__}.{name}"
    text = _text(error)
    return f"{name}: {text}" if text else name


def _text(error: BaseException) -> str:
    try:
        text = str(error)
    except Exception:  # noqa: BLE001 - what the exception of another library cannot say
        return "<no text>"
    return "\n".join(takewhile(lambda line: not line.startswith(_OF_THE_DATA), text.split("\n")))
