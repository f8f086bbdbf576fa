"""A provider that answers without an end keeps nobody from the keys for longer than it does so."""

from collections.abc import Iterator

import pytest

from shared.auth import key_source, key_watch, source_reader
from tests.auth_keys import (
    DRIPS,
    Provider,
    failures,
    key_set,
    publishing,
    refusal,
    running,
    signing_key,
    until,
)

OLD = signing_key("old")


@pytest.fixture(autouse=True)
def _short_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(key_watch, "_URL_PAUSE_S", 0.3)


@pytest.fixture
def provider() -> Iterator[Provider]:
    published = Provider(key_set(OLD))
    with publishing(published):
        yield published


async def test_an_answer_that_never_ends_is_given_up_and_a_later_read_works(
    provider: Provider, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(key_source, "TOTAL_S", 0.3)
    provider.drips = DRIPS["head"]
    async with running(provider.url, every_s=1) as authenticator:
        before = failures()
        await until(lambda: failures() >= before + 3)
        assert (await refusal(authenticator, OLD.bearer())).reason == "KEYS_UNAVAILABLE"
        provider.drips = b""
        assert (await authenticator.identify(OLD.bearer())).subject == "ada"


async def test_no_read_begins_beside_one_that_was_given_up_and_a_later_one_works(
    provider: Provider, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(source_reader, "GIVEN_UP_S", 0.1)
    provider.may_answer.clear()
    async with running(provider.url, every_s=1) as authenticator:
        before = failures()
        await until(lambda: failures() >= before + 3)
        assert provider.reads == 1
        provider.may_answer.set()
        assert (await authenticator.identify(OLD.bearer())).subject == "ada"
