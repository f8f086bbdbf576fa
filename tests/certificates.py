"""Certificates for tests, in files that are replaced while servers and channels use them."""

import ssl
from datetime import datetime
from pathlib import Path
from typing import Any

import trustme
from cryptography import x509

NAMES = ("localhost", "127.0.0.1")


class CertificateFiles:
    """Where one process has its certificate, its key, and the authorities that it trusts."""

    def __init__(self, folder: Path, authority: trustme.CA) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.cert, self.key, self.ca = (folder / f"{name}.pem" for name in ("cert", "key", "ca"))
        self.serial = self.issue(authority)
        self.trust(authority)

    def issue(self, authority: trustme.CA, *names: str, not_after: datetime | None = None) -> int:
        """Replaces the certificate and its key, one after the other; the certificate's serial
        number. It is for this machine unless other names are given.
        """
        issued = authority.issue_cert(*(names or NAMES), not_after=not_after)
        chain = b"".join(pem.bytes() for pem in issued.cert_chain_pems)
        replace(self.cert, chain)
        replace(self.key, issued.private_key_pem.bytes())
        self.serial = serial_of(chain)
        return self.serial

    def trust(self, *authorities: trustme.CA) -> None:
        """Replaces the authorities."""
        replace(self.ca, b"".join(one.cert_pem.bytes() for one in authorities))

    def settings(self, **more: Any) -> dict[str, Any]:
        """The settings of a process that has a certificate and trusts the authorities."""
        return {
            "tls_cert_file": self.cert,
            "tls_key_file": self.key,
            "tls_ca_file": self.ca,
            **more,
        }


def replace(path: Path, content: bytes) -> None:
    """As a rotation should: nobody ever reads half of it. Only the owner may read."""
    new = path.with_suffix(".new")
    new.write_bytes(content)
    new.chmod(0o600)
    new.replace(path)


def serial_of(pem: bytes) -> int:
    """The serial number of the first certificate."""
    return x509.load_pem_x509_certificates(pem)[0].serial_number


def shown_by(target: str) -> int:
    """The serial number of the certificate that a server shows in a handshake of its own."""
    host, _, port = target.rpartition(":")
    return serial_of(ssl.get_server_certificate((host, int(port)), timeout=10).encode())
