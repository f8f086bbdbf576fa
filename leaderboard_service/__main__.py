"""Starts LeaderboardService: `python -m leaderboard_service`."""

from leaderboard_service.composition import LeaderboardApp
from leaderboard_service.settings import LeaderboardSettings
from shared import metrics, runtime
from shared.logging import configure
from shared.server import stop_event


async def serve(settings: LeaderboardSettings) -> None:
    """Serves until SIGTERM or SIGINT."""
    stop = stop_event()
    await LeaderboardApp(settings).run(stop)


def main() -> None:
    """Reads the settings and serves."""
    settings = LeaderboardSettings.load()
    configure(settings, "leaderboard_service")
    metrics.listen(settings.metrics_bind_host, settings.metrics_port)
    runtime.run(serve(settings))


if __name__ == "__main__":
    main()
