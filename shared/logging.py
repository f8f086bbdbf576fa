"""Structured logs: one line per event, on stderr, as JSON or as text for people."""

import logging
import sys
from collections.abc import MutableMapping
from typing import Any

import orjson
import structlog

from shared.caller import request_id
from shared.settings import CommonSettings


def _add_request_id(
    _logger: object, _method: str, event: MutableMapping[str, Any]
) -> MutableMapping[str, Any]:
    current = request_id()
    if current:
        event["request_id"] = current
    return event


def _dump(event: Any, **options: Any) -> bytes:
    return orjson.dumps(event, **options)


def _decoded(_logger: object, _method: str, line: Any) -> str:
    return line.decode() if isinstance(line, bytes) else str(line)


def configure(settings: CommonSettings, service: str) -> None:
    """Sets up structlog and the standard library's logging for this process. Call once."""
    level = logging.getLevelNamesMapping()[settings.log_level.upper()]
    shared: list[structlog.typing.Processor] = [
        _add_request_id,
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.processors.format_exc_info,
    ]
    as_json = settings.log_format == "json"
    # orjson writes the bytes of a line at once: a credit's line costs a few microseconds.
    render: structlog.typing.Processor = (
        structlog.processors.JSONRenderer(serializer=_dump)
        if as_json
        else structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty())
    )
    structlog.configure(
        processors=[*shared, render],
        wrapper_class=structlog.make_filtering_bound_logger(level),
        logger_factory=structlog.BytesLoggerFactory(file=sys.stderr.buffer)
        if as_json
        else structlog.WriteLoggerFactory(file=sys.stderr),
        cache_logger_on_first_use=True,
    )
    structlog.contextvars.clear_contextvars()
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared,
            processors=[
                structlog.stdlib.ProcessorFormatter.remove_processors_meta,
                render,
                _decoded,
            ],
        )
    )
    root = logging.getLogger()
    root.handlers = [handler]
    root.setLevel(max(level, logging.WARNING))
    structlog.get_logger(service).debug("logging configured", service=service)
