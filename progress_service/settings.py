"""Settings of ProgressService."""

from datetime import timedelta
from typing import Annotated, Literal, Self
from urllib.parse import urlsplit

from pydantic import Field, field_validator, model_validator

from progress_service.domain.bounds import MAX_SCORE
from progress_service.domain.plausibility import Plausibility
from shared.settings import ServiceSettings


class ProgressSettings(ServiceSettings):
    """`LAUREL_…` variables that ProgressService reads, beside those of both services."""

    postgres_url: str = Field(
        description="postgresql://user:password@host:port/database, or ?host=/socket/folder.",
        repr=False,
    )
    postgres_pool_size: Annotated[int, Field(ge=4, le=200)] = Field(
        16,
        description="Most connections at once, besides one each for the sequencer, the health "
        "check, LISTEN, and course jobs with pruning, and 3 for verifications, backfills, exports "
        "and erasures. Of them LAUREL_GROUP_WRITERS are for submissions, 2 for imports, 2 for "
        "edits (1 each in a small pool), the others for reads.",
    )
    group_size: Annotated[int, Field(ge=1, le=1000)] = Field(
        256, description="Most submissions that are committed together."
    )
    group_writers: Annotated[int, Field(ge=1, le=16)] = Field(
        2, description="Groups that are committed at the same time."
    )
    queue_size: Annotated[int, Field(ge=1, le=1_000_000)] = Field(
        10_000, description="Submissions that may wait; beyond it calls get RESOURCE_EXHAUSTED."
    )
    sequencer_batch: Annotated[int, Field(ge=1, le=100_000)] = Field(
        10_000, description="Most changes that are numbered in one transaction."
    )
    sequencer_lease_seconds: Annotated[float, Field(gt=0, le=600)] = Field(
        10.0, description="How long the numbering stays with a replica that has gone silent."
    )
    checkpoint_seconds: Annotated[float, Field(gt=0, le=15)] = Field(
        1.0, description="How often an idle watcher is told how far the history is."
    )
    history_keep: Annotated[timedelta, Field(ge=timedelta(), le=timedelta(days=36_500))] = Field(
        timedelta(days=7),
        description="How long changes are kept for watchers of the history: ISO 8601 such as P7D, "
        "or days and a time such as 7 days, 0:00:00. It must be longer than boards take to be "
        "rebuilt. PT0S: for ever. Of several replicas the least counts, and PT0S only when all "
        "have it.",
    )
    history_keep_changes: Annotated[int, Field(ge=0, le=10**15)] = Field(
        1_000_000,
        description="How many of the newest changes are kept at least, however old they are; of "
        "several replicas the least counts. 0: as many as LAUREL_HISTORY_KEEP keeps.",
    )
    verify_users_per_second: Annotated[float, Field(ge=0, le=100_000)] = Field(
        50.0,
        description="How many users the loop that verifies all the time takes up in a second, in "
        "each replica; 0 switches it off.",
    )
    create_users: bool = Field(
        default=False,
        description="Whether a user who is not known yet gets a profile, from the token's name, "
        "picture and zoneinfo, with the first SubmitProgress, AwardXp, GetUserStats, "
        "GetCourseProgress, ListXpEntries, ListAttempts or GetUser. Reads of boards and courses "
        "make none.",
    )
    self_graded: Literal["accept", "refuse"] = Field(
        "accept",
        description="Whether users may submit attempts themselves. refuse: only a backend (role "
        "service), which has graded them.",
    )
    max_late: Annotated[timedelta, Field(ge=timedelta(), le=timedelta(days=36_500))] = Field(
        timedelta(days=7),
        description="How far back users may say that an attempt or award of their own lies: ISO "
        "8601 such as P7D or PT12H, or days and a time such as 7 days, 0:00:00.",
    )
    max_attempts_per_minute: Annotated[int, Field(ge=0, le=1_000_000)] = Field(
        60,
        description="Attempts of one user in a minute, and awards of one user and source; more "
        "are RESOURCE_EXHAUSTED. Imports are not counted. 0: unbounded.",
    )
    max_attempts_per_day: Annotated[int, Field(ge=0, le=1_000_000)] = Field(
        5_000, description="The same in a day of LAUREL_TIMEZONE; 0: unbounded."
    )
    max_xp_per_minute: Annotated[int, Field(ge=0, le=MAX_SCORE)] = Field(
        0,
        description="XP of one user and source (levels are one) in a minute. An attempt that would "
        "earn more is put under review, an award of more is RESOURCE_EXHAUSTED. Imports are not "
        "counted. 0: unbounded.",
    )
    max_xp_per_day: Annotated[int, Field(ge=0, le=MAX_SCORE)] = Field(
        0, description="The same in a day of LAUREL_TIMEZONE; 0: unbounded."
    )

    max_flagged_attempts: Annotated[int, Field(ge=0, le=1_000_000)] = Field(
        20,
        description="Attempts of one user that may wait for a decision; one more that would be put "
        "under review is RESOURCE_EXHAUSTED. 0: unbounded.",
    )

    @property
    def plausibility(self) -> Plausibility:
        """What is plausible of one user."""
        return Plausibility(
            self.max_attempts_per_minute,
            self.max_attempts_per_day,
            self.max_xp_per_minute,
            self.max_xp_per_day,
            self.zone,
            self.max_flagged_attempts,
        )

    @model_validator(mode="after")
    def _has_connections_for_reads(self) -> Self:
        if self.group_writers + 3 > self.postgres_pool_size:
            raise ValueError(
                "LAUREL_POSTGRES_POOL_SIZE must be at least LAUREL_GROUP_WRITERS and 3 more"
            )
        return self

    @field_validator("postgres_url")
    @classmethod
    def _is_postgresql(cls, url: str) -> str:
        if not url.startswith(("postgresql://", "postgres://")):
            raise ValueError("must begin with postgresql://")
        if not _has_ports(url):
            # The parser's own text would repeat the URL, password and all.
            raise ValueError("is not a URL with a port from 1 to 65535")
        return url


def _has_ports(url: str) -> bool:
    """Whether each of the URL's hosts (host:port,host:port) has a valid port, or none."""
    try:
        hosts = urlsplit(url).netloc.rpartition("@")[2].split(",")
        return all(urlsplit(f"//{host}").port != 0 for host in hosts)
    except ValueError:
        return False


if __name__ == "__main__":  # `laurel up` asks this before it starts anything
    ProgressSettings.load()
