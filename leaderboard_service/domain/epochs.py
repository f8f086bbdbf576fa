"""Which positions are of one history."""

from leaderboard_service.domain.answer import Position

_PRESENTS, _OTHERS = 8, 64


class Epochs:
    """Remembers how far other epochs are of the same history as a later one: as the stream told
    that the boards follow, or as PostgreSQL judged.

    Epochs change with every restart of ProgressService and with every erasure. What was of the
    history before a restore may not be of the one after, so it is known for each epoch by itself:
    of some the newest, and for each of them the newest others.
    """

    def __init__(self) -> None:
        self._through: dict[str, dict[str, int]] = {}

    def same(self, present: Position, other: Position) -> bool:
        """Whether `other` is known to be of the history that `present` is of, or before it."""
        if other.epoch == present.epoch:
            return other.sequence <= present.sequence
        return other.sequence <= self._through.get(present.epoch, {}).get(other.epoch, -1)

    def learn(self, present: Position, other: Position) -> None:
        """Notes that `other` is of the history that `present` is of, and so all before it."""
        if other.epoch != present.epoch:
            _note(self._of(present.epoch), other)

    def follow(self, epoch: str, before: Position) -> None:
        """Notes that the history of `before` goes on in `epoch`: so does what was known to lead up
        to `before`.
        """
        if epoch == before.epoch:
            return
        known = self._of(epoch)
        for other, through in self._through.get(before.epoch, {}).items():
            if other != epoch:
                _note(known, Position(other, min(through, before.sequence)))
        _note(known, before)

    def _of(self, epoch: str) -> dict[str, int]:
        if epoch not in self._through:
            self._through[epoch] = {}
            if len(self._through) > _PRESENTS:
                del self._through[next(iter(self._through))]
        return self._through[epoch]


def _note(known: dict[str, int], other: Position) -> None:
    """The oldest are forgotten when there are many: they can be learned again."""
    known[other.epoch] = max(other.sequence, known.pop(other.epoch, other.sequence))
    if len(known) > _OTHERS:
        del known[next(iter(known))]
