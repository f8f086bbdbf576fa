"""Which tokens are accepted, and as whom; why the others are not."""

import time
from typing import Any

import pytest

from shared.identity import Identity, Role
from tests.access import bearer
from tests.auth_keys import identified, reason, signed


async def test_a_valid_token_tells_who_calls_and_until_when() -> None:
    end = int(time.time()) + 60
    given = {"name": "Ada", "picture": "https://example.com/a.png", "zoneinfo": "Asia/Jakarta"}
    identity = await identified(signed(subject="ada", exp=end, roles=["service"], **given))

    assert identity == Identity("ada", Role.SERVICE, end + 30.0, **given)


@pytest.mark.parametrize(
    "authorization",
    ["", "Bearer", "Bearer ", "Bearer    ", "Basic YTpi", "Bearerx y", "eyJhbGciOiJIUzI1NiJ9.e30."],
)
async def test_without_a_bearer_token_it_is_missing(authorization: str) -> None:
    assert await reason(authorization) == "TOKEN_MISSING"


@pytest.mark.parametrize("scheme", ["Bearer", "bearer", "BEARER"])
async def test_the_scheme_is_read_in_any_case(scheme: str) -> None:
    authorization = bearer("user", "ada").replace("Bearer", scheme)
    assert (await identified(authorization)).subject == "ada"


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({"exp": -31}, "TOKEN_EXPIRED"),
        ({"nbf": 33}, "TOKEN_NOT_YET_VALID"),
        ({"iat": 33}, "TOKEN_NOT_YET_VALID"),
        ({"exp": -28}, None),
        ({"nbf": 28}, None),
        ({"iat": 28}, None),
    ],
)
async def test_clocks_may_differ_by_the_leeway_and_no_more(
    given: dict[str, Any], expected: str | None
) -> None:
    now = int(time.time())
    authorization = signed(**{name: now + offset for name, offset in given.items()})
    if expected is None:
        assert (await identified(authorization)).subject == "ada"
    else:
        assert await reason(authorization) == expected


async def test_without_leeway_a_token_ends_at_its_exp() -> None:
    now = int(time.time())
    assert await reason(signed(exp=now), auth_leeway_seconds=0) == "TOKEN_EXPIRED"
    identity = await identified(signed(exp=now + 60), auth_leeway_seconds=0)
    assert identity.expires == now + 60


@pytest.mark.parametrize(
    "given",
    [
        {"exp": None},
        {"exp": "tomorrow"},
        {"exp": str(2**33)},
        {"exp": 2**60},
        {"exp": float("inf")},
        {"exp": float("nan")},
        {"exp": [2**33]},
        {"sub": None},
        {"sub": 7},
        {"sub": ["ada"]},
        {"aud": None},
        {"aud": "another"},
        {"aud": ["another", "yet another"]},
        {"aud": []},
        {"aud": {"laurel": True}},
        {"aud": "laurel "},
        {"iss": "https://elsewhere.example"},
        {"iss": None},
        {"nbf": "then"},
        {"iat": [1]},
    ],
    ids=str,
)
async def test_a_wrong_or_missing_claim_makes_a_token_invalid(given: dict[str, Any]) -> None:
    wrong = signed(**{"iss": "https://id.example", **given})
    assert await reason(wrong, auth_issuer="https://id.example") == "TOKEN_INVALID"


async def test_one_of_several_audiences_is_enough() -> None:
    authorization = signed(aud=["another", "laurel"])
    assert (await identified(authorization)).subject == "ada"


async def test_any_issuer_will_do_where_none_is_set() -> None:
    assert (await identified(signed(iss="https://elsewhere.example"))).subject == "ada"


@pytest.mark.parametrize(
    "subject", ["", " ", "a b", "auth0|123", "ada@example.com", "é", "a" * 65, "a\n", "a/b", "a\0"]
)
@pytest.mark.parametrize("role", ["user", "service", "admin"])
async def test_a_subject_that_cannot_be_a_user_id_is_refused(subject: str, role: str) -> None:
    authorization = signed(subject=subject, roles=[role])
    assert await reason(authorization) == "TOKEN_SUBJECT_INVALID"


@pytest.mark.parametrize(
    ("given", "roles_claim", "role"),
    [
        ({}, "roles", Role.USER),
        ({"roles": []}, "roles", Role.USER),
        ({"roles": ["admin"]}, "roles", Role.ADMIN),
        ({"roles": ["user", "admin", "service", "else"]}, "roles", Role.ADMIN),
        ({"roles": "openid service profile"}, "roles", Role.SERVICE),
        ({"roles": "administrator"}, "roles", Role.USER),
        ({"roles": ["Admin", 3, None, ["admin"], {"admin": 1}]}, "roles", Role.USER),
        ({"roles": {"admin": True}}, "roles", Role.USER),
        ({"roles": 3}, "roles", Role.USER),
        ({"roles": None, "scope": "service"}, "scope", Role.SERVICE),
        ({"roles": ["admin"]}, "scope", Role.USER),
        ({"realm_access": {"roles": ["service"]}}, "realm_access.roles", Role.SERVICE),
        ({"realm_access": "service"}, "realm_access.roles", Role.USER),
        ({"https://laurel.example/roles": ["admin"]}, "https://laurel.example/roles", Role.ADMIN),
        ({"a.b": ["user"], "a": {"b": ["admin"]}}, "a.b", Role.USER),
    ],
    ids=str,
)
async def test_the_highest_role_of_the_claim_counts(
    given: dict[str, Any], roles_claim: str, role: Role
) -> None:
    identity = await identified(signed(**given), auth_roles_claim=roles_claim)
    assert identity.role is role


@pytest.mark.parametrize("value", [7, None, ["Ada"], "x" * 513, "half of a pair: \ud800"])
async def test_what_a_profile_cannot_hold_is_left_out(value: object) -> None:
    identity = await identified(signed(name=value, picture=value, zoneinfo=value))
    assert (identity.name, identity.picture, identity.zoneinfo) == ("", "", "")
