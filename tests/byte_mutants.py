"""Bytes that are no message, or a little beside one."""

import random
from collections.abc import Callable, Sequence

_VARINTS = [
    b"\x00",
    b"\x7f",
    b"\xff\xff\xff\xff\x0f",
    b"\xff" * 9 + b"\x01",
    b"\xff" * 9 + b"\x7f",
    b"\xff" * 10,
    b"\xff" * 64,
    b"\x80" * 9 + b"\x00",
    b"\x80" * 20,
]
_TEXTS = [
    b"\xff\xfe",
    b"\xc0\x80",
    b"\xed\xa0\x80",
    b"\xf4\x90\x80\x80",
    b"\xe2\x28\xa1",
    b"\x00",
    b"abc\x80",
]


def varint(number: int) -> bytes:
    """A number as the wire has lengths and tags."""
    found = bytearray()
    while number >= 0x80:
        found.append(number & 0x7F | 0x80)
        number >>= 7
    return bytes([*found, number])


def _tag(chance: random.Random, wire_type: int) -> bytes:
    numbers = [0, 1, 2, 3, 4, 5, 6, 7, 8, 15, 16, 1000, 18_999, 19_500, 2**29 - 1, 2**29]
    return varint(chance.choice(numbers) << 3 | wire_type)


def _random(chance: random.Random, _: bytes) -> bytes:
    return chance.randbytes(chance.choice([1, 2, 3, 8, 20, 60, 300]))


def _truncated(chance: random.Random, message: bytes) -> bytes:
    return message[: chance.randrange(len(message) + 1)]


def _flipped(chance: random.Random, message: bytes) -> bytes:
    found = bytearray(message or b"\x0a")
    for _ in range(chance.choice([1, 1, 2, 8])):
        found[chance.randrange(len(found))] ^= 1 << chance.randrange(8)
    return bytes(found)


def _cut_out(chance: random.Random, message: bytes) -> bytes:
    first, last = sorted(chance.randrange(len(message) + 1) for _ in range(2))
    return message[:first] + message[last:]


def _doubled(chance: random.Random, message: bytes) -> bytes:
    """Valid: later fields go over the earlier ones, lists grow."""
    return message * chance.choice([2, 3, 50])


def _inserted(chance: random.Random, message: bytes) -> bytes:
    at = chance.randrange(len(message) + 1)
    return message[:at] + chance.choice([*_VARINTS, *_TEXTS]) + message[at:]


def _with_unknown_field(chance: random.Random, message: bytes) -> bytes:
    """Any wire type, those that there are not among them; often the wrong one for its field."""
    wire_type = chance.randrange(8)
    value = {
        0: lambda: chance.choice(_VARINTS),
        1: lambda: chance.randbytes(8),
        2: lambda: varint(chance.choice([0, 1, 4, 200, 2**31, 2**63])) + chance.randbytes(4),
        5: lambda: chance.randbytes(4),
    }.get(wire_type, bytes)()
    return message + _tag(chance, wire_type) + value


def _with_bad_text(chance: random.Random, message: bytes) -> bytes:
    text = chance.choice(_TEXTS)
    return message + _tag(chance, 2) + varint(len(text)) + text


def _deep(chance: random.Random, message: bytes) -> bytes:
    """Groups within groups, or messages within messages."""
    depth = chance.choice([10, 99, 101, 5_000])
    if chance.randrange(2):
        return message + b"\x0b" * depth + b"\x0c" * chance.choice([0, depth])
    nested = b""
    for _ in range(min(depth, 200)):
        nested = b"\x0a" + varint(len(nested)) + nested
    return nested


def _huge(chance: random.Random, message: bytes) -> bytes:
    """Larger than what a user may send; an unknown field, or the first one."""
    size = chance.choice([65_536, 100_000])
    return message + chance.choice([b"\x0a", b"\xfa\x3f"]) + varint(size) + b"a" * size


_COMMON: Sequence[Callable[[random.Random, bytes], bytes]] = (
    *[_random] * 3,
    *[_truncated] * 4,
    *[_flipped] * 8,
    *[_cut_out] * 3,
    *[_doubled] * 2,
    *[_inserted] * 4,
    *[_with_unknown_field] * 5,
    *[_with_bad_text] * 4,
)
_RARE = (_deep, _huge)
_RARELY = 100


def mutant(chance: random.Random, message: bytes) -> bytes:
    """The message, changed in one way or two."""
    if not chance.randrange(_RARELY):
        return chance.choice(_RARE)(chance, message)
    changed = chance.choice(_COMMON)(chance, message)
    return changed if chance.randrange(3) else chance.choice(_COMMON)(chance, changed)
