"""Redis URLs: of one server as redis-py reads them, and of a cluster."""

from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from redis.asyncio.connection import SSLConnection, parse_url

_SINGLE = ("redis://", "rediss://", "unix://")
_CLUSTER = ("redis+cluster://", "rediss+cluster://")
_PORT = 6379


@dataclass(frozen=True)
class ClusterAddress:
    """Some nodes of a cluster, from which the others are learned, and how to connect to each."""

    nodes: tuple[tuple[str, int], ...]
    options: dict[str, Any]


def check_url(url: str) -> str:
    """The URL. Raises ValueError, with a text without the password, for one that is none."""
    if not url.startswith((*_SINGLE, *_CLUSTER)):
        schemes = ", ".join((*_SINGLE, _CLUSTER[0]))
        raise ValueError(f"must begin with {schemes} or {_CLUSTER[1]}")
    try:
        if cluster_address(url) is None:
            parse_url(url)
    except ValueError:
        raise ValueError("is not a Redis URL") from None
    return url


def cluster_address(url: str) -> ClusterAddress | None:
    """What `redis+cluster://user:password@host:port,host:port?options` says; None for the URL of
    one server. A cluster has no databases but 0. Raises ValueError.
    """
    if not url.startswith(_CLUSTER):
        return None
    scheme, _, rest = url.partition("+cluster")
    parts = urlsplit(scheme + rest)
    login, at, hosts = parts.netloc.rpartition("@")
    if parts.path not in ("", "/", "/0"):
        raise ValueError("a cluster has database 0 only")
    nodes = []
    options: dict[str, Any] = {}
    for host in hosts.split(","):
        options = dict(parse_url(parts._replace(netloc=f"{login}{at}{host}").geturl()))
        if "host" not in options:
            raise ValueError("a node has no host")
        nodes.append((str(options.pop("host")), int(options.pop("port", _PORT))))
        options.pop("db", None)
    if options.pop("connection_class", None) is SSLConnection:
        options["ssl"] = True
    return ClusterAddress(tuple(nodes), options)
