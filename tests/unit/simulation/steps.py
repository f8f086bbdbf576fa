"""The Lua scripts that share step.lua as a model: the same keys, arguments and answers."""

import json
from collections.abc import Callable, Iterable
from typing import Any

from leaderboard_service.domain.answer import MAX_SCORE
from tests.unit.simulation.redis import (
    Hash,
    SimulatedRedis,
    Sorted,
    drop_empty,
    hash_at,
    size,
    sorted_at,
)

Answer = list[Any]
Script = Callable[[SimulatedRedis, list[str], list[str]], Answer]


def keeps(floors: str, board: str) -> bool:
    _, _, window, period = board.split("/")
    if window == "all_time":
        return True
    return period >= floors.split(" ")[("year", "month", "week", "day").index(window)]


def is_expected(meta: Hash, epoch: str, sequence: str) -> bool:
    """The compare of compare-and-set."""
    return (meta["epoch"], meta["sequence"]) == (epoch, sequence)


class _Step:
    """What step.lua shares."""

    def __init__(self, redis: SimulatedRedis, keys: list[str], args: list[str]) -> None:
        self.space = redis.space
        self.meta_key, self.profiles_key = keys
        self.boards, self.beside, self.epoch, self.sequence, self.floors = args[:5]
        self.advanced = args[5:9]
        self.own = args[9:]
        self.broken: str | None = None
        self.touched: set[str] = set()
        self._touched_users: set[str] = set()

    def refusal(self) -> Answer | None:
        if self.meta_key not in self.space:
            return ["gone"]
        meta = self.meta
        if not is_expected(meta, self.epoch, self.sequence):
            return ["moved", meta["epoch"], meta["sequence"]]
        if meta["floors"] != self.floors:
            return ["floors", meta["floors"]]
        if size(self.space, self.profiles_key, Hash) != int(meta["profiles"]):
            return ["broken", "profiles"]
        if int(self.advanced[1]) < int(self.sequence):
            return ["broken", "arguments"]
        return None

    @property
    def meta(self) -> Hash:
        return hash_at(self.space, self.meta_key)

    def packed(self, user: str) -> str | None:
        profiles = self.space.get(self.profiles_key)
        return profiles.get(user) if isinstance(profiles, Hash) else None

    def is_hidden(self, user: str) -> bool:
        return (self.packed(user) or "").startswith("h")

    def touch_board(self, board: str) -> None:
        self.touched.add(board)
        if not counts(self.space, self.meta, self.boards, board):
            self.broken = self.broken or board

    def touch_hidden(self, user: str) -> None:
        self._touched_users.add(user)
        if size(self.space, self.beside + user, Hash) != int(self.meta.get(f"h:{user}", 0)):
            self.broken = self.broken or f"hidden scores of {user}"

    def counted(self, mark: str) -> list[str]:
        return [name[len(mark) :] for name in self.meta if name.startswith(mark)]

    def score(self, board: str, user: str) -> int:
        """Not negated."""
        value = self.space.get(self.boards + board)
        return -value.get(user, 0) if isinstance(value, Sorted) else 0

    def put(self, board: str, user: str, score: int) -> None:
        scores = sorted_at(self.space, self.boards + board)
        if score > 0:
            scores[user] = -score
        else:
            scores.pop(user, None)

    def keep(self, board: str, user: str, score: int) -> None:
        kept = hash_at(self.space, self.beside + user)
        if score > 0:
            kept[board] = str(score)
        else:
            kept.pop(board, None)

    def advance(self) -> Answer:
        beside = [self.beside + user for user in self._touched_users]
        boards = [self.boards + board for board in self.touched]
        drop_empty(self.space, [*boards, *beside, self.profiles_key])
        meta = self.meta
        for board in self.touched:
            self._note(f"n:{board}", size(self.space, self.boards + board, Sorted))
        for user in self._touched_users:
            self._note(f"h:{user}", size(self.space, self.beside + user, Hash))
        names = ("epoch", "sequence", "numbered_us", "confirmed_us")
        meta.update(zip(names, self.advanced, strict=True))
        meta["profiles"] = str(size(self.space, self.profiles_key, Hash))
        return ["applied", len(meta)]

    def _note(self, name: str, count: int) -> None:
        if count > 0:
            self.meta[name] = str(count)
        else:
            self.meta.pop(name, None)


