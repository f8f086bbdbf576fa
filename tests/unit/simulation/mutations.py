"""Ways to break the promises: each is code that is wrong in one place, and must be found out."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest
from grpc import aio

from leaderboard_service import rebuild, streams
from leaderboard_service.applier import Applier
from leaderboard_service.domain.fold import Fold
from leaderboard_service.follower import Follower
from leaderboard_service.store.boards import BoardWriter, Meta
from leaderboard_service.store.generations import Generations
from leaderboard_service.store.keys import Generation
from leaderboard_service.store.reading import Reading
from progress_service.publisher import Publisher
from progress_service.store.positions import Head
from shared.gen.laurel.progress.v1 import progress_pb2 as pb
from tests.unit.simulation import planted, scripts, steps
from tests.unit.simulation.history import HistoryDatabase, Numbered
from tests.unit.simulation.progress import SnapshotStream


def applies_without_comparing(patch: pytest.MonkeyPatch) -> None:
    """Scripts write whatever the position is."""
    patch.setattr(steps, "is_expected", lambda *_: True)


def compares_no_epoch(patch: pytest.MonkeyPatch) -> None:
    """Scripts compare the sequence alone."""
    patch.setattr(steps, "is_expected", lambda meta, _, sequence: meta["sequence"] == sequence)


def checks_no_epoch(patch: pytest.MonkeyPatch) -> None:
    """ProgressService honours any position that is not beyond its head."""

    async def check(database: HistoryDatabase, position: Any) -> None:
        if position.sequence > database.head:
            await planted.check_position(database, position)

    patch.setattr("progress_service.publisher.positions.check_position", check)


def goes_on_in_any_epoch(patch: pytest.MonkeyPatch) -> None:
    """What others wrote is taken for this history's."""

    async def look_again(self: Applier, changed: Exception, _message: object) -> None:
        meta = await self._writer.meta(self.generation)
        if meta is None:
            raise changed
        self.meta = meta

    patch.setattr(Applier, "_look_again", look_again)


def trusts_its_memory(patch: pytest.MonkeyPatch) -> None:
    """The position is read once for each generation, and remembered."""
    read = BoardWriter.meta
    known: dict[tuple[int, str], Meta] = {}

    async def meta(self: BoardWriter, generation: Generation) -> Meta | None:
        key = (id(self._link), generation.id)
        if key not in known and (found := await read(self, generation)) is not None:
            known[key] = found
        return known.get(key)

    patch.setattr(BoardWriter, "meta", meta)


def publishes_what_is_half_built(patch: pytest.MonkeyPatch) -> None:
    """A snapshot that breaks off is taken for whole."""

    async def next_message(call: Any, silence_s: float) -> Any:
        try:
            message = await streams.next_message(call, silence_s)
        except aio.AioRpcError:
            if not isinstance(call, SnapshotStream):
                raise
            message = None
        if message is None and isinstance(call, SnapshotStream):
            return pb.SnapshotStandingsResponse(complete=True)
        return message

    patch.setattr(rebuild, "next_message", next_message)


def skips_a_gap(patch: pytest.MonkeyPatch) -> None:
    """Changes that do not follow on the position are applied."""

    def next_(self: Applier, changes: Any, done: int) -> int:
        if done >= len(changes):
            return done
        sequence = self.meta.position.sequence
        following = (i for i, c in enumerate(changes) if i >= done and c.sequence > sequence)
        return next(following, len(changes))

    patch.setattr(Applier, "_next", next_)


def confirms_without_applying(patch: pytest.MonkeyPatch) -> None:
    """Whatever a message says is confirmed."""
    take = Applier.take

    async def confirm_and_take(self: Applier, message: pb.WatchXpDeltasResponse) -> None:
        sent_us = message.send_time.ToMicroseconds()
        epoch = self.meta.position.epoch
        self.meta = await self._writer.confirm(self.generation, self.meta, epoch, sent_us)
        await take(self, message)

    patch.setattr(Applier, "take", confirm_and_take)


