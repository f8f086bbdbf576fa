"""Prometheus metrics of LeaderboardService."""

from prometheus_client import Counter, Gauge, Histogram

ANSWERS = Counter("laurel_answers_total", "Board answers given, by source.", ["source"])
WATCHES = Gauge("laurel_watches", "Open calls of WatchTop and WatchRank.")
WATCH_MESSAGES = Counter(
    "laurel_watch_messages_total", "Messages for watchers; slow ones leave some out."
)
READ_BATCH = Histogram(
    "laurel_read_batch_asks",
    "Asks that one read of Redis answered.",
    buckets=(1, 2, 4, 8, 16, 32, 64, 128),
)
READS_WAITING = Gauge(
    "laurel_reads_waiting", "Different questions that wait to be read from Redis.", ["kind"]
)
REDIS_CONNECTIONS = Gauge(
    "laurel_redis_connections", "Most connections to Redis at once, by what they are for.", ["use"]
)
REDIS_CALLS = Gauge(
    "laurel_redis_calls",
    "Calls to Redis under way; those beyond the connections wait for one.",
    ["use"],
)
FALLBACK_READS = Gauge(
    "laurel_fallback_reads", "Reads from PostgreSQL under way, of LAUREL_FALLBACK_LIMIT."
)
WRITE_WAITERS = Gauge(
    "laurel_write_waiters", "Reads that wait for the write of their consistency token."
)
FALLBACKS = Counter(
    "laurel_fallbacks_total", "Answers that Redis could not give, by reason.", ["reason"]
)
BREAKER_OPEN = Gauge("laurel_redis_breaker_open", "1 while Redis is not asked, having failed.")
LAG_SECONDS = Histogram(
    "laurel_follower_lag_seconds",
    "From the numbering of a change to its being on the boards; the newest of each batch.",
    buckets=(0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 60, 600),
)
BATCHES = Counter("laurel_follower_batches_total", "Batches of changes applied to Redis.")
CHANGES = Counter("laurel_follower_changes_total", "Changes applied to Redis.")
MISMATCHES = Counter(
    "laurel_follower_mismatches_total",
    "Times that Redis was not as expected, by kind: moved, floors, gone or broken.",
    ["kind"],
)
REBUILDS = Counter("laurel_rebuilds_total", "Rebuilds of all boards, by outcome.", ["outcome"])
SEQUENCE = Gauge("laurel_follower_sequence", "The position that the boards in Redis have reached.")
HEAD = Gauge("laurel_follower_head_sequence", "The newest position in PostgreSQL, as last heard.")
BOARD_MISMATCHES = Counter(
    "laurel_board_mismatches_total",
    "Standings in Redis that differ from PostgreSQL's, by kind: score, missing, extra or hidden.",
    ["kind"],
)
BOARD_REPAIRS = Counter("laurel_board_repairs_total", "Of them, those that were mended.")
STANDINGS_VERIFIED = Counter(
    "laurel_standings_verified_total", "Standings in Redis compared with PostgreSQL's."
)
BOARD_VERIFIER_FAILURES = Counter(
    "laurel_board_verifier_failures_total", "Groups of boards that could not be compared."
)
