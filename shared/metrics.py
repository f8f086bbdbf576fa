"""Prometheus metrics of the RPC layer, the same in both services."""

import sys

from prometheus_client import Counter, Gauge, Histogram, start_http_server

RPC_SECONDS = Histogram(
    "laurel_rpc_seconds",
    "Time from the arrival of a unary call to its answer, by method.",
    ["method"],
    buckets=(0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10),
)
RPCS = Counter(
    "laurel_rpcs_total", "Finished calls, by method and status code.", ["method", "code"]
)
RPCS_IN_FLIGHT = Gauge("laurel_rpcs_in_flight", "Calls under way, streams included.", ["method"])


def listen(host: str, port: int) -> None:
    """Serves `/metrics` on a thread of its own; port 0 serves nothing.

    One line on stderr and exit status 1 if the port cannot be listened on.
    """
    if not port:
        return
    try:
        start_http_server(port, addr=host)
    except OSError as error:
        reason = error.strerror or "no such address"
        sys.stderr.write(f"laurel: cannot serve metrics on {host}:{port}: {reason}\n")
        raise SystemExit(1) from None
