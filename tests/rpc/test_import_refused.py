"""An import whose caller is refused: the command says why."""

from pathlib import Path

import pytest

from shared.cli.calls import CommandError, Peer
from shared.cli.import_csv import import_csv
from shared.cli.import_csv_columns import KINDS, KindName
from tests.auth_keys import OTHER_SECRET
from tests.progress import Progress


@pytest.mark.parametrize(("rows", "batch"), [(1, 500), (2_000, 1), (20_000, 500)])
async def test_an_import_with_a_wrong_token_says_so(
    progress: Progress, rows: int, batch: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LAUREL_AUTH_SECRET", OTHER_SECRET)
    file = tmp_path / "users.csv"
    lines = (f"user-{number},User {number}" for number in range(rows))
    file.write_text("\n".join(["user_id,display_name", *lines]))
    peer = Peer("ProgressService", progress.target)
    kind = KINDS[KindName.USERS]
    for _ in range(5):
        with pytest.raises(CommandError) as failed:
            await import_csv(peer, file, kind, batch=batch, dry_run=False)
        assert failed.value.line().startswith("UNAUTHENTICATED (TOKEN_INVALID): ")
