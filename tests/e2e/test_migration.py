"""docs/migration.md followed to the letter: its SQL and its commands."""

import json
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from shared.embedded import postgres
from shared.embedded.postgres import EmbeddedPostgres
from shared.gen.laurel.progress.v1 import admin_pb2, catalog_pb2
from tests.migration_doc import TEXT, blocks, section
from tests.progress import Progress
from tests.shell import BIN, Shell

OLD = "hand_made"
# What people have made by hand, and what went wrong in it: Ada's second level paid more than it is
# worth today, Bob got his XP from nowhere, Cyd's total has lost a write.
HAND_MADE = """
CREATE TABLE users (
    id integer PRIMARY KEY, full_name text, picture_url text, total_xp integer NOT NULL DEFAULT 0,
    problems_solved integer NOT NULL DEFAULT 0, streak integer NOT NULL DEFAULT 0,
    last_active_date date, created_at timestamp NOT NULL DEFAULT '2023-05-01 10:00');
CREATE TABLE training_levels (
    id text PRIMARY KEY, title text, position integer, xp_reward integer, total_questions integer,
    min_correct integer);
CREATE TABLE problems (id text PRIMARY KEY, title text);
CREATE TABLE user_progress (
    id serial PRIMARY KEY, user_id integer, level_id text, status text, correct_answers integer,
    total_questions integer, xp_earned integer, time_spent_seconds integer,
    completed_at timestamptz, updated_at timestamptz NOT NULL DEFAULT '2024-10-01 10:00+00');
CREATE TABLE problem_sessions (
    id text PRIMARY KEY, user_id integer, problem_id text, first_query_at timestamp,
    completed_at timestamp, total_time_spent_seconds integer);
CREATE TABLE pomo_leaderboard (
    user_id integer PRIMARY KEY, daily_pomo integer, weekly_pomo integer, monthly_pomo integer,
    yearly_pomo integer);
INSERT INTO users (id, full_name, picture_url, total_xp, problems_solved, streak, last_active_date)
VALUES (1, 'Ada', 'https://x.example/a.png', 95, 3, 3, '2024-11-19'),
       (2, 'Bob, the 2nd', 'http://x.example/b.png', 40, 0, 0, NULL),
       (3, 'Cyd', NULL, 10, 1, 1, '2024-11-20'), (4, NULL, NULL, 0, 0, 0, NULL);
INSERT INTO training_levels
VALUES ('l1', 'One', 1, 15, 5, 4), ('l2', 'Two', 2, 20, 10, 8), ('l3', 'Three', 3, 20, 10, 8);
INSERT INTO problems VALUES ('p1', 'First'), ('p2', 'Second');
INSERT INTO user_progress (user_id, level_id, status, correct_answers, total_questions, xp_earned,
                           time_spent_seconds, completed_at)
VALUES (1, 'l1', 'COMPLETED', 5, 5, 15, 61, '2024-10-01 10:00+00'),
       (1, 'l2', 'COMPLETED', 9, 10, 25, 70, '2024-11-19 10:00+00'),
       (1, 'l3', 'UNLOCKED', 0, 0, 0, 0, NULL), (2, 'l1', 'IN_PROGRESS', 2, 5, 0, 30, NULL),
       (3, 'l1', 'COMPLETED', 4, 5, 15, 31, '2024-11-20 09:00+00');
INSERT INTO problem_sessions
VALUES ('s1', 1, 'p1', '2024-11-19 09:00', '2024-11-19 09:20', 1200),
       ('s2', 1, 'p2', '2024-11-19 09:30', NULL, NULL), ('s4', 2, 'p1', NULL, NULL, NULL),
       ('s3', 3, 'p1', '2024-11-20 08:00', '2024-11-20 08:10', 600);
INSERT INTO pomo_leaderboard VALUES (1, 1, 4, 9, 30), (3, 0, 0, 0, 2), (4, 0, 0, 0, 0);
"""


