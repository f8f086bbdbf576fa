"""One log line for each ledger entry: who was credited what, for what, and the totals around it."""

import logging
import sys
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from typing import Any

import orjson
import structlog

from progress_service import metrics
from progress_service.store.outcomes import Credited, Outcome, Recorded
from shared.log_lines import escaped
from shared.settings import CommonSettings

log = structlog.get_logger(__name__)


class CreditLog:
    """Writes the lines of many outcomes at once.

    As JSON they are what structlog would write; line by line that was a tenth of an import.
    """

    def __init__(self, settings: CommonSettings) -> None:
        level = logging.getLevelNamesMapping()[settings.log_level.upper()]
        self._wanted = level <= logging.INFO
        self._as_json = settings.log_format == "json"

    def write(self, outcomes: Sequence[Outcome], call_ids: Sequence[str]) -> None:
        """Logs the entries that each outcome wrote; `call_ids`: the calls that they answer.

        They are committed by now, so a log that cannot be written (a full disk, a closed pipe)
        must fail nothing: it is counted.
        """
        if not self._wanted:
            return
        try:
            self._write(outcomes, call_ids)
        except (OSError, ValueError):
            metrics.CREDIT_LOG_FAILURES.inc()

    def _write(self, outcomes: Sequence[Outcome], call_ids: Sequence[str]) -> None:
        lines = [
            _line(entry, call_id)
            for outcome, call_id in zip(outcomes, call_ids, strict=True)
            for entry in _entries(outcome)
        ]
        if not self._as_json:
            for line in lines:
                log.info("credited", **line)
        elif lines:
            about = {
                "event": "credited",
                "level": "info",
                "timestamp": datetime.now(UTC).isoformat().replace("+00:00", "Z"),
            }
            text = b"\n".join([escaped(orjson.dumps({**line, **about})) for line in lines])
            sys.stderr.buffer.write(text + b"\n")
            sys.stderr.buffer.flush()


def _entries(outcome: Outcome) -> Iterator[Credited]:
    if isinstance(outcome, Recorded):
        yield from outcome.credited


def _line(entry: Credited, call_id: str) -> dict[str, Any]:
    credit = entry.credit
    return {
        "user_id": entry.user_id,
        "metric": credit.metric,
        "amount": credit.amount,
        "total_before": credit.total_before,
        "total_after": credit.total_after,
        "source": credit.source,
        "reference": credit.reference,
        "course_id": credit.course_id,
        "level_id": credit.level_id,
        "entry_id": entry.entry_id,
        "client_request_id": entry.request_id,
        "request_id": call_id,
    }
