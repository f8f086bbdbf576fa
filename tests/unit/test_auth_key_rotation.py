"""Keys come and go while tokens are verified, and no valid token is refused."""

import asyncio
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from prometheus_client import REGISTRY

from shared.auth import key_watch
from shared.auth.authenticator import Authenticator
from shared.errors import Unauthenticated, Unavailable
from tests.access import bearer
from tests.auth_keys import (
    Provider,
    failures,
    key_set,
    publishing,
    refusal,
    running,
    settings,
    signing_key,
    until,
)

OLD, NEW = signing_key("old"), signing_key("new", "ES256")
STRANGER = signing_key("stranger")


@pytest.fixture(autouse=True)
def _short_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(key_watch, "_URL_PAUSE_S", 0.3)


@pytest.fixture
def provider() -> Iterator[Provider]:
    published = Provider(key_set(OLD))
    with publishing(published):
        yield published


async def test_the_first_token_waits_for_the_keys(provider: Provider) -> None:
    provider.may_answer.clear()
    async with running(provider.url) as authenticator:
        identifying = asyncio.create_task(authenticator.identify(OLD.bearer()))
        await until(lambda: provider.reads == 1)
        assert not identifying.done()
        provider.may_answer.set()
        assert (await identifying).subject == "ada"


async def test_a_new_key_is_accepted_at_its_first_use(provider: Provider) -> None:
    async with running(provider.url) as authenticator:
        await authenticator.identify(OLD.bearer())
        provider.document = key_set(OLD, NEW)

        assert (await authenticator.identify(NEW.bearer("grace"))).subject == "grace"
        assert (await authenticator.identify(OLD.bearer())).subject == "ada"
        assert provider.reads == 2


async def test_a_new_key_is_accepted_though_a_read_was_under_way_that_came_too_early(
    provider: Provider,
) -> None:
    async with running(provider.url) as authenticator:
        await authenticator.identify(OLD.bearer())
        provider.may_answer.clear()
        early = asyncio.create_task(refusal(authenticator, STRANGER.bearer()))
        await until(lambda: provider.reads == 2)
        provider.document = key_set(OLD, NEW)
        identifying = asyncio.create_task(authenticator.identify(NEW.bearer("grace")))
        await asyncio.sleep(0)
        provider.may_answer.set()

        assert (await identifying).subject == "grace"
        assert (await early).reason == "TOKEN_INVALID"
        assert provider.reads == 3


async def test_a_new_key_without_an_id_is_accepted_at_its_first_use(provider: Provider) -> None:
    keys = [signing_key(None), STRANGER, signing_key(None, "ES256")]
    published = [key.jwk(kid=None) for key in keys]
    provider.document = key_set(published[0])
    async with running(provider.url) as authenticator:
        for number, key in enumerate(keys):
            provider.document = key_set(*published[: number + 1])
            unnamed = key.bearer(headers={"kid": None})
            assert (await authenticator.identify(unnamed)).subject == "ada"


async def test_tokens_of_a_key_that_was_removed_are_refused_also_when_known(
    provider: Provider,
) -> None:
    provider.document = key_set(OLD, NEW)
    async with running(provider.url, every_s=1) as authenticator:
        old, own = OLD.bearer(), bearer("service", "backend")
        for authorization in (old, own):
            await authenticator.identify(authorization)
        provider.document = key_set(NEW)
        await until(lambda: authenticator.known(old) is None)

        assert (await refusal(authenticator, old)).reason == "TOKEN_INVALID"
        assert (await authenticator.identify(own)).subject == "backend"


async def test_the_last_keys_stay_in_force_while_the_url_is_down(
    capfd: pytest.CaptureFixture[str],
) -> None:
    provider = Provider(key_set(OLD))
    published = ExitStack()
    port = published.enter_context(publishing(provider))
    async with running(provider.url, every_s=1) as authenticator:
        await authenticator.identify(OLD.bearer())
        published.close()
        before = failures()
        await until(lambda: failures() >= before + 2)
        assert (await authenticator.identify(OLD.bearer("grace"))).subject == "grace"
        # It may be a key that is new: a client should try again.
        assert (await refusal(authenticator, NEW.bearer())).reason == "KEYS_UNAVAILABLE"

        provider.document = key_set(OLD, NEW)
        with publishing(provider, port):
            assert (await authenticator.identify(NEW.bearer("alan"))).subject == "alan"
    said = "".join(capfd.readouterr())
    assert said.count("LAUREL_AUTH_JWKS cannot be read") == 1


async def test_without_any_keys_it_cannot_tell_and_says_so() -> None:
    provider = Provider(key_set(OLD))
    with publishing(provider) as port:
        pass
    async with running(provider.url) as authenticator:
        error = await refusal(authenticator, OLD.bearer())
        assert isinstance(error, Unavailable)
        assert (error.reason, error.retry_delay_s) == ("KEYS_UNAVAILABLE", 1.0)
        assert (await authenticator.identify(bearer("admin"))).subject == "tests"
        assert (await refusal(authenticator, "Bearer a.b.c")).reason == "TOKEN_INVALID"
        with publishing(provider, port):
            assert (await authenticator.identify(OLD.bearer())).subject == "ada"


