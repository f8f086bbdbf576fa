"""Applies messages of the history to one generation, in order, each change once."""

import asyncio
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from leaderboard_service import metrics
from leaderboard_service.changes import UnknownChange, add_change
from leaderboard_service.domain.answer import Position
from leaderboard_service.domain.board import BoardNames
from leaderboard_service.domain.fold import Fold, Step
from leaderboard_service.store.boards import (
    Advance,
    BoardWriter,
    FloorsRaised,
    GenerationGone,
    Meta,
    Moved,
)
from leaderboard_service.store.generations import Generations
from leaderboard_service.store.keys import Generation
from shared.gen.laurel.progress.v1.progress_pb2 import Change, WatchXpDeltasResponse

_PAUSE_S = 0.02
# These are numbered faster than that, and cannot be made larger.
_LONE_PAUSE_S = 0.008


@dataclass(frozen=True)
class Target:
    """What changes are written to: `max_scores` is about how many one script writes."""

    writer: BoardWriter
    generations: Generations
    max_scores: int
    touched: Callable[[Step | None], None] = lambda _: None
    """Called with each step once it is in all parts; with None when anything may have changed."""


class Gap(Exception):
    """The stream does not go on where Redis stands."""


class Applier:
    """Moves one generation along the history; `meta` is what Redis holds, as last answered.

    A step is in all parts of the boards before the next is in any: parts that are behind the
    others are brought to where the next one is first.

    Raises Moved, GenerationGone and Broken as the store does, when someone else wrote what
    this history does not hold; and UnknownChange and Gap. No part has half of a step then.
    """

    def __init__(
        self, target: Target, generation: Generation, meta: Meta, *, read: bool = True
    ) -> None:
        """`read`: others read these boards meanwhile."""
        self.generation = generation
        self.meta = meta
        self._writer = target.writer
        # Each part's script writes its share.
        self._max_scores = target.max_scores * len(meta.parts)
        self._paced = read and len(meta.parts) > 1
        self._next_step_at = 0.0
        self._touched = target.touched
        self._names = BoardNames(meta.floors)

    async def take(self, message: WatchXpDeltasResponse) -> None:
        """Applies a message, in as many steps as it takes, or notes its confirmation."""
        changes = message.changes
        if changes and changes[-1].sequence - changes[0].sequence != len(changes) - 1:
            # What was read ahead is one message: one that was lost would be amid the others.
            raise Gap(f"{len(changes)} from {changes[0].sequence} to {changes[-1].sequence}")
        held = self.meta.position
        if message.through.epoch != held.epoch and _before(message) < held.sequence:
            # Another follower was faster, in a tenure that this message is not of: whether what it
            # applied leads up to this is for ProgressService to say, asked from there.
            metrics.MISMATCHES.labels("moved").inc()
            raise Moved(held)
        done = 0
        while (start := self._next(changes, done)) < len(changes):
            step, end = self._step(changes, start)
            advance = _advance(message, end)
            if self._paced:
                await self._wait_for_turn(step)
            try:
                self.meta = await self._writer.apply(self.generation, self.meta, step, advance)
            except (FloorsRaised, Moved) as changed:
                # Upkeep has dropped old periods, or another follower of the same history was
                # faster: what it applied is skipped.
                await self._look_again(changed, message)
                continue
            metrics.BATCHES.inc()
            metrics.CHANGES.inc(end - start)
            self._touched(step)
            done = end
        if not changes:
            await self._confirm(message)

    def goes_on_with(self, message: WatchXpDeltasResponse) -> bool:
        """Whether the message begins where Redis stands."""
        return _before(message) == self.meta.position.sequence

    async def _wait_for_turn(self, step: Step) -> None:
        """Leaves readers time between steps: while one is in some parts and not in others, they
        have to ask again.
        """
        await asyncio.sleep(max(self._next_step_at - time.monotonic(), 0.0))
        pause_s = _PAUSE_S if isinstance(step, Fold) else _LONE_PAUSE_S
        self._next_step_at = time.monotonic() + pause_s

    def _next(self, changes: Sequence[Change], done: int) -> int:
        """The index of the first change from `done` on that Redis does not hold."""
        if done >= len(changes):
            return done
        index = max(done, self.meta.position.sequence + 1 - changes[0].sequence)
        if index < len(changes) and changes[index].sequence != self.meta.position.sequence + 1:
            raise Gap(f"{changes[index].sequence} after {self.meta.position.sequence}")
        if index > done:
            self._tell_of(changes[done:index])
        return index

    def _tell_of(self, changes: Sequence[Change]) -> None:
        """Tells of what another process has applied, which may know more kinds of changes."""
        fold = Fold(self._names)
        try:
            for change in changes:
                lone = add_change(fold, change)
                if lone is not None:
                    self._touched(lone)
        except UnknownChange:
            self._touched(None)
        self._touched(fold)

    def _step(self, changes: Sequence[Change], start: int) -> tuple[Step, int]:
        """As many changes from `start` on as make one step, and the index after them: up to the
        next that stands alone, or that one, and no further than where a part is already.
        """
        fold = Fold(self._names, boards=self.meta.fields)
        bound = self.meta.bound
        end = len(changes)
        if bound is not None:
            end = min(end, start + bound - self.meta.position.sequence)
        index = start
        while index < end and fold.weight < self._max_scores:
            lone = add_change(fold, changes[index])
            if lone is not None:
                return (lone, index + 1) if index == start else (fold, index)
            index += 1
        return fold, index

    async def _confirm(self, message: WatchXpDeltasResponse) -> None:
        through = message.through
        held = self.meta.position
        if self.meta.bound is not None:
            return
        if through.sequence > held.sequence:
            raise Gap(f"checkpoint {through.sequence} at {held.sequence}")
        if through.sequence < held.sequence or through.sequence < message.head_sequence:
            return
        confirmed_us = message.send_time.ToMicroseconds()
        try:
            self.meta = await self._writer.confirm(
                self.generation, self.meta, through.epoch, confirmed_us
            )
        except Moved as moved:
            await self._look_again(moved, message)

    async def _look_again(
        self, changed: Moved | FloorsRaised, message: WatchXpDeltasResponse
    ) -> None:
        """Goes on from where Redis stands, if that is surely of the history being read: each part
        is where it was, or has been moved on within the tenure that the message is of.

        Raises Moved or GenerationGone otherwise.
        """
        metrics.MISMATCHES.labels("moved" if isinstance(changed, Moved) else "floors").inc()
        meta = await self._writer.meta(self.generation)
        if meta is None:
            raise GenerationGone
        for known, found in zip(self.meta.parts, meta.parts, strict=True):
            if found.position == known.position:
                continue
            went_on = found.position.sequence >= known.position.sequence
            if not went_on or found.position.epoch != message.through.epoch:
                raise Moved(found.position)
        self.meta = meta
        self._names = BoardNames(meta.floors)


def _before(message: WatchXpDeltasResponse) -> int:
    """The number after which the message begins."""
    return message.changes[0].sequence - 1 if message.changes else message.through.sequence


def _advance(message: WatchXpDeltasResponse, done: int) -> Advance:
    """The position after the first `done` changes, and what is known of it.

    A position was the newest when its change was numbered; the last of all that exist still
    was when the message was sent.
    """
    last = message.changes[done - 1]
    numbered_us = last.numbered_time.ToMicroseconds()
    newest = last.sequence >= message.head_sequence
    confirmed_us = max(numbered_us, message.send_time.ToMicroseconds()) if newest else numbered_us
    return Advance(Position(message.through.epoch, last.sequence), numbered_us, confirmed_us)
