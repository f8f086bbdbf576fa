from pathlib import Path

from tests.faults.availability import Share
from tests.faults.plan import Plan, Planned
from tests.faults.recording import Call, Failure, Recorded, Sample
from tests.faults.report import Result, failed, read, result, summary, table
from tests.faults.verdict import Verdict

PLAN = Plan(7, 8.0, (Planned("kill.redis", 2, 2),))
REFUSED = Failure("NOT_FOUND", "USER_NOT_FOUND", "No such user.")


def recorded() -> Recorded:
    call = Call("a", "ProgressService", "GetUserStats", None, 1, 2, failure=REFUSED)
    samples = [Sample(1, "redis", 2**20), Sample(2, "redis", 3 * 2**20), Sample(3, "redis", 1)]
    return Recorded(7, 8.0, calls=[call], samples=samples, lag_s=0.5, phases={"work": 8.0})


def test_a_result_is_read_back_as_it_was_written(tmp_path: Path) -> None:
    one = result(PLAN, recorded(), Verdict())
    other = Result(8, 8.0, [], violations=["bad"], availability={"none": Share(4, 3)})
    file = tmp_path / "results.jsonl"
    file.write_text(f"{one.line()}\n{other.line()}\n")
    assert read(file) == [one, other]


def test_a_result_tells_failures_and_the_most_memory_of_each_process() -> None:
    one = result(PLAN, recorded(), Verdict())
    assert one.failures == {"NOT_FOUND USER_NOT_FOUND": 1}
    assert one.memory_mib == {"redis": 3.0}
    assert one.passed


def test_a_run_that_did_not_finish_or_in_which_a_process_died_has_not_passed() -> None:
    assert not failed(PLAN, "Traceback").passed
    died = recorded()
    died.deaths.append("progress_service ended with 1")
    assert not result(PLAN, died, Verdict()).passed


def test_a_run_that_checked_nothing_has_not_passed() -> None:
    verdict = Verdict()
    verdict.empty.append("answers")
    assert not result(PLAN, recorded(), verdict).passed


def test_the_table_counts_runs_and_adds_up_shares_by_fault() -> None:
    results = [
        Result(1, 8.0, ["a"], availability={"a": Share(10, 9), "none": Share(5, 5)}),
        Result(2, 8.0, ["a", "b"], availability={"a": Share(10, 10)}, violations=["bad"]),
    ]
    rows = table(results).splitlines()[2:]
    assert rows == [
        "| a | 2 | 1 | 1 | 20 | 95.0 % |",
        "| b | 1 | 0 | 1 | 0 | – |",
        "| none | 0 | 0 | 0 | 5 | 100.0 % |",
    ]
    assert summary(results).startswith("2 runs, 1 failed")


def test_the_summary_adds_up_what_was_looked_at_by_promise() -> None:
    results = [
        Result(1, 8.0, [], checked={"answers": {"GetTop": 900, "GetRank": 5}, "lag": {"once": 1}}),
        Result(2, 8.0, [], checked={"answers": {"GetTop": 100}}),
    ]
    lines = summary(results).splitlines()
    assert [one for one in lines if one.startswith("checked")] == [
        "checked: answers 1,005",
        "checked: lag 1",
    ]
