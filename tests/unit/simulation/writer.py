"""What users and operators do, at random and within the rules of the ledger."""

from collections.abc import Callable
from random import Random

from shared.gen.laurel.progress.v1 import progress_pb2 as pb
from shared.gen.laurel.types.v1 import types_pb2
from tests.leaderboard_history import board_message
from tests.unit.simulation.history import HistoryDatabase, State, boards_named

USERS = ("a", "b", "c", "d", "e")
DAYS = ("2026-11-20", "2026-11-13")
COURSES = ("", "", "c")
WINDOWS: tuple[tuple[int, ...], ...] = ((1,), (1, 5), (1, 5), ())


class Writer:
    """Each `write` commits one change, or begins a transaction that `commit` ends."""

    def __init__(self, database: HistoryDatabase, random: Random) -> None:
        self._database = database
        self._random = random
        self._open: list[tuple[int, pb.Change]] = []
        self._amount = 0
        self._kinds: tuple[Callable[[State, str], pb.Change | None], ...] = (
            self._revoke,
            self._profile,
            self._reset,
            self._erase,
            self._correct,
        )

    def write(self) -> str:
        """What was written."""
        state, random = self._due(), self._random
        user = random.choice(USERS)
        if user not in state.hidden:
            self._commit(_profile(user, hidden=random.random() < 0.2))
            return f"introduced {user}"
        # While a transaction is open nothing may be done that depends on what it does.
        if not self._open and random.random() < 0.5:
            change = random.choice(self._kinds)(state, user)
        else:
            change = self._credit(user)
        if change is None:
            return "nothing"
        if change.HasField("xp_delta") and change.xp_delta.amount > 0 and random.random() < 0.25:
            self._open.append((self._database.new_id(), change))
        else:
            self._commit(change)
        return str(change.WhichOneof("kind"))

    def erase(self) -> str:
        """Who was erased, after everything that was begun before."""
        self.commit()
        user = self._random.choice(USERS)
        self._commit(self._erase(self._due(), user))
        return user

    def commit(self) -> None:
        """Ends what is open: its ids are lower than those of what was committed meanwhile."""
        self._database.queue += self._open
        self._open = []

    def forget(self) -> None:
        """The database is gone, and with it what was open."""
        self._open = []

    def _commit(self, change: pb.Change) -> None:
        self._database.queue.append((self._database.new_id(), change))

    def _due(self) -> State:
        """What everything that was committed comes to."""
        state = self._database.lineage.states[-1]
        for _, change in sorted(self._database.queue, key=lambda queued: queued[0]):
            state = state.after(change)
        return state

    def _credit(self, user: str) -> pb.Change:
        self._amount += 1
        return self._delta(user, 100 * self._random.randint(1, 3) + self._amount)

    def _delta(self, user: str, amount: int) -> pb.Change:
        random = self._random
        delta = pb.XpDelta(
            user_id=user,
            amount=amount,
            metric="xp",
            course_id=random.choice(COURSES),
            occurred_date=random.choice(DAYS),
            windows=[types_pb2.Window.ValueType(w) for w in random.choice(WINDOWS)],
        )
        return pb.Change(xp_delta=delta)

    def _revoke(self, state: State, user: str) -> pb.Change | None:
        """A part of what the user has; on boards with less it does not count."""
        change = self._delta(user, 0)
        delta = change.xp_delta
        boards = boards_named(delta.course_id, delta.occurred_date, *delta.windows)
        most = max(state.scores.get(board, {}).get(user, 0) for board in boards)
        if most <= 0:
            return None
        amount = self._random.choice((most, (most + 1) // 2))
        delta.amount = -amount
        low = [board for board in boards if state.scores.get(board, {}).get(user, 0) < amount]
        delta.excluded_boards.extend(map(board_message, low))
        return change

    def _profile(self, state: State, user: str) -> pb.Change:
        return _profile(user, hidden=not state.hidden[user])

    def _reset(self, state: State, _user: str) -> pb.Change | None:
        if not state.scores:
            return None
        board = board_message(self._random.choice(sorted(state.scores)))
        return pb.Change(window_reset=pb.WindowReset(board=board))

    def _erase(self, _state: State, user: str) -> pb.Change:
        return pb.Change(user_erasure=pb.UserErasure(user_id=user))

    def _correct(self, state: State, user: str) -> pb.Change | None:
        if not state.scores:
            return None
        board = board_message(self._random.choice(sorted(state.scores)))
        score = self._random.choice((0, self._random.randint(1, 999)))
        correction = pb.StandingCorrection(board=board, user_id=user, score=score)
        return pb.Change(standing_correction=correction)


def _profile(user: str, *, hidden: bool) -> pb.Change:
    profile = pb.ProfileChange(user_id=user, display_name=user.upper(), hidden=hidden)
    return pb.Change(profile_change=profile)
