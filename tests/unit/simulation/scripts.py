"""The Lua scripts as a model, one function for each file: the same keys, arguments and answers."""

import json
from collections.abc import Callable
from typing import Any

from tests.unit.simulation import steps
from tests.unit.simulation.redis import Hash, SimulatedRedis, Sorted, hash_at, size
from tests.unit.simulation.steps import (
    Answer,
    apply,
    correct,
    counts,
    erase,
    keeps,
    reset,
)


def _confirm(redis: SimulatedRedis, keys: list[str], args: list[str]) -> Answer:
    meta = redis.space.get(keys[0])
    if not isinstance(meta, Hash):
        return ["gone"]
    if not steps.is_expected(meta, *args[:2]):
        return ["moved", meta["epoch"], meta["sequence"]]
    meta.update(epoch=args[2], confirmed_us=args[3])
    return ["applied"]


def _raise_floors(redis: SimulatedRedis, keys: list[str], args: list[str]) -> Answer:
    meta = redis.space.get(keys[0])
    if not isinstance(meta, Hash):
        return ["gone"]
    prefix, expected, wanted = args
    if meta["floors"] != expected:
        return ["floors", meta["floors"]]
    old = [n[2:] for n in meta if n.startswith("n:") and not keeps(wanted, n[2:])]
    for board in old:
        redis.space.pop(prefix + board, None)
        del meta[f"n:{board}"]
    meta["floors"] = wanted
    return ["raised", len(old)]


def _prune_hidden(redis: SimulatedRedis, keys: list[str], args: list[str]) -> Answer:
    meta = redis.space.get(keys[0])
    if not isinstance(meta, Hash):
        return ["gone"]
    deleted, left_alone = 0, []
    for user in args[1:]:
        key, field = args[0] + user, f"h:{user}"
        if size(redis.space, key, Hash) != int(meta.get(field, 0)):
            left_alone.append(user)
            continue
        kept = hash_at(redis.space, key)
        old = [board for board in kept if not keeps(meta["floors"], board)]
        for board in old:
            del kept[board]
        deleted += len(old)
        meta[field] = str(len(kept))
        if not kept:
            del meta[field], redis.space[key]
    return ["pruned", deleted, left_alone]


def _top(redis: SimulatedRedis, keys: list[str], args: list[str]) -> Answer:
    """Of pages from the top, without users or boards that are asked for besides."""
    meta = redis.space.get(keys[0])
    profiles = redis.space.get(keys[1], Hash())
    if not isinstance(meta, Hash) or len(profiles) != int(meta["profiles"]):
        return [0]
    names = ("epoch", "sequence", "numbered_us", "confirmed_us", "floors")
    stamp = [*(meta[name] for name in names), meta.get("mends", "0")]
    version = f"{stamp[0]}:{stamp[1]}:{stamp[5]}"
    answers: Answer = []
    for board, _mode, count, _score, _user, has, _added, _also in json.loads(args[1]):
        if not counts(redis.space, meta, args[0], board):
            answers.append(board)
            continue
        scores = redis.space.get(args[0] + board, Sorted())
        assert isinstance(scores, Sorted)
        answer: Answer = [len(scores), [], []]
        if has != version:
            lines = sorted((score, user) for user, score in scores.items())[:count]
            found = [text for score, user in lines for text in (user, str(score))]
            assert isinstance(profiles, Hash)
            answer += [0, 0, found, [profiles.get(user) for _, user in lines], []]
        answers.append(answer)
    return [1, stamp, answers]


def _release(redis: SimulatedRedis, keys: list[str], args: list[str]) -> int:
    return redis.unlink(keys[0]) if redis.get(keys[0]) == args[0] else 0


def _renew(redis: SimulatedRedis, keys: list[str], args: list[str]) -> int:
    if redis.get(keys[0]) != args[0]:
        return 0
    redis.set_ttl(keys[0], int(args[1]))
    return 1


SCRIPTS: dict[str, Callable[[SimulatedRedis, list[str], list[str]], Any]] = {
    "apply": apply,
    "erase": erase,
    "reset": reset,
    "correct": correct,
    "confirm": _confirm,
    "raise_floors": _raise_floors,
    "prune_hidden": _prune_hidden,
    "top": _top,
    "release": _release,
    "renew": _renew,
}
READ_ONLY = frozenset({"top"})