def counts(space: dict[str, Any], meta: Hash, prefix: str, board: str) -> bool:
    """Whether a board has as many members as meta says."""
    return size(space, prefix + board, Sorted) == int(meta.get(f"n:{board}", 0))


def _script(work: Callable[[_Step], Answer | None]) -> Script:
    """The script: `work` checks, then writes; nothing when it was refused before."""

    def script(redis: SimulatedRedis, keys: list[str], args: list[str]) -> Answer:
        step = _Step(redis, keys, args)
        return step.refusal() or work(step) or step.advance()

    return script


def _broken(step: _Step) -> Answer | None:
    return ["broken", step.broken] if step.broken else None


@_script
def apply(step: _Step) -> Answer | None:
    batch = json.loads(step.own[0])
    credits_ = _credits(step, batch["boards"], batch["users"])
    turned = _turned(step, batch["profiles"])
    if step.broken:
        return _broken(step)
    for board, user, amount in credits_:
        if step.is_hidden(user):
            before = int(hash_at(step.space, step.beside + user).get(board, 0))
            step.keep(board, user, before + amount)
        else:
            step.put(board, user, step.score(board, user) + amount)
    for user, packed in batch["profiles"]:
        hash_at(step.space, step.profiles_key)[user] = packed
    for user in turned:
        _turn(step, user)
    return None


def _credits(
    step: _Step, boards: Iterable[tuple[str, list[int]]], users: list[str]
) -> list[tuple[str, str, int]]:
    """(board, user, amount) of what is kept, with all that this touches."""
    found: list[tuple[str, str, int]] = []
    for board, pairs in boards:
        if keeps(step.floors, board):
            step.touch_board(board)
            amounts = zip(pairs[::2], pairs[1::2], strict=True)
            found += [(board, users[number - 1], amount) for number, amount in amounts]
    for board, user, amount in found:
        if step.is_hidden(user):
            step.touch_hidden(user)
        elif step.score(board, user) + amount > MAX_SCORE:
            step.broken = step.broken or f"score of {user}"
    return found


def _turned(step: _Step, profiles: Iterable[tuple[str, str]]) -> list[str]:
    """Who is to be hidden or shown, with all that this touches."""
    turned = [user for user, packed in profiles if packed.startswith("h") != step.is_hidden(user)]
    for user in turned:
        step.touch_hidden(user)
        beside = step.space.get(step.beside + user, Hash())
        for board in list(beside) if step.is_hidden(user) else step.counted("n:"):
            step.touch_board(board)
    return turned


def _turn(step: _Step, user: str) -> None:
    """Off the boards, or back to them; the profile says so already."""
    if step.is_hidden(user):
        for board in step.touched:
            score = step.score(board, user)
            if score:
                step.put(board, user, 0)
                step.keep(board, user, score)
        return
    for board, kept in hash_at(step.space, step.beside + user).items():
        if keeps(step.floors, board):
            step.put(board, user, int(kept))
    del step.space[step.beside + user]


@_script
def erase(step: _Step) -> Answer | None:
    (user,) = step.own
    step.touch_hidden(user)
    for board in step.counted("n:"):
        if not counts(step.space, step.meta, step.boards, board):
            return ["broken", board]
        if step.score(board, user):
            step.touch_board(board)
    if step.broken:
        return _broken(step)
    for board in step.touched:
        step.put(board, user, 0)
    step.space.pop(step.beside + user, None)
    hash_at(step.space, step.profiles_key).pop(user, None)
    return None


@_script
def reset(step: _Step) -> Answer | None:
    (board,) = step.own
    if not keeps(step.floors, board):
        return None
    step.touch_board(board)
    users = step.counted("h:")
    for user in users:
        step.touch_hidden(user)
    if step.broken:
        return _broken(step)
    step.space.pop(step.boards + board, None)
    for user in users:
        step.keep(board, user, 0)
    return None


@_script
def correct(step: _Step) -> Answer | None:
    board, user, score = step.own
    if step.packed(user) is None:
        return ["broken", f"profile of {user}"]
    if not keeps(step.floors, board):
        return None
    hidden = step.is_hidden(user)
    if hidden:
        step.touch_hidden(user)
    else:
        step.touch_board(board)
    if step.broken:
        return _broken(step)
    (step.keep if hidden else step.put)(board, user, int(score))
    return None
