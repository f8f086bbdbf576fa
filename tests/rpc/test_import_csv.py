"""`laurel import csv` against the service: counts, lines, and what is there afterwards."""

from pathlib import Path
from typing import Any

from shared.cli.calls import Peer
from shared.cli.import_csv import counts_document, import_csv
from shared.cli.import_csv_columns import KINDS, KindName
from tests.progress import Progress, level


async def imported(
    progress: Progress, file: Path, kind: str, *rows: str, **options: Any
) -> dict[str, Any]:
    """The file's rows are replaced first, where any are given."""
    if rows:
        file.write_text("".join(f"{row}\r\n" for row in rows), encoding="utf-8-sig", newline="")
    given = {"batch": 500, "dry_run": False, **options}
    peer = Peer("ProgressService", progress.target)
    counts = await import_csv(peer, file, KINDS[KindName(kind)], **given)
    document = counts_document(counts, dry_run=given["dry_run"])
    assert document.pop("elapsed_s") > 0
    assert (document.pop("rows_per_s") > 0) == (document["received"] > 0)
    return document


def figures(document: dict[str, Any]) -> list[int]:
    names = ("received", "recorded", "replayed", "stored", "rejected", "xp_credited")
    return [document[name] for name in names if name in document]


def lines(document: dict[str, Any]) -> list[tuple[int, str]]:
    assert all(one["message"] for one in document["rejections"])
    return [(one["line"], one["reason"]) for one in document["rejections"]]


async def test_a_school_moves_in(progress: Progress, tmp_path: Path) -> None:
    """All four kinds, in the order in which they need each other; each run twice."""
    await progress.put_course("c", level("l1"), level("l2"))
    users, attempts = tmp_path / "users.csv", tmp_path / "attempts.csv"
    awards, days = tmp_path / "awards.csv", tmp_path / "days.csv"
    files = {"users": users, "attempts": attempts, "awards": awards, "active-days": days}
    first = [
        await imported(
            progress,
            users,
            "users",
            "user_id,display_name,time_zone,hidden",
            "ann,Ann,Asia/Jakarta,",
            "bob,Bob,,false",
            "eve,Eve,Mars/Phobos,",
            "x y,No,,",
        ),
        await imported(
            progress,
            attempts,
            "attempts",
            "user_id,level_id,correct_answers,total_questions,occurred_time,without_xp",
            "ann,l1,10,10,2014-02-03T23:30:00+07:00,",
            "bob,l1,4,10,2014-02-03T10:00:00Z,0",
            "bob,l1,11,10,2014-02-03T10:00:00Z,0",
            "bob,l1,8,10,2014-02-04 10:00:00Z,1",
            "nobody,l1,10,10,,",
        ),
        await imported(
            progress,
            awards,
            "awards",
            "user_id,amount,source,metric,reference",
            "ann,5,challenge,,",
            "ann,5,challenge,,",
            "bob,7,challenge,,week 1",
            "bob,7,challenge,,week 1",
            "bob,1,challenge,nothing,",
        ),
        await imported(
            progress,
            days,
            "active-days",
            "user_id,date",
            "ann,2014-02-04",
            "ann,2014-02-05",
            "eve,2014-02-05",
            "ann,2999-01-01",
        ),
    ]
    assert [figures(one) for one in first] == [
        [4, 2, 2],
        [5, 3, 0, 2, 50],
        [5, 4, 0, 1, 17],
        [4, 2, 2],
    ]
    assert [lines(one) for one in first] == [
        [(4, "INVALID_FIELD"), (5, "INVALID_FIELD")],
        [(4, "INVALID_SCORE"), (6, "USER_NOT_FOUND")],
        [(6, "METRIC_NOT_FOUND")],
        [(4, "USER_NOT_FOUND"), (5, "INVALID_FIELD")],
    ]
    again = [await imported(progress, file, kind) for kind, file in files.items()]
    assert [figures(one) for one in again] == [
        [4, 2, 2],
        [5, 0, 3, 2, 0],
        [5, 0, 4, 1, 0],
        [4, 2, 2],
    ]
    assert [lines(one) for one in again] == [lines(one) for one in first]
    assert await progress.totals("ann") == {"xp": 60, "marks": 100}
    assert await progress.totals("bob") == {"xp": 7, "marks": 80}
    # 3 February in Jakarta, and the two days that were carried over.
    assert (await progress.stats("ann")).longest_streak_days == 3
    assert (await progress.course_progress("bob", "c")).course.levels_completed == 1


async def test_a_dry_run_counts_the_same_and_leaves_nothing(
    progress: Progress, tmp_path: Path
) -> None:
    await progress.put_users("ann")
    file = tmp_path / "awards.csv"
    rows = ["user_id,amount,source", *["ann,1,s"] * 7, "ann,x,s", "ann,0,s", "eve,1,s"]
    tried = await imported(progress, file, "awards", *rows, dry_run=True, batch=3)
    assert await progress.totals("ann") == {"xp": 0}
    done = await imported(progress, file, "awards", batch=4)
    assert done == tried | {"dry_run": False}
    assert await progress.totals("ann") == {"xp": 7}


async def test_lines_are_those_of_the_file_whatever_the_batches_and_whoever_rejects(
    progress: Progress, tmp_path: Path
) -> None:
    await progress.put_users("ann")
    rows = ["ann,1,s,", 'ann,1,s,"two', 'lines"', "", "ann,1,s,x,", "eve,1,s,", "ann,?,s,"] * 20
    header = "user_id,amount,source,reference"
    for batch in (1, 2, 5, 500):
        file = tmp_path / f"{batch}.csv"
        found = await imported(progress, file, "awards", header, *rows, batch=batch)
        wrong = [
            (2 + 7 * n + at, reason)
            for n in range(20)
            for at, reason in (
                # A reference holds no line break; then a column too many, no such user, no number.
                (1, "INVALID_FIELD"),
                (4, "INVALID_FIELD"),
                (5, "USER_NOT_FOUND"),
                (6, "INVALID_FIELD"),
            )
        ]
        assert (found["received"], found["rejected"]) == (100, 80)
        assert lines(found) == wrong[:20], batch
        assert found["rejections_not_listed"] == 60


async def test_of_a_longer_file_only_what_was_added_is_recorded(
    progress: Progress, tmp_path: Path
) -> None:
    await progress.put_users("ann", "bob")
    file = tmp_path / "awards.csv"
    rows = ["ann,5,s", "bob,5,s", "ann,5,s"]
    assert figures(await imported(progress, file, "awards", "user_id,amount,source", *rows)) == [
        3,
        3,
        0,
        0,
        15,
    ]
    longer = ["bob,1,s", *rows, "ann,5,s"]
    assert figures(await imported(progress, file, "awards", "user_id,amount,source", *longer)) == [
        5,
        2,
        3,
        0,
        6,
    ]
    assert await progress.top() == [(1, "ann", 15), (2, "bob", 6)]


async def test_an_empty_file_and_one_without_a_right_row_are_counted(
    progress: Progress, tmp_path: Path
) -> None:
    file = tmp_path / "users.csv"
    assert figures(await imported(progress, file, "users", "user_id")) == [0, 0, 0]
    rows = ["user_id,hidden", *["ann,perhaps"] * 7]
    found = await imported(progress, file, "users", *rows, batch=2)
    assert figures(found) == [7, 0, 7]
    assert lines(found) == [(n, "INVALID_FIELD") for n in range(2, 9)]
