"""Answers as messages of the contract; what many answers share is encoded once."""

from collections.abc import Iterable
from functools import lru_cache
from weakref import WeakKeyDictionary
from zoneinfo import ZoneInfo

from google.protobuf.timestamp_pb2 import Timestamp

from leaderboard_service.domain.answer import (
    Entry,
    ListAnswer,
    Page,
    Position,
    RankAnswer,
    Stamp,
    TopAnswer,
)
from leaderboard_service.domain.board import Board
from leaderboard_service.domain.question import After, TopAsk
from leaderboard_service.domain.request import token_after
from shared.gen.laurel.leaderboard.v1 import leaderboard_pb2 as pb
from shared.gen.laurel.types.v1 import types_pb2
from shared.periods import period_end
from shared.signed_token import Signer


class Encoder:
    """Encodes answers for a deployment whose civil dates are those of `zone`."""

    def __init__(self, zone: ZoneInfo, signer: Signer) -> None:
        self._signer = signer
        self._zone = zone
        self._board_states = lru_cache(maxsize=10_000)(self._board_state)
        # Answers of one read share a stamp, and mostly the board: one state for all of them.
        self._states: WeakKeyDictionary[Stamp, dict[tuple[Board, int], pb.BoardState]] = (
            WeakKeyDictionary()
        )

    def top(self, ask: TopAsk, answer: TopAnswer) -> bytes:
        """GetTopResponse: the page, encoded once for all who get it, then what differs.

        Parts of an encoded message may follow each other: fields of the later ones add to,
        or replace, those of the earlier (protobuf, "Encoding": last one wins).
        """
        page = answer.page
        if page.encoded is None:
            # A page is shared at one position only.
            page.encoded = self._page(ask, page, answer.stamp.position)
        rest = pb.GetTopResponse(
            user_entry=entry_message(answer.user) if answer.user else None,
            state=self.state(ask.board, answer.stamp, answer.total),
        )
        return page.encoded + rest.SerializeToString()

    def rank(self, board: Board, answer: RankAnswer) -> bytes:
        """GetRankResponse."""
        state = self.state(board, answer.stamp, answer.total)
        if answer.entry is None:
            return pb.GetRankResponse(state=state).SerializeToString()
        return pb.GetRankResponse(
            entry=entry_message(answer.entry),
            percentile=100.0 * answer.users_below / max(answer.total, 1),
            score_to_next_rank=answer.score_to_next_rank,
            state=state,
        ).SerializeToString()

    def around(self, board: Board, answer: ListAnswer) -> bytes:
        """GetAroundResponse."""
        return pb.GetAroundResponse(
            entries=map(entry_message, answer.entries),
            state=self.state(board, answer.stamp, answer.total),
        ).SerializeToString()

    def batch(self, board: Board, answer: ListAnswer, asked: Iterable[str]) -> bytes:
        """BatchGetRanksResponse; who of those asked is not on the board is named there."""
        ranked = {entry.user_id for entry in answer.entries}
        return pb.BatchGetRanksResponse(
            entries=map(entry_message, answer.entries),
            unranked_user_ids=[user_id for user_id in asked if user_id not in ranked],
            state=self.state(board, answer.stamp, answer.total),
        ).SerializeToString()

    def _page(self, ask: TopAsk, page: Page, at: Position) -> bytes:
        message = pb.GetTopResponse(entries=map(entry_message, page.entries))
        if page.more and page.entries:
            last = page.entries[-1]
            after = After(last.score, last.user_id, at.epoch, at.sequence)
            message.next_page_token = token_after(self._signer, ask.board, ask.mode, after)
        return message.SerializeToString()

    def state(self, board: Board, stamp: Stamp, total: int) -> pb.BoardState:
        """What an answer is about and reflects: one message for all answers that share it."""
        states = self._states.setdefault(stamp, {})
        state = states.get((board, total))
        if state is None:
            state = states[board, total] = pb.BoardState(
                total_users=total,
                source=pb.Source.ValueType(stamp.source),
                position=types_pb2.Position(
                    epoch=stamp.position.epoch, sequence=stamp.position.sequence
                ),
                as_of_time=timestamp(stamp.numbered_us),
                confirmed_time=timestamp(stamp.confirmed_us),
            )
            state.MergeFrom(self._board_states(board))
        return state

    def _board_state(self, board: Board) -> pb.BoardState:
        """What every state of this board says."""
        end = period_end(board.window, board.period, self._zone)
        state = pb.BoardState(
            board=types_pb2.Board(
                metric=board.metric,
                course_id=board.course_id,
                window=types_pb2.Window.ValueType(board.window),
                period=board.period,
            )
        )
        if end is not None:
            state.period_end_time.FromDatetime(end)
        return state


def entry_message(entry: Entry) -> pb.Entry:
    """One line of a board."""
    return pb.Entry(
        rank=entry.rank,
        user_id=entry.user_id,
        display_name=entry.display_name,
        avatar_url=entry.avatar_url,
        score=entry.score,
        also_scores=entry.also_scores,
    )


def timestamp(us: int) -> Timestamp | None:
    """The time; None for one that is not known."""
    return Timestamp(seconds=us // 1_000_000, nanos=us % 1_000_000 * 1000) if us else None
