"""What a step along the history is for each part of a generation: a script and its arguments."""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from leaderboard_service.domain.fold import Correction, Erasure, Fold, Reset, Step
from leaderboard_service.store import keys
from leaderboard_service.store.keys import Generation

_EMPTY = json.dumps({"users": [], "boards": [], "profiles": []}, separators=(",", ":"))


@dataclass(frozen=True, slots=True)
class Task:
    """The name of a script that shares step.lua, and its arguments from the tenth on."""

    script: str
    arguments: tuple[str | int, ...]


_NOTHING = Task("apply", (_EMPTY,))


def part_tasks(step: Step, generation: Generation) -> Sequence[Task]:
    """The task of each part, in their order; where a step does not concern a part, that only
    moves on.
    """
    match step:
        case Fold():
            return _fold_tasks(step, generation)
        case Erasure(user_id):
            return _of_one(generation, user_id, Task("erase", (user_id,)))
        case Reset(board):
            return [Task("reset", (board,))] * len(generation.parts)
        case Correction(board, user_id, score):
            return _of_one(generation, user_id, Task("correct", (board, user_id, score)))


def _of_one(generation: Generation, user_id: str, task: Task) -> list[Task]:
    tasks = [_NOTHING] * len(generation.parts)
    tasks[generation.part_of(user_id)] = task
    return tasks


class _Payload:
    """A part's share of a fold as apply.lua reads it; users are named once and meant by number,
    from 1.
    """

    def __init__(self) -> None:
        self._number: dict[str, int] = {}
        self._boards: list[list[Any]] = []
        self._profiles: list[list[str]] = []

    def add_board(self, name: str, amounts: Iterable[tuple[str, int]]) -> None:
        pairs: list[int] = []
        number = self._number
        for user_id, amount in amounts:
            pairs.append(number.setdefault(user_id, len(number) + 1))
            pairs.append(amount)
        self._boards.append([name, pairs])

    def add_profile(self, user_id: str, packed: str) -> None:
        self._profiles.append([user_id, packed])

    def task(self) -> Task:
        payload = {
            "users": list(self._number),
            "boards": self._boards,
            "profiles": self._profiles,
        }
        return Task("apply", (json.dumps(payload, separators=(",", ":"), ensure_ascii=False),))


def _fold_tasks(fold: Fold, generation: Generation) -> list[Task]:
    payloads = [_Payload() for _ in generation.parts]
    part_of = generation.part_of
    for name, amounts in fold.boards.items():
        for number, share in _shares(amounts, generation).items():
            payloads[number].add_board(name, share)
    for user_id, profile in fold.profiles.items():
        payloads[part_of(user_id)].add_profile(user_id, keys.pack_profile(profile))
    return [payload.task() for payload in payloads]


def _shares(
    amounts: Mapping[str, int], generation: Generation
) -> Mapping[int, Iterable[tuple[str, int]]]:
    """What belongs to each part that anything belongs to."""
    if len(generation.parts) == 1:
        return {0: amounts.items()}
    shares: dict[int, list[tuple[str, int]]] = {}
    for item in amounts.items():
        shares.setdefault(generation.part_of(item[0]), []).append(item)
    return shares
