"""A wall clock that is set forward and back while the process runs; the monotonic one never is.

How far it is off is in a small file that both the harness and the service have mapped.
"""

import mmap
import struct
import sys
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import ModuleType

VARIABLE = "LAUREL_FAULTS_CLOCK"
"""Names the file."""
_OFFSET = struct.Struct("q")  # nanoseconds

_real = ModuleType("time")
_real.__dict__.update(time.__dict__)


class WallClock:
    """The system's clock and what the file says that it is off. Makes the file if need be."""

    def __init__(self, path: Path) -> None:
        if not path.exists():
            path.write_bytes(_OFFSET.pack(0))
        with path.open("r+b") as file:
            self._shared = mmap.mmap(file.fileno(), _OFFSET.size)

    def jump(self, by: timedelta) -> None:
        """Sets it so far off the system's clock."""
        _OFFSET.pack_into(self._shared, 0, round(by.total_seconds() * 1e9))

    def set_right(self) -> None:
        """Sets it to the system's clock."""
        self.jump(timedelta())

    def time_ns(self) -> int:
        """Instead of time.time_ns."""
        return int(_real.time_ns()) + int(_OFFSET.unpack_from(self._shared, 0)[0])

    def time(self) -> float:
        """Instead of time.time."""
        return self.time_ns() / 1e9

    def now(self) -> datetime:
        """The moment, in UTC."""
        return datetime.fromtimestamp(self.time(), UTC)

    def install(self) -> None:
        """Makes it the clock of this process's `time` module, but for gRPC's: that hands moments
        to its core, which reads the system's clock.
        """
        time.time_ns = self.time_ns
        time.time = self.time
        for name, module in list(sys.modules.items()):
            if name.startswith("grpc") and getattr(module, "time", None) is time:
                module.__dict__["time"] = _real
