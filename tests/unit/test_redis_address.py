"""What LAUREL_REDIS_URL may say."""

import asyncio

import pytest

from leaderboard_service.redis_address import check_url, cluster_address
from leaderboard_service.store.client import RedisLink, RedisUnavailable


def test_a_cluster_is_named_by_some_of_its_nodes() -> None:
    address = cluster_address("redis+cluster://us%40er:p%2Fw@one:7000,two,three:7002/0")
    assert address is not None
    assert address.nodes == (("one", 7000), ("two", 6379), ("three", 7002))
    assert address.options == {"username": "us@er", "password": "p/w"}


def test_a_cluster_is_reached_over_tls() -> None:
    address = cluster_address("rediss+cluster://one:7000?ssl_ca_certs=/ca.pem")
    assert address is not None
    assert address.options == {"ssl": True, "ssl_ca_certs": "/ca.pem"}


def test_one_server_is_no_cluster() -> None:
    for url in ("redis://one:7000/3", "rediss://one", "unix:///run/redis.sock?db=1"):
        assert cluster_address(url) is None
        assert check_url(url) == url


@pytest.mark.parametrize(
    "url",
    [
        "http://one",
        "redis+cluster://",
        "redis+cluster://user:s3cret@",
        "redis+cluster://user:s3cret@one:x",
        "redis+cluster://user:s3cret@one:70000",
        "redis+cluster://user:s3cret@one,,two",
        "redis+cluster://user:s3cret@one/3",
        "redis://user:s3cret@one:x",
        "rediss+cluster:/one",
        "redis+cluster://user:s3cret@one?db=3",
        "redis+cluster://user:s3cret@one?foo=bar",
        "redis+cluster://user:s3cret@one?protocol=3",
        "redis+cluster://user:s3cret@one?ssl_ca_certs=/ca.pem",
        "rediss+cluster://user:s3cret@one?ssl_ca_path=/ca",
        "redis://user:s3cret@one?foo=bar",
        "redis://user:s3cret@one?decode_responses=no",
        "redis://user:s3cret@one?ssl_ca_certs=/ca.pem",
        "rediss://user:s3cret@one?ssl_foo=1",
        "rediss://user:s3cret@one?ssl_cert_reqs=maybe",
        "redis://user:s3cret@one?db",
        "redis://user:s3cret@one?db=1&db=2",
        "redis://user:s3cret@one?db=x",
        "redis://user:p?s3cret@one",
        "unix://user:s3cret@/run/redis.sock?socket_keepalive=yes",
    ],
)
def test_what_is_no_address_is_refused_without_telling_the_password(url: str) -> None:
    with pytest.raises(ValueError) as caught:  # noqa: PT011 - its text is what is looked at
        check_url(url)
    assert "s3cret" not in str(caught.value)


_EVERYWHERE = "client_name=laurel&health_check_interval=5"
_TCP = f"{_EVERYWHERE}&socket_keepalive=yes"
_TLS = (
    f"{_TCP}&ssl_ca_data=x&ssl_cert_reqs=none&ssl_certfile=/c&ssl_keyfile=/k&ssl_ciphers=x"
    "&ssl_check_hostname=no&ssl_min_version=771&ssl_ca_certs=/ca.pem"
    "&ssl_include_verify_flags=VERIFY_X509_STRICT&ssl_exclude_verify_flags=VERIFY_X509_STRICT"
)


@pytest.mark.parametrize(
    "url",
    [
        f"unix:///run/no.sock?{_EVERYWHERE}&db=1",
        f"redis://127.0.0.1:1?{_TCP}&db=1",
        f"rediss://127.0.0.1:1?{_TLS}&db=1&ssl_ca_path=/ca&ssl_password=x",
        f"redis+cluster://127.0.0.1:1?{_TCP}",
        f"rediss+cluster://127.0.0.1:1?{_TLS}",
    ],
)
def test_the_client_knows_every_option_that_an_address_may_have(url: str) -> None:
    async def call() -> None:
        link = RedisLink(check_url(url), connections=1, timeout_s=5)
        try:
            with pytest.raises(RedisUnavailable):  # no one is there
                await link.ping()
        finally:
            await link.close()

    asyncio.run(call())
