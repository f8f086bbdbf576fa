"""Log lines about what keeps a worker from its work."""

import structlog


class Trouble:
    """Says what is wrong when it begins and when it changes, and when it is over: once each,
    however often it is tried meanwhile.
    """

    def __init__(self, log: structlog.stdlib.BoundLogger) -> None:
        self._log = log
        self._last: tuple[object, ...] | None = None

    @property
    def present(self) -> bool:
        """Whether it is not over."""
        return self._last is not None

    def met(self, event: str, **details: object) -> None:
        """A failure of a kind that is expected."""
        if self._is_new(event, *details.values()):
            self._log.warning(event, **details)

    def failed(self, event: str, error: Exception) -> None:
        """A failure that no one expected, with its traceback."""
        if self._is_new(event, type(error), str(error)):
            self._log.error(event, exc_info=error)

    def over(self, event: str) -> None:
        """It works."""
        if self._last is not None:
            self._last = None
            self._log.info(event)

    def _is_new(self, *about: object) -> bool:
        if about == self._last:
            return False
        self._last = about
        return True
