"""A metric of the catalog: what is counted, and on which boards."""

from collections.abc import Iterator
from dataclasses import dataclass, replace

from progress_service.domain import bounds
from progress_service.domain.ledger import MARKS
from shared.errors import FieldViolation, invalid_fields
from shared.periods import Window

_MAX_UNIT_CHARS = 40


@dataclass(frozen=True, slots=True)
class Metric:
    """`windows` empty: all (of marks, see `with_defaults`, ALL_TIME alone); `max_self_award` 0:
    users may not award it to themselves.
    """

    metric: str
    title: str = ""
    unit: str = ""
    windows: frozenset[Window] = frozenset()
    max_self_award: int = 0

    @property
    def mask(self) -> int:
        """The windows as bits, 1 << number; 0: all."""
        return sum(1 << window for window in self.windows)


def with_defaults(metric: Metric) -> Metric:
    """Marks are kept of all time alone."""
    if metric.metric == MARKS and not metric.windows:
        return replace(metric, windows=frozenset({Window.ALL_TIME}))
    return metric


def windows_of(mask: int) -> frozenset[Window]:
    """The inverse of `Metric.mask`."""
    return frozenset(window for window in Window if mask & (1 << window))


def check(metric: Metric) -> None:
    """InvalidInput (INVALID_FIELD) that names every wrong field."""
    violations = [*_violations(metric)]
    if violations:
        raise invalid_fields(violations)


def _violations(metric: Metric) -> Iterator[FieldViolation]:
    if not bounds.is_id(metric.metric):
        yield FieldViolation("metric.metric", f"must be {bounds.ID_FORM}")
    if not bounds.is_plain_text(metric.title, bounds.MAX_TITLE_CHARS):
        yield FieldViolation("metric.title", "must be at most 200 printable characters")
    if not bounds.is_plain_text(metric.unit, _MAX_UNIT_CHARS):
        yield FieldViolation("metric.unit", "must be at most 40 printable characters")
    if metric.metric == MARKS and metric.windows - {Window.ALL_TIME}:
        yield FieldViolation("metric.windows", "must hold WINDOW_ALL_TIME alone for marks")
    if metric.windows and Window.ALL_TIME not in metric.windows:
        yield FieldViolation("metric.windows", "must hold WINDOW_ALL_TIME, or be empty")
    if not 0 <= metric.max_self_award <= bounds.MAX_SCORE:
        yield FieldViolation("metric.max_self_award", "must be 0 to 2^53 - 1")
