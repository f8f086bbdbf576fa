"""What each measurement is told about the servers and about its own size."""

import json
from dataclasses import asdict, dataclass
from typing import Self


@dataclass(frozen=True)
class Server:
    """A server process: where it listens, and its process id."""

    address: str
    pid: int


@dataclass(frozen=True)
class Scene:
    """The servers, how many users they know, and how long to measure."""

    progress: Server
    leaderboard: Server
    echo: Server
    users: int
    pairs: int
    """Turns of echo and service each."""
    turn_s: float

    def to_json(self) -> str:
        """As the argument of a program."""
        return json.dumps(asdict(self))

    @classmethod
    def from_json(cls, text: str) -> Self:
        """From a program's argument."""
        fields = json.loads(text)
        for name in ("progress", "leaderboard", "echo"):
            fields[name] = Server(**fields[name])
        return cls(**fields)
