"""What a reader asks: requests of every kind, drawn at random."""

import random
from dataclasses import dataclass
from datetime import date
from typing import Any

from shared.gen.laurel.leaderboard.v1 import leaderboard_pb2 as boards
from shared.gen.laurel.progress.v1 import progress_pb2 as progress
from tests.faults.workload import world

Read = tuple[str, Any]
"""A method's path and a request."""
_SIZES = (1, 3, 5, 10, 500)


@dataclass(frozen=True)
class Question:
    """Draws reads of one kind after the other from one source of chance."""

    chance: random.Random
    today: date

    def any(self) -> Read:
        (kind,) = self.chance.choices(list(_WEIGHTS), list(_WEIGHTS.values()))
        return kind(self)

    def _board(self) -> dict[str, Any]:
        board = world.board(self.chance, self.today)
        return {"board": board, "rank_mode": self.chance.choice(world.MODES)}

    def _user(self) -> str:
        return self.chance.choice(world.PEOPLE)

    def _size(self) -> int:
        return self.chance.choice(_SIZES)

    def top(self) -> Read:
        also = self.chance.choice(world.ALSO_WINDOWS)
        user_id = self.chance.choice(["", self._user()])
        request = boards.GetTopRequest(
            page_size=self._size(), user_id=user_id, also_windows=also, **self._board()
        )
        return "LeaderboardService/GetTop", request

    def rank(self) -> Read:
        request = boards.GetRankRequest(user_id=self._user(), **self._board())
        return "LeaderboardService/GetRank", request

    def around(self) -> Read:
        count = self.chance.choice([1, 5, 11, 101])
        request = boards.GetAroundRequest(user_id=self._user(), count=count, **self._board())
        return "LeaderboardService/GetAround", request

    def batch(self) -> Read:
        users = self.chance.sample(world.PEOPLE, 7)
        request = boards.BatchGetRanksRequest(user_ids=users, **self._board())
        return "LeaderboardService/BatchGetRanks", request

    def standings(self) -> Read:
        around = self.chance.choice(["", self._user()])
        request = progress.ListStandingsRequest(
            page_size=self._size(), around_user_id=around, user_id=self._user(), **self._board()
        )
        return "StandingsService/ListStandings", request

    def batch_standings(self) -> Read:
        users = self.chance.sample(world.PEOPLE, 7)
        request = progress.BatchGetStandingsRequest(user_ids=users, **self._board())
        return "StandingsService/BatchGetStandings", request

    def stats(self) -> Read:
        request = progress.GetUserStatsRequest(user_id=self._user())
        return "ProgressService/GetUserStats", request

    def entries(self) -> Read:
        request = progress.ListXpEntriesRequest(user_id=self._user(), page_size=self._size())
        return "ProgressService/ListXpEntries", request

    def attempts(self) -> Read:
        request = progress.ListAttemptsRequest(user_id=self._user(), page_size=self._size())
        return "ProgressService/ListAttempts", request

    def course(self) -> Read:
        course_id = self.chance.choice(["c", "d"])
        request = progress.GetCourseProgressRequest(user_id=self._user(), course_id=course_id)
        return "ProgressService/GetCourseProgress", request

    def learners(self) -> Read:
        course_id = self.chance.choice(["c", "d"])
        request = progress.ListCourseProgressRequest(course_id=course_id, page_size=self._size())
        return "ProgressService/ListCourseProgress", request


_WEIGHTS = {
    Question.top: 26,
    Question.rank: 24,
    Question.around: 14,
    Question.batch: 10,
    Question.standings: 9,
    Question.batch_standings: 5,
    Question.stats: 5,
    Question.entries: 6,
    Question.attempts: 3,
    Question.course: 3,
    Question.learners: 2,
}
