"""`laurel up` with a bad setting of its own or of a service: one line, and nothing is started."""

import os

import pytest

from tests.e2e.running_stack import RunningStack

# Of the processor's time, which does not depend on what else runs here.
MOST_SECONDS = 3.0


@pytest.mark.parametrize(
    ("name", "value"),
    [
        # The stack's own.
        ("LAUREL_TIMEZONE", "Mars/Olympus"),
        ("LAUREL_PROGRESS_PORT", "many"),
        ("LAUREL_CORS_ORIGINS", "app.example.com"),
        # Both services'.
        ("LAUREL_TOKEN_SECRET", "secret, and too short"),
        ("LAUREL_AUTH_SECRET", "secret"),
        ("LAUREL_AUTH_JWKS", "http://id.example/secret"),
        ("LAUREL_AUTH_JWKS", "https://user:secret@id.example/keys"),
        # ProgressService's.
        ("LAUREL_POSTGRES_URL", "mysql://laurel:secret@localhost/laurel"),
        ("LAUREL_POSTGRES_URL", "postgresql://laurel:secret@localhost:port/laurel"),
        ("LAUREL_GROUP_SIZE", "0"),
        ("LAUREL_GROUP_WRITERS", "16"),
        # LeaderboardService's.
        ("LAUREL_REDIS_URL", "http://:secret@localhost:6379"),
        ("LAUREL_REDIS_URL", "redis://:secret@localhost:port"),
        ("LAUREL_KEEP_DAYS", "none"),
    ],
)
def test_a_bad_setting_is_one_line_that_names_it(name: str, value: str) -> None:
    stack = RunningStack(settings={name: value})
    before = _processor_seconds()
    status = stack.run_to_end()
    spent = _processor_seconds() - before

    (line,) = stack.errors.splitlines()
    assert line.startswith("laurel: bad setting")
    assert name in line
    assert "secret" not in line
    assert (status, stack.output, stack.home.exists()) == (2, "", False)
    assert spent < MOST_SECONDS
    stack.close()


def _processor_seconds() -> float:
    """What this process's children that have ended, and theirs, have used."""
    times = os.times()
    return times.children_user + times.children_system
