"""Ports for servers under test are given to one process at a time, and leave one empty file."""

import os
import subprocess
import sys
from contextlib import ExitStack
from pathlib import Path

BLOCKS = 8
TAKE = f"""
import sys
from tests import ports
ports._END = ports._FIRST + {BLOCKS} * ports._BLOCK
print(*(ports._next_block().start for _ in range(int(sys.argv[1]))), flush=True)
sys.stdin.read()
"""


class Taker:
    """A process that takes so many of the blocks and holds them until its end."""

    def __init__(self, folder: Path, count: int) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-c", TAKE, str(count)],
            env={**os.environ, "TMPDIR": str(folder), "PYTHONPATH": os.pathsep.join(sys.path)},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def blocks(self) -> set[int]:
        """Those that it holds, once it does."""
        assert self._process.stdout
        return set(map(int, self._process.stdout.readline().split()))

    def end(self) -> None:
        """Waits until it has let go."""
        self._process.communicate()


def test_processes_never_hold_the_same_ports_and_leave_one_empty_file(tmp_path: Path) -> None:
    with ExitStack() as stack:

        def start(count: int) -> Taker:
            taker = Taker(tmp_path, count)
            stack.callback(taker.end)
            return taker

        first, second = start(3), start(4)
        held, others = first.blocks(), second.blocks()
        assert (len(held), len(others), len(held | others)) == (3, 4, 7)
        second.end()
        third = start(BLOCKS - 3).blocks()
        assert len(third) == BLOCKS - 3, "what was given back, too"
        assert not third & held
        (file,) = tmp_path.iterdir()
        assert file.stat().st_size == 0
