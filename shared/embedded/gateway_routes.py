"""The gateway's routes: a path for each public method, and what is refused on the way to it."""

from collections.abc import Iterator, Mapping

from google.protobuf.descriptor import MethodDescriptor

from shared.embedded.public_methods import path_of, public_methods

# By package, of which each service has one.
CLUSTERS = {"laurel.leaderboard.v1": "leaderboard", "laurel.progress.v1": "progress"}
# What can be a token; the services know the rest. A value that can be written in several ways would
# have several buckets.
BEARER = "(?i:bearer) [A-Za-z0-9._~+/=-]+"
# gRPC, and the kinds of gRPC-Web that Envoy turns into it.
GRPC = r"application/grpc([+;].*|-web(-text)?(\+proto)?)?"
# Without timeouts Envoy would cut a stream after 15 s. A caller's own deadline (grpc-timeout) is
# kept, whatever it is.
UNTIMED = {
    "timeout": "0s",
    "idle_timeout": "0s",
    "max_stream_duration": {"grpc_timeout_header_max": "0s"},
}
# Names of routes: of what cannot be a token, and of what no server of gRPC would answer, of which
# Envoy would say 503.
UNKNOWN_CALLER = "unknown caller"
NO_GRPC = "no gRPC"

Route = Mapping[str, object]


def public_routes() -> list[Route]:
    """In the order in which they are tried; the last one takes everything."""
    routes = [route for method in public_methods() for route in _of(method)]
    return [*routes, _refusal({"prefix": "/"}, "not public")]


def admin_routes() -> list[Route]:
    """The same of the listener for administrators, which does not look at tokens."""
    packages = [({"prefix": f"/{package}."}, package) for package in sorted(CLUSTERS)]
    calls = [_route(match | {"headers": [*_IS_GRPC]}, package) for match, package in packages]
    return calls + [_refusal(match, NO_GRPC) for match, _ in packages]


def _of(method: MethodDescriptor) -> Iterator[Route]:
    path, package = {"path": path_of(method)}, method.containing_service.file.package
    yield _route(path | {"headers": [*_IS_GRPC, _MAY_BE_TOKEN]}, package)
    yield _refusal(path | {"headers": [*_IS_GRPC]}, UNKNOWN_CALLER)
    yield _refusal(path, NO_GRPC)


def _route(match: Mapping[str, object], package: str) -> Route:
    return {"match": match, "route": {"cluster": CLUSTERS[package], **UNTIMED}}


def _refusal(match: Mapping[str, object], name: str) -> Route:
    """What the name means is for `gateway_replies`. Not a direct response, which a page could not
    read: it has no CORS headers.
    """
    refuse = {
        "@type": "type.googleapis.com/envoy.extensions.filters.http.rbac.v3.RBACPerRoute",
        # Whoever a policy names is allowed: nobody.
        "rbac": {"rules": {"action": "ALLOW", "policies": {}}},
    }
    return {
        "name": name,
        "match": match,
        # Reached by nothing.
        "route": {"cluster": "progress"},
        "typed_per_filter_config": {"envoy.filters.http.rbac": refuse},
    }


def _matches(name: str, **matcher: object) -> dict[str, object]:
    return {"name": name, "string_match": matcher}


_IS_GRPC = (
    _matches(":method", exact="POST"),
    _matches("content-type", safe_regex={"regex": GRPC}),
)
_MAY_BE_TOKEN = _matches("authorization", safe_regex={"regex": f"({BEARER})?"}) | {
    "treat_missing_header_as_empty": True
}
