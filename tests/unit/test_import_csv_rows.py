"""CSV files as the rows and requests that they are read as."""

from io import BytesIO
from typing import Any

import pytest
from google.protobuf.json_format import MessageToDict

from shared.cli.calls import CommandError
from shared.cli.import_csv_columns import KINDS, KindName
from shared.cli.import_csv_rows import KEPT, MAX_LINE_CHARS, CsvFileError, CsvRows, RowProblem
from shared.gen.laurel.progress.v1.admin_pb2 import ImportProgressRequest

USERS, ATTEMPTS, AWARDS = KindName.USERS, KindName.ATTEMPTS, KindName.AWARDS
DAYS = KindName.ACTIVE_DAYS


class Read:
    """A file that was read to its end."""

    def __init__(self, kind: KindName, content: str | bytes, batch: int = 500) -> None:
        raw = content if isinstance(content, bytes) else content.encode()
        rows = CsvRows(BytesIO(raw), "file.csv", KINDS[kind])
        self.requests = [*rows.requests(batch=batch, dry_run=False)]
        self.items = [one for request in self.requests for one in KINDS[kind].items(request)]
        self.lines = [line for sent in rows.sent for line in sent.lines]
        self.problems = [one for sent in rows.sent for one in sent.problems]

    def documents(self) -> list[dict[str, Any]]:
        return [MessageToDict(one, preserving_proto_field_name=True) for one in self.items]

    def request_ids(self) -> list[str]:
        return [getattr(one, "attempt", one).request_id for one in self.items]


def one_problem(kind: KindName, content: str | bytes) -> RowProblem:
    (problem,) = Read(kind, content).problems
    return problem


def test_every_column_of_users_becomes_the_field_of_its_name() -> None:
    read = Read(
        USERS,
        "hidden,user_id,display_name,avatar_url,time_zone\n"
        "true,ann,Ann A.,https://x.example/a.png,Asia/Jakarta\n"
        "0,bob,,,\n",
    )
    assert read.documents() == [
        {
            "user_id": "ann",
            "display_name": "Ann A.",
            "avatar_url": "https://x.example/a.png",
            "time_zone": "Asia/Jakarta",
            "hidden": True,
        },
        {"user_id": "bob"},
    ]


def test_every_column_of_attempts_becomes_the_field_of_its_name() -> None:
    read = Read(
        ATTEMPTS,
        "user_id,level_id,correct_answers,total_questions,time_spent_seconds,occurred_time,"
        "without_xp,request_id\n"
        "ann,l1,0,10,61.25,2014-02-03T23:30:00.5+07:00,TRUE,r1\n"
        "ann,l1,,10,,,,r2\n",
    )
    assert read.documents() == [
        {
            "attempt": {
                "user_id": "ann",
                "level_id": "l1",
                "correct_answers": 0,
                "total_questions": 10,
                "time_spent": "61.250s",
                "occurred_time": "2014-02-03T16:30:00.500Z",
                "request_id": "r1",
            },
            "without_xp": True,
        },
        {
            "attempt": {
                "user_id": "ann",
                "level_id": "l1",
                "total_questions": 10,
                "request_id": "r2",
            }
        },
    ]


def test_every_column_of_awards_and_active_days_becomes_the_field_of_its_name() -> None:
    awards = Read(
        AWARDS,
        "user_id,amount,source,metric,reference,course_id,occurred_time,request_id\n"
        'ann,9007199254740991,pomodoro,pomodoros,"week 1, ""b""",c,2014-02-03T00:00:00Z,r1\n',
    )
    assert awards.documents() == [
        {
            "user_id": "ann",
            "amount": "9007199254740991",
            "source": "pomodoro",
            "metric": "pomodoros",
            "reference": 'week 1, "b"',
            "course_id": "c",
            "occurred_time": "2014-02-03T00:00:00Z",
            "request_id": "r1",
        }
    ]
    days = Read(DAYS, "date,user_id\n2014-02-03,ann\n")
    assert days.documents() == [{"user_id": "ann", "date": "2014-02-03"}]


