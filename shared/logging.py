"""Structured logs: one line per event, on stderr, as JSON or as text for people."""

import logging
import sys
import threading
from collections.abc import MutableMapping
from types import TracebackType
from typing import Any

import structlog

from shared.caller import request_id
from shared.log_lines import LogLines, printable
from shared.redaction import Redaction, secrets_of
from shared.settings import CommonSettings
from shared.tracebacks import summary, told

_MAX_WHY_CHARS = 300


def configure(settings: CommonSettings, service: str) -> None:
    """Sets up structlog and the standard library's logging for this process. Call once.

    An exception that ends the process, or one of its threads, is logged as well, and summed up in
    one line (`laurel: …`) for whoever has started it. The settings' secrets are in no line.
    """
    level = logging.getLevelNamesMapping()[settings.log_level.upper()]
    shared: list[structlog.typing.Processor] = [
        _add_request_id,
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.processors.ExceptionRenderer(_traceback),
    ]
    as_json = settings.log_format == "json"
    redaction = Redaction([*secrets_of(settings)])
    lines = LogLines(redaction, colors=not as_json and sys.stderr.isatty())
    render = lines.as_json if as_json else lines.as_text
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
    logging.captureWarnings(capture=True)
    logging.getLogger("grpc._cython.cygrpc").addFilter(_is_of_use)
    # A library's line that cannot be put together would be told with its raw arguments.
    logging.raiseExceptions = False
    _log_what_ends_it(service, redaction)
    structlog.get_logger(service).debug("logging configured", service=service)


def _is_of_use(record: logging.LogRecord) -> bool:
    """Not: that metadata is no UTF-8, which may be a token, with a traceback. It is read as Latin-1
    then, and refused where that matters.
    """
    return not record.getMessage().startswith("Invalid encoding on ")


def _log_what_ends_it(service: str, redaction: Redaction) -> None:
    log = structlog.get_logger(service)

    def of_process(
        kind: type[BaseException], error: BaseException, trace: TracebackType | None
    ) -> None:
        if issubclass(kind, KeyboardInterrupt):
            sys.__excepthook__(kind, error, trace)
            return
        log.critical("ended by an unexpected error", exc_info=error)
        why = printable(redaction.hide(summary(error)))[:_MAX_WHY_CHARS]
        sys.stderr.write(f"laurel: ended by an unexpected error: {why}\n")

    def of_thread(arguments: threading.ExceptHookArgs) -> None:
        if arguments.exc_value is not None and arguments.exc_type is not SystemExit:
            log.error("thread failed", exc_info=arguments.exc_value)

    sys.excepthook = of_process
    threading.excepthook = of_thread


def _traceback(exc_info: structlog.typing.ExcInfo) -> str:
    return told(exc_info[1])


def _add_request_id(
    _logger: object, _method: str, event: MutableMapping[str, Any]
) -> MutableMapping[str, Any]:
    current = request_id()
    if current:
        event["request_id"] = current
    return event


def _decoded(_logger: object, _method: str, line: Any) -> str:
    return line.decode() if isinstance(line, bytes) else str(line)
