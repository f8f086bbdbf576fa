"""`python -m benchmarks.get_top SCENE`: the first 50 of a board, against echo."""

import sys
from itertools import repeat

from benchmarks.comparison import Claim, Comparison
from benchmarks.load import Side
from benchmarks.scene import Scene
from shared import runtime
from shared.gen.laurel.leaderboard.v1 import leaderboard_pb2 as pb
from shared.gen.laurel.types.v1.types_pb2 import WINDOW_ALL_TIME, Board

ENTRIES = 50
CLAIM = Claim("GetTop(50)", goal=0.5)


def check(answer: bytes) -> None:
    """Ends the program unless it is a full page from Redis."""
    message = pb.GetTopResponse.FromString(answer)
    if len(message.entries) != ENTRIES or message.state.source != pb.SOURCE_REDIS:
        sys.exit(f"not a page of {ENTRIES} from Redis: {message.state}")


async def main(scene: Scene) -> None:
    """Everyone asks for the same page."""
    request = pb.GetTopRequest(
        board=Board(metric="xp", window=WINDOW_ALL_TIME), page_size=ENTRIES
    ).SerializeToString()
    method = "/laurel.leaderboard.v1.LeaderboardService/GetTop"
    service = Side(scene.leaderboard, method, repeat(request))
    await Comparison(scene, CLAIM, service, [request], check).run()


if __name__ == "__main__":
    runtime.run(main(Scene.from_json(sys.argv[1])))
