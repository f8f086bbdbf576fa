"""`python -m benchmarks.submit_progress SCENE`: first completions, against echo.

Every submission is of another user, completes its level for the first time and is paid XP and
marks: the most that a submission can cost. It is committed, synchronously, when it is answered.
Numbering, folding and the boards go on in the same time; what they have left to do at the end of
a turn is waited for before the next turn begins, outside the timed part.
"""

import sys
from collections.abc import Iterator
from itertools import chain, islice

from benchmarks import population
from benchmarks.callers import open_channel
from benchmarks.comparison import Claim, Comparison
from benchmarks.history import all_applied
from benchmarks.load import Side
from benchmarks.scene import Scene
from shared import runtime
from shared.gen.laurel.progress.v1 import progress_pb2 as pb

CLAIM = Claim("SubmitProgress", goal=0.2)
PREPARED = 20_000
"""Requests that are encoded beforehand; a turn that needs more encodes them as it goes."""


def check(answer: bytes) -> None:
    """Ends the program unless it is a level that was completed just now."""
    message = pb.SubmitProgressResponse.FromString(answer)
    if message.replayed or not message.xp_earned:
        sys.exit(f"not a first completion: {message}")


def _submissions(users: int) -> Iterator[bytes]:
    for level in range(population.OBSERVED_LEVEL):
        for number in population.shuffled(users):
            yield population.submission(number, level).SerializeToString()


async def main(scene: Scene) -> None:
    """Each call is a submission that has not been made before."""
    submissions = _submissions(scene.users)
    method = "/laurel.progress.v1.ProgressService/SubmitProgress"
    async with (
        open_channel(scene.progress.address) as progress,
        open_channel(scene.leaderboard.address) as leaderboard,
    ):

        async def settled() -> None:
            await all_applied(progress, leaderboard)

        requests = list(islice(submissions, PREPARED))
        service = Side(scene.progress, method, chain(requests, submissions))
        await Comparison(scene, CLAIM, service, requests, check, settled).run()


if __name__ == "__main__":
    runtime.run(main(Scene.from_json(sys.argv[1])))
