"""Services with a bug that breaks one promise, each of a kind that is made in earnest: whoever
judges runs must find it.

A service's process applies one before it starts (tests.faults.service).
"""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, replace
from itertools import count
from typing import Any

from sqlalchemy import text

from leaderboard_service import rebuild
from leaderboard_service.consistency import Consistency
from leaderboard_service.store import reading
from leaderboard_service.store.boards import BoardWriter, Meta
from leaderboard_service.store.client import Script
from progress_service import publisher
from progress_service.servicers import list_pages, standings
from progress_service.store import history_pruning, numbering, positions
from progress_service.store.database import Database
from progress_service.store.ledger_write import Batch
from shared.errors import Unavailable
from shared.gen.laurel.progress.v1.progress_pb2 import SnapshotStandingsResponse

_HOARD_BYTES = 4_000_000
_hoard: list[bytes] = []


@dataclass(frozen=True)
class Mutant:
    """`service` has the bug; it breaks `promise`, and shows under `fault` ("": under any)."""

    service: str
    promise: str
    fault: str
    plant: Callable[[], None]


def _put(owner: Any, name: str, mutated: Any) -> None:
    assert hasattr(owner, name), f"there is no {name} any more"
    setattr(owner, name, mutated)


def _substitute(source: str, old: str, new: str) -> str:
    assert source.count(old) == 1, f"there is no such text any more: {old}"
    return source.replace(old, new)


def _number_by_id() -> None:
    """Of what commits late, with a lower id than the last that was numbered, nothing is seen. (And
    some transactions take longer than others, as they do.)
    """
    statement = _substitute(
        str(numbering._NUMBER.text),
        "FROM taken\n        RETURNING kind",
        "FROM taken WHERE change_id > (SELECT coalesce(max(change_id), 0) FROM changes)\n"
        "        RETURNING kind",
    )
    _put(numbering, "_NUMBER", text(statement))
    real, groups = Batch.write, count(1)

    async def write(self: Batch, connection: Any) -> None:
        await real(self, connection)
        if next(groups) % 3 == 0:
            await asyncio.sleep(0.2)

    _put(Batch, "write", write)


def _forget_request_ids() -> None:
    """A repetition is a second attempt."""

    def add_key(self: Batch, *_: Any) -> None: ...

    _put(Batch, "add_key", add_key)


def _answer_without_writing() -> None:
    """One group in twenty is answered and not written."""
    real, groups = Batch.write, count(1)

    async def write(self: Batch, connection: Any) -> None:
        if next(groups) % 20:
            await real(self, connection)

    _put(Batch, "write", write)


def _change_scripts(old: str, new: str) -> None:
    real = Script.__init__

    def initialise(self: Script, name: str, *, shares: tuple[str, ...] = ("prelude",)) -> None:
        real(self, name, shares=shares)
        if "step" in shares:
            self.text = _substitute(self.text, old, new)
            # Sent whole each time, under a digest that no server knows.
            self.digest = "0" * 40

    _put(Script, "__init__", initialise)


def _apply_without_comparing() -> None:
    """Scores are added wherever Redis stands."""
    _change_scripts("if stored[1] ~= ARGV[3] or stored[2] ~= ARGV[4] then", "if false then")


def _trust_memory() -> None:
    """The follower goes on from where it was, wherever Redis is now."""
    _apply_without_comparing()
    known: dict[str, Meta] = {}
    real_meta, real_apply = BoardWriter.meta, BoardWriter.apply

    async def meta(self: BoardWriter, generation: Any) -> Meta | None:
        return known.get(generation.id) or await real_meta(self, generation)

    async def apply(self: BoardWriter, generation: Any, *arguments: Any) -> Meta:
        known[generation.id] = await real_apply(self, generation, *arguments)
        return known[generation.id]

    _put(BoardWriter, "meta", meta)
    _put(BoardWriter, "apply", apply)


def _publish_half_built() -> None:
    """The first board of a snapshot is taken for all of it."""
    real = vars(rebuild)["next_message"]

    async def next_message(call: Any, silence_s: float) -> Any:
        message = await real(call, silence_s)
        if isinstance(message, SnapshotStandingsResponse) and message.standings:
            message.complete = True
        return message

    _put(rebuild, "next_message", next_message)