def test_a_file_from_windows_reads_as_any_other() -> None:
    content = '\ufeffuser_id,display_name\r\nann,"two\r\nlines"\r\n\r\nbob,Bob\r\n'
    read = Read(USERS, content)
    assert [one.display_name for one in read.items] == ["two\r\nlines", "Bob"]
    assert read.lines == [2, 5]


@pytest.mark.parametrize(
    ("kind", "content", "what"),
    [
        (USERS, "", "no column user_id"),
        (USERS, "name\nann\n", "unknown column 'name'"),
        (USERS, "user_id, hidden\n", "unknown column ' hidden'"),
        (USERS, "user_id,user_id\n", "column user_id occurs twice"),
        (USERS, 'user_id,"hidden\n', "unexpected end of data"),
        (ATTEMPTS, "user_id,total_questions\n", "no columns level_id, correct_answers"),
        (DAYS, "user_id;date\n", "unknown column 'user_id;date'"),
    ],
)
def test_a_wrong_header_is_told_before_anything_is_read(
    kind: KindName, content: str, what: str
) -> None:
    with pytest.raises(CsvFileError) as error:
        CsvRows(BytesIO(content.encode()), "file.csv", KINDS[kind])
    assert error.value.message.startswith(f"file.csv: line 1: {what}; the columns of {kind.value}")
    assert error.value.exit_status == 2


@pytest.mark.parametrize(
    ("kind", "row", "what"),
    [
        (USERS, "x,ann,maybe", "hidden: 'maybe' is none of true, false, 1, 0"),
        (ATTEMPTS, "u,l,1,10,2014-02-03T10:00:00", "occurred_time: '2014-02-03T10:00:00' has no"),
        (ATTEMPTS, "u,l,1,10,2014-02-03", "occurred_time: '2014-02-03' is not a time"),
        (ATTEMPTS, "u,l,1,10,2014-02-30T10:00:00Z", "is not a time that there is"),
        (ATTEMPTS, "u,l,1.0,10,", "correct_answers: '1.0' is not a whole number"),
        (ATTEMPTS, "u,l,1_0,10,", "correct_answers: '1_0' is not a whole number"),
        (ATTEMPTS, "u,l,٣,10,", "correct_answers: '٣' is not a whole number"),
        (ATTEMPTS, "u,l,1,2147483648,", "total_questions: '2147483648' is out of range"),
        (ATTEMPTS, "u,l,1", "3 columns where the header has 5"),
        (AWARDS, "u,9223372036854775808,s", "amount: '9223372036854775808' is out of range"),
        (DAYS, "u,3.2.2014", "date: '3.2.2014' is not a date like 2026-11-20"),
        (DAYS, "u,2014-W47-5", "date: '2014-W47-5' is not a date like 2026-11-20"),
        (DAYS, "u,2014-02-30", "date: '2014-02-30' is not a day that there is"),
        (DAYS, 'u,"2014-02-03"x', "its quotes are not those of a CSV file"),
    ],
)
def test_a_value_that_does_not_read_rejects_its_row_alone(
    kind: KindName, row: str, what: str
) -> None:
    header, good = {
        USERS: ("display_name,user_id,hidden", "A,ann,1"),
        ATTEMPTS: (
            "user_id,level_id,correct_answers,total_questions,occurred_time",
            "u,l,1,10,2014-02-03T10:00:00Z",
        ),
        AWARDS: ("user_id,amount,source", "u,5,s"),
        DAYS: ("user_id,date", "u,2014-02-03"),
    }[kind]
    read = Read(kind, f"{header}\n{good}\n{row}\n{good}\n")
    assert read.lines == [2, 4]
    (problem,) = read.problems
    assert (problem.line, problem.reason) == (3, "INVALID_FIELD")
    assert what in problem.message


def test_seconds_are_decimal() -> None:
    header = "user_id,level_id,correct_answers,total_questions,time_spent_seconds\n"
    values = ["0", "1.5", "-0.25", "86400.0000000019", "1e3", "1,5", ".5", "9999999999999"]
    read = Read(ATTEMPTS, header + "".join(f'u,l,1,1,"{value}"\n' for value in values))
    spent = [(one.attempt.time_spent.seconds, one.attempt.time_spent.nanos) for one in read.items]
    assert spent == [(0, 0), (1, 500_000_000), (0, -250_000_000), (86_400, 1)]
    assert [one.line for one in read.problems] == [6, 7, 8, 9]


