"""Redis as a model: keys in a dictionary, and what happens to them by accident."""

from collections.abc import Callable, Container, Iterable
from dataclasses import dataclass, field
from fnmatch import fnmatchcase


class Hash(dict[str, str]):
    """A hash."""


class Sorted(dict[str, int]):
    """A sorted set: members with their scores."""


Value = str | Hash | Sorted
Keys = dict[str, Value]


def size(space: Keys, key: str, kind: type[Hash | Sorted]) -> int:
    """The members of a key, -1 when it is of another type."""
    value = space.get(key)
    if value is None:
        return 0
    return len(value) if isinstance(value, kind) else -1


def hash_at(space: Keys, key: str) -> Hash:
    """The hash under the key, made if there is none."""
    found = space.setdefault(key, Hash())
    assert isinstance(found, Hash)
    return found


def sorted_at(space: Keys, key: str) -> Sorted:
    """The sorted set under the key, made if there is none."""
    found = space.setdefault(key, Sorted())
    assert isinstance(found, Sorted)
    return found


def drop_empty(space: Keys, keys: Iterable[str]) -> None:
    """As Redis does: nothing is left of a key without members."""
    for key in keys:
        if key in space and not space[key]:
            del space[key]


@dataclass(frozen=True)
class Dump:
    """A copy of all keys."""

    space: Keys
    expires: dict[str, float]


@dataclass
class SimulatedRedis:
    """One server, or the primaries of a cluster: what it is asked to do happens at once. `now` is
    the time.
    """

    now: Callable[[], float]
    space: Keys = field(default_factory=dict)
    down: bool = False
    full: bool = False
    """Whether it refuses to write."""
    _expires: dict[str, float] = field(default_factory=dict)

    def expire(self) -> None:
        """Drops what has lapsed."""
        if not self._expires:
            return
        for key in [key for key, at in self._expires.items() if at <= self.now()]:
            self.space.pop(key, None)
            del self._expires[key]

    def get(self, key: str) -> str | None:
        value = self.space.get(key)
        assert value is None or isinstance(value, str)
        return value

    def set(self, key: str, value: str, *, nx: bool = False, px: int | None = None) -> bool | None:
        if nx and key in self.space:
            return None
        self.space[key] = value
        self._expires.pop(key, None)
        if px is not None:
            self.set_ttl(key, px)
        return True

    def set_ttl(self, key: str, milliseconds: int) -> None:
        self._expires[key] = self.now() + milliseconds / 1000

    def unlink(self, *names: str) -> int:
        for name in names:
            self._expires.pop(name, None)
        return sum(self.space.pop(name, None) is not None for name in names)

    def scan(self, pattern: str) -> list[str]:
        # The patterns in use have no special characters but the star.
        pattern = pattern.replace("[", "[[]")
        return sorted(key for key in self.space if fnmatchcase(key, pattern))

    def flush(self) -> None:
        """FLUSHALL."""
        self.space.clear()
        self._expires.clear()

    def dump(self) -> Dump:
        """A snapshot on disk, or what a replica has heard of so far."""
        return Dump({key: _copy(value) for key, value in self.space.items()}, dict(self._expires))

    def restore(self, dump: Dump, slots: Container[str] | None = None) -> None:
        """Everything is as it was then, or what lies in these slots is, by `slot_of`."""
        names = self.space.keys() | dump.space.keys()
        for key in names if slots is None else {name for name in names if slot_of(name) in slots}:
            self.unlink(key)
            if key in dump.space:
                self.space[key] = _copy(dump.space[key])
            if key in dump.expires:
                self._expires[key] = dump.expires[key]


def _copy(value: Value) -> Value:
    match value:
        case Hash():
            return Hash(value)
        case Sorted():
            return Sorted(value)
        case _:
            return value


def slot_of(key: str) -> str:
    """The hash tag of a part's keys; each other key is by itself."""
    return key[key.index("{") + 1 : key.index("}")] if "{" in key else key
