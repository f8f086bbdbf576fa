"""The boards as they follow from the history alone: a fold that shares no code with a service."""

import asyncio
from collections import defaultdict
from dataclasses import dataclass, field
from datetime import date

from shared.gen.laurel.progress.v1 import progress_pb2 as pb
from shared.gen.laurel.types.v1 import types_pb2
from tests.progress import Progress

BoardName = tuple[str, str, int, str]
"""Metric, course or "", window, period."""
Scores = dict[BoardName, dict[str, int]]


def periods(day: date) -> dict[int, str]:
    """The period of each window that holds the day."""
    year, week, _ = day.isocalendar()
    return {
        types_pb2.WINDOW_ALL_TIME: "",
        types_pb2.WINDOW_YEAR: f"{day.year:04d}",
        types_pb2.WINDOW_MONTH: str(day)[:7],
        types_pb2.WINDOW_WEEK: f"{year:04d}-W{week:02d}",
        types_pb2.WINDOW_DAY: str(day),
    }


def name_of(board: types_pb2.Board) -> BoardName:
    """A board with its period spelled out."""
    return (board.metric, board.course_id, board.window, board.period)


def boards_of(delta: pb.XpDelta) -> set[BoardName]:
    """The boards on which the delta counts."""
    excluded = {name_of(board) for board in delta.excluded_boards}
    every: set[BoardName] = {
        (delta.metric, course_id, window, period)
        for window, period in periods(date.fromisoformat(delta.occurred_date)).items()
        if window in delta.windows or not delta.windows
        for course_id in {"", delta.course_id}
    }
    return every - excluded


@dataclass
class Folded:
    """Profiles and scores as of `sequence`; scores of 0 are kept as 0."""

    sequence: int = 0
    profiles: dict[str, pb.ProfileChange] = field(default_factory=dict)
    scores: Scores = field(default_factory=lambda: defaultdict(lambda: defaultdict(int)))

    def apply(self, change: pb.Change) -> None:
        """The next change."""
        assert change.sequence == self.sequence + 1
        self.sequence = change.sequence
        match change.WhichOneof("kind"):
            case "xp_delta":
                assert change.xp_delta.user_id in self.profiles
                for board in boards_of(change.xp_delta):
                    self.scores[board][change.xp_delta.user_id] += change.xp_delta.amount
            case "profile_change":
                self.profiles[change.profile_change.user_id] = change.profile_change
            case "user_erasure":
                self.profiles.pop(change.user_erasure.user_id, None)
                for scores in self.scores.values():
                    scores.pop(change.user_erasure.user_id, None)
            case "window_reset":
                self.scores[name_of(change.window_reset.board)].clear()
            case "standing_correction":
                mend = change.standing_correction
                self.scores[name_of(mend.board)][mend.user_id] = mend.score
            case kind:
                assert kind == "redaction", f"change {change.sequence} is of kind {kind}"

    @property
    def counted(self) -> Scores:
        """The scores that are not 0, hidden users' too, as a snapshot has them."""
        found = {
            board: {user_id: score for user_id, score in scores.items() if score}
            for board, scores in self.scores.items()
        }
        return {board: scores for board, scores in found.items() if scores}

    def listed(self, board: BoardName) -> list[tuple[int, str, int]]:
        """(rank, user_id, score) of everyone who is on the board, best first."""
        ranked = sorted(
            (-score, user_id)
            for user_id, score in self.scores.get(board, {}).items()
            if score > 0 and not self.profiles[user_id].hidden
        )
        higher = [score for score, _ in ranked]
        return [(1 + higher.index(score), user_id, -score) for score, user_id in ranked]


def fold(changes: list[pb.Change], into: Folded | None = None) -> Folded:
    """What the changes, from the first on or after `into`, come to."""
    folded = into or Folded()
    for change in changes:
        folded.apply(change)
    return folded


async def watched(
    progress: Progress, through: int, after: types_pb2.Position | None = None
) -> list[pb.Change]:
    """The changes after a position, or from the beginning, up to `through`."""
    found: list[pb.Change] = []
    call = progress.progress.WatchXpDeltas(pb.WatchXpDeltasRequest(after=after))
    async with asyncio.timeout(30):
        async for message in call:
            found += message.changes
            if message.through.sequence >= through:
                break
    call.cancel()
    return [change for change in found if change.sequence <= through]


async def snapshot(progress: Progress) -> tuple[Folded, types_pb2.Position]:
    """What PostgreSQL's own fold has, and at which position."""
    found = Folded()
    position = types_pb2.Position()
    async for message in progress.standings.SnapshotStandings(pb.SnapshotStandingsRequest()):
        position = message.position
        found.sequence = position.sequence
        found.profiles |= {profile.user_id: profile for profile in message.profiles}
        for one in message.standings:
            found.scores[name_of(message.board)][one.user_id] = one.score
    return found, position


async def check(progress: Progress) -> Folded:
    """PostgreSQL's fold at its present position equals that of the history up to there: scores,
    profiles, and each board's list with its ranks and its size.
    """
    await progress.settled()
    stored, position = await snapshot(progress)
    folded = fold(await watched(progress, position.sequence))
    assert stored.profiles == folded.profiles
    assert stored.counted == folded.counted
    for name in folded.scores:
        metric, course_id, window, period = name
        board = types_pb2.Board(
            metric=metric,
            course_id=course_id,
            window=types_pb2.Window.ValueType(window),
            period=period,
        )
        request = pb.ListStandingsRequest(board=board, page_size=500)
        page = await progress.standings.ListStandings(request)
        assert page.position == position, "someone writes meanwhile"
        listed = folded.listed(name)
        assert [(one.rank, one.user_id, one.score) for one in page.standings] == listed[:500]
        assert page.total_users == len(listed)
    return folded
