"""TLS for the services and for calls to them, from files that may change while they run.

The files are looked at when somebody connects or is called, at most once in LOOK_S. What is whole
and fits together is used for connections from then on; those that are open stay as they are. As
long as the files are not usable the last good ones stay in force, and the log says so once.
"""

import stat
import time
from threading import Lock
from typing import Any

import grpc
import structlog

from shared.bad_setting import BadSetting
from shared.metrics import TLS_CERTIFICATE_END
from shared.renewed_channel import Credentials
from shared.settings import CommonSettings, ServiceSettings
from shared.tls_files import TlsFiles, TlsMaterial, check, valid_until

LOOK_S = 1.0

log = structlog.get_logger(__name__)


class _Followed:
    """The newest good contents of the files. Threads may share it: gRPC makes handshakes on its
    own. Files that are not good from the start end the process as a bad setting does.
    """

    def __init__(self, files: TlsFiles) -> None:
        self._files = files
        try:
            self._good = files.read()
            check(self._good)
        except BadSetting as error:
            error.exit()
        self._lock = Lock()
        self._next_look = time.monotonic() + LOOK_S
        self._refused = False

    def newest(self) -> TlsMaterial:
        """The same object as long as nothing has changed."""
        with self._lock:
            if time.monotonic() >= self._next_look:
                self._look()
                self._next_look = time.monotonic() + LOOK_S
            return self._good

    def _look(self) -> None:
        try:
            found = self._files.read()
            if found != self._good:
                check(found)
                self._good = found
                log.info("tls files have changed: new connections use them")
        except BadSetting as error:
            if not self._refused:
                log.warning("tls files not used, the last good ones are", reason=str(error))
            self._refused = True
        else:
            self._refused = False


def server_credentials(settings: ServiceSettings) -> grpc.ServerCredentials | None:
    """What a service listens with; None: without TLS.

    With `tls_client_auth` callers must show a certificate of the authorities.
    """
    if settings.tls_cert_file is None:
        return None
    _warn_of_open_key(settings)
    authorities = settings.tls_ca_file if settings.tls_client_auth else None
    followed = _Followed(TlsFiles(settings.tls_cert_file, settings.tls_key_file, authorities))
    used = followed.newest()
    TLS_CERTIFICATE_END.set_function(lambda: valid_until(followed.newest()))

    def changed() -> Any:  # None: nothing has; grpc's types do not know of that
        nonlocal used
        newest = followed.newest()
        if newest is used:
            return None
        used = newest
        return _configuration(newest)

    return grpc.dynamic_ssl_server_credentials(
        _configuration(used), changed, require_client_authentication=settings.tls_client_auth
    )


def _configuration(material: TlsMaterial) -> grpc.ServerCertificateConfiguration:
    assert material.key is not None  # noqa: S101 - checked with the files
    assert material.certificate is not None  # noqa: S101 - as above
    return grpc.ssl_server_certificate_configuration(
        [(material.key, material.certificate)], root_certificates=material.authorities
    )


def _warn_of_open_key(settings: CommonSettings) -> None:
    """Not refused: orchestrators mount secrets readable by all into containers with one user."""
    if settings.tls_key_file and settings.tls_key_file.expanduser().stat().st_mode & stat.S_IROTH:
        log.warning("any user of this machine may read LAUREL_TLS_KEY_FILE")


def channel_credentials(settings: CommonSettings) -> Credentials | None:
    """What the services are called with; None: without TLS, since no authorities are set.

    Shows the certificate to servers that ask for one.
    """
    if settings.tls_ca_file is None:
        return None
    followed = _Followed(
        TlsFiles(settings.tls_cert_file, settings.tls_key_file, settings.tls_ca_file)
    )
    return _Credentials(followed).newest


class _Credentials:
    def __init__(self, followed: _Followed) -> None:
        self._followed = followed
        self._material = followed.newest()
        self._credentials = self._made()

    def newest(self) -> grpc.ChannelCredentials:
        material = self._followed.newest()
        if material is not self._material:
            self._material = material
            self._credentials = self._made()
        return self._credentials

    def _made(self) -> grpc.ChannelCredentials:
        return grpc.ssl_channel_credentials(
            self._material.authorities, self._material.key, self._material.certificate
        )
