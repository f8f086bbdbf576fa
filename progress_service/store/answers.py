"""Judged commands as the rows and the answers that are stored."""

from collections.abc import Sequence
from typing import Any

from progress_service.domain.award import ADMIN_SOURCE, Award
from progress_service.domain.ledger import XP
from progress_service.domain.submission import Submission
from progress_service.store.admin_actions import AdminAction
from progress_service.store.judging import Judged
from progress_service.store.learner_read import Found
from progress_service.store.ledger_write import Batch
from progress_service.store.outcomes import Credited

_AWARD = "laurel.progress.v1.ProgressService/AwardXp"


def add_award(
    batch: Batch, award: Award, found: Found, entries: Sequence[Credited]
) -> dict[str, Any]:
    """Adds the award's reference, and the act when it was given by hand; its answer."""
    entry_id = entries[0].entry_id if entries else found.referenced_entry_id
    if award.reference and entries:
        key = (award.user_id, award.metric, award.source, award.reference)
        batch.references.append((*key, entry_id))
    credit = entries[0].credit if entries else None
    if credit and award.source == ADMIN_SOURCE:
        detail = f"entry {entry_id}, {credit.amount:+} {credit.metric}: {award.reference}"
        batch.actions.append(AdminAction(_AWARD, award.actor, award.user_id, detail))
    return {
        "entry_id": str(entry_id),
        "amount_credited": credit.amount if credit else 0,
        "total": credit.total_after if credit else found.totals.get(award.metric, 0),
    }


def add_submission(
    batch: Batch, command: Submission, one: Judged, attempt_id: int, streak_days: int
) -> dict[str, Any]:
    """Adds the attempt, the progress and the reward; the submission's answer.

    Of an attempt under review it adds that alone, and the answer is how things stand without it.
    """
    judgement, course = one.judgement, one.course
    if judgement is None or course is None:
        raise AssertionError("a submission is judged against a course")
    batch.attempts.append(
        (
            attempt_id,
            command.user_id,
            course.course_id,
            command.level_id,
            command.request_id,
            command.correct_answers,
            command.total_questions,
            judgement.marks,
            command.time_spent_ms,
            command.without_xp,
            judgement.passed and not one.held,
            one.held is not None,
            one.held or "",
            one.moment.time,
        )
    )
    level, sums, xp = judgement.level, judgement.course, judgement.xp_earned
    if one.held:
        level, sums, xp = one.found.level, one.found.course, 0
    else:
        batch.add_level(command.user_id, course.course_id, command.level_id, level)
        batch.add_course(command.user_id, course.course_id, course.version, sums, one.moment.time)
        if judgement.rewarded:
            batch.level_rewards.append((command.user_id, command.level_id, attempt_id))
    answer = {
        "attempt_id": str(attempt_id),
        "completed": level.complete_time is not None,
        "xp_earned": xp,
        "total_xp": one.found.totals.get(XP, 0) + xp,
        "marks": judgement.marks,
        "best_marks": level.best_marks,
        "unlocked_level_ids": [] if one.held else list(judgement.unlocked_level_ids),
        "streak_days": streak_days,
        "course_id": course.course_id,
        "course_version": course.version,
        "levels_completed": sums.levels_completed,
        "levels_total": len(course.levels),
        "course_marks": sums.marks,
        "course_max_marks": course.max_marks,
    }
    # Answers that are stored without these two are of attempts that counted.
    return answer | ({"under_review": True, "tried": level.attempts > 0} if one.held else {})
