"""Whatever is put into a log line, it stays one line, of bounded length, without a secret."""

import json
import string
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from progress_service.settings import ProgressSettings
from shared.log_lines import MARGIN, MAX_BYTES, LogLines, escaped, printable
from shared.redaction import HIDDEN, Redaction, secrets_of
from shared.tracebacks import told

ABOUT = {"level": "info", "timestamp": "2026-11-20T09:00:00.000000Z"}
LINES = LogLines(Redaction())
# Texts of every character that there is, halves of surrogate pairs too, and what breaks lines.
ODD = "\n\r\x00\x1b[31m\x7f\x85\x9b\u2028\u2029\u202e\ud800\"\\'{}[]=\t 🏅é"
SHORT = st.text(st.characters() | st.sampled_from(ODD), max_size=60) | st.sampled_from(
    [
        "\n2026-11-20T09:00:00Z [info     ] credited user_id=eve",
        '"}\n{"event": "credited", "level": "info"}',
        "\x1b]0;title\x07\x1b[2J",
    ]
)
TEXTS = SHORT | st.sampled_from(["x", "🏅", "\ud800", "\x1b"]).map(lambda one: one * 5_000)


class Unspeakable:
    def __repr__(self) -> str:
        raise ValueError("no\nwords")


LEAVES = (
    TEXTS
    | st.integers()
    | st.floats()
    | st.booleans()
    | st.none()
    | st.binary(max_size=50)
    | st.sampled_from([-(2**63) - 1, ValueError("a\nb"), object])
    | st.builds(Unspeakable)
    | st.builds(lambda: 10**5000)
)
VALUES = st.recursive(
    LEAVES,
    lambda inner: st.lists(inner, max_size=25) | st.dictionaries(SHORT, inner, max_size=25),
    max_leaves=12,
)
FIELDS = st.dictionaries(SHORT.filter(lambda key: key not in {*ABOUT, "event"}), VALUES, max_size=8)


def as_json(event: str, **fields: Any) -> bytes:
    return LINES.as_json(None, "info", {**fields, "event": event, **ABOUT})


def as_text(event: str, **fields: Any) -> str:
    return LINES.as_text(None, "info", {**fields, "event": event, **ABOUT})


@settings(deadline=None)
@given(TEXTS, FIELDS)
def test_any_event_is_one_bounded_line_of_json_that_no_terminal_obeys(
    event: str, fields: dict[str, Any]
) -> None:
    line = as_json(event, **fields)
    assert len(line) <= MAX_BYTES
    assert line.decode().isprintable()
    entry = json.loads(line)
    assert entry["level"] == ABOUT["level"]
    assert entry["timestamp"] == ABOUT["timestamp"]


@settings(deadline=None)
@given(TEXTS, FIELDS)
def test_any_event_is_one_bounded_line_of_text_that_no_terminal_obeys(
    event: str, fields: dict[str, Any]
) -> None:
    fields.pop("exception", None)
    fields.pop("stack", None)
    line = as_text(event, **fields)
    assert len(line.encode()) <= MAX_BYTES
    assert line.isprintable()
    assert line.startswith(f"{ABOUT['timestamp']} [info     ]")


@given(TEXTS, TEXTS)
def test_a_traceback_in_text_cannot_pass_for_another_line(event: str, trace: str) -> None:
    first, *others = as_text(event, exception=trace, stack=trace).split("\n")
    assert first.isprintable()
    assert first.startswith(ABOUT["timestamp"])
    assert others
    for line in others:
        assert line.isprintable()
        assert line.startswith(MARGIN) or not line.strip("=")


@given(
    st.dictionaries(
        st.text(string.ascii_letters, min_size=1, max_size=20).filter(lambda key: key != "event"),
        st.text(st.characters(exclude_categories=["Cs"]), max_size=200)
        | st.integers(-(2**63), 2**63 - 1)
        | st.booleans()
        | st.none()
        | st.lists(st.integers(0, 100), max_size=5),
        max_size=5,
    )
)
def test_ordinary_values_are_logged_as_they_are(fields: dict[str, Any]) -> None:
    fields = {key: value for key, value in fields.items() if key not in ABOUT}
    entry = json.loads(as_json("credited", **fields))
    assert entry == {**fields, "event": "credited", **ABOUT}