def _stamp_next_position() -> None:
    """Answers from Redis state a position that their scores have not reached."""
    real = vars(reading.Reading)["stamp"].func

    def stamp(self: reading.Reading) -> Any:
        found = real(self)
        at = found.position
        return replace(found, position=replace(at, sequence=at.sequence + 1))

    _put(reading.Reading, "stamp", property(stamp))


def _skip_changes() -> None:
    """One change in fifty is not sent."""
    real = publisher._message

    def message(rows: list[Any], *arguments: Any) -> Any:
        return real([row for row in rows if row.sequence % 50], *arguments)

    _put(publisher, "_message", message)


def _take_any_position() -> None:
    """Whatever position a watcher states is believed."""

    async def check_position(*_: Any) -> None: ...

    _put(positions, "check_position", check_position)


def _take_any_page() -> None:
    """A page token is good whatever became of the history that it is of."""

    async def check_position(*_: Any) -> None: ...

    _put(standings, "check_position", check_position)


def _take_any_list_page() -> None:
    """The same of lists that are no boards."""
    real = vars(list_pages)["head_after"]

    async def head_after(connection: Any, *_: Any) -> Any:
        return await real(connection, None)

    _put(list_pages, "head_after", head_after)


def _forget_numbers() -> None:
    """What is pruned has no number any more."""
    statement = _substitute(str(history_pruning._PRUNE.text), "FROM gone", "FROM gone WHERE false")
    _put(history_pruning, "_PRUNE", text(statement))


def _ignore_tokens() -> None:
    """Reads do not wait for what they are to include."""
    real = Consistency.ask

    async def ask(self: Consistency, _token: str, *arguments: Any) -> Any:
        return await real(self, "", *arguments)

    _put(Consistency, "ask", ask)


def _tell_url() -> None:
    """The error of a database that does not answer says where it was looked for."""
    real = Database.__init__
    urls: list[str] = []

    def initialise(self: Database, settings: Any) -> None:
        urls.append(settings.postgres_url)
        real(self, settings)

    def unavailable(_self: Database, _error: BaseException) -> Unavailable:
        return Unavailable("DATABASE_UNAVAILABLE", f"{urls[0]} does not answer.")

    _put(Database, "__init__", initialise)
    _put(Database, "_unavailable", unavailable)


def _hoard_messages() -> None:
    """What was sent to watchers is kept for ever."""
    real = publisher._message

    def message(*arguments: Any) -> Any:
        _hoard.append(b"x" * _HOARD_BYTES)
        return real(*arguments)

    _put(publisher, "_message", message)


PROGRESS, LEADERBOARD = "progress_service", "leaderboard_service"

MUTANTS = {
    "numbers_by_id": Mutant(PROGRESS, "exactly-once", "", _number_by_id),
    "forgets_request_ids": Mutant(
        PROGRESS, "exactly-once", "reset.client-progress", _forget_request_ids
    ),
    "answers_without_writing": Mutant(PROGRESS, "exactly-once", "", _answer_without_writing),
    "stamps_the_next_position": Mutant(LEADERBOARD, "answers", "", _stamp_next_position),
    "applies_without_comparing": Mutant(
        LEADERBOARD, "answers", "replicas", _apply_without_comparing
    ),
    "publishes_what_is_half_built": Mutant(
        LEADERBOARD, "redis", "redis.flush", _publish_half_built
    ),
    "trusts_its_memory": Mutant(LEADERBOARD, "redis", "redis.old_dump", _trust_memory),
    "skips_changes": Mutant(PROGRESS, "watchers", "", _skip_changes),
    "takes_any_position": Mutant(PROGRESS, "restore", "postgres.restore", _take_any_position),
    "takes_any_page": Mutant(PROGRESS, "restore", "postgres.restore", _take_any_page),
    "takes_any_list_page": Mutant(PROGRESS, "restore", "postgres.restore", _take_any_list_page),
    "forgets_numbers": Mutant(PROGRESS, "exactly-once", "history.pruned", _forget_numbers),
    "ignores_tokens": Mutant(
        LEADERBOARD, "consistency", "latency.leaderboard-progress", _ignore_tokens
    ),
    "tells_the_URL": Mutant(PROGRESS, "errors", "kill.postgres", _tell_url),
    "hoards_messages": Mutant(PROGRESS, "bounds", "", _hoard_messages),
}


def apply(name: str) -> None:
    """Plants the bug in this process."""
    MUTANTS[name].plant()
