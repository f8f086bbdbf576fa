"""Which positions are of one history."""

from leaderboard_service.domain.answer import Position

_MOST = 1_000


class Epochs:
    """Remembers how far other epochs are of the same history as a later one: as the stream told
    that the boards follow, or as PostgreSQL judged.

    Epochs change with every restart of ProgressService and with every erasure. What was of the
    history before a restore may not be of the one after, so all is known by pairs.
    """

    def __init__(self) -> None:
        self._through: dict[tuple[str, str], int] = {}

    def same(self, present: Position, other: Position) -> bool:
        """Whether `other` is known to be of the history that `present` is of, or before it."""
        if other.epoch == present.epoch:
            return other.sequence <= present.sequence
        return other.sequence <= self._through.get((present.epoch, other.epoch), -1)

    def includes(self, present: Position, other: Position) -> bool:
        """Whether what is at `present` is known to hold everything up to `other`."""
        return other.sequence <= present.sequence and self.same(present, other)

    def learn(self, present: Position, other: Position) -> None:
        """Notes that `other` is of the history that `present` is of, and so all before it."""
        if other.epoch != present.epoch:
            self._note(present.epoch, other.epoch, other.sequence)

    def follow(self, epoch: str, before: Position) -> None:
        """Notes that the history of `before` goes on in `epoch`: so does what was known to lead up
        to `before`.
        """
        if epoch == before.epoch:
            return
        for (present, other), through in [*self._through.items()]:
            if present == before.epoch and other != epoch:
                self._note(epoch, other, min(through, before.sequence))
        self._note(epoch, before.epoch, before.sequence)

    def _note(self, present: str, other: str, through: int) -> None:
        """Of many pairs the oldest are forgotten: they can be learned again."""
        pair = (present, other)
        self._through[pair] = max(through, self._through.pop(pair, through))
        if len(self._through) > _MOST:
            del self._through[next(iter(self._through))]
