"""Keys and secrets are replaced, and their source goes away, while calls are made: none fails."""

import asyncio
import signal
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import ExitStack, asynccontextmanager
from itertools import count, pairwise
from typing import Any, Self

import pytest

from progress_service.settings import ProgressSettings
from shared.auth import key_watch
from shared.auth.call_token import CallToken
from shared.channels import open_channel
from shared.errors import PermissionDenied, Unauthenticated, Unavailable
from shared.gen.laurel.progress.v1 import catalog_pb2
from shared.gen.laurel.progress.v1.catalog_pb2_grpc import CatalogServiceStub
from shared.identity import Role
from shared.settings import CommonSettings
from tests import service_process
from tests.access import AUTH_SECRET, bearer
from tests.auth_keys import (
    DRIPS,
    Provider,
    SigningKey,
    failures,
    key_set,
    publishing,
    signing_key,
    until,
)
from tests.conftest import running_progress
from tests.progress import Progress, refused

NEXT_SECRET = "the next auth secret for tests: 32 chars and more"
OLD, NEW = signing_key("old"), signing_key("new", "ES256")
_jtis = count(1)


@pytest.fixture(autouse=True)
def _short_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(key_watch, "_URL_PAUSE_S", 0.2)


@pytest.fixture
def provider() -> Iterator[Provider]:
    published = Provider(key_set(OLD))
    with publishing(published):
        yield published


class Callers:
    """Call one after the other, for as long as the block lasts; a failed call fails it."""

    def __init__(self, target: str) -> None:
        self._target = target
        self._group = asyncio.TaskGroup()
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self.calls: dict[str, int] = {}

    async def __aenter__(self) -> Self:
        await self._group.__aenter__()
        return self

    async def __aexit__(self, *exception: object) -> None:
        for task in self._tasks.values():
            task.cancel()
        await self._group.__aexit__(*exception)  # type: ignore[arg-type]

    def begin(self, name: str, authorization: Callable[[], str]) -> None:
        """One more caller, whose calls carry what `authorization` gives for each."""
        self.calls[name] = 0
        self._tasks[name] = self._group.create_task(self._call(name, authorization))

    def end(self, name: str) -> None:
        """It makes no more calls."""
        self._tasks.pop(name).cancel()

    async def each_has_called(self, times: int = 50) -> None:
        """Returns when every caller has made so many calls from now on."""
        goal = {name: self.calls[name] + times for name in self._tasks}
        await until(lambda: all(self.calls[name] >= calls for name, calls in goal.items()))

    async def _call(self, name: str, authorization: Callable[[], str]) -> None:
        async with open_channel(self._target, token=authorization) as channel:
            stub = CatalogServiceStub(channel)
            while True:
                await stub.ListMetrics(catalog_pb2.ListMetricsRequest(), timeout=20)
                self.calls[name] += 1


def fresh(key: SigningKey) -> Callable[[], str]:
    """A token that has not been seen before, at each call."""
    return lambda: key.bearer(jti=str(next(_jtis)), roles=["service"])


@asynccontextmanager
async def serving(postgres_url: str, **given: Any) -> AsyncIterator[Progress]:
    settings = ProgressSettings(postgres_url=postgres_url, drain_seconds=0.5, **given)
    async with running_progress(settings) as progress:
        yield progress


async def list_metrics(progress: Progress, authorization: str) -> None:
    request = catalog_pb2.ListMetricsRequest()
    async with open_channel(progress.target, token=lambda: authorization) as channel:
        await CatalogServiceStub(channel).ListMetrics(request, timeout=20)


