"""Records submissions and awards: locks, reads, judges and writes in one transaction.

A group holds at most one command of each user; each command has its own outcome, and a
refused one leaves no trace. Users are locked in sorted order, so groups cannot deadlock.
"""

from collections.abc import Callable, Sequence
from datetime import datetime
from zoneinfo import ZoneInfo

from sqlalchemy.ext.asyncio import AsyncConnection

from progress_service.domain.streak import Run, civil_day, present_days, with_day
from progress_service.domain.submission import Submission
from progress_service.store import evaluations, learner_read
from progress_service.store.answers import add_award, add_submission
from progress_service.store.courses import CourseCache
from progress_service.store.judging import Judged, Judging
from progress_service.store.learner_read import Learner
from progress_service.store.ledger_write import Batch, EntryIds
from progress_service.store.outcomes import Command, Credited, Outcome, Recorded, add_mark
from progress_service.store.zones import zone_of
from shared.errors import Unavailable


class Recorder:
    """Records groups of commands; one per process."""

    def __init__(self, zone: ZoneInfo, clock: Callable[[], datetime], courses: CourseCache) -> None:
        self._zone = zone
        self._clock = clock
        self._cache = courses

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
        judging = Judging.begin(commands, self._clock(), self._zone, self._cache, connection)
        learners = await self._lock(judging, skip_held=skip_held)
        judged = await judging.judge(learners)
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

    async def _write(self, judging: Judging, judged: Sequence[Judged]) -> None:
        catalog = judging.catalog
        batch = Batch()
        attempt_ids = iter(catalog.attempt_ids)
        entry_ids = iter(catalog.entry_ids)
        for one in judged:
            command = judging.commands[one.index]
            attempt_id = next(attempt_ids) if isinstance(command, Submission) else None
            entries = [
                Credited(command.user_id, next(entry_ids), credit, command.request_id)
                for credit in one.credits
            ]
            for entry in entries:
                ids = EntryIds(
                    entry.entry_id,
                    catalog.windows[entry.credit.metric],
                    attempt_id=attempt_id,
                    actor=command.actor,
                )
                batch.add_entry(command.user_id, entry.credit, one.moment, ids)
            if isinstance(command, Submission):
                runs = self._add_active_day(batch, one)
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
            judging.outcomes[one.index] = Recorded(answer, replayed=False, credited=tuple(entries))
        anew = [one.found.evaluation for one in judged if one.found.evaluation is not None]
        await evaluations.complete(judging.connection, anew)
        await batch.write(judging.connection)

    def _add_active_day(self, batch: Batch, one: Judged) -> tuple[Run, ...]:
        """Marks the day, in the zone that the learner had then; the active days with it."""
        learner = one.learner
        zone = zone_of(learner.zone_at(one.moment.time), self._zone)
        day = civil_day(one.moment.time, zone)
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
