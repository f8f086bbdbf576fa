"""`laurel verify`: whether totals, standings and progress agree with what they follow from."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from rich.console import RenderableType
from rich.table import Table
from rich.text import Text

from shared.cli.answer_stream import TOTAL_TIMEOUT_S, Reached, follow, progress_bar
from shared.cli.boards import board_parts
from shared.cli.calls import CommandError, Peer, connected
from shared.cli.output import figures_table, message_document, number, plain
from shared.gen.laurel.progress.v1.admin_pb2 import (
    MISMATCH_KIND_COURSE_PROGRESS,
    MISMATCH_KIND_LEVEL_PROGRESS,
    MISMATCH_KIND_STANDING,
    MISMATCH_KIND_TOTAL,
    Mismatch,
    MismatchKind,
    VerifyLedgerRequest,
    VerifyLedgerResponse,
)
from shared.gen.laurel.progress.v1.admin_pb2_grpc import ProgressAdminServiceStub

KEPT = 1_000
SHOWN = 20
TOO_MANY = "TOO_MANY_MISMATCHES"
KINDS = {
    MISMATCH_KIND_TOTAL: "total",
    MISMATCH_KIND_STANDING: "standing",
    MISMATCH_KIND_LEVEL_PROGRESS: "level_progress",
    MISMATCH_KIND_COURSE_PROGRESS: "course_progress",
}


@dataclass
class Findings:
    """What a verification has found so far. `mismatches`: the first KEPT of all that `kinds`
    counts; `complete` False: more differ than the service tells.
    """

    last: VerifyLedgerResponse = field(default_factory=VerifyLedgerResponse)
    kinds: Counter[MismatchKind.ValueType] = field(default_factory=Counter)
    mismatches: list[Mismatch] = field(default_factory=list)
    complete: bool = True
    elapsed_s: float = 0.0
    _started: float = field(default_factory=time.monotonic)

    @property
    def count(self) -> int:
        """How many figures differ."""
        return self.kinds.total()

    @property
    def ok(self) -> bool:
        """Whether everything agrees."""
        return self.complete and not self.count

    def take(self, answer: VerifyLedgerResponse) -> Reached:
        """Add one answer; how far it is."""
        self.kinds.update(one.kind for one in answer.mismatches)
        self.mismatches += answer.mismatches[: KEPT - len(self.mismatches)]
        self.last = answer
        self.elapsed_s = time.monotonic() - self._started
        done, total = answer.users_checked, answer.users_total
        return Reached(done, total, f"{self.count:,} mismatches", complete=done == total)


async def verify(peer: Peer) -> Findings:
    """Has everything compared; raises CommandError if that could not be completed."""
    found = Findings()
    try:
        with progress_bar("verifying", "users") as show:
            async with connected(peer, life_s=TOTAL_TIMEOUT_S) as channel:
                call = ProgressAdminServiceStub(channel).VerifyLedger(
                    VerifyLedgerRequest(), timeout=TOTAL_TIMEOUT_S
                )
                await follow(call, found.take, show, peer)
    except CommandError as error:
        if error.reason != TOO_MANY:
            raise
        found.complete = False
    return found


def findings_document(found: Findings) -> dict[str, Any]:
    """The findings as a JSON object: plain numbers, and the first mismatches."""
    return {
        "ok": found.ok,
        "users_total": found.last.users_total,
        "users_checked": found.last.users_checked,
        "position": message_document(found.last.position),
        "elapsed_s": round(found.elapsed_s, 3),
        "complete": found.complete,
        "mismatches_total": found.count,
        "mismatches_by_kind": {name: found.kinds[kind] for kind, name in KINDS.items()},
        "mismatches": [message_document(one) for one in found.mismatches],
        "mismatches_not_listed": found.count - len(found.mismatches),
    }


def findings_tables(found: Findings) -> Iterator[RenderableType]:
    """The counts, and the first mismatches."""
    kinds = {f"mismatches: {name.replace('_', ' ')}": found.kinds[k] for k, name in KINDS.items()}
    yield figures_table(
        {
            "users checked": found.last.users_checked,
            "at position": found.last.position.sequence,
            **kinds,
            "elapsed": f"{found.elapsed_s:.1f} s",
        }
    )
    if found.count:
        yield _mismatches_table(found)
    if not found.complete:
        yield Text("More figures differ than the service tells; not all users were checked.")
    elif not found.count:
        yield Text("Everything agrees.")


def _mismatches_table(found: Findings) -> Table:
    table = Table()
    table.add_column("what")
    table.add_column("user")
    table.add_column("where")
    table.add_column("expected", justify="right")
    table.add_column("found", justify="right")
    for one in found.mismatches[:SHOWN]:
        what = Text(KINDS.get(one.kind, "?").replace("_", " "))
        table.add_row(
            what, plain(one.user_id), plain(_where(one)), number(one.expected), number(one.found)
        )
    if found.count > SHOWN:
        table.add_row(f"and {found.count - SHOWN:,} more", "", "", "", "")
    return table


def _where(one: Mismatch) -> str:
    if not one.HasField("board"):
        course = f"course {one.course_id}"
        where = f"{course}, {one.level_id}" if one.level_id else course
        return f"{where}: {one.figure}"
    return ", ".join(board_parts(one.board))
