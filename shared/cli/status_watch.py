"""`laurel status --watch`: both services, asked again and again."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncGenerator
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from typing import Any, NoReturn

from rich.columns import Columns
from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.text import Text

from shared.cli.calls import Peer
from shared.cli.output import print_line
from shared.cli.status import States, both_states
from shared.cli.status_tables import UNKNOWN, Rates, state_line, state_views

PERIOD_S = 1.0
TIMEOUT_S = 2.0


@dataclass(frozen=True)
class Refresh:
    """Both services at one moment, and what went on since the refresh before."""

    states: States
    rates: Rates
    clock_s: float
    time: datetime = field(default_factory=lambda: datetime.now(UTC))

    def view(self) -> RenderableType:
        """For a terminal: the services side by side where there is room."""
        heading = Text(f"{self.time:%Y-%m-%d %H:%M:%S} UTC · Ctrl-C ends", style="dim")
        return Group(heading, Columns(state_views(self.states, self.rates), padding=(0, 4)))

    def line(self) -> str:
        """The refresh on one line."""
        return f"{self.time:%Y-%m-%dT%H:%M:%SZ} {state_line(self.states, self.rates)}"

    def document(self) -> dict[str, Any]:
        """The refresh as a JSON object; a rate that is not known is null."""
        return {
            "time": f"{self.time:%Y-%m-%dT%H:%M:%S.%fZ}",
            **self.states.document(),
            "answers_per_s": asdict(self.rates),
        }


async def watch(progress: Peer, leaderboard: Peer, *, as_json: bool) -> NoReturn:
    """Show every refresh until cancelled: in place on a terminal, else one line each."""
    console = Console(highlight=False)
    refreshes = refreshed(progress, leaderboard)
    if as_json or not console.is_terminal or console.is_dumb_terminal:
        async for refresh in refreshes:
            print_line(json.dumps(refresh.document()) if as_json else refresh.line())
    else:
        with Live(console=console, auto_refresh=False) as live:
            async for refresh in refreshes:
                live.update(refresh.view(), refresh=True)
    raise AssertionError  # the refreshes never end


async def refreshed(progress: Peer, leaderboard: Peer) -> AsyncGenerator[Refresh, None]:
    """A refresh every PERIOD_S, for ever; later while a service takes its time to answer.

    A service that does not answer is asked anew the next time, over a new connection.
    """
    loop = asyncio.get_running_loop()
    before: Refresh | None = None
    while True:
        due = loop.time() + PERIOD_S
        states = await both_states(progress, leaderboard, TIMEOUT_S)
        now_s = loop.time()
        before = Refresh(states, _rates(states, now_s, before), now_s)
        yield before
        await asyncio.sleep(max(0.0, due - loop.time()))


def _rates(states: States, now_s: float, before: Refresh | None) -> Rates:
    """How fast the counters grew, if one process answered both this time and the time before."""
    new = states.leaderboard.status
    old = before.states.leaderboard.status if before else None
    if new is None or old is None or before is None or new.start_time != old.start_time:
        return UNKNOWN
    elapsed_s = now_s - before.clock_s
    return Rates(
        redis=round((new.answers_from_redis - old.answers_from_redis) / elapsed_s, 3),
        postgresql=round(
            (new.answers_from_postgresql - old.answers_from_postgresql) / elapsed_s, 3
        ),
    )
