from datetime import UTC, datetime
from pathlib import Path

import pytest
from google.protobuf.timestamp_pb2 import Timestamp

from shared.cli import oulad
from shared.cli.oulad import OuladError
from shared.cli.oulad_messages import import_requests
from shared.gen.laurel.progress.v1 import catalog_pb2
from tests.unit.oulad_folder import FILES, write_folder


def _read_all(folder: Path) -> list[oulad.OuladAttempt]:
    return list(oulad.read_attempts(folder, oulad.read_courses(folder)))


def test_levels_are_ordered_by_type_then_day_then_number(tmp_path: Path) -> None:
    first, second = oulad.read_courses(write_folder(tmp_path))
    assert first.course_id == "AAA-2013J"
    assert [level.assessment_id for level in first.assessments] == ["10", "9", "11", "13", "12"]
    assert [level.assessment_id for level in second.assessments] == ["21", "20"]


def test_a_blank_date_is_the_last_day_of_the_course(tmp_path: Path) -> None:
    first, _ = oulad.read_courses(write_folder(tmp_path))
    assert first.assessments[-1].due_day == 268


def test_a_student_who_enrolled_twice_is_one_user(tmp_path: Path) -> None:
    assert oulad.read_students(write_folder(tmp_path)) == ["11391", "28400"]


def test_attempts_happen_at_noon_counted_from_october_or_february(tmp_path: Path) -> None:
    attempts = _read_all(write_folder(tmp_path))
    times = [datetime.fromtimestamp(attempt.occurred_s, UTC) for attempt in attempts]
    assert times == [
        datetime(2013, 10, 19, 12, tzinfo=UTC),
        datetime(2014, 1, 31, 12, tzinfo=UTC),
        datetime(2013, 10, 1, 12, tzinfo=UTC),
    ]


def test_a_blank_score_is_none_and_banked_is_told(tmp_path: Path) -> None:
    attempts = _read_all(write_folder(tmp_path))
    assert [(attempt.score, attempt.banked) for attempt in attempts] == [
        (78, False),
        (70, True),
        (None, False),
    ]


def test_a_byte_order_mark_crlf_and_a_last_empty_line_are_read_over(tmp_path: Path) -> None:
    text = "\ufeff" + FILES["courses.csv"].replace("\n", "\r\n") + "\r\n"
    folder = write_folder(tmp_path)
    (folder / "courses.csv").write_bytes(text.encode())
    assert len(oulad.read_courses(folder)) == 2


def test_check_counts_the_attempts(tmp_path: Path) -> None:
    assert oulad.check(write_folder(tmp_path)) == 3


@pytest.mark.parametrize("name", FILES)
def test_a_missing_file_is_named(tmp_path: Path, name: str) -> None:
    folder = write_folder(tmp_path)
    (folder / name).unlink()
    with pytest.raises(OuladError, match=f"{name}: no such file"):
        oulad.check(folder)


@pytest.mark.parametrize("name", FILES)
def test_a_file_without_its_columns_is_named(tmp_path: Path, name: str) -> None:
    folder = write_folder(tmp_path, **{name.removesuffix(".csv"): "a,b\n1,2\n"})
    with pytest.raises(OuladError, match=f"{name}: line 1: no column"):
        oulad.check(folder)


@pytest.mark.parametrize("name", FILES)
def test_an_empty_file_is_named(tmp_path: Path, name: str) -> None:
    folder = write_folder(tmp_path, **{name.removesuffix(".csv"): ""})
    with pytest.raises(OuladError, match=f"{name}: line 1: no column"):
        oulad.check(folder)


def test_a_folder_in_place_of_a_file_is_named(tmp_path: Path) -> None:
    folder = write_folder(tmp_path)
    (folder / "courses.csv").unlink()
    (folder / "courses.csv").mkdir()
    with pytest.raises(OuladError, match=r"courses\.csv: Is a directory"):
        oulad.check(folder)


