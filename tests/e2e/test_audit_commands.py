"""`laurel verify` and `laurel backfill` on a running ProgressService."""

import asyncio
import json
import os
import sys
from pathlib import Path
from typing import Any

from tests.access import AUTH_SECRET
from tests.audit import damage, scene
from tests.progress import Progress

LAUREL = Path(sys.executable).parent / "laurel"


async def laurel(progress: Progress, *arguments: str) -> tuple[int, Any]:
    """The exit status, and what was printed as JSON."""
    clean = {name: text for name, text in os.environ.items() if not name.startswith("LAUREL_")}
    process = await asyncio.create_subprocess_exec(
        str(LAUREL),
        *arguments,
        "--json",
        env={
            **clean,
            "LAUREL_PROGRESS_ADDRESS": progress.target,
            "LAUREL_AUTH_SECRET": AUTH_SECRET,
        },
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    printed, errors = await process.communicate()
    assert errors == b""
    assert process.returncode is not None
    return process.returncode, json.loads(printed)


async def test_damage_is_found_by_verify_and_mended_by_backfill(progress: Progress) -> None:
    await scene(progress)
    status, found = await laurel(progress, "verify")
    assert (status, found["ok"], found["users_checked"]) == (0, True, 3)
    await damage(
        progress,
        "UPDATE user_totals SET total = 0 WHERE user_id = 'ann' AND metric = 'xp'",
        "DELETE FROM standings WHERE user_id = 'bob'",
    )
    status, found = await laurel(progress, "verify")
    assert status == 1
    assert {kind: n for kind, n in found["mismatches_by_kind"].items() if n} == {
        "total": 1,
        "standing": 5,
    }
    status, dry = await laurel(progress, "backfill", "--dry-run")
    assert (status, dry["users_updated"], dry["standings_corrected"]) == (0, 1, 5)
    status, mended = await laurel(progress, "backfill")
    assert status == 0
    for document in (dry, mended):
        del document["elapsed_s"], document["dry_run"]
    assert mended == dry
    status, found = await laurel(progress, "verify")
    assert (status, found["mismatches"]) == (0, [])
