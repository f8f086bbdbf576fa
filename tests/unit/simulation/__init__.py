"""Both services' ways to the boards, simulated: real workers of LeaderboardService and the real
publisher on an event loop with a clock and an order of its own, against small models of Redis and
of PostgreSQL. A seed decides everything.
"""
