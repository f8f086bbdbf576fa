"""Folders in memory: those of the living stay, those of the dead go."""

import stat
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests import memory_folder
from tests.memory_folder import has_room, new_folder, own_folder, remove_orphans


def test_the_folder_of_a_living_process_stays_and_that_of_a_dead_one_goes(tmp_path: Path) -> None:
    living, dead = own_folder(tmp_path), own_folder(tmp_path)
    (dead / "data").mkdir()
    (dead / "data" / "file").write_text("left")
    memory_folder._held.pop().release()
    remove_orphans(tmp_path)
    assert list(tmp_path.iterdir()) == [living]
    memory_folder._held.pop().release()


def test_another_user_can_pass_through_it_and_list_nothing(tmp_path: Path) -> None:
    folder = own_folder(tmp_path)
    assert stat.S_IMODE(folder.stat().st_mode) == 0o711
    memory_folder._held.pop().release()


def test_without_room_or_memory_there_is_the_temporary_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert not has_room(tmp_path / "none")
    monkeypatch.setattr(memory_folder, "_NEEDED", 0)
    assert has_room(tmp_path)
    monkeypatch.setattr(memory_folder, "_NEEDED", 1 << 62)
    assert not has_room(tmp_path)
    monkeypatch.setattr(memory_folder, "_parent", lambda: None)
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    assert new_folder("x-").parent == tmp_path


def test_processes_that_begin_together_remove_what_is_left_once(tmp_path: Path) -> None:
    for number in range(200):
        folder = tmp_path / f"{memory_folder._PREFIX}{number}"
        (folder / "data").mkdir(parents=True)
        (folder / "lock").touch()
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(remove_orphans, [tmp_path] * 4))
    assert list(tmp_path.iterdir()) == []
