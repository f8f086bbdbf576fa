"""`python -m progress_service`: runs ProgressService until SIGTERM or SIGINT."""

from progress_service.composition import build
from progress_service.settings import ProgressSettings
from shared import logging, metrics, runtime
from shared.server import stop_event


async def _serve(settings: ProgressSettings) -> None:
    await build(settings).serve(stop_event())


def main() -> None:
    """Reads the settings and serves."""
    settings = ProgressSettings.load()
    logging.configure(settings, "progress_service")
    metrics.listen(settings.metrics_bind_host, settings.metrics_port)
    runtime.run(_serve(settings))


if __name__ == "__main__":
    main()