async def test_forged_key_ids_cause_few_reads(provider: Provider) -> None:
    async with running(provider.url) as authenticator:
        await authenticator.identify(OLD.bearer())
        started = asyncio.get_running_loop().time()
        forged = [STRANGER.bearer(headers={"kid": str(number)}) for number in range(100)]
        for _ in range(3):
            refused = await asyncio.gather(*(refusal(authenticator, one) for one in forged))
            assert {error.reason for error in refused} == {"TOKEN_INVALID"}
        took_s = asyncio.get_running_loop().time() - started

        assert provider.reads <= 2 + took_s / 0.3
        # Beside them a new key is accepted at its first use.
        provider.document = key_set(OLD, NEW)
        flood = [asyncio.create_task(refusal(authenticator, one)) for one in forged]
        assert (await authenticator.identify(NEW.bearer())).subject == "ada"
        await asyncio.gather(*flood)


async def test_a_bad_signature_of_a_known_key_causes_no_read(provider: Provider) -> None:
    async with running(provider.url) as authenticator:
        await authenticator.identify(OLD.bearer())
        forged = STRANGER.bearer(headers={"kid": "old"})
        for authorization in (forged, OLD.bearer()[:-6] + "AAAAAA"):
            assert (await refusal(authenticator, authorization)).reason == "TOKEN_INVALID"
        assert provider.reads == 1


async def test_only_so_many_wait_for_a_key(
    provider: Provider, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(key_watch, "MAX_WAITING", 3)
    async with running(provider.url) as authenticator:
        await authenticator.identify(OLD.bearer())
        provider.may_answer.clear()
        waiting = [asyncio.create_task(refusal(authenticator, NEW.bearer())) for _ in range(3)]
        await until(lambda: provider.reads == 2)
        assert (await refusal(authenticator, NEW.bearer())).reason == "KEYS_UNAVAILABLE"
        provider.may_answer.set()
        assert {error.reason for error in await asyncio.gather(*waiting)} == {"TOKEN_INVALID"}


async def test_a_caller_that_gives_up_takes_nothing_from_the_others(provider: Provider) -> None:
    async with running(provider.url) as authenticator:
        await authenticator.identify(OLD.bearer())
        provider.document = key_set(OLD, NEW)
        provider.may_answer.clear()
        first, second = (
            asyncio.create_task(authenticator.identify(NEW.bearer(subject)))
            for subject in ("ada", "grace")
        )
        await until(lambda: provider.reads == 2)
        first.cancel()
        provider.may_answer.set()
        assert (await second).subject == "grace"
        assert first.cancelled() or (await asyncio.wait({first}))


async def test_a_file_is_read_again_when_it_changes_and_half_of_one_changes_nothing(
    tmp_path: Path,
) -> None:
    file = tmp_path / "keys.json"
    file.write_bytes(key_set(OLD))
    async with running(str(file)) as authenticator:
        old = OLD.bearer()
        await authenticator.identify(old)
        whole = key_set(OLD, NEW)
        before = failures()
        file.write_bytes(whole[: len(whole) // 2])
        await until(lambda: failures() > before)
        assert authenticator.known(old)
        assert (await authenticator.identify(OLD.bearer("grace"))).subject == "grace"

        file.write_bytes(whole)
        assert (await authenticator.identify(NEW.bearer("alan"))).subject == "alan"
        await authenticator.identify(old)
        other = tmp_path / "other"
        other.write_bytes(key_set(NEW))
        other.replace(file)
        await until(lambda: authenticator.known(old) is None)
        assert (await refusal(authenticator, old)).reason == "TOKEN_INVALID"


@pytest.mark.parametrize(
    "document", [b"", b"<html>", b'{"keys": []}', key_set({"kty": "oct", "k": "AAAA"})], ids=repr
)
async def test_an_answer_that_is_no_key_set_changes_nothing(
    provider: Provider, document: bytes
) -> None:
    async with running(provider.url, every_s=1) as authenticator:
        old = OLD.bearer()
        await authenticator.identify(old)
        provider.document = document
        before = failures()
        await until(lambda: failures() > before)
        assert authenticator.known(old)


async def test_the_metric_tells_when_the_keys_were_read(provider: Provider) -> None:
    name = "laurel_auth_keys_read_timestamp_seconds"
    async with running(provider.url, every_s=1) as authenticator:
        await authenticator.identify(OLD.bearer())
        first = REGISTRY.get_sample_value(name) or 0.0
        assert first > 0
        await until(lambda: (REGISTRY.get_sample_value(name) or 0.0) > first)


async def test_without_a_key_set_there_is_nothing_to_keep_fresh() -> None:
    await asyncio.wait_for(Authenticator(settings()).run(), 1)


@given(
    st.sampled_from([OLD.token(), NEW.token(), OLD.token(headers={"kid": None})]),
    st.integers(min_value=0),
    st.characters(),
)
@hypothesis_settings(
    max_examples=50, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
async def test_a_token_with_any_character_changed_is_refused(
    tmp_path: Path, token: str, place: int, character: str
) -> None:
    file = tmp_path / "keys.json"
    file.write_bytes(key_set(OLD, NEW))
    place %= len(token)
    changed = f"{token[:place]}{character}{token[place + 1 :]}"
    async with running(str(file)) as authenticator:
        assert (await authenticator.identify(f"Bearer {token}")).subject == "ada"
        if changed != token:
            assert isinstance(await refusal(authenticator, f"Bearer {changed}"), Unauthenticated)
