"""`python -m benchmarks.get_rank SCENE`: where random users stand, against echo."""

import sys
from itertools import cycle

from benchmarks import population
from benchmarks.comparison import Claim, Comparison
from benchmarks.load import Side
from benchmarks.scene import Scene
from shared import runtime
from shared.gen.laurel.leaderboard.v1 import leaderboard_pb2 as pb
from shared.gen.laurel.types.v1.types_pb2 import WINDOW_ALL_TIME, Board

CLAIM = Claim("GetRank", goal=0.5)


def check(answer: bytes) -> None:
    """Ends the program unless it is a rank from Redis."""
    message = pb.GetRankResponse.FromString(answer)
    if not message.entry.rank or message.state.source != pb.SOURCE_REDIS:
        sys.exit(f"not a rank from Redis: {message.state}")


async def main(scene: Scene) -> None:
    """Each call asks for another user."""
    board = Board(metric="xp", window=WINDOW_ALL_TIME)
    requests = [
        pb.GetRankRequest(board=board, user_id=population.user_id(number)).SerializeToString()
        for number in population.shuffled(scene.users)
    ]
    method = "/laurel.leaderboard.v1.LeaderboardService/GetRank"
    service = Side(scene.leaderboard, method, cycle(requests))
    await Comparison(scene, CLAIM, service, requests, check).run()


if __name__ == "__main__":
    runtime.run(main(Scene.from_json(sys.argv[1])))
