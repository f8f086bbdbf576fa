"""Many users at once, in the history alone."""

from leaderboard_service.domain.answer import Position
from tests.progress import Progress


async def crowd(progress: Progress, count: int, url_chars: int = 20) -> Position:
    """So many profiles in the history, beside what is there; its head."""
    async with progress.sql() as sql:
        await sql.execute(
            """INSERT INTO unnumbered_changes (kind, user_id, display_name, avatar_url, hidden)
               SELECT 2, 'crowd-' || n, '', repeat('x', $2::int), false
               FROM generate_series(1, $1::int) n""",
            count,
            url_chars,
        )
    head = await progress.settled()
    return Position(head.epoch, head.sequence)
