"""`laurel backfill`: totals and standings mended where they differ from the ledger."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from rich.console import RenderableType
from rich.table import Table
from rich.text import Text

from shared.cli.answer_stream import TOTAL_TIMEOUT_S, Reached, follow, progress_bar
from shared.cli.calls import Peer, connected, safe_again
from shared.cli.output import figures_table, message_document, number, plain
from shared.gen.laurel.progress.v1.admin_pb2 import (
    BackfillTotalsRequest,
    BackfillTotalsResponse,
    TotalUpdate,
)
from shared.gen.laurel.progress.v1.admin_pb2_grpc import ProgressAdminServiceStub

KEPT = 1_000
SHOWN = 20
AGAIN = "What was mended stays, and running the same command again is safe: it mends the rest"
COUNTS = (
    "users_total",
    "users_checked",
    "users_updated",
    "users_unchanged",
    "standings_corrected",
    "completions_credited",
)


@dataclass
class Changes:
    """What a backfill has changed so far. `updates`: the first KEPT of `updates_total`."""

    last: BackfillTotalsResponse = field(default_factory=BackfillTotalsResponse)
    updates: list[TotalUpdate] = field(default_factory=list)
    updates_total: int = 0
    elapsed_s: float = 0.0
    _started: float = field(default_factory=time.monotonic)

    def take(self, answer: BackfillTotalsResponse) -> Reached:
        """Add one answer; how far it is."""
        self.updates_total += len(answer.updates)
        self.updates += answer.updates[: KEPT - len(self.updates)]
        self.last = answer
        self.elapsed_s = time.monotonic() - self._started
        words = f"{self.updates_total:,} totals, {answer.standings_corrected:,} standings"
        done, total = answer.users_checked, answer.users_total
        return Reached(done, total, words, complete=done == total)


async def backfill(peer: Peer, *, dry_run: bool, credit_missing: bool) -> Changes:
    """Has everything mended; raises CommandError if that could not be completed."""
    changes = Changes()
    request = BackfillTotalsRequest(dry_run=dry_run, credit_missing=credit_missing)
    with progress_bar("checking" if dry_run else "mending", "users") as show:
        async with (
            safe_again(AGAIN, dry_run=dry_run),
            connected(peer, life_s=TOTAL_TIMEOUT_S) as channel,
        ):
            stub = ProgressAdminServiceStub(channel)
            call = stub.BackfillTotals(request, timeout=TOTAL_TIMEOUT_S)
            await follow(call, changes.take, show, peer)
    return changes


def changes_document(changes: Changes, *, dry_run: bool) -> dict[str, Any]:
    """The changes as a JSON object: plain numbers, and the first updates."""
    return {
        "dry_run": dry_run,
        **{name: getattr(changes.last, name) for name in COUNTS},
        "elapsed_s": round(changes.elapsed_s, 3),
        "updates_total": changes.updates_total,
        "updates": [message_document(one) for one in changes.updates],
        "updates_not_listed": changes.updates_total - len(changes.updates),
    }


def changes_tables(changes: Changes, *, dry_run: bool) -> Iterator[RenderableType]:
    """The counts, and the first totals that differed."""
    if dry_run:
        yield Text("Dry run: nothing was changed.")
    counts = {name.replace("_", " "): getattr(changes.last, name) for name in COUNTS[1:]}
    yield figures_table({**counts, "elapsed": f"{changes.elapsed_s:.1f} s"})
    if changes.updates_total:
        yield _updates_table(changes)


def _updates_table(changes: Changes) -> Table:
    table = Table()
    table.add_column("user")
    table.add_column("name")
    table.add_column("metric")
    table.add_column("old total", justify="right")
    table.add_column("new total", justify="right")
    for one in changes.updates[:SHOWN]:
        table.add_row(
            plain(one.user_id),
            plain(one.display_name),
            plain(one.metric),
            number(one.old_total),
            number(one.new_total),
        )
    if changes.updates_total > SHOWN:
        table.add_row(f"and {changes.updates_total - SHOWN:,} more", "", "", "", "")
    return table
