"""A Redis Cluster for tests: three masters, and replicas of them if wanted, on loopback."""

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from redis import Redis
from redis.exceptions import RedisError

from shared.embedded.logfile import LogFile
from shared.embedded.process import ChildProcess, Command, wait_until
from shared.embedded.redis import newest_binary
from tests.ports import free_port, is_free

_MASTERS = 3
_SLOTS = 16_384
_BUS = 10_000
"""Before Redis 7 a node's second port lies so much higher."""
_TIMEOUT_S = 20.0


class ClusterNode:
    """One server of a cluster."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True)
        self.port = _free_port()
        self.client: Any = Redis(port=self.port, decode_responses=True, socket_timeout=5)
        self._child = ChildProcess(
            Command(
                name="Redis",
                argv=[newest_binary().path, *_arguments(self.port)],
                log=LogFile(folder / "redis.log"),
                working_directory=folder,
            )
        )

    def start(self) -> None:
        self._child.start()
        wait_until(self._answers, self._child, _TIMEOUT_S)

    def kill(self) -> None:
        """As a crash would."""
        self._child.kill()

    def stop(self) -> None:
        self.client.close()
        self._child.kill()

    @property
    def id(self) -> str:
        return str(self.client.execute_command("CLUSTER MYID"))

    def sees(self, nodes: int) -> bool:
        """Whether it knows so many, and that every slot is served."""
        info = self.client.execute_command("CLUSTER INFO")
        return info["cluster_state"] == "ok" and int(info["cluster_known_nodes"]) == nodes

    def _answers(self) -> bool:
        try:
            return bool(self.client.ping())
        except (RedisError, OSError):
            return False


class TestCluster:
    """Three masters that have the slots among them; `replicas`: each has one that follows it."""

    __test__ = False

    def __init__(self, folder: Path, *, replicas: bool = False) -> None:
        count = _MASTERS * (2 if replicas else 1)
        self.nodes = [ClusterNode(folder / str(number)) for number in range(count)]

    @property
    def masters(self) -> list[ClusterNode]:
        return self.nodes[:_MASTERS]

    @property
    def replicas(self) -> list[ClusterNode]:
        """In the order of their masters."""
        return self.nodes[_MASTERS:]

    @property
    def url(self) -> str:
        hosts = ",".join(f"127.0.0.1:{node.port}" for node in self.nodes)
        return f"redis+cluster://{hosts}"

    def start(self) -> None:
        """Returns when every node sees all others, and every replica has its master's data."""
        for node in self.nodes:
            node.start()
        for number, node in enumerate(self.masters):
            first, end = number * _SLOTS // _MASTERS, (number + 1) * _SLOTS // _MASTERS
            node.client.execute_command("CLUSTER ADDSLOTS", *range(first, end))
            node.client.execute_command("CLUSTER SET-CONFIG-EPOCH", number + 1)
        for node in self.nodes[1:]:
            node.client.execute_command("CLUSTER MEET", "127.0.0.1", self.nodes[0].port)
        _wait(lambda: all(node.sees(len(self.nodes)) for node in self.nodes))
        for master, replica in zip(self.masters, self.replicas, strict=False):
            replica.client.execute_command("CLUSTER REPLICATE", master.id)
        _wait(lambda: all(_is_linked(replica) for replica in self.replicas))

    def stop(self) -> None:
        for node in self.nodes:
            node.stop()

    def fail_over(self, number: int) -> None:
        """Kills a master; returns when its replica serves the slots."""
        self.masters[number].kill()
        _wait(lambda: _is_master(self.replicas[number]))
        left = [node for node in self.nodes if node is not self.masters[number]]
        _wait(lambda: all(node.sees(len(self.nodes)) for node in left))


def _arguments(port: int) -> list[str]:
    return [
        *("--bind", "127.0.0.1", "--port", str(port), "--daemonize", "no"),
        *("--cluster-enabled", "yes", "--cluster-node-timeout", "1000"),
        *("--save", "", "--appendonly", "no"),
        *("--repl-diskless-sync", "yes", "--repl-diskless-sync-delay", "0"),
    ]


def _free_port() -> int:
    while not is_free((port := free_port()) + _BUS):
        pass
    return port


def _is_linked(replica: ClusterNode) -> bool:
    return bool(replica.client.info("replication").get("master_link_status") == "up")


def _is_master(node: ClusterNode) -> bool:
    return bool(node.client.info("replication")["role"] == "master")


def _wait(condition: Callable[[], bool]) -> None:
    give_up = time.monotonic() + _TIMEOUT_S
    while not condition():
        assert time.monotonic() < give_up, "the cluster did not get there in time"
        time.sleep(0.05)
