"""Who can reach what listens, and what is sent where: whether it was asked for in plain words."""

import re
from ipaddress import IPv6Address, ip_address

from shared.bad_setting import BadSetting

_UNIX = re.compile(r"unix(-abstract)?:.*")
_HOST = re.compile(r"(?:dns:(?:///)?)?(?:\[([0-9A-Fa-f:.]+)\]|([^\s/:@,\[\]]+))(?::[0-9]+)?")


def is_this_machine(host: str) -> bool:
    """Whether only this machine reaches a server that listens there.

    Of names only localhost counts: what another one stands for may change.
    """
    if host.lower() == "localhost":
        return True
    try:
        address = ip_address(host)
    except ValueError:
        return False
    if isinstance(address, IPv6Address) and address.ipv4_mapped is not None:
        address = address.ipv4_mapped
    return address.is_loopback


def check_plaintext(setting: str, host: str, *, tls: bool, allowed: bool) -> None:
    """Raises BadSetting, of the setting that names the host, when others than this machine could
    call there without TLS, unasked.
    """
    if not (tls or allowed or is_this_machine(host)):
        raise BadSetting(
            setting,
            f"others than this machine could call {host!r} without TLS: set LAUREL_TLS_CERT_FILE "
            "and LAUREL_TLS_KEY_FILE or, where something else keeps the network private, "
            "LAUREL_ALLOW_PLAINTEXT_ON_NETWORK=true",
        )


def calls_this_machine(target: str) -> bool:
    """Whether calls to a gRPC target stay on this machine; of a list of addresses none does."""
    if _UNIX.fullmatch(target):
        return True
    match = _HOST.fullmatch(target)
    return match is not None and is_this_machine(match[1] or match[2])


def check_call(setting: str, target: str, *, tls: bool, allowed: bool) -> None:
    """Raises BadSetting, of the setting that names the target, when calls with their tokens would
    leave this machine without TLS, unasked.
    """
    if not (tls or allowed or calls_this_machine(target)):
        raise BadSetting(
            setting,
            f"tokens would be sent to {target!r} without TLS: set LAUREL_TLS_CA_FILE or, where "
            "something else keeps the network private, LAUREL_ALLOW_PLAINTEXT_ON_NETWORK=true",
        )


def check_no_auth(setting: str, host: str, *, auth: bool, allowed: bool) -> None:
    """As `check_plaintext`, of calls without a token."""
    if not (auth or allowed or is_this_machine(host)):
        raise BadSetting(
            setting,
            f"others than this machine could call {host!r} without a token: set LAUREL_AUTH=on"
            " or, where nobody else is on the network, LAUREL_ALLOW_NO_AUTH_ON_NETWORK=true",
        )
