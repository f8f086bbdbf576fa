"""Settings of LeaderboardService."""

from typing import Annotated

from pydantic import AfterValidator, Field
from redis.asyncio.connection import parse_url

from leaderboard_service.domain.board import Kept
from shared.settings import CommonSettings

Periods = Annotated[int, Field(ge=1, le=3660)]


def _redis_url(url: str) -> str:
    """Refuses what the client would refuse later; the text holds no password."""
    if not url.startswith(("redis://", "rediss://", "unix://")):
        raise ValueError("must begin with redis://, rediss:// or unix://")
    try:
        parse_url(url)
    except ValueError:
        raise ValueError("is not a Redis URL") from None
    return url


class LeaderboardSettings(CommonSettings):
    """What LeaderboardService needs besides the common settings."""

    redis_url: Annotated[str, AfterValidator(_redis_url)] = Field(
        description="Redis 6.2 or newer: redis://user:password@host:port/0, rediss:// for TLS or "
        "unix:///path. A private CA: ?ssl_ca_certs=/path/ca.pem. With `laurel up` not required.",
        repr=False,
    )
    redis_timeout_s: Annotated[float, Field(gt=0, le=60)] = Field(
        0.5, description="How long Redis may take to answer; then PostgreSQL is asked."
    )
    keep_days: Periods = Field(35, description="DAY boards kept in Redis, today's included.")
    keep_weeks: Periods = Field(10, description="WEEK boards kept in Redis, this week's included.")
    keep_months: Periods = Field(
        14, description="MONTH boards kept in Redis, this month's included."
    )
    keep_years: Periods = Field(3, description="YEAR boards kept in Redis, this year's included.")
    fallback_timeout_s: Annotated[float, Field(gt=0, le=60)] = Field(
        5.0, description="How long PostgreSQL, through ProgressService, may take to answer."
    )
    fallback_limit: Annotated[int, Field(ge=1, le=10_000)] = Field(
        32, description="Reads from PostgreSQL at once; more are RESOURCE_EXHAUSTED."
    )
    apply_scores: Annotated[int, Field(ge=1, le=100_000)] = Field(
        1000, description="About how many scores one script writes: Redis answers no one meanwhile."
    )

    @property
    def kept(self) -> Kept:
        """How many periods Redis keeps."""
        return Kept(self.keep_years, self.keep_months, self.keep_weeks, self.keep_days)


if __name__ == "__main__":  # `laurel up` asks this before it starts anything
    LeaderboardSettings.load()
