"""A run that never was, told as a flawless stack would have it: what the validators are tested on.

Its boards are counted here, one user after the other, and by no code of the validators.
"""

from dataclasses import replace
from typing import Any

from shared.gen.laurel.leaderboard.v1 import admin_pb2 as board_admin
from shared.gen.laurel.leaderboard.v1 import leaderboard_pb2 as boards
from shared.gen.laurel.progress.v1 import admin_pb2 as pb_admin
from shared.gen.laurel.progress.v1 import catalog_pb2
from shared.gen.laurel.progress.v1 import progress_pb2 as pb
from shared.gen.laurel.types.v1 import types_pb2
from tests.faults import planted
from tests.faults.fabricated_writes import TODAY, Writes
from tests.faults.recording import Call, Failure, Sample, Stream

XP = types_pb2.Board(metric="xp", window=types_pb2.WINDOW_ALL_TIME)
REDIS, POSTGRESQL = boards.SOURCE_REDIS, boards.SOURCE_POSTGRESQL


class Told(Writes):
    """A run in the making, with what was read in it."""

    def counted(self, board: types_pb2.Board, through: int) -> dict[str, int]:
        """Everyone's score, also of who is hidden."""
        scores: dict[str, int] = {}
        for change in self.branch.changes[:through]:
            if change.HasField("xp_delta") and board not in change.xp_delta.excluded_boards:
                user_id = change.xp_delta.user_id
                scores[user_id] = scores.get(user_id, 0) + change.xp_delta.amount
            elif change.HasField("user_erasure"):
                scores.pop(change.user_erasure.user_id, None)
            elif change.HasField("window_reset") and board.window == types_pb2.WINDOW_DAY:
                scores = {}
        return scores

    def scores(self, board: types_pb2.Board, through: int) -> list[tuple[str, int, str]]:
        """User, score and name of everyone on the board, best first."""
        scores, profiles = self.counted(board, through), {}
        for change in self.branch.changes[:through]:
            if change.HasField("profile_change"):
                profiles[change.profile_change.user_id] = change.profile_change
        return [
            (user_id, scores[user_id], profiles[user_id].display_name or user_id)
            for user_id in sorted(scores, key=lambda one: (-scores[one], one))
            if scores[user_id] > 0 and not profiles[user_id].hidden
        ]

    def entries(self, board: types_pb2.Board, through: int | None = None) -> list[boards.Entry]:
        """The whole board."""
        told = self.scores(board, len(self.branch.changes) if through is None else through)
        return [
            boards.Entry(
                rank=1 + sum(1 for _, other, _ in told if other > score),
                user_id=user_id,
                score=score,
                display_name=name,
            )
            for user_id, score, name in told
        ]

    def state(
        self, board: types_pb2.Board, source: boards.Source.ValueType = REDIS
    ) -> boards.BoardState:
        return boards.BoardState(
            board=board,
            total_users=len(self.entries(board)),
            source=source,
            position=self.position,
            as_of_time=self.branch.changes[-1].numbered_time,
        )

    def top(
        self, board: types_pb2.Board = XP, *, size: int = 50, token: str = "", after: str = ""
    ) -> Call:
        """A page of the board, after a user."""
        whole = self.entries(board)
        users = [entry.user_id for entry in whole]
        first = users.index(after) + 1 if after else 0
        page = whole[first : first + size]
        more = first + size < len(whole)
        answer = boards.GetTopResponse(
            entries=page,
            next_page_token=f"page-{self.epoch}-{self.now:g}" if more else "",
            state=self.state(board),
        )
        request = boards.GetTopRequest(board=board, page_size=size, page_token=token)
        return self.call("GetTop", request, answer)

    def rank(self, user_id: str, token: str = "") -> Call:
        whole = self.entries(XP)
        answer = boards.GetRankResponse(state=self.state(XP))
        for entry in whole:
            if entry.user_id == user_id:
                answer.entry.CopyFrom(entry)
                below = sum(1 for other in whole if other.score < entry.score)
                answer.percentile = 100 * below / len(whole)
                higher = [other.score for other in whole if other.score > entry.score]
                answer.score_to_next_rank = min(higher) - entry.score if higher else 0
        request = boards.GetRankRequest(board=XP, user_id=user_id, consistency_token=token)
        return self.call("GetRank", request, answer)

    def standings(self) -> Call:
        answer = pb.ListStandingsResponse(
            standings=[
                pb.Standing(
                    rank=one.rank,
                    user_id=one.user_id,
                    score=one.score,
                    display_name=one.display_name,
                )
                for one in self.entries(XP)
            ],
            total_users=len(self.entries(XP)),
            position=self.position,
            as_of_time=self.branch.changes[-1].numbered_time,
        )
        return self.call("ListStandings", pb.ListStandingsRequest(board=XP), answer)

    def ledger(
        self, user_id: str, *, size: int = 50, token: str = "", before: int = 10_000
    ) -> Call:
        """A page of the user's ledger, of entries before one."""
        own = [one for one in self.branch.entries if one.user_id == user_id]
        older = [one for one in reversed(own) if one.entry_id < before]
        answer = pb.ListXpEntriesResponse(
            entries=[
                pb.XpEntry(
                    entry_id=str(one.entry_id),
                    user_id=user_id,
                    metric=one.metric,
                    amount=one.amount,
                    source=one.source,
                    level_id=one.level_id,
                )
                for one in older[:size]
            ],
            next_page_token=f"entries-{self.now:g}" if len(older) > size else "",
        )
        request = pb.ListXpEntriesRequest(user_id=user_id, page_size=size, page_token=token)
        return self.call("ListXpEntries", request, answer)

    def stats(self, user_id: str) -> Call:
        """The user's totals; today's are those since the last reset."""
        held = {}
        for name, board in (("all_time", XP), ("day", TODAY)):
            held[name] = self.counted(board, 10_000).get(user_id, 0)
        held |= dict.fromkeys(("year", "month", "week"), held["all_time"])
        answer = pb.GetUserStatsResponse(
            user_id=user_id,
            metrics=[pb.MetricStats(metric="xp", **held)],
            position=self.position,
        )
        return self.call("GetUserStats", pb.GetUserStatsRequest(user_id=user_id), answer)

    def stream(self, method: str, request: Any, *messages: Any, reason: str = "") -> Stream:
        """A stream of which each message takes a second; without a reason the client leaves."""
        stream = Stream("watcher", "Service", method, request, self.now)
        for message in messages:
            self.now += 1
            stream.messages.append((self.now, message))
        stream.ended, stream.left = self.now, not reason
        if reason:
            code, _, name = reason.partition("/")
            stream.failure = Failure(code, name, "no")
        self.recorded.streams.append(stream)
        return stream

    def part(self, after: int, through: int) -> pb.WatchXpDeltasResponse:
        """A message with the changes between two sequences."""
        position = types_pb2.Position(epoch=self.epoch, sequence=through)
        return pb.WatchXpDeltasResponse(
            changes=self.branch.changes[after:through],
            through=position,
            head_sequence=len(self.branch.changes),
        )

    def watch(self, after: types_pb2.Position | None = None, reason: str = "") -> Stream:
        """The history after a position, in two messages and a checkpoint."""
        first, head = after.sequence if after else 0, len(self.branch.changes)
        middle = (first + head) // 2
        parts = [self.part(first, middle), self.part(middle, head), self.part(head, head)]
        request = pb.WatchXpDeltasRequest(after=after)
        return self.stream("WatchXpDeltas", request, *([] if reason else parts), reason=reason)

    def verify(self) -> None:
        """The services compare what they hold themselves, and find nothing."""
        ledger = pb_admin.VerifyLedgerResponse(users_checked=4)
        self.stream("VerifyLedger", pb_admin.VerifyLedgerRequest(), ledger).left = False
        boards_ = board_admin.VerifyBoardsResponse(complete=True)
        self.stream("VerifyBoards", board_admin.VerifyBoardsRequest(), boards_).left = False

    def calm(self) -> None:
        """All is healed and caught up."""
        self.now += 1
        self.recorded.calm_at, self.recorded.lag_s = self.now, 1.0
        self.recorded.samples.append(Sample(self.now, "progress-0", 100 << 20))


