"""Redis URLs: of one server as redis-py reads them, and of a cluster."""

from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qs, urlsplit

from redis.asyncio.connection import SSLConnection, parse_url

_SINGLE = ("redis://", "rediss://", "unix://")
_CLUSTER = ("redis+cluster://", "rediss+cluster://")
_PORT = 6379

# What the client's other options say, such as timeouts and encodings, is for us to say.
_OPTIONS = frozenset({"client_name", "health_check_interval"})
_OF_TCP = frozenset({"socket_keepalive"})
_OF_TLS = frozenset(
    {
        "ssl_ca_certs",
        "ssl_ca_data",
        "ssl_cert_reqs",
        "ssl_certfile",
        "ssl_check_hostname",
        "ssl_ciphers",
        "ssl_exclude_verify_flags",
        "ssl_include_verify_flags",
        "ssl_keyfile",
        "ssl_min_version",
    }
)
_OF_ONE_SERVER = frozenset({"db"})
# The client for a cluster does not know these.
_OF_TLS_TO_ONE_SERVER = frozenset({"ssl_ca_path", "ssl_password"})
_CERT_REQS = ("none", "optional", "required")


@dataclass(frozen=True)
class ClusterAddress:
    """Some nodes of a cluster, from which the others are learned, and how to connect to each."""

    nodes: tuple[tuple[str, int], ...]
    options: dict[str, Any] = field(repr=False)  # the password is one


def check_url(url: str) -> str:
    """The URL. Raises ValueError, with a text without the password, for one that is none."""
    if not url.startswith((*_SINGLE, *_CLUSTER)):
        schemes = ", ".join((*_SINGLE, _CLUSTER[0]))
        raise ValueError(f"must begin with {schemes} or {_CLUSTER[1]}")
    _check_options(url)
    try:
        if cluster_address(url) is None:
            parse_url(url)
    except ValueError:
        raise ValueError("is not a Redis URL") from None
    return url


def _check_options(url: str) -> None:
    """Returns when the client knows all options for such an address; a password with a question
    mark may look like one, so the text does not repeat what is there.
    """
    parts = urlsplit(url)
    known = _OPTIONS
    if parts.scheme != "unix":
        known |= _OF_TCP
    if parts.scheme.startswith("rediss"):
        known |= _OF_TLS
    if not url.startswith(_CLUSTER):
        known |= _OF_ONE_SERVER
        if parts.scheme == "rediss":
            known |= _OF_TLS_TO_ONE_SERVER
    given = parse_qs(parts.query, keep_blank_values=True)
    if not given.keys() <= known:
        raise ValueError(f"may have these options alone: {', '.join(sorted(known))}")
    if not all(len(values) == 1 and values[0] for values in given.values()):
        raise ValueError("must give each option one value")
    if given.get("ssl_cert_reqs", ["none"])[0] not in _CERT_REQS:
        raise ValueError(f"must have one of {', '.join(_CERT_REQS)} as ssl_cert_reqs")


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
