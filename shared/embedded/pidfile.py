"""A record of a child process, by which the next supervisor finds what a killed one left."""

import json
from pathlib import Path

import psutil
import structlog

from shared.embedded.leftover import is_alive, kill_all, still_alive

log = structlog.get_logger(__name__)


class PidFile:
    """A file with a process's number and start time; the two together name one process."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def write(self, pid: int) -> None:
        """Records a process that has just been started."""
        try:
            started = psutil.Process(pid).create_time()
        except psutil.NoSuchProcess:  # it has ended already
            return
        self._path.parent.mkdir(parents=True, exist_ok=True)
        record = json.dumps({"pid": pid, "started": started})
        self._path.write_text(record + "\n", encoding="utf-8")

    def clear(self) -> None:
        """Removes the record; does nothing when there is none."""
        self._path.unlink(missing_ok=True)

    def end_left_over(self, timeout_s: float = 15.0) -> None:
        """Asks the recorded process to stop, if it still runs, and kills it after the timeout."""
        process = self._recorded()
        if process is not None:
            log.warning("left_over_process", record=self._path.name, pid=process.pid)
            try:
                process.terminate()
            except psutil.NoSuchProcess:
                return
            kill_all(still_alive([process], timeout_s))
        self.clear()

    def _recorded(self) -> psutil.Process | None:
        """The process of the record; None when it has ended, even if its number is in use."""
        try:
            record = json.loads(self._path.read_text(encoding="utf-8"))
            process = psutil.Process(int(record["pid"]))
            started = float(record["started"])
            same = abs(process.create_time() - started) < 1.0 and is_alive(process)
        except (OSError, ValueError, KeyError, TypeError, psutil.NoSuchProcess):
            return None
        return process if same else None
