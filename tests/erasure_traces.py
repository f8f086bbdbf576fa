"""What a database still holds of a person."""

from tests.progress import Progress


async def traces(progress: Progress, *texts: str) -> dict[str, int]:
    """How many rows of each table hold one of the texts, in any column."""
    found: dict[str, int] = {}
    async with progress.sql() as sql:
        tables = await sql.fetch(
            """SELECT relname FROM pg_class WHERE relkind = 'r'
               AND relnamespace = 'public'::regnamespace"""
        )
        for (table,) in tables:
            count = await sql.fetchval(
                f"""SELECT count(*) FROM {table} t
                    WHERE t::text ILIKE ANY (SELECT '%' || x || '%' FROM unnest($1::text[]) x)""",
                list(texts),
            )
            if count:
                found[table] = count
    return found
