"""A history that grows at random and boards that follow it, step by step, in one event loop."""

import asyncio
from collections import defaultdict
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from typing import Any

from leaderboard_service.applier import Applier, Target
from leaderboard_service.domain.board import parse_board_name
from leaderboard_service.rebuild import Rebuilder, Sources
from leaderboard_service.status import Status
from shared.gen.laurel.progress.v1.progress_pb2_grpc import (
    ProgressServiceStub,
    StandingsServiceStub,
)
from tests.access import open_channel
from tests.leaderboard_history import boards_of
from tests.leaderboard_peer import Peer, serve
from tests.leaderboard_store import EPOCH, FLOORS, Stores, check_counts, contents, open_stores

USERS = ["a", "B", "a.b", "z"]
# The day before the last is before the floor of days, and the last before that of weeks too.
DAYS = ["2026-11-20", "2026-11-13", "2026-10-16", "2026-01-01"]
BOARDS = [
    "xp//all_time/",
    "xp//week/2026-W47",
    "xp//day/2026-11-20",
    "xp/c/month/2026-10",
    "xp//day/2026-10-16",
    "xp/unheard/all_time/",
]


@dataclass
class Entry:
    """A credit that may be revoked, once."""

    user: str
    amount: int
    fields: dict[str, Any]
    boards: list[str]
    sequence: int


@dataclass
class Writer:
    """Appends what ProgressService would append."""

    peer: Peer
    entries: list[Entry] = field(default_factory=list)
    """Those that are not revoked and whose user is not erased."""
    reset_at: dict[str, int] = field(default_factory=dict)

    async def credit(self, user: str, amount: int, day: str, course: str) -> None:
        await self._introduce(user)
        fields: dict[str, Any] = {"occurred_date": day, "course_id": course}
        delta = await self.peer.credit(user, amount, **fields)
        sequence = self.peer.position.sequence
        self.entries.append(Entry(user, amount, fields, boards_of(delta), sequence))

    async def revoke(self, number: int) -> None:
        """Counts where the entry still counts."""
        if self.entries:
            entry = self.entries.pop(number % len(self.entries))
            excluded = [b for b in entry.boards if self.reset_at.get(b, 0) > entry.sequence]
            await self.peer.credit(entry.user, -entry.amount, excluded=excluded, **entry.fields)

    async def profile(self, user: str, hidden: bool) -> None:
        await self.peer.profile(user, user.upper(), hidden=hidden)

    async def reset(self, board: str) -> None:
        await self.peer.reset(board)
        self.reset_at[board] = self.peer.position.sequence

    async def erase(self, user: str) -> None:
        await self.peer.erase(user)
        self.entries = [entry for entry in self.entries if entry.user != user]

    async def correct(self, user: str, board: str, extra: int) -> None:
        """To what is due or beyond it, so that no revocation leads below zero."""
        await self._introduce(user)
        await self.peer.correct(board, user, self.due(user, board) + extra)

    def due(self, user: str, board: str) -> int:
        """What the entries come to on a board."""
        counts_after = self.reset_at.get(board, 0)
        return sum(
            entry.amount
            for entry in self.entries
            if entry.user == user and board in entry.boards and entry.sequence > counts_after
        )

    async def _introduce(self, user: str) -> None:
        if user not in self.peer.profiles:
            await self.peer.profile(user)


@dataclass
class World:
    """A writer, and boards that are behind it until they follow."""

    writer: Writer
    stores: Stores
    target: Target
    rebuilder: Rebuilder
    applier: Applier

    @property
    def peer(self) -> Peer:
        return self.writer.peer

    async def follow(self, back: int = 0, most: int = 1000, max_scores: int = 1000) -> None:
        """Takes a message that begins up to `back` changes before the position."""
        await self._take(self.applier, back, most, max_scores)

    async def race(self, most: int) -> None:
        """Two take the same changes, in steps of different sizes."""
        other = await self.new_applier()
        await asyncio.gather(self._take(self.applier, 0, most, 3), self._take(other, 0, most, 1000))

    async def restart(self) -> None:
        """All that is known is what Redis says."""
        self.applier = await self.new_applier()

    async def rebuild(self, rounds: int) -> None:
        """Rebuilds, and while the snapshot is under way the history and the old boards go on."""

        async def meanwhile() -> None:
            for number in range(rounds):
                await self.writer.credit(USERS[0], 1 + number, DAYS[0], "")
                await self.writer.reset(BOARDS[number % len(BOARDS)])
                await self.writer.correct(USERS[1], BOARDS[0], number)
                await self.writer.erase(USERS[number % len(USERS)])
            await self.follow()

        self.peer.during_snapshot = meanwhile
        await self.rebuilder.rebuild("a test")
        await self.restart()

    async def check(self) -> None:
        """Follows to the end; then every board, every hidden score and every count is right."""
        while self.applier.meta.position.sequence < len(self.peer.changes):
            await self.follow()
        found = await contents(self.stores)
        for name, members in found.items():
            kind, _, of = name.partition(":")
            if kind == "board":
                assert members == {e.user_id: -e.score for e in self.peer.board(of)}
                assert members
        for board in self.peer.scores:
            assert bool(self.peer.board(board) and _kept(board)) == (f"board:{board}" in found)
        hidden: dict[str, dict[str, str]] = defaultdict(dict)
        for board, scores in self.peer.scores.items():
            for user, score in scores.items():
                if score and _kept(board) and self.peer.profiles[user].hidden:
                    hidden[f"hidden:{user}"][board] = str(score)
        assert {n: kept for n, kept in found.items() if n.startswith("hidden:")} == hidden
        await check_counts(self.stores)

    async def _take(self, applier: Applier, back: int, most: int, max_scores: int) -> None:
        applier._max_scores = max_scores
        after = max(applier.meta.position.sequence - back, 0)
        await applier.take(self.peer.message(after, most))

    async def new_applier(self) -> Applier:
        generation = await self.stores.generations.refresh()
        assert generation is not None
        self.stores.generation = generation
        meta = await self.stores.writer.meta(generation)
        assert meta is not None
        return Applier(self.target, generation, meta, read=False)


def _kept(name: str) -> bool:
    board = parse_board_name(name)
    return FLOORS.keeps(board.window, board.period)


@asynccontextmanager
async def open_world(redis_url: str, parts: int = 1) -> AsyncIterator[World]:
    """Empty boards of so many parts in an emptied Redis, and an empty history."""
    peer = Peer()
    peer.epoch = EPOCH
    peer.epochs.add(EPOCH)
    async with (
        open_stores(redis_url, parts) as stores,
        serve(peer) as address,
        open_channel(address) as channel,
    ):
        target = Target(stores.writer, stores.generations, 1000)
        sources = Sources(StandingsServiceStub(channel), ProgressServiceStub(channel))
        rebuilder = Rebuilder(
            sources, stores.link, target, Status(), wanted_floors=lambda: FLOORS, parts=parts
        )
        rebuilding = asyncio.create_task(rebuilder.run())
        applier = Applier(target, stores.generation, stores.meta, read=False)
        try:
            yield World(Writer(peer), stores, target, rebuilder, applier)
        finally:
            rebuilding.cancel()
            with suppress(asyncio.CancelledError):
                await rebuilding
