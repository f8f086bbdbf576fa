"""Verified tokens are known for their life, and no longer."""

import asyncio
import time
import timeit
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.auth import known_tokens
from shared.auth.authenticator import Authenticator
from shared.errors import Unauthenticated
from shared.identity import Identity, Role
from tests.access import bearer
from tests.auth_keys import key_set, settings, signing_key, until


async def test_a_verified_token_is_known_from_then_on() -> None:
    authenticator = Authenticator(settings())
    authorization = bearer("user", "ada")
    assert authenticator.known(authorization) is None
    identity = await authenticator.identify(authorization)

    assert authenticator.known(authorization) is identity
    assert await authenticator.identify(authorization) is identity
    assert authenticator.known(authorization + " ") is None


async def test_a_token_that_has_ended_is_known_no_more() -> None:
    authenticator = Authenticator(settings(auth_leeway_seconds=0))
    authorization = bearer("user", "ada", exp=int(time.time()) + 2)
    identity = await authenticator.identify(authorization)
    await until(lambda: time.time() >= identity.expires)

    assert authenticator.known(authorization) is None
    with pytest.raises(Unauthenticated) as refused:
        await authenticator.identify(authorization)
    assert refused.value.reason == "TOKEN_EXPIRED"


async def test_the_tokens_that_have_not_been_used_for_longest_make_room(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(known_tokens, "MAX_TOKENS", 20)
    authenticator = Authenticator(settings())
    used, unused = bearer("user", "used"), bearer("user", "unused")
    for token in (used, unused):
        await authenticator.identify(token)
    for number in range(100):
        await authenticator.identify(bearer("user", f"user-{number}"))
        assert authenticator.known(used)

    assert authenticator.known(unused) is None
    assert len(authenticator._tokens) <= 20


async def test_long_tokens_leave_room_for_fewer(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(known_tokens, "MAX_CHARS", 50_000)
    authenticator = Authenticator(settings())
    tokens = [bearer("user", f"user-{number}", name="x" * 4_000) for number in range(50)]
    for token in tokens:
        await authenticator.identify(token)

    known = [token for token in tokens if authenticator.known(token)]
    assert tokens[-1] in known
    assert sum(map(len, known)) <= 50_000 + 2 * len(tokens[-1])


@given(st.lists(st.integers(0, 30), max_size=200))
def test_those_used_last_are_known_whatever_came_before(used: list[int]) -> None:
    tokens = known_tokens.KnownTokens()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(known_tokens, "MAX_TOKENS", 10)
        for number in used:
            if tokens.get(str(number)) is None:
                tokens.put(str(number), Identity(str(number), Role.USER))
    last = list(dict.fromkeys(reversed(used)))[:5]
    for number in last:
        identity = tokens.get(str(number))
        assert identity is not None
        assert identity.subject == str(number)
    assert len(tokens) <= 10


async def test_bad_tokens_take_no_room() -> None:
    authenticator = Authenticator(settings())
    for number in range(100):
        with pytest.raises(Unauthenticated):
            await authenticator.identify(f"Bearer {number}.{number}.{number}")
    assert len(authenticator._tokens) == 0


async def test_one_token_takes_one_place_however_it_is_spelled() -> None:
    authenticator = Authenticator(settings())
    authorization = bearer("user", "ada")
    scheme, token = authorization.split(" ")
    for spelling in (scheme, scheme.lower(), scheme.upper(), "bEaReR"):
        assert (await authenticator.identify(f"{spelling} {token}")).subject == "ada"
    assert len(authenticator._tokens) == 1


@pytest.mark.parametrize(
    "spelling",
    ["Bearer  {}", "Bearer {} ", "Bearer \t{}", "Bearer {}\n", "Bearer {}=", "Bearer {}.", " {}"],
    ids=repr,
)
async def test_a_token_with_anything_beside_it_is_refused(spelling: str) -> None:
    authenticator = Authenticator(settings())
    authorization = bearer("user", "ada")
    await authenticator.identify(authorization)
    padded = spelling.format(authorization.removeprefix("Bearer "))
    assert authenticator.known(padded) is None
    with pytest.raises(Unauthenticated):
        await authenticator.identify(padded)


@pytest.mark.parametrize("algorithm", ["HS256", "RS256", "ES256"])
async def test_a_signature_is_accepted_in_one_spelling_alone(
    algorithm: str, tmp_path: Path
) -> None:
    file = tmp_path / "keys.json"
    keys = {name: signing_key(name, name) for name in ("RS256", "ES256")}
    file.write_bytes(key_set(*keys.values()))
    authenticator = Authenticator(settings(auth_jwks=str(file)))
    keeping = asyncio.create_task(authenticator.run())
    authorization = bearer("user", "ada") if algorithm == "HS256" else keys[algorithm].bearer("ada")
    await authenticator.identify(authorization)
    for last in "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_+/=":
        if not authorization.endswith(last):
            with pytest.raises(Unauthenticated):
                await authenticator.identify(authorization[:-1] + last)
    assert len(authenticator._tokens) == 1
    keeping.cancel()


async def test_a_known_token_costs_next_to_nothing(
    record_property: Callable[[str, object], None],
) -> None:
    authenticator = Authenticator(settings())
    authorization = bearer("user", "ada", name="Ada Lovelace", iss="https://id.example")
    await authenticator.identify(authorization)
    calls = 2_000
    arrived: list[str] = []

    def arrive() -> None:
        # New objects, as from the network: their hashes are computed anew.
        arrived[:] = [authorization.encode().decode() for _ in range(calls)]

    def look() -> None:
        for text in arrived:
            authenticator.known(text)

    seconds = min(timeit.repeat(look, arrive, number=1, repeat=5))
    record_property(
        "measured",
        f"a known token of {len(authorization)} characters: {seconds / calls * 1e6:.2f} µs",
    )
    assert seconds / calls < 20e-6