def moves_on_without_scores(patch: pytest.MonkeyPatch) -> None:
    """Now and then the position is moved on and the scores are not written."""
    step = Applier._step

    def empty(self: Applier, changes: Any, start: int) -> Any:
        found, end = step(self, changes, start)
        return (found if end % 3 else Fold(self._names)), end

    patch.setattr(Applier, "_step", empty)


def pages_by_id(patch: pytest.MonkeyPatch) -> None:
    """The publisher reads what was inserted after what it sent last, and does not count."""

    async def read(self: Publisher, after: Any) -> tuple[list[Numbered], Head]:
        database: HistoryDatabase = self.database  # type: ignore[assignment]
        async with database.read() as found:  # type: ignore[attr-defined]
            await planted.check_position(found, after)
            changes = found.lineage.changes
            last_id = max((one.change_id for one in changes[: after.sequence]), default=0)
            rows = sorted(
                (one for one in changes if one.change_id > last_id), key=lambda one: one.change_id
            )
            return rows[: planted.MAX_CHANGES], await planted.read_head(found)

    patch.setattr(Publisher, "_read", read)


def forgets_the_other_parts(patch: pytest.MonkeyPatch) -> None:
    """The first part's position is taken for that of all."""
    patch.setattr(Meta, "last", property(lambda self: self.parts[0]))
    patch.setattr(Meta, "bound", None)


def keeps_what_was_refused(patch: pytest.MonkeyPatch) -> None:
    """Boards whose position was refused go on being read."""

    async def retire(*_: object) -> None:
        return None

    patch.setattr(Generations, "retire", retire)


def counts_nothing(patch: pytest.MonkeyPatch) -> None:
    """Scripts take a board for whole, however few are on it."""
    patch.setattr(steps, "counts", lambda *_: True)
    patch.setattr(scripts, "counts", lambda *_: True)


def mixes_positions(patch: pytest.MonkeyPatch) -> None:
    """Parts that are at different positions make one answer."""
    take = Reading._take

    def take_any(self: Reading, part: int, answer: list[Any]) -> list[Any]:
        if answer[0] and self._first:
            self._first = answer[1]
        return take(self, part, answer)

    patch.setattr(Reading, "_take", take_any)


def asks_only_of_the_last_part(patch: pytest.MonkeyPatch) -> None:
    """Where other parts are ahead, nobody asks whether that is of this history."""

    async def check_ahead(*_: object) -> None:
        return None

    patch.setattr(Follower, "_check_ahead", check_ahead)


def erases_within_a_tenure(patch: pytest.MonkeyPatch) -> None:
    """Redactions come with the epoch that the changes had."""
    patch.setattr(HistoryDatabase, "_begin_tenure_of_erasure", lambda _: None)


@dataclass(frozen=True)
class Mutation:
    """`plant` breaks the code; that shows where one of these faults happens, or any."""

    plant: Callable[[pytest.MonkeyPatch], None]
    faults: tuple[str, ...] = ()


MUTATIONS = (
    Mutation(applies_without_comparing),
    Mutation(compares_no_epoch, ("restore_both",)),
    Mutation(checks_no_epoch, ("restore_database",)),
    Mutation(goes_on_in_any_epoch, ("restore_both",)),
    Mutation(trusts_its_memory),
    Mutation(publishes_what_is_half_built, ("cut_streams", "flush")),
    Mutation(skips_a_gap, ("lose_messages",)),
    Mutation(confirms_without_applying),
    Mutation(moves_on_without_scores),
    Mutation(pages_by_id),
    Mutation(forgets_the_other_parts, ("promote_replica",)),
    Mutation(keeps_what_was_refused, ("restore_database",)),
    Mutation(counts_nothing, ("evict",)),
    Mutation(mixes_positions, ("promote_replica", "slow_redis")),
    Mutation(asks_only_of_the_last_part, ("promote_replica", "restore_database")),
    Mutation(erases_within_a_tenure, ("undo_erasure", "slow_redis")),
)
