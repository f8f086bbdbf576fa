"""The names of all keys in Redis. Nothing else builds one.

    laurel:generation                     string: the generation that is read
    laurel:rebuild                        string: the generation that is being built; expires
    laurel:{0}:<generation>:meta          hash: epoch, sequence, numbered_us, confirmed_us,
                                          floors, profiles (their number), n:<board> (members),
                                          h:<user> (boards of a hidden user), built_us
    laurel:{0}:<generation>:profiles      hash: user id → packed name, avatar, and visibility
    laurel:{0}:<generation>:board:<name>  sorted set: user id by NEGATED score
    laurel:{0}:<generation>:hidden:<user> hash: board name → score of a hidden user

Every key of one part of the boards carries that part's hash tag, so that a script touches one
slot of a cluster. There is one part now.
"""

import json
import re
import secrets
from dataclasses import dataclass, field

from leaderboard_service.domain.fold import Profile

PREFIX = "laurel:"
GENERATION = f"{PREFIX}generation"
REBUILD = f"{PREFIX}rebuild"
_PART = f"{PREFIX}{{0}}:"
ALL_KEYS = f"{PREFIX}*"
PART_KEYS = f"{_PART}*"
_OF_GENERATION = re.compile(re.escape(_PART) + r"([0-9a-f]+):")

# Fields of the meta hash.
MEMBERS = "n:"
HIDDEN = "h:"


@dataclass(frozen=True, slots=True)
class Generation:
    """One whole set of boards, and the names of its keys."""

    id: str
    meta: str = field(init=False, compare=False)
    profiles: str = field(init=False, compare=False)
    board_prefix: str = field(init=False, compare=False)
    hidden_prefix: str = field(init=False, compare=False)

    def __post_init__(self) -> None:
        start = f"{_PART}{self.id}:"
        object.__setattr__(self, "meta", f"{start}meta")
        object.__setattr__(self, "profiles", f"{start}profiles")
        object.__setattr__(self, "board_prefix", f"{start}board:")
        object.__setattr__(self, "hidden_prefix", f"{start}hidden:")

    def board(self, name: str) -> str:
        """The key of a board."""
        return self.board_prefix + name

    def hidden(self, user_id: str) -> str:
        """The key of a hidden user's scores."""
        return self.hidden_prefix + user_id

    @property
    def pattern(self) -> str:
        """What matches every key of this generation."""
        return f"{_PART}{self.id}:*"


def new_generation() -> Generation:
    """A generation that nobody has used."""
    return Generation(secrets.token_hex(8))


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
    display_name, avatar_url = json.loads(packed[1:])
    return display_name, avatar_url
