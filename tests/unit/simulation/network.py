"""The way to Redis as a model: what RedisLink is for the code under test, with what can happen to
a request and its answer.
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextvars import Context
from dataclasses import dataclass, field
from enum import Enum, auto
from functools import partial
from typing import Any, NamedTuple

from leaderboard_service.store.client import RedisRefused, RedisUnavailable, Run
from tests.unit.simulation.loop import VirtualLoop
from tests.unit.simulation.redis import Hash, SimulatedRedis, hash_at, sorted_at
from tests.unit.simulation.scripts import READ_ONLY, SCRIPTS

_AT_ONCE = 2
"""Of commands that are sent together, so many are done before other clients come in."""
NOBODY = Context()
"""For what happens outside of all processes."""


class NamedScript:
    """In the place of a Script: its name says what it does."""

    def __init__(self, name: str, *, shares: tuple[str, ...] = ()) -> None:
        self.name = name


class Command(NamedTuple):
    """What Redis is asked to do."""

    name: str
    key: str
    args: object
    writes: bool
    run: Callable[[SimulatedRedis], Any]


class Fate(Enum):
    """What becomes of a request."""

    LOST = auto()
    """It never arrives."""
    UNANSWERED = auto()
    """It is done, and nobody hears of it."""
    LATE = auto()
    """It is done after the caller has given up."""
    CUT = auto()
    """The first of its commands are done, and nobody hears of it."""


@dataclass
class Network:
    """Between the processes and Redis. `after_write` is called with each command that has changed
    something, and what Redis answered.
    """

    loop: VirtualLoop
    redis: SimulatedRedis
    after_write: Callable[[Command, Any], None]
    trouble: float = 0.0
    """The share of requests that meet a fate."""
    slow_s: float = 0.0
    """How much longer an answer may take."""
    stalled: bool = False
    """Redis does nothing, and does all that it was asked when it goes on."""
    _waiting: list[Callable[[], None]] = field(default_factory=list)

    def send(self, commands: Sequence[Command], timeout_s: float) -> asyncio.Future[list[Any]]:
        """The answers, or RedisUnavailable."""
        loop, random = self.loop, self.loop.random
        answer: asyncio.Future[list[Any]] = loop.create_future()
        delay_s = random.random() ** 4 * (0.002 + self.slow_s)
        fate = None
        if self.trouble and random.random() < self.trouble:
            fate = random.choice(tuple(Fate))
            if fate is Fate.LATE:
                delay_s = timeout_s + random.random() * 2
            at = min(delay_s + 0.002, timeout_s) if random.random() < 0.5 else timeout_s
            loop.call_later(at, partial(_fail, answer, "no answer in time"), context=NOBODY)
        elif self.slow_s:
            loop.call_later(timeout_s, partial(_fail, answer, "no answer in time"), context=NOBODY)
        if fate is not Fate.LOST:
            last = random.randrange(len(commands) + 1) if fate is Fate.CUT else len(commands)
            arrive = partial(self._arrive, commands[:last], [], None if fate else answer)
            loop.call_later(delay_s, arrive, context=NOBODY)
        return answer

    def _arrive(
        self,
        commands: Sequence[Command],
        answers: list[Any],
        answer: asyncio.Future[list[Any]] | None,
    ) -> None:
        """Does the first of the commands, the others when it is their turn."""
        if self.redis.down:
            _fail(answer, "connection refused")
            return
        if self.stalled:
            later = partial(_fail, answer, "no answer in time")
            self.loop.call_later(self.loop.random.random() * 5, later, context=NOBODY)
            self._waiting.append(partial(self._arrive, commands, answers, None))
            return
        self.redis.expire()
        for command in commands[:_AT_ONCE]:
            if command.writes and self.redis.full:
                _fail(answer, "OOM", RedisRefused)
                return
            answers.append(command.run(self.redis))
            if command.writes:
                self.after_write(command, answers[-1])
        if len(commands) > _AT_ONCE:
            # Other clients come in between.
            rest = partial(self._arrive, commands[_AT_ONCE:], answers, answer)
            self.loop.call_soon(rest, context=NOBODY)
        elif answer is not None and not answer.done():
            answer.set_result(answers)

    def go_on(self) -> None:
        """Ends the stall."""
        self.stalled = False
        waiting, self._waiting = self._waiting, []
        for arrive in waiting:
            self.loop.call_soon(arrive, context=NOBODY)

    def forget(self) -> None:
        """What a stalled server was asked is gone: it was killed."""
        self._waiting = []


def _fail(
    answer: asyncio.Future[list[Any]] | None,
    why: str,
    kind: type[Exception] = RedisUnavailable,
) -> None:
    if answer is not None and not answer.done():
        answer.set_exception(kind(why))


class Client:
    """The commands in use, as commands to be sent."""

    def get(self, key: str) -> Command:
        return Command("GET", key, "", False, lambda redis: redis.get(key))

    def set(self, key: str, value: str, *, nx: bool = False, px: int | None = None) -> Command:
        return Command(
            "SET",
            key,
            value,
            True,
            lambda redis: redis.set(key, value, nx=nx, px=px),
        )

    def type(self, key: str) -> Command:
        return Command("TYPE", key, "", False, lambda redis: _type(redis, key))

    def hmget(self, key: str, names: Sequence[str]) -> Command:
        def run(redis: SimulatedRedis) -> list[str | None]:
            found = _hash(redis, key)
            return [found.get(name) for name in names]

        return Command("HMGET", key, names, False, run)

    def hgetall(self, key: str) -> Command:
        return Command("HGETALL", key, "", False, lambda redis: Hash(_hash(redis, key)))

    def hscan(self, key: str, cursor: int, match: str, count: int) -> Command:
        def run(redis: SimulatedRedis) -> tuple[int, dict[str, str]]:
            found = _hash(redis, key)
            return 0, {n: v for n, v in found.items() if n.startswith(match.rstrip("*"))}

        return Command("HSCAN", key, match, False, run)

    def hset(
        self, key: str, name: str = "", value: object = "", *, mapping: Mapping[str, object] = {}
    ) -> Command:
        fields = dict(mapping) if mapping else {name: value}

        def run(redis: SimulatedRedis) -> int:
            hash_at(redis.space, key).update({n: str(v) for n, v in fields.items()})
            return len(fields)

        return Command("HSET", key, fields, True, run)

    def zadd(self, key: str, scores: Mapping[str, int]) -> Command:
        def run(redis: SimulatedRedis) -> int:
            sorted_at(redis.space, key).update(scores)
            return len(scores)

        return Command("ZADD", key, scores, True, run)

    def unlink(self, *names: str) -> Command:
        return Command("UNLINK", names[0], names[1:], True, lambda redis: redis.unlink(*names))

    def pipeline(self, *, transaction: bool) -> "Pipeline":
        assert not transaction
        return Pipeline()


def _hash(redis: SimulatedRedis, key: str) -> Hash:
    found = redis.space.get(key, Hash())
    assert isinstance(found, Hash)
    return found


def _type(redis: SimulatedRedis, key: str) -> str:
    value = redis.space.get(key)
    return "none" if value is None else "hash" if isinstance(value, Hash) else "other"


class Pipeline(Client):
    """Commands that are sent together."""

    def __init__(self) -> None:
        self._commands: list[Command] = []

    def hset(
        self, key: str, name: str = "", value: object = "", *, mapping: Mapping[str, object] = {}
    ) -> Command:
        self._commands.append(super().hset(key, name, value, mapping=mapping))
        return self._commands[-1]

    def zadd(self, key: str, scores: Mapping[str, int]) -> Command:
        self._commands.append(super().zadd(key, scores))
        return self._commands[-1]

    def execute(self) -> list[Command]:
        return self._commands


class SimulatedLink:
    """In the place of RedisLink. After `cut` nothing that is called has any effect."""

    def __init__(self, network: Network, timeout_s: float) -> None:
        self.client = Client()
        self.timeout_s = timeout_s
        self._network = network
        self._is_cut = False

    def cut(self) -> None:
        """The process is gone; what it has sent is on its way."""
        self._is_cut = True

    async def call(
        self, command: Command | list[Command], *, timeout_s: float | None = None
    ) -> Any:
        if isinstance(command, list):
            return await self._send(command, timeout_s)
        return (await self._send([command], timeout_s))[0]

    async def run(self, script: NamedScript, keys: Sequence[str], args: Sequence[Any]) -> Any:
        return (await self._send([as_command(script, keys, args)]))[0]

    async def run_all(self, runs: Sequence[Run]) -> list[Any]:
        return await self._send([as_command(run.script, run.keys, run.args) for run in runs])

    async def scan(self, pattern: str) -> AsyncIterator[list[str]]:
        yield await self.call(Command("SCAN", pattern, "", False, lambda r: r.scan(pattern)))

    async def unlink(self, names: Sequence[str]) -> int:
        return int(await self.call(self.client.unlink(*names))) if names else 0

    async def ping(self) -> None:
        await self.call(Command("PING", "", "", False, lambda _: None))

    async def _send(self, commands: Sequence[Command], timeout_s: float | None = None) -> list[Any]:
        if self._is_cut:
            raise RedisUnavailable("this process was killed")
        if not commands:
            return []
        return await self._network.send(commands, timeout_s or self.timeout_s)


def as_command(script: Any, keys: Sequence[str], args: Sequence[Any]) -> Command:
    """A script with its keys and arguments, as what Redis is asked to do."""
    name: str = script.name
    texts = [str(arg) for arg in args]
    return Command(
        name,
        keys[0],
        texts,
        name not in READ_ONLY,
        lambda redis: SCRIPTS[name](redis, list(keys), texts),
    )
