"""Records submissions and awards: locks, reads, judges and writes in one transaction.

A group holds at most one command of each user; each command has its own outcome, and a
refused one leaves no trace. Users are locked in sorted order, so groups cannot deadlock.
"""

from collections.abc import Callable, Iterator, Sequence
from datetime import datetime
from typing import NamedTuple
from zoneinfo import ZoneInfo

from sqlalchemy.ext.asyncio import AsyncConnection

from progress_service.domain.plausibility import Plausibility, too_many_flagged
from progress_service.domain.streak import Run, civil_day, present_days, with_day
from progress_service.domain.submission import Submission
from progress_service.store import evaluations, learner_read, review_queue
from progress_service.store.answers import add_award, add_submission
from progress_service.store.courses import CourseCache
from progress_service.store.judging import Judged, Judging
from progress_service.store.learner_read import Learner
from progress_service.store.ledger_write import Batch, EntryIds
from progress_service.store.outcomes import Command, Credited, Outcome, Recorded, add_mark
from progress_service.store.zones import zone_of
from shared.errors import Unavailable


class _NewIds(NamedTuple):
    """Ids that nothing has yet, ascending."""

    attempts: Iterator[int]
    entries: Iterator[int]


class Recorder:
    """Records groups of commands; one per process, and one for imports, whose `plausibility` is
    None.
    """

    def __init__(
        self,
        zone: ZoneInfo,
        clock: Callable[[], datetime],
        courses: CourseCache,
        plausibility: Plausibility | None = None,
    ) -> None:
        self._zone = zone
        self._clock = clock
        self._cache = courses
        self._plausibility = plausibility

    async def record(
        self,
        connection: AsyncConnection,
        commands: Sequence[Command],
        *,
        skip_held: bool = False,
    ) -> list[Outcome]:
        """The outcome of each command, in their order; all of them of different users.

        Waits for users that another transaction holds; with `skip_held` their commands are
        refused instead: Unavailable (USER_BUSY).
        """
        now = self._clock()
        admission = self._plausibility.at(now) if self._plausibility else None
        judging = Judging.begin(commands, now, self._zone, self._cache, connection, admission)
        learners = await self._lock(judging, skip_held=skip_held)
        judged = await self._with_room(judging, await judging.judge(learners))
        await self._write(judging, judged)
        return [judging.outcomes[index] for index in range(len(commands))]

    async def _lock(self, judging: Judging, *, skip_held: bool) -> dict[str, Learner]:
        user_ids = judging.open_user_ids
        if not skip_held:
            return await learner_read.lock_users(judging.connection, user_ids)
        learners = await learner_read.lock_free_users(judging.connection, user_ids)
        others = [user_id for user_id in user_ids if user_id not in learners]
        held = await learner_read.read_users(judging.connection, others) if others else {}
        for index, command in enumerate(judging.commands):
            if command.user_id in held:
                judging.outcomes.setdefault(index, user_busy(command.user_id))
        return learners

    async def _with_room(self, judging: Judging, judged: list[Judged]) -> list[Judged]:
        """Without the attempts that would be put under review beyond the bound; it refuses them.

        The lock on the user makes it exact. It is looked up for such attempts alone.
        """
        most = self._plausibility.flagged_attempts if self._plausibility else 0
        held = [one for one in judged if one.held]
        if not most or not held:
            return judged
        user_ids = [one.learner.user_id for one in held]
        full = await review_queue.full(judging.connection, user_ids, most)
        for one in held:
            if one.learner.user_id in full:
                judging.outcomes[one.index] = too_many_flagged(most)
        return [one for one in judged if one.index not in judging.outcomes]

    async def _write(self, judging: Judging, judged: Sequence[Judged]) -> None:
        batch = Batch()
        new = _NewIds(iter(judging.catalog.attempt_ids), iter(judging.catalog.entry_ids))
        for one in judged:
            judging.outcomes[one.index] = self._add(batch, judging, one, new)
        # An attempt under review leaves the learner's progress as it was, stale or not.
        anew = [
            one.found.evaluation
            for one in judged
            if one.found.evaluation is not None and not one.held
        ]
        await evaluations.complete(judging.connection, anew)
        await batch.write(judging.connection)

    def _add(self, batch: Batch, judging: Judging, one: Judged, new: "_NewIds") -> Recorded:
        """Adds all that a command changes; its outcome."""
        command, catalog = judging.commands[one.index], judging.catalog
        attempt_id = next(new.attempts) if isinstance(command, Submission) else None
        entries = [
            Credited(command.user_id, next(new.entries), credit, command.request_id)
            for credit in one.credits
        ]
        for entry in entries:
            ids = EntryIds(
                entry.entry_id,
                catalog.windows[entry.credit.metric],
                attempt_id=attempt_id,
                actor=command.actor.name,
            )
            batch.add_entry(command.user_id, entry.credit, one.moment, ids)
        if isinstance(command, Submission):
            runs = one.learner.runs if one.held else self._add_active_day(batch, one)
            streak = self._streak_days(judging, one.learner, runs)
            answer = add_submission(batch, command, one, attempt_id or 0, streak)
        else:
            if entries:
                self._add_active_day(batch, one)
            answer = add_award(batch, command, one.found, entries)
        add_mark(answer, entries, catalog.time)
        batch.add_key(
            command.user_id, command.request_id, command.kind, command.fingerprint(), answer
        )
        if one.velocity is not None:
            batch.velocity.append((command.user_id, command.counted_as, *one.velocity))
        return Recorded(answer, replayed=False, credited=tuple(entries), held=one.held or "")

    def _add_active_day(self, batch: Batch, one: Judged) -> tuple[Run, ...]:
        """Marks the day, in the zone that the learner had then; the active days with it."""
        learner = one.learner
        day = learner.day_of(one.moment.time, self._zone)
        runs = with_day(learner.runs, day)
        if runs is not learner.runs:
            batch.active_days.append((learner.user_id, day))
        return runs

    def _streak_days(self, judging: Judging, learner: Learner, runs: tuple[Run, ...]) -> int:
        today = civil_day(judging.now, zone_of(learner.time_zone, self._zone))
        return present_days(runs, judging.catalog.amnesty, learner.grants, today)


def user_busy(user_id: str) -> Unavailable:
    """Another transaction holds the user's row, and has for a while."""
    return Unavailable(
        "USER_BUSY",
        "Another transaction holds the user; retry it.",
        metadata={"user_id": user_id},
        retry_delay_s=1.0,
    )
