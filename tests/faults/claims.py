"""What a run says about boards: every answer and every message that states a position."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from shared.gen.laurel.leaderboard.v1 import leaderboard_pb2 as pb
from tests.faults.expectations import RULES, Asked, lines
from tests.faults.recording import Call, Recorded, Stream

WATCHES = ("WatchTop", "WatchRank")
POSTGRESQL = pb.SOURCE_POSTGRESQL


@dataclass(frozen=True)
class Given:
    """A page token: the line after which it goes on, and the answers that gave it."""

    after: tuple[int, str]
    positions: list[Any] = field(default_factory=list)


@dataclass(frozen=True)
class Claim:
    """An answer about a board. `source` is 0 of one that ProgressService gave itself; `state` has
    the position, and the board where the answer names it.
    """

    method: str
    client: str
    begun: float
    ended: float
    asked: Asked
    response: Any
    state: Any
    source: pb.Source.ValueType

    @property
    def position(self) -> Any:
        return self.state.position

    @property
    def names_board(self) -> bool:
        """Whether the answer names its board and its source; ProgressService's own do not."""
        return isinstance(self.state, pb.BoardState)

    @property
    def from_postgresql(self) -> bool:
        """Whether it was read from PostgreSQL, and so is of its present history."""
        return not self.names_board or self.source == POSTGRESQL

    def __str__(self) -> str:
        at = f"{self.position.epoch[:8]}:{self.position.sequence}"
        return (
            f"{self.method} of {self.client} ({self.begun:.3f} to {self.ended:.3f} s,"
            f" {pb.Source.Name(self.source)}, {at}), request {{{_short(self.asked.request)}}}"
        )


def _short(message: Any) -> str:
    return " ".join(str(message).split())[:400]


def given_pages(recorded: Recorded) -> dict[str, Given]:
    """Every page token of a board that was given."""
    found: dict[str, Given] = {}
    for call in recorded.calls:
        token = getattr(call.response, "next_page_token", "")
        if not token or call.method not in RULES:
            continue
        last = lines(_entries(call.response))[-1:]
        for _, user_id, score, *_ in last:
            given = found.setdefault(token, Given((score, user_id)))
            given.positions.append(_state(call.response).position)
    return found


def claims_of(recorded: Recorded, pages: dict[str, Given]) -> Iterator[Claim]:
    """Every answer about a board that states a position."""
    for call in recorded.calls:
        if call.response is not None and call.method in RULES:
            yield _of_call(call, pages)
    for stream in recorded.streams:
        if stream.method in WATCHES:
            yield from _of_watch(stream)


def _entries(response: Any) -> Any:
    return response.standings if hasattr(response, "standings") else response.entries


def _state(response: Any) -> Any:
    return response.state if hasattr(response, "state") else response


def _of_call(call: Call, pages: dict[str, Given]) -> Claim:
    token = getattr(call.request, "page_token", "")
    given = pages.get(token)
    return Claim(
        method=call.method,
        client=call.client,
        begun=call.begun,
        ended=call.ended,
        asked=Asked(call.request, given.after if given else None),
        response=call.response,
        state=_state(call.response),
        source=getattr(_state(call.response), "source", pb.SOURCE_UNSPECIFIED),
    )


def _of_watch(stream: Stream) -> Iterator[Claim]:
    said: list[Any] = []
    for at, message in stream.messages:
        yield Claim(
            method=stream.method,
            client=stream.client,
            begun=stream.begun,
            ended=at,
            asked=Asked(stream.request, said=said),
            response=message,
            state=message.state,
            source=message.state.source,
        )
        if not message.keep_alive:
            said = _lines_said(message)


def _lines_said(message: Any) -> list[Any]:
    if hasattr(message, "entries"):
        return lines(message.entries)
    return lines([message.entry]) if message.HasField("entry") else []
