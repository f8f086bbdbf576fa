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
CALLS_LIMITED = Counter(
    "laurel_calls_limited_total",
    "Calls refused because their caller was over a bound, by reason.",
    ["reason"],
)
UNDER_WAY = Gauge(
    "laurel_under_way",
    "Calls, and streams, that count against this process's bounds.",
    ["what"],
)
UNDER_WAY_BOUND = Gauge("laurel_under_way_bound", "How many of them there may be.", ["what"])
EXHAUSTED = Counter(
    "laurel_exhausted_total", "Calls refused as RESOURCE_EXHAUSTED, by reason.", ["reason"]
)
AUTH_KEYS_READ_TIME = Gauge(
    "laurel_auth_keys_read_timestamp_seconds",
    "When the key set that tokens are verified with was last read; 0: never, or there is none.",
)
AUTH_KEYS_FAILURES = Counter(
    "laurel_auth_keys_failures_total", "Times that the key set could not be read."
)


_SILENCE_S = 10.0

TLS_CERTIFICATE_END = Gauge(
    "laurel_tls_certificate_end_timestamp_seconds",
    "When the certificate that callers are shown ends to be valid; 0: there is none.",
)


def listen(host: str, port: int) -> None:
    """Serves `/metrics` on a thread of its own, without TLS; port 0 serves nothing.

    One line on stderr and exit status 1 if the port cannot be listened on.
    """
    if not port:
        return
    try:
        server, _ = start_http_server(port, addr=host)
    except OSError as error:
        reason = error.strerror or "no such address"
        sys.stderr.write(f"laurel: cannot serve metrics on {host}:{port}: {reason}\n")
        raise SystemExit(1) from None
    # Whoever connects and goes away, or says nothing, is no event; the server would print a stack.
    server.handle_error = lambda *_: None  # type: ignore[method-assign]
    server.RequestHandlerClass.timeout = _SILENCE_S  # type: ignore[attr-defined]
