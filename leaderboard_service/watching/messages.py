"""What watchers are sent, encoded."""

from dataclasses import dataclass
from functools import lru_cache

from leaderboard_service.domain.answer import Entry
from leaderboard_service.servicers.encode import entry_message
from shared.gen.laurel.leaderboard.v1 import leaderboard_pb2 as pb


@dataclass(frozen=True, slots=True)
class Top:
    """The first `count` entries of a board."""

    count: int


@dataclass(frozen=True, slots=True)
class Rank:
    """One user's entry on a board."""

    user_id: str


Subject = Top | Rank
"""What of a board is watched. At one moment it has one message, for all who watch it."""


def state_message(subject: Subject, entries: tuple[Entry, ...], state: pb.BoardState) -> bytes:
    """WatchTopResponse, or WatchRankResponse without what differs between its watchers."""
    match subject:
        case Top():
            top = pb.WatchTopResponse(entries=map(entry_message, entries), state=state)
            return top.SerializeToString()
        case Rank():
            entry = entry_message(entries[0]) if entries else None
            return pb.WatchRankResponse(entry=entry, state=state).SerializeToString()


def keep_alive(subject: Subject, state: pb.BoardState) -> bytes:
    """The message that says that nothing has changed."""
    match subject:
        case Top():
            return pb.WatchTopResponse(state=state, keep_alive=True).SerializeToString()
        case Rank():
            return pb.WatchRankResponse(state=state, keep_alive=True).SerializeToString()


@lru_cache(maxsize=10_000)
def previous_rank(rank: int) -> bytes:
    """What follows a WatchRankResponse to set its previous_rank: parts of an encoded message may
    stand one after the other (protobuf, "Encoding").
    """
    return pb.WatchRankResponse(previous_rank=rank).SerializeToString()
