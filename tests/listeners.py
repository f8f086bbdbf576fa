"""Which addresses processes listen on."""

from collections.abc import Iterable

import psutil


def listening_addresses(processes: Iterable[psutil.Process]) -> set[str]:
    """The IP addresses; a process that has ended by now listens on none."""
    found = set()
    for process in processes:
        try:
            connections = process.net_connections("inet")
        except psutil.NoSuchProcess:
            continue
        found |= {each.laddr.ip for each in connections if each.status == psutil.CONN_LISTEN}
    return {address.removeprefix("::ffff:") for address in found}
