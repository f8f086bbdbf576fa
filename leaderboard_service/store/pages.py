"""The pages that were read last: one of parts that stand still is not read again."""

from collections import OrderedDict
from collections.abc import Mapping
from typing import NamedTuple

from leaderboard_service.domain.answer import Page
from leaderboard_service.domain.board import Board
from leaderboard_service.domain.question import After, TopAsk
from leaderboard_service.store.keys import Generation

_MOST = 256

_Key = tuple[Board, int, int, After | None, tuple[Board, ...]]


class KnownPage(NamedTuple):
    """A page, and the versions of the parts that it is made of."""

    versions: Mapping[int, str]
    page: Page


class Pages:
    """Pages of one generation, some hundred of them."""

    def __init__(self) -> None:
        self._pages: OrderedDict[_Key, KnownPage] = OrderedDict()
        self._generation: Generation | None = None

    def find(self, generation: Generation, ask: TopAsk) -> KnownPage | None:
        """The page as it was read last; it need not be what it was."""
        if generation != self._generation:
            self._pages.clear()
            self._generation = generation
        return self._pages.get(_key(ask))

    def forget(self, ask: TopAsk) -> None:
        """Has the page read again."""
        self._pages.pop(_key(ask), None)

    def keep(self, generation: Generation, ask: TopAsk, known: KnownPage) -> None:
        """Remembers a page, instead of the one that was read before all others."""
        if generation == self._generation:
            key = _key(ask)
            self._pages[key] = known
            self._pages.move_to_end(key)
            if len(self._pages) > _MOST:
                self._pages.popitem(last=False)


def _key(ask: TopAsk) -> _Key:
    return ask.board, ask.mode, ask.size, ask.after, ask.also
