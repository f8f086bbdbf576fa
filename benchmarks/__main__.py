"""`python -m benchmarks [CLAIM…]`: measures, and prints plain tables; asserts nothing on speed.

Starts everything that it needs in a temporary folder, and leaves nothing behind, also when it is
interrupted. Without names of claims all are measured, in two minutes at most on two processors.
"""

import argparse
import logging
import signal
import sys
import tempfile
import time
from pathlib import Path
from types import FrameType

import structlog

from benchmarks.machine import Neighbours, describe
from benchmarks.servers import Servers
from shared.embedded.errors import EmbeddedError

STREAM = "stream"
CLAIMS = (STREAM, "get_top", "get_rank", "submit_progress", "visible", "rebuild")


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    # No `choices`: argparse would refuse the empty list of names.
    parser.add_argument("claims", nargs="*", metavar="CLAIM", help=f"of {', '.join(CLAIMS)}")
    parser.add_argument("--users", type=int, default=100_000, help="default: %(default)s")
    parser.add_argument("--pairs", type=int, default=10, help="turns each; default: %(default)s")
    parser.add_argument("--seconds", type=float, default=0.6, help="a turn; default: %(default)s")
    arguments = parser.parse_args()
    unknown = set(arguments.claims) - set(CLAIMS)
    if unknown:
        parser.error(f"no such claim: {', '.join(sorted(unknown))}")
    if arguments.users < 1000 or arguments.pairs < 1 or arguments.seconds <= 0:
        parser.error("at least 1000 users, one pair, and more than 0 seconds")
    return arguments


def _measure(servers: Servers, arguments: argparse.Namespace) -> None:
    claims = arguments.claims or CLAIMS

    def scene() -> str:
        return servers.scene(arguments.users, arguments.pairs, arguments.seconds).to_json()

    servers.start()
    # Boards at the beginning of the history: from there the follower will have to catch up.
    servers.run("benchmarks.history", scene())
    servers.stop_leaderboard()
    servers.run("benchmarks.prefill", scene())
    if STREAM in claims:
        servers.begin("benchmarks.stream", scene(), first_line="watching")
    servers.start_leaderboard()
    servers.finish()
    servers.run("benchmarks.history", scene())
    for claim in CLAIMS:
        if claim in claims and claim != STREAM:
            servers.run(f"benchmarks.{claim}", scene())


def _interrupt(_number: int, _frame: FrameType | None) -> None:
    raise KeyboardInterrupt


def main() -> int:
    """Measures what was asked for; the exit code."""
    arguments = _arguments()
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.ERROR))
    signal.signal(signal.SIGTERM, _interrupt)
    started = time.monotonic()
    neighbours = Neighbours()
    with tempfile.TemporaryDirectory(prefix="laurel-bench-") as folder:
        home = Path(folder)
        servers = Servers(home)
        try:
            print(describe(home), flush=True)
            _measure(servers, arguments)
        except KeyboardInterrupt:
            sys.stderr.write("interrupted\n")
            return 130
        except EmbeddedError as error:
            sys.stderr.write("\n".join([f"benchmarks: {error}", *servers.complaints()]) + "\n")
            return 1
        finally:
            # Nothing may cut this short: it would leave servers and the folder behind.
            for number in (signal.SIGINT, signal.SIGTERM):
                signal.signal(number, signal.SIG_IGN)
            servers.stop()
    print(
        f"\n{time.monotonic() - started:.0f} s in all; other programs took "
        f"{neighbours.share():.0%} of the processors"
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
