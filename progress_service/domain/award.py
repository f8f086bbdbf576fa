"""Awards: credits from any source other than a level."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime

from progress_service.domain import bounds, request
from progress_service.domain.ledger import LEVEL_SOURCE, Credit, checked
from progress_service.domain.plausibility import SELF_AWARDS
from progress_service.domain.submission import request_id_violations, time_violations
from shared.errors import FieldViolation, PermissionDenied, invalid_fields
from shared.identity import NOBODY, Actor

ADMIN_SOURCE = "admin"
"""The source of awards that someone gives by hand: kept among the administrative acts."""


@dataclass(frozen=True, slots=True)
class Award:
    """A credit as it was asked for; `reference` and `course_id` may be empty. `by_user`: by the
    user itself, who may then name no time before `earliest_time`.
    """

    user_id: str
    metric: str
    amount: int
    source: str
    reference: str
    course_id: str
    request_id: str
    occurred_time: datetime | None = None
    actor: Actor = NOBODY
    by_user: bool = False
    earliest_time: datetime | None = None

    kind = request.RequestKind.AWARD

    @property
    def counted_as(self) -> str:
        """The source whose velocity it counts in: what users award themselves is one source, since
        its name is their own choice.
        """
        return SELF_AWARDS if self.by_user else self.source

    def fingerprint(self) -> bytes:
        """Stands for the contents: not for the request id, the actor, and what they may do."""
        return request.fingerprint(
            self.user_id,
            self.metric,
            self.amount,
            self.source,
            self.reference,
            self.course_id,
            self.occurred_time and self.occurred_time.isoformat(),
        )


def check_request(award: Award, now: datetime) -> None:
    """InvalidInput (INVALID_FIELD) that names every wrong field."""
    violations = [*_violations(award, now)]
    if violations:
        raise invalid_fields(violations)


def _violations(award: Award, now: datetime) -> Iterator[FieldViolation]:
    for field, value in (
        ("user_id", award.user_id),
        ("metric", award.metric),
        ("source", award.source),
    ):
        if not bounds.is_id(value):
            yield FieldViolation(field, f"must be {bounds.ID_FORM}")
    if award.source == LEVEL_SOURCE:
        yield FieldViolation("source", f"{LEVEL_SOURCE} is the source of submissions alone")
    if award.course_id and not bounds.is_id(award.course_id):
        yield FieldViolation("course_id", f"must be empty or {bounds.ID_FORM}")
    if not bounds.is_plain_text(award.reference, bounds.MAX_REFERENCE_CHARS):
        yield FieldViolation("reference", "must be at most 128 printable characters")
    if not 1 <= award.amount <= bounds.MAX_SCORE:
        yield FieldViolation("amount", "must be 1 to 2^53 - 1")
    yield from request_id_violations(award.request_id)
    yield from time_violations(award.occurred_time, now)


def check_self_award(award: Award, max_self_award: int) -> None:
    """PermissionDenied (SELF_AWARD_TOO_LARGE) when a user awards itself more than the metric's
    bound; 0: anything is more.
    """
    if award.by_user and award.amount > max_self_award:
        raise PermissionDenied(
            "SELF_AWARD_TOO_LARGE",
            f"Users may award themselves at most {max_self_award} of {award.metric}.",
            metadata={"metric": award.metric, "max_self_award": str(max_self_award)},
        )


def judge(award: Award, totals: Mapping[str, int], *, already_credited: bool) -> Credit | None:
    """The credit, or None when (user, metric, source, reference) was credited before.

    Raises FailedPrecondition (TOTAL_TOO_LARGE).
    """
    if already_credited:
        return None
    return checked(
        Credit(
            metric=award.metric,
            amount=award.amount,
            source=award.source,
            total_before=totals.get(award.metric, 0),
            reference=award.reference,
            course_id=award.course_id,
        )
    )
