"""The tokens that have been verified, so that the next call with one costs next to nothing."""

from shared.identity import Identity

MAX_TOKENS = 10_000
MAX_CHARS = 16 * 1024 * 1024


class KnownTokens:
    """Whose tokens they are, as far as there is room: those that have not been used for longest
    make way.

    They stand in two halves. What is put in, or found in the older half, goes into the newer one;
    when that is full the older one is dropped and the newer one takes its place. So being found
    again mostly costs one look, and no order is kept.
    """

    def __init__(self) -> None:
        self._newer: dict[str, Identity] = {}
        self._older: dict[str, Identity] = {}
        self._chars = 0

    def __len__(self) -> int:
        return len(self._newer) + len(self._older)

    def get(self, authorization: str) -> Identity | None:
        """Whose it is, if it is known."""
        identity = self._newer.get(authorization)
        if identity is None and self._older:
            identity = self._older.pop(authorization, None)
            if identity is not None:
                self.put(authorization, identity)
        return identity

    def put(self, authorization: str, identity: Identity) -> None:
        """Whose it is, from now on."""
        if len(self._newer) >= MAX_TOKENS // 2 or self._chars >= MAX_CHARS // 2:
            self._older, self._newer, self._chars = self._newer, {}, 0
        self._older.pop(authorization, None)
        self._newer[authorization] = identity
        self._chars += len(authorization)

    def clear(self) -> None:
        """None is known any more."""
        self._newer, self._older, self._chars = {}, {}, 0