@given(st.dictionaries(SHORT, st.text(st.characters(exclude_categories=["Cs"])), max_size=3))
@example({"reference": "\x7f\x9b31m\u2028"})
def test_escaping_a_line_of_json_changes_nothing_of_what_it_says(fields: dict[str, str]) -> None:
    said = {printable(key): value for key, value in fields.items()}
    line = json.dumps(said, ensure_ascii=False).encode()
    assert json.loads(escaped(line)) == said
    assert escaped(line).decode().isprintable()


def test_a_long_text_keeps_its_beginning_and_its_end() -> None:
    entry = json.loads(as_json("e", text="begin" + "x" * 10_000 + "end"))
    assert entry["text"].startswith("beginx")
    assert entry["text"].endswith("xend")
    assert "9008 characters" in entry["text"]


SECRETS = st.text(string.ascii_letters + string.digits + "!$&*-_=+/:@", min_size=8, max_size=64)


@given(SECRETS, TEXTS, TEXTS, st.sampled_from(["value", "exception", "event", "list", "error"]))
def test_a_secret_of_the_process_is_in_no_line(
    secret: str, before: str, after: str, where: str
) -> None:
    lines = LogLines(Redaction([secret]))
    text = f"{before} {secret} {after}"
    places: dict[str, Callable[[], dict[str, Any]]] = {
        "value": lambda: {"event": "e", "value": text},
        "exception": lambda: {"event": "e", "exception": text},
        "event": lambda: {"event": text},
        "list": lambda: {"event": "e", "value": [{"a": (text,)}]},
        "error": lambda: {"event": "e", "value": ValueError(text)},
    }
    event = {**places[where](), **ABOUT}
    assert secret not in lines.as_json(None, "info", dict(event)).decode()
    assert secret not in lines.as_text(None, "info", dict(event))


TOKEN = "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiJhbm4ifQ.dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk"


@pytest.mark.parametrize(
    ("text", "hidden"),
    [
        (f"Bearer {TOKEN}", f"Bearer {HIDDEN}"),
        (f"authorization={TOKEN}; x", f"authorization={HIDDEN}; x"),
        (f'{{"token": "{TOKEN}"}}', f'{{"token": "{HIDDEN}"}}'),
        ("postgresql://u:p%40ss@h:1/d", f"postgresql://u:{HIDDEN}@h:1/d"),
        ("redis://:p@ss:w@h/0?a=b", f"redis://:{HIDDEN}@h/0?a=b"),
        ("see https://h:1/eyJ and eyJx.y", "see https://h:1/eyJ and eyJx.y"),
    ],
)
def test_what_looks_like_a_token_or_a_password_is_in_no_line(text: str, hidden: str) -> None:
    assert json.loads(as_json("e", text=text))["text"] == hidden


def test_the_secrets_of_settings_are_all_known() -> None:
    settings = ProgressSettings(
        postgres_url="postgresql://u:p%40ssword@h/d",
        token_secret="t" * 32,
        auth_secret=f"{'a' * 32}, {'b' * 32}",
    )
    assert {*secrets_of(settings)} == {"t" * 32, "a" * 32, "b" * 32, "p%40ssword", "p@ssword"}
    for secret in secrets_of(settings):
        assert secret not in repr(settings)
        assert secret not in str(settings)


def test_redaction_is_quick_for_texts_made_to_slow_it() -> None:
    hide = Redaction(["a secret of ours"]).hide
    for text in ("eyJ" * 33_000, "://a:" * 20_000, "eyJaaaaaaaa." * 8_000, "://" + "a" * 99_000):
        hide(text)


def caught(act: Callable[[], object]) -> BaseException:
    try:
        act()
    except BaseException as error:  # noqa: BLE001 - whatever it is
        return error
    raise AssertionError("it did not fail")