def _provoke(told: Told) -> None:
    """What is planted to fail, and what a crowd is refused."""
    internal = Failure("INTERNAL", "", "Internal error; it is logged under request id 0f1e.")
    alone = Failure("UNAVAILABLE", planted.ALONE, "The write failed; retry it.")
    award = pb.AwardXpRequest(user_id="ann", amount=1, source=planted.SOURCE, request_id="planted")
    profile = catalog_pb2.PutUserRequest(user=catalog_pb2.User(user_id=planted.USER))
    rank = boards.GetRankRequest(user_id=planted.USER)
    for service, method, request, failure in (
        ("CatalogService", "PutUser", profile, internal),
        ("LeaderboardService", "GetRank", rank, internal),
        ("ProgressService", "AwardXp", award, alone),
    ):
        told.call(method, request)
        told.recorded.calls[-1] = replace(told.recorded.calls[-1], service=service, failure=failure)
    told.call("GetTop", boards.GetTopRequest(), reason="RESOURCE_EXHAUSTED/SERVER_BUSY")
    told.watch(reason="UNAVAILABLE/READER_STALLED")


def _spectate(told: Told) -> None:
    """A watch that is sent a state and a sign of life."""
    state = told.state(XP)
    first = boards.WatchTopResponse(entries=told.entries(XP)[:2], state=state)
    request = boards.WatchTopRequest(count=2)
    told.stream("WatchTop", request, first, boards.WatchTopResponse(keep_alive=True, state=state))


def a_run() -> Told:
    """Writes of all kinds and what was read of them, without a fault."""
    told = Told()
    for user_id in ("ann", "bob", "cyd", "eve"):
        told.user(user_id, user_id.title())
    told.award("ann", 40, "r1")
    told.repeat(told.award("bob", 90, "r2"))
    told.submit("cyd", "level", "r3")
    award = told.award("eve", 7, "r4")
    told.rank("eve", award.response.consistency_token)
    told.rank("bob", told.revoke(2, "r5").response.consistency_token)
    told.rank("cyd", told.user("cyd", "Cydonia").response.consistency_token)
    told.award("bob", 50, "r6")
    told.tenure("e2")
    told.reset("r7")
    told.award("ann", 10, "r8")
    page = told.top(size=2)
    told.top(size=2, token=page.response.next_page_token, after="bob")
    told.top(TODAY)
    told.standings()
    told.watch()
    told.watch(types_pb2.Position(epoch="e1", sequence=5))
    told.call("GetRank", boards.GetRankRequest(user_id="ann"), reason="UNAVAILABLE/DRAINING")
    _provoke(told)
    _spectate(told)
    told.calm()
    told.top()
    told.verify()
    return told
