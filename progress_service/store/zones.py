"""The civil time of a user."""

from datetime import datetime
from functools import lru_cache
from zoneinfo import ZoneInfo

import orjson
import structlog

from progress_service.domain.zone import ZoneChange

log = structlog.get_logger(__name__)


def zone_of(name: str, deployment: ZoneInfo) -> ZoneInfo:
    """The stored zone; the deployment's when it is empty, or unknown to this process: zones
    come and go with the time zone data, and a replica may have another release of it.
    """
    return (_known(name) if name else None) or deployment


def changes_of(document: str) -> tuple[ZoneChange, ...]:
    """The column earlier_zones."""
    return tuple(
        ZoneChange(datetime.fromisoformat(until), name) for until, name in orjson.loads(document)
    )


@lru_cache(maxsize=1024)
def _known(name: str) -> ZoneInfo | None:
    try:
        return ZoneInfo(name)
    except (KeyError, ValueError, OSError):
        log.warning("stored time zone is unknown here; the deployment's is used", time_zone=name)
        return None
