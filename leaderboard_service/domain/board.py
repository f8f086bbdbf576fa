"""Boards, and which periods of them Redis keeps."""

from dataclasses import dataclass, field
from datetime import date

from shared.periods import Window, earlier_period, period_of

DEFAULT_METRIC = "xp"


@dataclass(frozen=True, slots=True)
class Board:
    """One ranking of users, with everything spelled out (`period` is empty for ALL_TIME only).

    `name` is unambiguous, since no part can hold a slash: "xp//week/2026-W47".
    """

    metric: str
    course_id: str
    window: Window
    period: str
    name: str = field(init=False, compare=False)

    def __post_init__(self) -> None:
        name = board_name(self.metric, self.course_id, self.window, self.period)
        object.__setattr__(self, "name", name)


_WINDOW_NAMES = {window: window.name.lower() for window in Window}
_WINDOWS = {name: window for window, name in _WINDOW_NAMES.items()}


def board_name(metric: str, course_id: str, window: Window, period: str) -> str:
    """The name of the board, as in `Board.name`."""
    return f"{metric}/{course_id}/{_WINDOW_NAMES[window]}/{period}"


def parse_board_name(name: str) -> Board:
    """The board of that name. Raises ValueError for what `board_name` did not make."""
    metric, course_id, window, period = name.split("/")
    if window not in _WINDOWS:
        raise ValueError(f"no window {window!r}")
    return Board(metric, course_id, _WINDOWS[window], period)


@dataclass(frozen=True, slots=True)
class Kept:
    """How many periods of each window Redis keeps, the current one included; each >= 1."""

    years: int = 3
    months: int = 14
    weeks: int = 10
    days: int = 35


@dataclass(frozen=True, slots=True)
class Floors:
    """The first period of each window that is whole in Redis. ALL_TIME has none."""

    year: str
    month: str
    week: str
    day: str

    @classmethod
    def on(cls, today: date, kept: Kept) -> "Floors":
        """The floors that keep the wanted number of periods on that civil date."""
        return cls(
            earlier_period(Window.YEAR, today, kept.years - 1),
            earlier_period(Window.MONTH, today, kept.months - 1),
            earlier_period(Window.WEEK, today, kept.weeks - 1),
            earlier_period(Window.DAY, today, kept.days - 1),
        )

    @classmethod
    def decode(cls, text: str) -> "Floors":
        """The inverse of `encode`."""
        year, month, week, day = text.split(" ")
        return cls(year, month, week, day)

    def encode(self) -> str:
        """One line that two equal floors share; the Lua scripts read it too."""
        return f"{self.year} {self.month} {self.week} {self.day}"

    def of(self, window: Window) -> str:
        """The first period of the window that is kept; "" for ALL_TIME."""
        match window:
            case Window.ALL_TIME:
                return ""
            case Window.YEAR:
                return self.year
            case Window.MONTH:
                return self.month
            case Window.WEEK:
                return self.week
            case Window.DAY:
                return self.day

    def keeps(self, window: Window, period: str) -> bool:
        """Whether boards of that period are whole (periods of one window sort as text)."""
        return period >= self.of(window)

    def raised_to(self, other: "Floors") -> "Floors":
        """The higher floor of each window."""
        return Floors(
            max(self.year, other.year),
            max(self.month, other.month),
            max(self.week, other.week),
            max(self.day, other.day),
        )

    def lowered_to(self, other: "Floors") -> "Floors":
        """The lower floor of each window."""
        return Floors(
            min(self.year, other.year),
            min(self.month, other.month),
            min(self.week, other.week),
            min(self.day, other.day),
        )


class BoardNames:
    """The names of the boards that a credit counts on, floors applied; remembers them."""

    _LIMIT = 20_000

    def __init__(self, floors: Floors) -> None:
        self.floors = floors
        self._known: dict[tuple[str, str, str, tuple[int, ...]], tuple[str, ...]] = {}

    def of(
        self, metric: str, course_id: str, day: str, windows: tuple[int, ...]
    ) -> tuple[str, ...]:
        """Boards across courses, and of the course if there is one, in each window.

        `day` is the civil date in ISO form, `windows` the numbers of `Window`, empty for all.
        """
        key = (metric, course_id, day, windows)
        names = self._known.get(key)
        if names is None:
            if len(self._known) >= self._LIMIT:
                self._known.clear()
            names = self._known[key] = self._name(*key)
        return names

    def _name(
        self, metric: str, course_id: str, day: str, windows: tuple[int, ...]
    ) -> tuple[str, ...]:
        on = date.fromisoformat(day)
        names = []
        for window in map(Window, windows or Window):
            period = period_of(window, on)
            if self.floors.keeps(window, period):
                names.append(board_name(metric, "", window, period))
                if course_id:
                    names.append(board_name(metric, course_id, window, period))
        return tuple(names)
