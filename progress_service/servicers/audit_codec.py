"""Verifications and backfills for the wire."""

from progress_service.backfill import Backfilled, BackfillRequest
from progress_service.servicers.board_codec import board_message
from progress_service.servicers.codec import position_message
from progress_service.store.mismatches import Mismatch
from progress_service.verification import Verified
from shared.caller import actor
from shared.gen.laurel.progress.v1 import admin_pb2 as pb


def verify_response(step: Verified) -> pb.VerifyLedgerResponse:
    """How far a verification is."""
    return pb.VerifyLedgerResponse(
        users_total=step.users_total,
        users_checked=step.users_checked,
        mismatches=[_mismatch(one) for one in step.mismatches],
        position=position_message(step.position),
    )


def _mismatch(one: Mismatch) -> pb.Mismatch:
    board = one.board
    return pb.Mismatch(
        board=board_message(board.metric, board.course_id, board.window, board.period)
        if board
        else None,
        user_id=one.user_id,
        expected=one.expected,
        found=one.found,
        kind=pb.MismatchKind.ValueType(one.kind),
        level_id=one.level_id,
        figure=one.figure,
        course_id="" if board else one.course_id,
    )


def backfill_of(request: pb.BackfillTotalsRequest) -> BackfillRequest:
    """What the caller wants."""
    return BackfillRequest(request.dry_run, request.credit_missing, actor())


def backfill_response(done: Backfilled) -> pb.BackfillTotalsResponse:
    """How far a backfill is."""
    return pb.BackfillTotalsResponse(
        users_total=done.users_total,
        users_checked=done.users_checked,
        users_updated=done.users_updated,
        users_unchanged=done.users_checked - done.users_updated,
        updates=[
            pb.TotalUpdate(
                user_id=one.user_id,
                display_name=one.display_name,
                metric=one.metric,
                old_total=one.old_total,
                new_total=one.new_total,
            )
            for one in done.updates
        ],
        standings_corrected=done.standings_corrected,
        completions_credited=done.completions_credited,
    )
