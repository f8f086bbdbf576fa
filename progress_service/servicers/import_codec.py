"""Messages of an import to domain and back."""

from collections.abc import Callable, Iterable, Sequence
from typing import TypeVar

from progress_service.domain import user
from progress_service.domain.active_day import ActiveDay
from progress_service.domain.submission import Submission
from progress_service.domain.user import User
from progress_service.import_batch import ImportBatch, ItemCounts, Rejection
from progress_service.importer import MAX_ERRORS, Import
from progress_service.servicers import codec
from progress_service.servicers.catalog_codec import course_of, user_of
from progress_service.servicers.commands import award_of, submission_of
from progress_service.store.outcomes import Command
from shared.errors import LaurelError, invalid_field
from shared.gen.laurel.progress.v1 import admin_pb2 as pb
from shared.gen.laurel.progress.v1 import catalog_pb2

MAX_ITEMS = 1_000
_MAX_MESSAGE_CHARS = 500
_MAX_REQUEST_ID_CHARS = 200

T = TypeVar("T")
R = TypeVar("R")


def batch_of(request: pb.ImportProgressRequest) -> ImportBatch:
    """A message's contents, items that are malformed as errors; InvalidInput when there are
    too many.
    """
    items = (request.users, request.courses, request.attempts, request.awards, request.active_days)
    if sum(len(each) for each in items) > MAX_ITEMS:
        raise invalid_field("attempts", f"a message holds at most {MAX_ITEMS} items in all")
    commands: list[Command | LaurelError] = [*_decoded(_attempt_of, request.attempts)]
    commands += _decoded(award_of, request.awards)
    return ImportBatch(
        users=_decoded(_checked_user_of, request.users),
        courses=_decoded(course_of, request.courses),
        commands=commands,
        attempts=len(request.attempts),
        request_ids=[
            *(one.attempt.request_id for one in request.attempts),
            *(one.request_id for one in request.awards),
        ],
        active_days=_decoded(_active_day_of, request.active_days),
    )


def _decoded(decode: Callable[[T], R], messages: Iterable[T]) -> list[R | LaurelError]:
    found: list[R | LaurelError] = []
    for message in messages:
        try:
            found.append(decode(message))
        except LaurelError as error:
            found.append(error)
    return found


def _checked_user_of(message: catalog_pb2.User) -> User:
    profile = user_of(message)
    user.check(profile)
    return profile


def _attempt_of(item: pb.ImportedAttempt) -> Submission:
    return submission_of(item.attempt, without_xp=item.without_xp)


def _active_day_of(message: pb.ActiveDay) -> ActiveDay:
    return ActiveDay(
        codec.required_id(message.user_id, "user_id"), codec.civil_date(message.date, "date")
    )


def import_response(running: Import, rejections: Sequence[Rejection]) -> pb.ImportProgressResponse:
    """The counts so far, and what was rejected of one batch."""
    counts = running.counts
    return pb.ImportProgressResponse(
        received=counts.received,
        recorded=counts.recorded,
        replayed=counts.replayed,
        rejected=counts.rejected,
        xp_credited=counts.xp_credited,
        users=_item_counts(counts.users),
        courses=_item_counts(counts.courses),
        active_days=_item_counts(counts.active_days),
        errors=[
            pb.ImportError(
                index=one.index,
                item=one.item,
                request_id=one.request_id[:_MAX_REQUEST_ID_CHARS],
                reason=one.error.reason,
                message=one.error.message[:_MAX_MESSAGE_CHARS],
            )
            for one in rejections[:MAX_ERRORS]
        ],
    )


def _item_counts(counts: ItemCounts) -> pb.ImportItemCounts:
    return pb.ImportItemCounts(
        received=counts.received, stored=counts.stored, rejected=counts.rejected
    )
