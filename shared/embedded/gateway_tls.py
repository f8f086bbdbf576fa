"""TLS of the gateway: towards callers, and towards the services.

What is in files reaches Envoy as secrets (SDS), which are files of their own beside its
configuration. So Envoy reads certificate, key and authorities again whenever something is moved
into their folders, without losing a connection: to renew one, replace it by renaming. (One that is
written over in place is read at the next such move.)
"""

import ipaddress
import json
from collections.abc import Mapping
from pathlib import Path

from shared.embedded.settings import GatewaySettings

_TYPES = "type.googleapis.com/envoy.extensions.transport_sockets.tls.v3"
_CERTIFICATE, _AUTHORITIES = "certificate", "authorities"


def secret_files(settings: GatewaySettings) -> dict[str, str]:
    """The files that must lie beside the configuration: name and text."""
    files: dict[str, str] = {}
    if settings.tls_cert_file is not None and settings.tls_key_file is not None:
        certificate = {
            "certificate_chain": _file(settings.tls_cert_file),
            "private_key": _file(settings.tls_key_file),
        }
        files[_file_name(_CERTIFICATE)] = _secret(_CERTIFICATE, "tls_certificate", certificate)
    if settings.tls_ca_file is not None:
        authorities = {"trusted_ca": _file(settings.tls_ca_file)}
        files[_file_name(_AUTHORITIES)] = _secret(_AUTHORITIES, "validation_context", authorities)
    return files


def downstream_tls(settings: GatewaySettings, folder: Path) -> dict[str, object] | None:
    """The transport socket of the listeners; None without a certificate: plaintext."""
    if settings.tls_cert_file is None:
        return None
    return _transport_socket(
        "DownstreamTlsContext",
        common_tls_context={
            "alpn_protocols": ["h2", "http/1.1"],
            "tls_certificate_sds_secret_configs": [_secret_config(_CERTIFICATE, folder)],
        },
    )


def upstream_tls(settings: GatewaySettings, folder: Path, host: str) -> dict[str, object] | None:
    """The transport socket of connections to a service at the host, whose certificate must be for
    it; None without authorities: plaintext.

    The gateway shows its own certificate, if it has one, to a service that asks for it.
    """
    if settings.tls_ca_file is None:
        return None
    kind = "IP_ADDRESS" if _is_address(host) else "DNS"
    names = [{"san_type": kind, "matcher": {"exact": host}}]
    context: dict[str, object] = {
        "alpn_protocols": ["h2"],
        "combined_validation_context": {
            "default_validation_context": {"match_typed_subject_alt_names": names},
            "validation_context_sds_secret_config": _secret_config(_AUTHORITIES, folder),
        },
    }
    if settings.tls_cert_file is not None:
        context["tls_certificate_sds_secret_configs"] = [_secret_config(_CERTIFICATE, folder)]
    server_name = {} if kind == "IP_ADDRESS" else {"sni": host}
    return _transport_socket("UpstreamTlsContext", common_tls_context=context, **server_name)


def _transport_socket(context: str, **fields: object) -> dict[str, object]:
    return {
        "name": "envoy.transport_sockets.tls",
        "typed_config": {"@type": f"{_TYPES}.{context}", **fields},
    }


def _secret(name: str, kind: str, content: Mapping[str, object]) -> str:
    resource = {"@type": f"{_TYPES}.Secret", "name": name, kind: content}
    return json.dumps({"resources": [resource]})


def _secret_config(name: str, folder: Path) -> dict[str, object]:
    path = str(folder.absolute() / _file_name(name))
    return {
        "name": name,
        "sds_config": {"path_config_source": {"path": path}, "resource_api_version": "V3"},
    }


def _file_name(secret: str) -> str:
    return f"envoy-{secret}.json"


def _file(path: Path) -> dict[str, str]:
    return {"filename": str(path.expanduser().absolute())}


def _is_address(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True
