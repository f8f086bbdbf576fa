"""Settings of LeaderboardService."""

from typing import Annotated, Self

from pydantic import AfterValidator, Field, model_validator

from leaderboard_service.domain.board import Kept
from leaderboard_service.redis_address import check_url
from shared.bad_setting import BadSetting
from shared.settings import ServiceSettings, split_secrets

Periods = Annotated[int, Field(ge=1, le=3660)]


class LeaderboardSettings(ServiceSettings):
    """What LeaderboardService needs besides the common settings."""

    redis_url: Annotated[str, AfterValidator(check_url)] = Field(
        description="Redis 6.2 or newer: redis://user:password@host:port/0, rediss:// for TLS or "
        "unix:///path; redis+cluster://host:port,host:port (rediss+cluster:// for TLS) names a "
        "cluster. A private CA: ?ssl_ca_certs=/path/ca.pem. With `laurel up` not required.",
        repr=False,
    )
    partitions: Annotated[int, Field(ge=1, le=64)] = Field(
        1,
        description="Parts that each board is split into, for a Redis Cluster: about 5 for each of "
        "its masters. A read asks each part: more parts make reads dearer. Changing it has the "
        "boards rebuilt.",
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
    max_watches: Annotated[int, Field(ge=1, le=100_000)] = Field(
        5000, description="Open watches of boards at once; more are RESOURCE_EXHAUSTED."
    )
    apply_scores: Annotated[int, Field(ge=1, le=100_000)] = Field(
        1000, description="About how many scores one script writes: Redis answers no one meanwhile."
    )

    verify_standings_per_second: Annotated[float, Field(ge=0, le=1_000_000)] = Field(
        2000.0,
        description="How many standings the loop that compares the boards in Redis with PostgreSQL "
        "all the time, and mends them, takes up in a second, in each replica; 0 switches it off.",
    )

    @model_validator(mode="after")
    def _can_call_progress_service(self) -> Self:
        if self.auth == "on" and not (split_secrets(self.auth_secret) or self.call_token_file):
            raise BadSetting(
                "auth_secret",
                "must be set, or LAUREL_CALL_TOKEN_FILE: LeaderboardService calls ProgressService "
                "with a token",
            )
        setting = "progress_address" if self.progress_address else "bind_host"
        self.check_call(setting, self.progress_target)
        return self

    @property
    def kept(self) -> Kept:
        """How many periods Redis keeps."""
        return Kept(self.keep_years, self.keep_months, self.keep_weeks, self.keep_days)


if __name__ == "__main__":  # `laurel up` asks this before it starts anything
    LeaderboardSettings.load()
