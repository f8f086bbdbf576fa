"""A run that was kept is the run."""

from pathlib import Path

import pytest

from tests.faults.archive import load, save
from tests.faults.fabricated import a_run
from tests.faults.judging import judge
from tests.faults.recording import Act


@pytest.mark.parametrize("name", ["run.jsonl", "run.jsonl.gz"])
def test_a_run_is_read_as_it_was_written_and_judged_the_same(name: str, tmp_path: Path) -> None:
    told = a_run()
    told.recorded.acts.append(Act("kill.redis", "redis", 1.0, 2.0))
    told.recorded.deaths.append("a service ended")
    told.recorded.phases["start"] = 1.5
    copy = told.copy()
    told.restore(copy, "e3")
    save(told.recorded, tmp_path / name)
    read = load(tmp_path / name)
    assert read == told.recorded
    assert judge(read) == judge(told.recorded)


@pytest.mark.parametrize("text", ["", '{"kind": "calls"}\n', "no JSON"])
def test_another_file_is_refused(text: str, tmp_path: Path) -> None:
    path = tmp_path / "other.jsonl"
    path.write_text(text)
    with pytest.raises(ValueError, match=r"run|empty|Expecting"):
        load(path)
