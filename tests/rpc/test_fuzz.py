"""Rubbish of every kind thrown at both services: they say what is wrong with it, and stay well.

Seeded: each run throws the same.
"""

import asyncio
import random
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import pytest
import uvloop
from google.protobuf.descriptor import MethodDescriptor
from google.protobuf.message import Message
from grpc import StatusCode
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from shared.embedded.postgres import EmbeddedPostgres
from tests.access_matrix import METHODS as BY_PATH
from tests.access_world import new_stores
from tests.byte_call import Metadata
from tests.byte_mutants import mutant, varint
from tests.fuzz_metadata import TIMEOUTS, said
from tests.fuzz_target import FuzzTarget, Input, by, fuzz_target, is_slow
from tests.fuzzing import breadth, requests
from tests.junk import junk, odd_calls
from tests.who_may import ADMIN, RPCS, SERVICE, USER, Rpc

# Beside other tests it has less than a whole processor.
pytestmark = pytest.mark.timeout(600)
METHODS = list(BY_PATH.values())
MESSAGES, METADATA, STREAMS, ROUNDS = 250, 2_000, 20, 6
WARM_UP, LEAK_ROUNDS = 3, 20
"""At least so many; more, until all inputs are thrown."""
LEAK_BYTES = 512
"""Of each call: a process that has grown by more loses memory."""
ALL_INPUTS = 100_000
ROLES = st.sampled_from([ADMIN] * 5 + [USER] * 3 + [SERVICE] * 2)
EXAMPLES = settings(
    deadline=None,
    derandomize=True,
    database=None,
    suppress_health_check=list(HealthCheck),
    phases=[Phase.generate],
)


@dataclass(frozen=True)
class Range:
    """The services, and the loop in which they are called."""

    runner: asyncio.Runner
    target: FuzzTarget

    def throw(self, inputs: list[Input]) -> None:
        """Makes the calls; what is wrong with their answers is told by `check`."""
        self.runner.run(self.target.throw(inputs))

    def check(self) -> None:
        """Every answer since the last time was as it must be, and both services are well."""
        wrong, self.target.wrong[:] = self.target.wrong[:], []
        assert not wrong, "\n".join(wrong[:5])
        self.runner.run(self.target.check_well())


@pytest.fixture(scope="module")
def services(postgres_server: EmbeddedPostgres, scratch: Path) -> Iterator[Range]:
    with (
        new_stores(postgres_server, scratch) as (postgres_url, redis_url),
        asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner,
    ):
        running = fuzz_target(postgres_url, redis_url, scratch / "fuzz")
        target = runner.run(running.__aenter__())
        try:
            yield Range(runner, target)
        finally:
            runner.run(running.__aexit__(None, None, None))


KNOWN = {
    "user_id": ["ann", "bob", "cat", "dan"],
    "around_user_id": ["ann", "bob"],
    "user_ids": ["ann", "bob", "nobody"],
    "course_id": ["c", "d", ""],
    "level_id": ["l1", "l2", "m1"],
    "prerequisite_level_ids": ["l1", "l2"],
    "section_id": ["s", "t"],
    "metric": ["xp", "marks", "steps", ""],
    "attempt_id": [str(number) for number in range(1, 60)],
    "entry_id": [str(number) for number in range(1, 60)],
    "date": ["2026-01-01", "2024-02-29"],
    "period": ["", "", "2026", "2026-11", "2026-W47", "2026-11-20"],
    "first_period": ["2026", "2026-11", "2026-W47", "2026-11-20"],
    "time_zone": ["UTC", "Asia/Jakarta", ""],
    "avatar_url": ["", "https://example.com/a.png"],
    "page_token": [""],
    "consistency_token": [""],
    "epoch": [""],
    "prefix": ["", "a"],
}


