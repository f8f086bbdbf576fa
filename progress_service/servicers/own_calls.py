"""What users may do for themselves; backends and administrators may do more."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from progress_service.domain.award import ADMIN_SOURCE, Award
from progress_service.domain.submission import Submission
from shared.caller import identity
from shared.errors import PermissionDenied
from shared.identity import Role


@dataclass(frozen=True)
class OwnCalls:
    """`self_graded`: users may submit attempts. `max_late`: how far back these may lie, and what
    users award themselves.
    """

    self_graded: bool
    max_late: timedelta
    clock: Callable[[], datetime]

    def submission(self, submission: Submission) -> Submission:
        """The submission as its caller may make it; PermissionDenied (SELF_GRADED_REFUSED)."""
        if identity().role is not Role.USER:
            return submission
        if not self.self_graded:
            raise PermissionDenied(
                "SELF_GRADED_REFUSED", "Attempts are submitted by the backend that grades them."
            )
        return replace(submission, earliest_time=self._earliest())

    def award(self, award: Award) -> Award:
        """The award as its caller may give it. Raises PermissionDenied (ROLE_REQUIRED) when a user
        calls it one that someone gave by hand.
        """
        if identity().role is not Role.USER:
            return award
        if award.source == ADMIN_SOURCE:
            raise PermissionDenied(
                "ROLE_REQUIRED",
                f"The source {ADMIN_SOURCE} takes the role service.",
                metadata={"role": "service"},
            )
        return replace(award, by_user=True, earliest_time=self._earliest())

    def _earliest(self) -> datetime:
        return self.clock() - self.max_late
