"""What reading standings costs, by PostgreSQL's own plans: index ranges, each walked once."""

from progress_service.store import ranks, standings
from progress_service.store.snapshot import Wanted
from progress_service.store.standings import BoardKey
from shared.gen.laurel.progress.v1 import catalog_pb2 as catalog
from shared.periods import Window
from tests.plans import query_scans, scans
from tests.progress import Progress
from tests.scored_board import put_scores


async def test_dense_ranks_count_the_board_once_however_many_are_asked_for(
    progress: Progress,
) -> None:
    board = await put_scores(progress, {f"u{n}": 100 + 2 * n for n in range(3_000)})
    async with progress.sql() as sql:
        await sql.execute("VACUUM ANALYZE standings")
        board_id = await sql.fetchval("SELECT board_id FROM boards WHERE metric = $1", board.metric)
    for asked in ([100], [100 + 2 * n for n in range(500)]):
        params = {"board_id": board_id, "scores": asked}
        (read,) = [
            scan
            for scan in await scans(progress.app.database, ranks.SCORES_ABOVE, params)
            if scan.table == "standings"
        ]
        assert read.index == "standings_rank"
        assert 2_999 <= read.rows < 3_300


async def test_ordinal_ranks_count_ties_once_however_many_are_asked_for(
    progress: Progress,
) -> None:
    users = sorted(f"u{n}" for n in range(3_000))
    board = await put_scores(progress, dict.fromkeys(users, 7))
    async with progress.sql() as sql:
        await sql.execute("VACUUM ANALYZE standings")
        board_id = await sql.fetchval("SELECT board_id FROM boards WHERE metric = $1", board.metric)
    asked = users[-500:]
    params = {"board_id": board_id, "user_ids": asked, "scores": [7] * len(asked)}
    (read,) = [
        scan
        for scan in await scans(progress.app.database, ranks.TIED_BEFORE, params)
        if scan.table == "standings"
    ]
    assert (read.index, read.rows) == ("standings_rank", len(users))
    async with progress.app.database.read() as connection:
        before = await ranks.tied_before(connection, board_id, [(7, user) for user in asked])
    assert before == {user: 2_500 + n for n, user in enumerate(asked)}


async def test_a_snapshot_of_one_board_reads_that_board_alone(progress: Progress) -> None:
    for hidden in ("u1", "u2", "u3"):
        user = catalog.User(user_id=hidden, hidden=True)
        await progress.catalog.PutUser(catalog.PutUserRequest(user=user))
    large = await put_scores(progress, {f"u{n}": n for n in range(1, 5_001)})
    small = await put_scores(progress, {f"u{n}": n for n in range(1, 11)})
    for board, users in ((small, 10), (large, 5_000)):
        key = BoardKey(board.metric, "", Window.ALL_TIME, "")
        query, arguments = Wanted([key]).standings_query()
        async with progress.sql() as sql:
            await sql.execute("VACUUM ANALYZE standings")
            found = await query_scans(sql, query, *arguments)
        read = {scan.index: scan.rows for scan in found if scan.table == "standings"}
        assert read == {"standings_rank": users - 3, "standings_unlisted": 3}


async def test_scores_on_other_boards_are_looked_up_user_by_user(progress: Progress) -> None:
    boards = [await put_scores(progress, {f"u{n}": n for n in range(1, 5_001)}) for _ in range(2)]
    params = {
        "metrics": [board.metric for board in boards],
        "course_ids": ["", ""],
        "windows": [1, 1],
        "periods": ["", ""],
        "user_ids": [f"u{n}" for n in range(1, 51)],
    }
    found = await scans(progress.app.database, standings.SCORES, params)
    read = [(scan.index, scan.rows) for scan in found if scan.table == "standings"]
    assert read == [("standings_pkey", 2 * 50)]
