"""Readers that do not read."""

from typing import Any

from grpc import aio

LITTLE_ON_ITS_WAY = (("grpc.http2.bdp_probe", 0), ("grpc.http2.lookahead_bytes", 2**16))
"""A client's options: a server's messages soon have no room any more."""


async def read_to_the_end(call: Any) -> None:
    while await call.read() is not aio.EOF:
        pass