@pytest.mark.parametrize(
    ("file", "old", "new", "where"),
    [
        ("courses", "BBB,2014B", "AAA,2013J", "line 3: column code_presentation"),
        ("courses", "2014B", "2014X", "line 3: column code_presentation"),
        ("courses", "BBB,", "B B,", "line 3: column code_module"),
        ("courses", "240", "24O", "line 3: column module_presentation_length"),
        ("assessments", '"CMA"', '"QUIZ"', "line 6: column assessment_type"),
        ("assessments", '"13"', '"12"', "line 6: column id_assessment"),
        ("assessments", '"13"', '"x13"', "line 6: column id_assessment"),
        ("assessments", '"300"', '"soon"', "line 6: column date"),
        ("assessments", '"BBB","2014B","20"', '"CCC","2014B","20"', "line 7: column code_pres"),
        ("assessments", ',"0"', "", "line 6: 5 columns where the header has 6"),
        ("studentInfo", "28400", "", "line 4: column id_student: '' is not a numeric id"),
        ("studentInfo", "28400", "٢٨", "line 4: column id_student"),
        ("studentAssessment", "20,11391", "99,11391", "line 3: column id_assessment"),
        ("studentAssessment", "20,11391", "20,1 1", "line 3: column id_student"),
        ("studentAssessment", "-1,1", "-1,2", "line 3: column is_banked"),
        ("studentAssessment", "-1,1", "-1.5,1", "line 3: column date_submitted"),
        ("studentAssessment", "-1,1", "1_0,1", "line 3: column date_submitted"),
        ("studentAssessment", "-1,1", "999999999,1", "line 3: column date_submitted"),
        ("studentAssessment", ",70", ",70.5", "line 3: column score: '70.5' is not a whole num"),
        ("studentAssessment", ",70", ",99999999999", "line 3: column score"),
        ("studentAssessment", ",70", "", "line 3: 4 columns where the header has 5"),
        ("studentAssessment", ",70", ',"70', "after line 2"),
    ],
)
def test_a_malformed_row_is_told_by_line_and_column(
    tmp_path: Path, file: str, old: str, new: str, where: str
) -> None:
    text = FILES[f"{file}.csv"]
    assert old in text
    folder = write_folder(tmp_path, **{file: text.replace(old, new, 1)})
    with pytest.raises(OuladError) as caught:
        oulad.check(folder)
    assert f"{file}.csv: {where}" in str(caught.value)


def test_text_that_is_not_utf_8_is_told(tmp_path: Path) -> None:
    folder = write_folder(tmp_path)
    (folder / "studentInfo.csv").write_bytes(b"id_student,region\n1,\xff\xfe\n")
    with pytest.raises(OuladError, match="not UTF-8"):
        oulad.check(folder)


def test_messages_bring_courses_then_users_then_attempts(tmp_path: Path) -> None:
    courses, users, *batches = import_requests(write_folder(tmp_path), batch=2, dry_run=True)
    assert [course.course_id for course in courses.courses] == ["AAA-2013J", "BBB-2014B"]
    assert [(user.user_id, user.display_name) for user in users.users] == [
        ("11391", "Student 11391"),
        ("28400", "Student 28400"),
    ]
    assert [len(batch.attempts) for batch in batches] == [2, 1]
    assert courses.dry_run
    assert not any(message.dry_run for message in (users, *batches))


def test_a_course_follows_the_fixed_mapping(tmp_path: Path) -> None:
    course = next(import_requests(write_folder(tmp_path), batch=2)).courses[0]
    assert course.unlock_mode == catalog_pb2.UNLOCK_MODE_OPEN
    assert [section.section_id for section in course.sections] == ["TMA", "CMA", "Exam"]
    levels = [level for section in course.sections for level in section.levels]
    assert [level.xp_reward for level in levels] == [50, 50, 50, 20, 100]
    assert {(lv.question_count, lv.max_marks, lv.pass_ratio) for lv in levels} == {(100, 100, 0.4)}


def test_an_attempt_follows_the_fixed_mapping(tmp_path: Path) -> None:
    *_, batch = import_requests(write_folder(tmp_path), batch=500)
    passed, banked, blank = batch.attempts
    noon = Timestamp(seconds=int(datetime(2013, 10, 19, 12, tzinfo=UTC).timestamp()))
    assert passed.attempt.user_id == "11391"
    assert passed.attempt.level_id == "9"
    assert (passed.attempt.correct_answers, passed.attempt.total_questions) == (78, 100)
    assert passed.attempt.request_id == "oulad:11391:9"
    assert passed.attempt.occurred_time == noon
    assert not passed.without_xp
    assert banked.without_xp
    assert not blank.attempt.HasField("correct_answers")


def test_no_message_carries_more_items_than_the_server_takes(tmp_path: Path) -> None:
    rows = "".join(f"AAA,2013J,{number}\n" for number in range(2500))
    text = "code_module,code_presentation,id_student\n" + rows
    folder = write_folder(tmp_path, studentInfo=text)
    users = [m for m in import_requests(folder, batch=500) if m.users]
    assert [len(message.users) for message in users] == [1000, 1000, 500]