async def test_no_call_fails_while_keys_are_replaced_and_their_url_goes_away(
    postgres_url: str, record_property: Callable[[str, object], None]
) -> None:
    provider = Provider(key_set(OLD))
    known_old, known_new = (key.bearer(roles=["service"]) for key in (OLD, NEW))
    published = ExitStack()
    port = published.enter_context(publishing(provider))
    async with (
        serving(postgres_url, auth_jwks=provider.url, auth_jwks_seconds=1) as progress,
        Callers(progress.target) as callers,
    ):
        callers.begin("own", lambda: bearer("service", "backend", jti=str(next(_jtis))))
        callers.begin("known old", lambda: known_old)
        callers.begin("fresh old", fresh(OLD))
        await callers.each_has_called()

        provider.document = key_set(OLD, NEW)
        callers.begin("known new", lambda: known_new)
        callers.begin("fresh new", fresh(NEW))
        await callers.each_has_called()

        published.close()
        before = failures()
        await until(lambda: failures() >= before + 2)
        await callers.each_has_called()

        callers.end("known old")
        callers.end("fresh old")
        provider.document = key_set(NEW)
        read = provider.reads
        with publishing(provider, port):
            await until(lambda: provider.reads >= read + 2)
            await callers.each_has_called()
            async with refused(Unauthenticated, "TOKEN_INVALID"):
                await list_metrics(progress, known_old)
    record_property("measured", f"calls while keys were replaced, none failed: {callers.calls}")


async def test_no_call_fails_while_the_secret_is_replaced_on_one_process_after_the_other(
    postgres_url: str,
) -> None:
    steps = [
        AUTH_SECRET,
        f"{AUTH_SECRET},{NEXT_SECRET}",
        f"{NEXT_SECRET},{AUTH_SECRET}",
        NEXT_SECRET,
    ]
    for first, second in pairwise(steps):
        async with (
            serving(postgres_url, auth_secret=first) as one,
            serving(postgres_url, auth_secret=second) as other,
            Callers(one.target) as to_one,
            Callers(other.target) as to_other,
        ):
            for callers in (to_one, to_other):
                for secret in (first, second):
                    signing = CommonSettings(auth_secret=secret)
                    token = CallToken(signing, "backend", Role.SERVICE, life_s=0.05)
                    callers.begin(secret, token)
            await asyncio.gather(to_one.each_has_called(), to_other.each_has_called())


async def test_a_token_of_the_identity_provider_gives_the_role_that_it_says(
    provider: Provider, postgres_url: str
) -> None:
    async with serving(postgres_url, auth_jwks=provider.url) as progress:
        await list_metrics(progress, OLD.bearer())
        request = catalog_pb2.ListUsersRequest()
        for role in ("service", "admin"):
            metadata = (("authorization", OLD.bearer("ada", roles=[role])),)
            await progress.catalog.ListUsers(request, metadata=metadata)
        async with refused(PermissionDenied, "ROLE_REQUIRED"):
            metadata = (("authorization", OLD.bearer("ada", roles=["user"])),)
            await progress.catalog.ListUsers(request, metadata=metadata)


async def test_a_process_whose_keys_never_come_ends_on_sigterm(
    postgres_url: str, provider: Provider
) -> None:
    provider.drips = DRIPS["head"]
    given = {"postgres_url": postgres_url, "auth_jwks": provider.url, "drain_seconds": "3"}
    async with service_process.serving(**given) as (process, _):
        await until(lambda: provider.reads > 0)
        process.send_signal(signal.SIGTERM)
        async with asyncio.timeout(3):
            await process.communicate()
        assert process.returncode == 0
        assert provider.reads == 1


async def test_without_keys_a_call_that_needs_them_may_be_repeated_and_others_go_on(
    postgres_url: str,
) -> None:
    provider = Provider(key_set(OLD))
    with publishing(provider) as port:
        pass
    async with serving(postgres_url, auth_jwks=provider.url) as progress:
        async with refused(Unavailable, "KEYS_UNAVAILABLE"):
            await list_metrics(progress, OLD.bearer())
        await list_metrics(progress, bearer("user", "ada"))
        with publishing(provider, port):
            await list_metrics(progress, OLD.bearer())