@pytest.fixture
def shell(progress: Progress, postgres_server: EmbeddedPostgres, tmp_path: Path) -> Iterator[Shell]:
    """Beside a hand-made design, on a running ProgressService."""
    postgres_server.create_database(OLD)
    old = postgres_server.url(OLD)
    psql = postgres.binary("psql")
    subprocess.run([psql, old, "-qX"], input=HAND_MADE, text=True, check=True)
    shell = Shell(tmp_path, {"LAUREL_PROGRESS_ADDRESS": progress.target, "OLD": old})
    shell.provide("psql", f'exec {psql} "$@"')
    (tmp_path / ".venv").mkdir()
    (tmp_path / ".venv" / "bin").symlink_to(BIN)
    (tmp_path / "export.sql").write_text(*blocks("sql", section("Export")))
    yield shell
    postgres_server.drop_database(OLD)


async def export(shell: Shell) -> None:
    await shell.run(*blocks("sh", section("Export")))


async def move_in(shell: Shell, progress: Progress) -> None:
    """Export and import, word for word but for the port."""
    definition = re.search(r"^call\(\) \{.*?^\}$", TEXT, re.MULTILINE | re.DOTALL)
    assert definition
    call = definition[0].replace("50051", progress.target.rpartition(":")[2])
    (import_,) = blocks("sh", section("Import"))
    await export(shell)
    await shell.run(f"{call}\n{import_}")


async def metrics(progress: Progress) -> list[catalog_pb2.Metric]:
    found = await progress.catalog.ListMetrics(catalog_pb2.ListMetricsRequest())
    return list(found.metrics)


async def mismatches(progress: Progress) -> int:
    stream = progress.admin.VerifyLedger(admin_pb2.VerifyLedgerRequest())
    return sum([len(answer.mismatches) async for answer in stream])


async def test_a_hand_made_design_moves_in_with_its_totals(
    shell: Shell, progress: Progress
) -> None:
    before = await metrics(progress)
    await move_in(shell, progress)
    assert await progress.top() == [(1, "1", 95), (2, "2", 40), (3, "3", 15)]
    assert await progress.top(metric="problems_solved") == [(1, "1", 3), (2, "3", 1)]
    assert await progress.top(metric="pomodoros") == [(1, "1", 30), (2, "3", 2)]
    assert await metrics(progress) == before
    ada = await progress.stats("1")
    assert (ada.longest_streak_days, ada.last_active_date) == (3, "2024-11-19")
    course = (await progress.course_progress("1", "training")).course
    assert (course.levels_completed, course.marks) == (2, 14)
    assert len(await progress.attempts(user_id="1")) == 4
    assert await mismatches(progress) == 0


async def test_opening_balances_count_in_no_window_and_say_what_they_are(
    shell: Shell, progress: Progress
) -> None:
    await move_in(shell, progress)
    year = {"window": "WINDOW_YEAR"}
    assert await progress.top(**year, period="2023") == []
    assert await progress.top(**year, period="2024") == [(1, "1", 15), (1, "3", 15)]
    assert await progress.top(**year, period="2024", metric="pomodoros") == []
    assert [(one.source, one.reference, one.amount) for one in await progress.entries("2")] == [
        ("migration", "opening-balance", 40),
        ("level", "", 2),  # marks
    ]


async def test_moving_in_again_changes_nothing_and_another_balance_is_refused(
    shell: Shell, progress: Progress
) -> None:
    await move_in(shell, progress)
    position = await progress.settled()
    await move_in(shell, progress)
    assert await progress.settled() == position
    await shell.run("""psql "$OLD" -qXc 'UPDATE users SET total_xp = 96 WHERE id = 1'""")
    await export(shell)
    printed = json.loads(await shell.run("laurel import csv --kind awards opening.csv --json"))
    assert (printed["replayed"], printed["rejected"]) == (4, 1)
    assert printed["rejections"][0]["reason"] == "REQUEST_ID_REUSED"
    assert await progress.settled() == position


async def test_a_level_that_was_imported_without_xp_is_never_paid(
    shell: Shell, progress: Progress
) -> None:
    await move_in(shell, progress)
    assert (await progress.submit("1", "l2")).xp_earned == 0
    assert (await progress.submit("1", "l3")).xp_earned == 20
