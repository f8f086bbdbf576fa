"""The files that TLS is made of: a certificate with its chain, its key, and the authorities.

What is read is checked before it is used, so that half a file, or a certificate with another one's
key, never takes the place of good ones. No text here repeats what is in a file.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.asymmetric.types import PrivateKeyTypes
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from shared.bad_setting import BadSetting

_BEGIN = b"-----BEGIN CERTIFICATE-----"
_MIN_RSA_BITS = 2048
_MAX_BYTES = 4 * 1024 * 1024  # far beyond the authorities of any operating system

T = TypeVar("T")


@dataclass(frozen=True)
class TlsMaterial:
    """PEM texts; None where no file is set. The certificate and the key belong together."""

    certificate: bytes | None
    key: bytes | None = field(repr=False)
    authorities: bytes | None


@dataclass(frozen=True)
class TlsFiles:
    """Where certificate, key and authorities lie; None: not set."""

    certificate: Path | None
    key: Path | None
    authorities: Path | None

    def read(self) -> TlsMaterial:
        """What the files hold, unchecked; raises BadSetting when one cannot be read."""
        return TlsMaterial(
            _read("tls_cert_file", self.certificate),
            _read("tls_key_file", self.key),
            _read("tls_ca_file", self.authorities),
        )


def check(material: TlsMaterial) -> None:
    """Raises BadSetting when TLS cannot be spoken with this."""
    if material.authorities is not None:
        _certificates("tls_ca_file", material.authorities)
    if material.certificate is None and material.key is None:
        return
    if material.key is None:
        raise BadSetting("tls_key_file", "must be set together with LAUREL_TLS_CERT_FILE")
    if material.certificate is None:
        raise BadSetting("tls_cert_file", "must be set together with LAUREL_TLS_KEY_FILE")
    shown = _certificates("tls_cert_file", material.certificate)[0]
    if _private_key(material.key).public_key() != _parsed(shown.public_key):
        raise BadSetting(
            "tls_key_file", "is not the key of the certificate in LAUREL_TLS_CERT_FILE"
        )


def valid_until(material: TlsMaterial) -> float:
    """When the certificate ends to be valid, in seconds since the epoch; 0 without one."""
    if material.certificate is None:
        return 0
    shown = _certificates("tls_cert_file", material.certificate)[0]
    return shown.not_valid_after_utc.timestamp()


def _read(setting: str, path: Path | None) -> bytes | None:
    if path is None:
        return None
    try:
        with path.expanduser().open("rb") as file:
            pem = file.read(_MAX_BYTES + 1)
    except OSError as error:
        raise BadSetting(setting, f"cannot be read: {error.strerror}") from None
    if len(pem) > _MAX_BYTES:
        raise BadSetting(setting, f"is longer than {_MAX_BYTES} bytes")
    return pem


def _certificates(setting: str, pem: bytes) -> list[x509.Certificate]:
    """At least one, and as many as begin in the text: the end of a half-written one is missing."""
    found = _parsed(lambda: x509.load_pem_x509_certificates(pem))
    if not found or len(found) != pem.count(_BEGIN):
        raise BadSetting(setting, "does not hold whole certificates in PEM form")
    return found


def _private_key(pem: bytes) -> rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey:
    """The key, of a kind that gRPC and Envoy make handshakes with."""
    key: PrivateKeyTypes | None = _parsed(lambda: load_pem_private_key(pem, password=None))
    if key is None:
        raise BadSetting("tls_key_file", "does not hold a key in PEM form, without a passphrase")
    if isinstance(key, rsa.RSAPrivateKey) and key.key_size >= _MIN_RSA_BITS:
        return key
    if isinstance(key, ec.EllipticCurvePrivateKey) and isinstance(
        key.curve, ec.SECP256R1 | ec.SECP384R1
    ):
        return key
    raise BadSetting(
        "tls_key_file", f"must be RSA of at least {_MIN_RSA_BITS} bits, or EC on P-256 or P-384"
    )


def _parsed(parse: Callable[[], T]) -> T | None:
    try:
        return parse()
    except (ValueError, TypeError, UnsupportedAlgorithm):  # TypeError: it has a passphrase
        return None