@pytest.mark.parametrize("method", METHODS, ids=lambda method: method.full_name)
def test_any_message_is_answered(services: Range, method: MethodDescriptor) -> None:
    batch_size = max(3, min(25, 300 // breadth(method.input_type)))
    drawn = st.tuples(ROLES, requests(method.input_type, KNOWN))

    @settings(EXAMPLES, max_examples=MESSAGES // batch_size)
    @given(st.lists(drawn, min_size=batch_size, max_size=batch_size))
    def throw(batch: list[tuple[str, Message]]) -> None:
        services.throw(
            [Input(method, request.SerializeToString(), by(role)) for role, request in batch]
        )

    throw()
    services.check()


def test_any_metadata_is_answered(services: Range) -> None:
    valid = by(USER)[0][1]
    target = services.target.targets["ann"]
    asked = [rpc for rpc in RPCS if not is_slow(BY_PATH[rpc.path])]
    drawn = st.tuples(st.sampled_from(asked), said(str(valid)), TIMEOUTS)

    @settings(EXAMPLES, max_examples=METADATA // 20)
    @given(st.lists(drawn, min_size=20, max_size=20))
    def throw(batch: list[tuple[Rpc, Metadata, float | None]]) -> None:
        services.throw(
            [
                Input(
                    BY_PATH[rpc.path],
                    rpc.request(target).SerializeToString(),
                    metadata,
                    timeout_s=timeout_s,
                )
                for rpc, metadata, timeout_s in batch
            ]
        )

    throw()
    services.check()


def test_any_stream_of_messages_is_answered(services: Range) -> None:
    (method,) = [method for method in METHODS if method.client_streaming]
    message = requests(method.input_type, KNOWN)

    @settings(EXAMPLES, max_examples=STREAMS)
    @given(st.tuples(message, message), st.integers(0, 2**32))
    def throw(messages: tuple[Message, Message], seed: int) -> None:
        chance = random.Random(seed)
        valid = [one.SerializeToString() for one in messages]

        def any_of_them() -> bytes:
            one = chance.choice(valid)
            return one if chance.randrange(3) else mutant(chance, one)

        services.throw(
            [
                Input(
                    method,
                    any_of_them(),
                    by(chance.choice([ADMIN, SERVICE])),
                    tuple(any_of_them() for _ in range(chance.randint(1, 4))),
                )
                for _ in range(10)
            ]
        )

    throw()
    services.check()


@pytest.mark.parametrize(("role", "size"), [(ADMIN, 4_194_305), (USER, 65_537), (USER, 4_194_305)])
def test_a_request_that_is_too_large_is_refused(services: Range, role: str, size: int) -> None:
    field = b"\xfa\x3f" + varint(size - 6)
    request = field + b"a" * (size - len(field))

    async def codes() -> set[StatusCode]:
        return {
            (await services.target.ask(Input(method, request, by(role)))).code
            for method in METHODS
            if method.name in {"GetTop", "SubmitProgress", "ListCourses"}
        }

    assert services.runner.run(codes()) == {StatusCode.RESOURCE_EXHAUSTED}
    services.check()


def test_what_is_no_http_is_dropped(services: Range) -> None:
    async def throw(port: int, data: bytes) -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(data)
        with suppress(ConnectionError, TimeoutError):
            async with asyncio.timeout(0.2):
                while await reader.read(100_000):
                    pass
        writer.close()
        with suppress(ConnectionError):
            await writer.wait_closed()

    async def throw_all(asked: Mapping[str, str]) -> None:
        chance = random.Random(5)
        for name, path in asked.items():
            thrown = [*junk(chance), *odd_calls(path)]
            await asyncio.gather(*(throw(services.target.ports[name], one) for one in thrown))

    services.runner.run(
        throw_all(
            {
                "progress": "/laurel.progress.v1.CatalogService/ListCourses",
                "leaderboard": "/laurel.leaderboard.v1.LeaderboardService/GetTop",
            }
        )
    )
    services.check()


ONE_OF_EACH = st.tuples(*(requests(method.input_type, KNOWN) for method in METHODS))


def test_any_bytes_are_answered(services: Range) -> None:
    @settings(EXAMPLES, max_examples=ROUNDS)
    @given(ONE_OF_EACH, st.integers(0, 2**32))
    def throw(messages: tuple[Message, ...], seed: int) -> None:
        chance = random.Random(seed)
        services.throw(
            mutants(
                chance,
                [
                    (method, message.SerializeToString(), 10 if is_slow(method) else 50)
                    for method, message in zip(METHODS, messages, strict=True)
                ],
            )
        )

    throw()
    services.check()


def test_no_memory_is_lost(services: Range, record_property: Callable[[str, object], None]) -> None:
    chance = random.Random(6)
    target = services.target.targets["ann"]
    # Small requests, and no jobs: what a call leaves behind is not lost in what it takes.
    asked = [
        (
            BY_PATH[rpc.path],
            rpc.request(target).SerializeToString(),
            50 if rpc.is_of_progress else 150,
        )
        for rpc in RPCS
        if not is_slow(BY_PATH[rpc.path])
    ]
    for _ in range(WARM_UP):
        services.throw(mutants(chance, asked))
    before, counted = services.target.memory(), services.target.calls.copy()

    thrown = 0
    while thrown < LEAK_ROUNDS or services.target.calls.total() < ALL_INPUTS:
        services.throw(mutants(chance, asked))
        thrown += 1

    record_property("measured", f"inputs: {services.target.calls}, {services.target.codes}")
    for name, now in services.target.memory().items():
        grown, calls = now - before[name], services.target.calls[name] - counted[name]
        assert grown < LEAK_BYTES * calls, f"{name}: {grown} bytes more after {calls} calls"
    services.check()


def mutants(
    chance: random.Random, messages: Iterable[tuple[MethodDescriptor, bytes, int]]
) -> list[Input]:
    """Of each message so many, in any order; sent by those whose requests are looked at."""
    found = [
        Input(method, mutant(chance, message), by(chance.choice([ADMIN] * 7 + [USER])))
        for method, message, count in messages
        for _ in range(count)
    ]
    chance.shuffle(found)
    return found
