"""Messages of an import to domain and back."""

from collections.abc import Sequence
from typing import Any

from progress_service.domain import user
from progress_service.import_writers import ImportBatch
from progress_service.importer import MAX_ERRORS, Import, Rejection
from progress_service.servicers import codec
from progress_service.servicers.catalog_codec import course_of, user_of
from progress_service.servicers.commands import award_of, submission_of
from progress_service.store.outcomes import Command
from shared.errors import LaurelError, invalid_field
from shared.gen.laurel.progress.v1 import admin_pb2 as pb

MAX_ITEMS = 1_000


def batch_of(request: pb.ImportProgressRequest) -> ImportBatch:
    """A message's contents; InvalidInput when it is too large, or a user or a day is wrong."""
    items = (request.users, request.courses, request.attempts, request.awards, request.active_days)
    if sum(len(each) for each in items) > MAX_ITEMS:
        raise invalid_field("attempts", f"a message holds at most {MAX_ITEMS} items in all")
    profiles = [user_of(one) for one in request.users]
    for n, profile in enumerate(profiles):
        user.check(profile, f"users[{n}]")
    commands = [_decoded(one) for one in request.attempts]
    commands += [_decoded_award(one) for one in request.awards]
    return ImportBatch(
        users=profiles,
        courses=[course_of(one) for one in request.courses],
        commands=commands,
        request_ids=[
            *(one.attempt.request_id for one in request.attempts),
            *(one.request_id for one in request.awards),
        ],
        active_days=[
            (
                codec.required_id(one.user_id, f"active_days[{n}].user_id"),
                codec.civil_date(one.date, f"active_days[{n}].date"),
            )
            for n, one in enumerate(request.active_days)
        ],
    )


def _decoded(item: pb.ImportedAttempt) -> Command | LaurelError:
    try:
        return submission_of(item.attempt, without_xp=item.without_xp)
    except LaurelError as error:
        return error


def _decoded_award(item: Any) -> Command | LaurelError:
    try:
        return award_of(item)
    except LaurelError as error:
        return error


def import_response(running: Import, rejections: Sequence[Rejection]) -> pb.ImportProgressResponse:
    """The counts so far, and what was rejected of one batch."""
    counts = running.counts
    return pb.ImportProgressResponse(
        received=counts.received,
        recorded=counts.recorded,
        replayed=counts.replayed,
        rejected=counts.rejected,
        xp_credited=counts.xp_credited,
        errors=[
            pb.ImportError(
                index=one.index,
                request_id=one.request_id[:200],
                reason=one.error.reason,
                message=one.error.message,
            )
            for one in rejections[:MAX_ERRORS]
        ],
    )
