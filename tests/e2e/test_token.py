"""`laurel up` makes a secret, keeps it to itself, and `laurel` uses it without being told."""

import json
import stat
from collections.abc import Iterator

import pytest

from tests.auth_keys import Provider, key_set, publishing, signing_key
from tests.e2e.running_stack import RunningStack

PARTS = ("progress_service", "leaderboard_service", "envoy", "redis", "postgres")
KEY = signing_key("provider")


@pytest.fixture(scope="module")
def provider() -> Iterator[Provider]:
    provider = Provider(key_set(KEY))
    with publishing(provider):
        yield provider


@pytest.fixture(scope="module")
def stack(provider: Provider) -> Iterator[RunningStack]:
    settings = {"LAUREL_AUTH_SECRET": "", "LAUREL_AUTH_JWKS": provider.url}
    with RunningStack(settings=settings) as running:
        yield running


def refusal(stack: RunningStack, **settings: str) -> str:
    """What a command says that is refused."""
    done = stack.run_client("verify", **settings)
    assert done.returncode == 1
    (line,) = done.stderr.splitlines()
    return line


def test_the_services_alone_are_told_the_secret_which_is_kept(stack: RunningStack) -> None:
    file = stack.home / "auth-secret"
    secret = file.read_text().strip()
    told = {part: stack.child(part).environ().get("LAUREL_AUTH_SECRET") for part in PARTS}

    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert len(secret) == 64
    assert told == {
        "progress_service": secret,
        "leaderboard_service": secret,
        **dict.fromkeys(("envoy", "redis", "postgres")),
    }
    assert stack.interrupt() == 0
    stack.start_and_wait()
    assert file.read_text().strip() == secret


def test_commands_are_let_in_without_being_told_anything(stack: RunningStack) -> None:
    for command in ("status", "verify", "verify-boards", "top"):
        done = stack.run_client(command, "--json")
        assert done.returncode == 0, done.stderr
        assert json.loads(done.stdout)


def test_tokens_of_the_command_and_of_the_identity_provider_are_both_accepted(
    stack: RunningStack,
) -> None:
    own = stack.run_client("token", "--role", "admin", "--sub", "console").stdout
    for token in (own, KEY.token("console", roles=["admin"])):
        file = stack.home.parent / "token"
        file.write_text(token)
        assert stack.run_client("status", LAUREL_CALL_TOKEN_FILE=str(file)).returncode == 0


def test_a_command_without_the_secret_is_refused_and_told_where_to_get_a_token(
    stack: RunningStack,
) -> None:
    nowhere = str(stack.home.parent / "elsewhere")
    line = refusal(stack, LAUREL_HOME=nowhere)
    assert line.startswith("laurel: UNAUTHENTICATED (TOKEN_MISSING): ")
    assert nowhere in line


def test_no_secret_and_no_token_is_in_any_log(stack: RunningStack) -> None:
    secret = (stack.home / "auth-secret").read_text().strip()
    token = stack.run_client("token", "--role", "admin", "--sub", "console").stdout.strip()
    assert "TOKEN_INVALID" in refusal(stack, LAUREL_AUTH_SECRET=secret[::-1])
    logs = [path.read_text() for path in (stack.home / "logs").iterdir()]
    assert logs
    written = "\n".join([*logs, stack.output, stack.errors])
    assert secret not in written
    assert "eyJ" not in written
    assert token.split(".")[1] not in written
