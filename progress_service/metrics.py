"""Prometheus metrics of ProgressService, beside those of the RPC layer."""

from prometheus_client import Counter, Gauge, Histogram

_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5)

GROUP_COMMANDS = Histogram(
    "laurel_group_commands",
    "Submissions and awards that were committed together.",
    buckets=(1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024),
)
GROUP_SECONDS = Histogram("laurel_group_seconds", "Time to commit a group.", buckets=_SECONDS)
COMMANDS_WAITING = Gauge("laurel_commands_waiting", "Submissions and awards not yet in a group.")
COMMANDS = Counter(
    "laurel_commands_total",
    "Submissions and awards by outcome: recorded, replayed, or the reason of the refusal.",
    ["kind", "outcome"],
)
IMPLAUSIBLE = Counter(
    "laurel_implausible_total",
    "Submissions and awards that exceeded a bound of plausibility, by bound and outcome: "
    "refused or under_review.",
    ["kind", "bound", "outcome"],
)
CREDIT_LOG_FAILURES = Counter(
    "laurel_credit_log_failures_total", "Groups whose credits could not be logged."
)

SEQUENCER_CHANGES = Counter("laurel_sequencer_changes_total", "Changes numbered and folded.")
SEQUENCER_BATCHES = Counter("laurel_sequencer_batches_total", "Batches numbered and folded.")
SEQUENCER_SECONDS = Histogram(
    "laurel_sequencer_batch_seconds", "Time to number and fold a batch.", buckets=_SECONDS
)
SEQUENCER_FAILURES = Counter("laurel_sequencer_failures_total", "Batches that failed.")
TENURES = Counter("laurel_sequencer_tenures_total", "Times this process took the numbering over.")
HEAD_SEQUENCE = Gauge("laurel_head_sequence", "The newest number that this process has given.")

DATABASE_CONNECTIONS = Gauge(
    "laurel_database_connections", "Most database connections at once, by purpose.", ["purpose"]
)
DATABASE_IN_USE = Gauge("laurel_database_in_use", "Of them, those in use.", ["purpose"])
DATABASE_WAITING = Gauge(
    "laurel_database_waiting", "Calls and workers that wait for one.", ["purpose"]
)
DATABASE_BUSY = Counter(
    "laurel_database_busy_total",
    "Calls that waited in vain for a database connection (DATABASE_BUSY), by purpose.",
    ["purpose"],
)
DATABASE_OPENED = Counter("laurel_database_opened_total", "Database connections opened.")

WATCHERS = Gauge("laurel_watchers", "Streams of WatchXpDeltas.")
TOKEN_WAITERS = Gauge(
    "laurel_token_waiters", "Calls that wait for the number of a write (ResolveConsistencyToken)."
)
PUBLISHED_CHANGES = Counter("laurel_published_changes_total", "Changes sent to watchers.")

PRUNED_CHANGES = Counter("laurel_pruned_changes_total", "Changes pruned from the history.")
OLDEST_SEQUENCE = Gauge(
    "laurel_oldest_sequence", "The oldest change that is kept; 0 before this process has looked."
)
PRUNING_FAILURES = Counter("laurel_pruning_failures_total", "Batches that could not be pruned.")

VERIFIED_USERS = Counter(
    "laurel_verified_users_total", "Users whose figures were verified in the background."
)
MISMATCHES = Counter(
    "laurel_mismatches_total",
    "Figures that the background verification found to differ: total, standing, level_progress, "
    "course_progress.",
    ["kind"],
)
VERIFIER_FAILURES = Counter(
    "laurel_verifier_failures_total", "Ranges of users that could not be verified."
)

COURSE_JOB_LEARNERS = Counter(
    "laurel_course_job_learners_total", "Learners judged anew by stored jobs of courses."
)
COURSE_JOB_CHANGES = Counter(
    "laurel_course_job_changes_total", "Of them, those whose progress changed."
)
COURSE_JOB_SECONDS = Histogram(
    "laurel_course_job_step_seconds", "Time to judge a few learners anew.", buckets=_SECONDS
)
COURSE_JOB_FAILURES = Counter(
    "laurel_course_job_failures_total", "Steps of course jobs that failed, to be tried again."
)
COURSE_JOBS = Counter("laurel_course_jobs_total", "Course jobs that were finished.")
