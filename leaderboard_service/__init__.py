"""LeaderboardService: owns the boards in Redis and answers who stands where."""
