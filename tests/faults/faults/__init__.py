"""All faults by name."""

from collections.abc import Mapping

from tests.faults.faults import clocks, history, network, postgres, processes, redis
from tests.faults.faults.fault import Kind

_FAMILIES = (processes, network, redis, postgres, clocks, history)
FAULTS: Mapping[str, Kind] = {kind.name: kind for family in _FAMILIES for kind in family.KINDS}
