"""The names of all keys in Redis. Nothing else builds one.

    laurel:generation                     string: the generation that is read
    laurel:rebuild                        string: the generation that is being built; expires
    laurel:{p}:<generation>:meta          hash: epoch, sequence, numbered_us, confirmed_us,
                                          floors, profiles (their number), n:<board> (members),
                                          h:<user> (boards of a hidden user), built_us, mends
                                          (scripts that mended something)
    laurel:{p}:<generation>:profiles      hash: user id → packed name, avatar, and visibility
    laurel:{p}:<generation>:board:<name>  sorted set: user id by NEGATED score
    laurel:{p}:<generation>:hidden:<user> hash: board name → score of a hidden user

Boards are split into parts by user: part p holds all there is about its users, and its meta
counts that alone. Every key of a part carries its hash tag, so that a script touches one slot
of a cluster. How many parts there are is part of the generation's id: "<random>" has one,
"<random>p16" sixteen.
"""

import json
import re
import secrets
from dataclasses import dataclass, field
from functools import lru_cache
from zlib import crc32

from leaderboard_service.domain.fold import Profile

PREFIX = "laurel:"
GENERATION = f"{PREFIX}generation"
REBUILD = f"{PREFIX}rebuild"
ALL_KEYS = f"{PREFIX}*"
PART_KEYS = f"{PREFIX}{{*"
_ID = re.compile(r"[0-9a-f]+(?:p([0-9]{1,4}))?")
_OF_GENERATION = re.compile(re.escape(PREFIX) + r"\{[0-9]+\}:([0-9a-f]+(?:p[0-9]{1,4})?):")

_decode = json.JSONDecoder().raw_decode  # json.loads takes twice the time, for each entry shown

# Fields of the meta hash.
MEMBERS = "n:"
HIDDEN = "h:"


@dataclass(frozen=True, slots=True)
class Part:
    """The keys of one part of a generation."""

    meta: str
    profiles: str
    board_prefix: str
    hidden_prefix: str

    def board(self, name: str) -> str:
        """The key of a board."""
        return self.board_prefix + name

    def hidden(self, user_id: str) -> str:
        """The key of a hidden user's scores."""
        return self.hidden_prefix + user_id


@dataclass(frozen=True, slots=True)
class Generation:
    """One whole set of boards, and the names of its keys."""

    id: str
    parts: tuple[Part, ...] = field(init=False, compare=False)

    def __post_init__(self) -> None:
        parts = tuple(_part(self.id, number) for number in range(_parts_of(self.id)))
        object.__setattr__(self, "parts", parts)

    def part_of(self, user_id: str) -> int:
        """The number of the part that holds everything about the user."""
        return part_number(user_id, len(self.parts))

    @property
    def pattern(self) -> str:
        """What matches every key of this generation."""
        return f"{PREFIX}{{*}}:{self.id}:*"

    @property
    def board_pattern(self) -> str:
        """What matches the keys of its boards."""
        return f"{PREFIX}{{*}}:{self.id}:board:*"

    def board_of(self, key: str) -> str:
        """The name of the board that a key of that pattern belongs to."""
        return key.partition(f":{self.id}:board:")[2]


def _parts_of(id_: str) -> int:
    found = _ID.fullmatch(id_)
    return max(int(found[1]), 1) if found and found[1] else 1


def _part(id_: str, number: int) -> Part:
    start = f"{PREFIX}{{{number}}}:{id_}:"
    return Part(f"{start}meta", f"{start}profiles", f"{start}board:", f"{start}hidden:")


@lru_cache(maxsize=100_000)
def part_number(user_id: str, parts: int) -> int:
    """Which of so many parts a user belongs to: CRC-32 of the id, modulo their number."""
    return crc32(user_id.encode()) % parts if parts > 1 else 0


def new_generation(parts: int = 1) -> Generation:
    """A generation of so many parts that nobody has used."""
    return Generation(secrets.token_hex(8) + (f"p{parts}" if parts > 1 else ""))


def generation_of(key: str) -> str | None:
    """The id of the generation that a key belongs to."""
    found = _OF_GENERATION.match(key)
    return found[1] if found else None


def pack_profile(profile: Profile) -> str:
    """A profile as stored: "s" (shown) or "h" (hidden), then a JSON array of name and avatar."""
    text = json.dumps([profile.display_name, profile.avatar_url], ensure_ascii=False)
    return ("h" if profile.hidden else "s") + text


def unpack_profile(packed: str) -> tuple[str, str]:
    """Display name and avatar URL of a stored profile."""
    (display_name, avatar_url), _end = _decode(packed, 1)
    return display_name, avatar_url
