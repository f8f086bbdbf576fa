"""The network between clients, services and servers: a proxy for each replica of a hop."""

import asyncio
from random import Random

from tests.faults.proxy import PASS, Proxy, Target
from tests.ports import free_port

CLIENT_PROGRESS = "client-progress"
CLIENT_LEADERBOARD = "client-leaderboard"
LEADERBOARD_PROGRESS = "leaderboard-progress"
PROGRESS_POSTGRES = "progress-postgres"
LEADERBOARD_REDIS = "leaderboard-redis"
HOPS = (
    CLIENT_PROGRESS,
    CLIENT_LEADERBOARD,
    LEADERBOARD_PROGRESS,
    PROGRESS_POSTGRES,
    LEADERBOARD_REDIS,
)

_released: list[int] = []


def take_port() -> int:
    """A port that nothing listens on. Those of runs that have ended are taken again."""
    return _released.pop() if _released else free_port()


def release_ports(ports: list[int]) -> None:
    """Nothing listens on them any more."""
    _released.extend(ports)


class Hops:
    """The proxies by the name of their hop, in the order of the replicas on the calling side, or
    of those called where clients call.
    """

    def __init__(self, chance: Random) -> None:
        self._chance = chance
        self._proxies: dict[str, list[Proxy]] = {hop: [] for hop in HOPS}

    def __getitem__(self, hop: str) -> list[Proxy]:
        return self._proxies[hop]

    @property
    def every(self) -> list[Proxy]:
        """All of them."""
        return [proxy for proxies in self._proxies.values() for proxy in proxies]

    def add(self, hop: str, target: Target) -> None:
        """One more replica's."""
        self._proxies[hop].append(Proxy(target, take_port(), self._chance.random))

    async def start(self) -> None:
        """They accept connections."""
        await asyncio.gather(*(proxy.start() for proxy in self.every))

    async def heal(self) -> None:
        """They pass everything on."""
        for proxy in self.every:
            if proxy.mode != PASS or not proxy.is_open:
                await proxy.heal()

    async def close(self) -> None:
        """They are gone."""
        await asyncio.gather(*(proxy.close() for proxy in self.every))
        release_ports([proxy.port for proxy in self.every])
