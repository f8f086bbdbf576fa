"""LeaderboardService: owns the boards in Redis and answers who stands where."""

import shared  # noqa: F401 - before gRPC is imported: it says what gRPC may write to stderr
