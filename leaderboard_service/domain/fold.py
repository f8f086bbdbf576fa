"""What changes do to the boards: a run of them summed up, or one that stands alone."""

from dataclasses import dataclass

from leaderboard_service.domain.board import BoardNames

# Hiding a user looks at every board: it weighs as many scores as there are boards, and while
# their number is not known as this many.
HIDE_WEIGHT = 200


@dataclass(frozen=True, slots=True)
class Profile:
    """What boards show of a user; a hidden one keeps the scores and leaves the boards."""

    display_name: str
    avatar_url: str
    hidden: bool


class Fold:
    """Sums credits by board and user, and keeps each user's last profile; `boards` is how many
    there are by now, 0 when that is not known.

    Adding the sums and then setting the profiles gives what the changes in order give: a
    score does not depend on when its user is hidden, only on which side it is kept.
    """

    def __init__(self, names: BoardNames, *, boards: int = 0) -> None:
        self._names = names
        self._hide_weight = boards or HIDE_WEIGHT
        self.boards: dict[str, dict[str, int]] = {}
        self.profiles: dict[str, Profile] = {}
        self.weight = 0
        """About how many scores are to be written."""

    def credit(  # noqa: PLR0913 - the fields of one change
        self,
        user_id: str,
        amount: int,
        *,
        metric: str,
        course_id: str,
        day: str,
        windows: tuple[int, ...] = (),
        excluded: frozenset[str] = frozenset(),
    ) -> None:
        """Adds `amount` on every board of the metric, the course and the day.

        `excluded` names boards that it does not count on.
        """
        for name in self._names.of(metric, course_id, day, windows):
            if name in excluded:
                continue
            scores = self.boards.get(name)
            if scores is None:
                scores = self.boards[name] = {}
            before = scores.get(user_id)
            if before is None:
                scores[user_id] = amount
                self.weight += 1
            else:
                scores[user_id] = before + amount

    def profile(self, user_id: str, profile: Profile) -> None:
        """Sets what is shown of the user."""
        self.profiles[user_id] = profile
        self.weight += self._hide_weight if profile.hidden else 1


@dataclass(frozen=True, slots=True)
class Erasure:
    """The user leaves every board, with the profile."""

    user_id: str


@dataclass(frozen=True, slots=True)
class Reset:
    """Everyone's score on the board of that name becomes zero, hidden users' too."""

    board: str


@dataclass(frozen=True, slots=True)
class Correction:
    """The user's score on the board of that name is set; 0: the user is not on it."""

    board: str
    user_id: str
    score: int


Lone = Erasure | Reset | Correction
"""What one change does that cannot be summed with those before and after it."""
Step = Fold | Lone