def deep(levels: int) -> None:
    if levels:
        deep(levels - 1)
    raise ValueError("at the bottom")


def test_a_traceback_tells_what_failed_and_where_and_no_data() -> None:
    class Failed(Exception):
        pass

    def fail() -> None:
        password = "a local variable"
        try:
            deep(200)
        except ValueError as error:
            text = "duplicate key\nDETAIL:  Key (name)=(Ann) already exists.\n[SQL: INSERT INTO x]"
            raise Failed(text) from error
        assert password

    text = told(caught(fail))
    assert "ValueError: at the bottom" in text
    assert "in deep" in text
    assert text.endswith("Failed: duplicate key")
    assert "190 outer calls" in text
    assert len(text) < 6_000
    for leaked in ("Ann", "INSERT", "DETAIL", "a local variable"):
        assert leaked not in text


def test_a_traceback_of_a_group_tells_of_its_members() -> None:
    members = [caught(lambda: deep(0)), ExceptionGroup("in", [OSError("x")])]
    group = BaseExceptionGroup("two", members)
    text = told(group)
    assert "ExceptionGroup: two (2 sub-exceptions)" in text
    assert "    ValueError: at the bottom" in text
    assert "        OSError: x" in text


def test_a_traceback_of_endless_causes_and_members_ends() -> None:
    first, second = ValueError("first"), ValueError("second")
    first.__cause__, second.__cause__ = second, first
    assert len(told(first)) < 1_000
    nested: Exception = ExceptionGroup("g", [ValueError(str(one)) for one in range(1_000)])
    for _ in range(50):
        nested = ExceptionGroup("g", [nested] * 9)
    assert len(told(nested)) < 10_000


PROGRAM = """
import asyncio, logging, sys, threading, warnings
import structlog
from progress_service.settings import ProgressSettings
from shared.logging import configure

settings = ProgressSettings()
configure(settings, "a service")
secret = settings.token_secret.get_secret_value()
odd = "a\\nb\\x1b[31m\\ud800" + secret
structlog.get_logger().warning(odd, value=odd, number=10**30)
logging.getLogger("library").warning("%s said %s", "library", odd)
logging.getLogger("library").warning("%d is no number", odd)
warnings.warn(odd)
try:
    raise ValueError(odd)
except ValueError:
    logging.getLogger("library").exception(odd)

def fail():
    raise ValueError(odd)

thread = threading.Thread(target=fail)
thread.start()
thread.join()
async def main():
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(asyncio.to_thread(fail))
asyncio.run(main())
"""


@pytest.mark.parametrize("form", ["json", "text"])
def test_a_process_logs_what_libraries_say_and_what_ends_it_in_the_same_form(
    form: str, tmp_path: Path
) -> None:
    secret = "a-secret-of-the-process-of-40-characters"
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM],
        capture_output=True,
        check=False,
        env={
            "PYTHONPATH": ":".join(sys.path),
            "LAUREL_LOG_FORMAT": form,
            "LAUREL_TOKEN_SECRET": secret,
            "LAUREL_AUTH_SECRET": secret[::-1],
            "LAUREL_POSTGRES_URL": "postgresql://u@h/d",
        },
        cwd=tmp_path,
    )
    assert done.returncode == 1
    assert done.stdout == b""
    said = done.stderr.decode()
    assert secret not in said
    *lines, why, end = said.split("\n")
    assert end == ""
    assert why.startswith("laurel: ended by an unexpected error: ValueError: a\\nb\\x1b[31m")
    assert all(line.isprintable() for line in (*lines, why))
    if form == "json":
        levels = [json.loads(line)["level"] for line in lines]
        assert levels == ["warning", "warning", "warning", "error", "error", "critical"]
        exceptions = [line for line in lines if "exception" in json.loads(line)]
        assert len(exceptions) == 3
    else:
        own = [line for line in lines if not line.startswith(MARGIN)]
        assert len(own) == 6
        assert all(line.startswith("20") for line in own)
