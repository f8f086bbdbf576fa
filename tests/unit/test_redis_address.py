"""What LAUREL_REDIS_URL may say."""

import pytest

from leaderboard_service.redis_address import check_url, cluster_address


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
    ],
)
def test_what_is_no_address_is_refused_without_telling_the_password(url: str) -> None:
    with pytest.raises(ValueError) as caught:  # noqa: PT011 - its text is what is looked at
        check_url(url)
    assert "s3cret" not in str(caught.value)
