"""Boards in Redis compared with what PostgreSQL had, as the board service does it."""

from leaderboard_service.comparison import Compared, Comparison
from leaderboard_service.domain.answer import Position
from leaderboard_service.domain.board import BoardNames, Floors, parse_board_name
from leaderboard_service.domain.expected import Difference, Expected
from leaderboard_service.domain.groups import groups_of
from leaderboard_service.history import History
from leaderboard_service.snapshots import Snapshots
from leaderboard_service.store.checks import BoardChecks
from tests.leaderboard_store import FLOORS, XP
from tests.leaderboard_world import World

NAMES = BoardNames(Floors("", "", "", ""))


async def snapshot(world: World) -> tuple[Expected, Position]:
    kept = {name: 1 for name in [*world.peer.scores, XP.name] if _kept(name)}
    (group,) = groups_of(kept)
    return await Snapshots(world.rebuilder._sources.standings).expected(group)


def _kept(name: str) -> bool:
    board = parse_board_name(name)
    return FLOORS.keeps(board.window, board.period)


async def compare(
    world: World, taken: tuple[Expected, Position], *, repair: bool = False
) -> list[Difference]:
    found: list[Difference] = []

    async def tell(compared: Compared) -> None:
        found.extend(compared.differences)
        assert compared.mended == bool(repair and compared.differences)

    expected, position = taken
    history = History(world.rebuilder._sources.history, position)
    generation = world.stores.generation
    checks = BoardChecks(world.stores.link)
    try:
        await Comparison(
            checks, generation, expected, history, NAMES, repair=repair, tell=tell
        ).run()
    finally:
        await history.close()
    return found
