"""Which positions are of one history."""

from leaderboard_service.domain.answer import Position

_MOST = 64


class Epochs:
    """Remembers how far other epochs are of the same history as the present one, as PostgreSQL
    judged.

    The present epoch changes with every restart of ProgressService, and with it what is known:
    what was of the history before a restore may not be of the one after.
    """

    def __init__(self) -> None:
        self._through: dict[tuple[str, str], int] = {}

    def same(self, present: Position, other: Position) -> bool:
        """Whether `other` is known to be of the history that `present` is of, or before it."""
        if other.epoch == present.epoch:
            return other.sequence <= present.sequence
        return other.sequence <= self._through.get((present.epoch, other.epoch), -1)

    def learn(self, present: Position, other: Position) -> None:
        """Notes that it is, and so all before it. Of many pairs all are forgotten: they are learned
        again.
        """
        if other.epoch == present.epoch:
            return
        pair = (present.epoch, other.epoch)
        if pair not in self._through and len(self._through) >= _MOST:
            self._through.clear()
        self._through[pair] = max(other.sequence, self._through.get(pair, other.sequence))