def test_text_that_is_not_utf8_rejects_its_row_alone() -> None:
    read = Read(USERS, b"user_id,display_name\nann,Ann\nbob,B\xf6b\neve,Eve\n")
    assert [one.user_id for one in read.items] == ["ann", "eve"]
    (problem,) = read.problems
    assert problem == (3, "INVALID_FIELD", "display_name: is not UTF-8 text")


def test_a_quote_that_is_never_closed_costs_the_rows_that_it_swallows() -> None:
    many = "".join(f"u{n},name\n" for n in range(20_000))
    read = Read(USERS, f'user_id,display_name\nann,"Ann\n{many}last,Last\n', batch=1000)
    # What is longer than any field is given up, and reading goes on behind it.
    assert read.items[-1].user_id == "last"
    assert [one.line for one in read.problems] == [2]
    assert one_problem(USERS, 'user_id,display_name\nann,"Ann\nbob,Bob\n').line == 2


def test_what_has_no_lines_is_given_up() -> None:
    with pytest.raises(CommandError, match="line 1: longer than 2,000,000 characters"):
        Read(USERS, b"x" * (MAX_LINE_CHARS + 1))


def test_rows_go_in_batches_of_the_asked_size_wrong_ones_included() -> None:
    rows = "".join(f"u{n},{'' if n % 3 else '?'}\n" for n in range(10))
    read = Read(USERS, "user_id,hidden\n" + rows, batch=4)
    assert [len(request.users) for request in read.requests] == [2, 3, 1]
    assert read.lines == [3, 4, 6, 7, 9, 10]


def test_long_rows_make_shorter_batches() -> None:
    row = f"u,{'x' * 100_000}\n"
    read = Read(USERS, "user_id,display_name\n" + row * 30)
    assert max(request.ByteSize() for request in read.requests) < 4 * 2**20
    assert len(read.items) == 30


def test_of_many_rows_that_do_not_read_the_first_few_of_a_batch_are_kept() -> None:
    rows = CsvRows(BytesIO(b"user_id,hidden\n" + b"u,?\n" * 100), "f", KINDS[USERS])
    for _ in rows.requests(batch=1000, dry_run=False):
        pass
    (sent,) = rows.sent
    assert (sent.wrong, len(sent.problems)) == (100, KEPT)


def test_a_dry_run_is_asked_for_in_the_first_request() -> None:
    rows = CsvRows(BytesIO(b"user_id\nann\n"), "f", KINDS[USERS])
    first: ImportProgressRequest = next(rows.requests(batch=1, dry_run=True))
    assert first.dry_run


def test_a_row_without_a_request_id_has_the_same_one_at_every_reading() -> None:
    header, ann, bob = "user_id,amount,source\n", "ann,5,s\n", "bob,5,s\n"
    ids = Read(AWARDS, header + ann + bob + ann + ann).request_ids()
    assert len(set(ids)) == 4
    assert ids == Read(AWARDS, header + ann + bob + ann + ann).request_ids()
    # Equal rows are told apart by their number, so what is added elsewhere changes nothing.
    assert {*ids} < {*Read(AWARDS, header + bob + ann * 3 + "eve,1,s\n").request_ids()}
    # Nor does the order of columns, or one more that is empty.
    turned = "source,user_id,reference,amount\n" + "s,ann,,5\n" + "s,bob,,5\n"
    assert {*Read(AWARDS, turned).request_ids()} == {*ids[:2]}
    assert not {*ids} & {*Read(AWARDS, header + "ann,6,s\n").request_ids()}


def test_a_request_id_that_is_given_is_kept_and_an_empty_one_made() -> None:
    content = "user_id,amount,source,request_id\nann,5,s,mine\nann,5,s,\n"
    given, made = Read(AWARDS, content).request_ids()
    assert given == "mine"
    assert made in Read(AWARDS, "user_id,amount,source\nann,5,s\n").request_ids()
