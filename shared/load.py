"""How much this process does at once, whoever asks for it."""

import random

import structlog

from shared import metrics
from shared.errors import DeadlineExceeded, ResourceExhausted
from shared.identity import Role

log = structlog.get_logger(__name__)

RESERVE = 16
"""So many more may be an administrator's, who wants to see why there is no room for others."""
_RETRY_S = 1.0


class Load:
    """The calls, or the streams, that are under way, `bound` of them at most.

    Beyond it one more is refused at once: a queue would make everyone wait longer than they do,
    and keep this process at work for those who have given up.
    """

    __slots__ = ("_bound", "_full", "_what", "under_way")

    def __init__(self, what: str, bound: int) -> None:
        self.under_way = 0
        self._what = what
        self._bound = bound
        self._full = False
        metrics.UNDER_WAY.labels(what).set_function(lambda: self.under_way)
        metrics.UNDER_WAY_BOUND.labels(what).set(bound)

    def begin(self, role: Role) -> None:
        """Counts one more, which ends with `end`. Raises ResourceExhausted (SERVER_BUSY)."""
        if self.under_way >= self._bound and (
            role is not Role.ADMIN or self.under_way >= self._bound + RESERVE
        ):
            raise self._busy()
        self.under_way += 1

    def end(self) -> None:
        """One that `begin` counted has ended."""
        self.under_way -= 1
        if self._full and self.under_way <= self._bound // 2:
            self._full = False
            log.info("this server has room again", of=self._what)

    def _busy(self) -> ResourceExhausted:
        if not self._full:
            self._full = True
            log.warning("this server is full", of=self._what, bound=self._bound)
        return ResourceExhausted(
            "SERVER_BUSY",
            f"This server has {self._bound} {self._what} under way, and takes no more.",
            metadata={"bound": str(self._bound), "of": self._what},
            # Not all at one time, or they would come again at one time.
            retry_delay_s=_RETRY_S * random.uniform(0.5, 1.5),
        )


def check_in_time(remaining_s: float | None) -> None:
    """Raises DeadlineExceeded when a call has waited until its deadline to be begun: gRPC hands
    those over too, and whatever is done for one is lost.
    """
    if remaining_s is not None and remaining_s <= 0:
        raise DeadlineExceeded("DEADLINE_EXCEEDED", "The deadline passed before the call began.")
