"""`python -m progress_service`: runs ProgressService until SIGTERM or SIGINT."""

import asyncio

import uvloop

from progress_service.composition import build
from progress_service.settings import ProgressSettings
from shared import logging, metrics
from shared.server import stop_event


async def _run(settings: ProgressSettings) -> None:
    metrics.listen(settings.bind_host, settings.metrics_port)
    await build(settings).serve(stop_event())


def main() -> None:
    """Reads the settings and serves."""
    settings = ProgressSettings.load()
    logging.configure(settings, "progress_service")
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(_run(settings))


if __name__ == "__main__":
    main()
