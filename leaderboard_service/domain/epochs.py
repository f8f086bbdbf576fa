"""Which tenures of the sequencer are of one history."""

_MOST = 64


class Epochs:
    """Remembers which epochs are of the same history as the present one, as PostgreSQL judged.

    The present epoch changes with every restart of ProgressService, and with it what is known:
    an epoch that was of the history before a restore may not be of the one after.
    """

    def __init__(self) -> None:
        self._same: set[tuple[str, str]] = set()

    def same(self, present: str, other: str) -> bool:
        """Whether `other` is known to be of the history that `present` is of."""
        return other == present or (present, other) in self._same

    def learn(self, present: str, other: str) -> None:
        """Notes that it is. Of many pairs all are forgotten: they are learned again."""
        if other != present:
            if len(self._same) >= _MOST:
                self._same.clear()
            self._same.add((present, other))
