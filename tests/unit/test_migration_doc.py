"""docs/migration.md names only what there is: requests, methods, fields, commands, settings."""

import re
from collections.abc import Iterator

import pytest
import typer
from google.protobuf import descriptor_pool, json_format
from google.protobuf.descriptor import Descriptor, EnumDescriptor, FileDescriptor
from google.protobuf.message_factory import GetMessageClass
from typer.core import TyperGroup

from shared.cli.import_csv_columns import KINDS, KindName
from shared.cli.main import app
from shared.gen.laurel.leaderboard.v1 import admin_pb2 as leaderboard_admin
from shared.gen.laurel.leaderboard.v1 import leaderboard_pb2
from shared.gen.laurel.progress.v1 import admin_pb2, catalog_pb2, progress_pb2
from shared.gen.laurel.types.v1 import types_pb2
from tests.migration_doc import PATH, Request, blocks, inline_code, prose, requests, section

MODULES = (
    types_pb2,
    catalog_pb2,
    progress_pb2,
    admin_pb2,
    leaderboard_pb2,
    leaderboard_admin,
)
FILES: list[FileDescriptor] = [
    descriptor_pool.Default().FindFileByName(one.DESCRIPTOR.name) for one in MODULES
]
SERVICES = {name: one for file in FILES for name, one in file.services_by_name.items()}
METHODS = {method.name for service in SERVICES.values() for method in service.methods}
ENDPOINTS = (
    "PUT /users/me/stats",
    "POST /progress/submit",
    "GET /leaderboard",
    "POST /update",
    "GET /{period}?limit",
    "GET /user/{id}",
    "GET /user/{id}/rank/{period}",
    "/admin/sync",
    "/admin/reset",
    "/admin/status",
    "/admin/cache",
)
STORED = (
    "users.total_xp",
    "problems_solved",
    "user_progress",
    "problem_sessions",
    "leaderboard:<period>",
    "user:details:<id>",
)
# Columns, fields and tables of the hand-made design.
HAND_MADE = {
    "daily_pomo",
    "last_active_date",
    "monthly_pomo",
    "my_rank",
    "problem_sessions",
    "problems_solved",
    "top_users",
    "user_progress",
    "weekly_pomo",
}


def messages() -> Iterator[Descriptor]:
    for file in FILES:
        for message in file.message_types_by_name.values():
            yield message
            yield from message.nested_types


def enums() -> Iterator[EnumDescriptor]:
    for file in FILES:
        yield from file.enum_types_by_name.values()
    for message in messages():
        yield from message.enum_types


@pytest.mark.parametrize("request_", requests(), ids=lambda one: f"{one.service}/{one.method}")
def test_a_request_is_one_of_its_method(request_: Request) -> None:
    method = SERVICES[request_.service].methods_by_name[request_.method]
    message = GetMessageClass(method.input_type)()
    json_format.Parse(request_.json, message)
    assert message.ByteSize() or request_.json == "{}"


def test_no_request_is_overlooked() -> None:
    in_prose = [one for one in inline_code() if one.startswith(("{}", '{"'))]
    in_shell = re.findall(r"'\{", "\n".join(blocks("sh")))
    assert len(requests()) == len(in_prose) + len(in_shell)


@pytest.mark.parametrize("endpoint", ENDPOINTS)
def test_every_endpoint_of_the_hand_made_design_has_a_row(endpoint: str) -> None:
    rows = [line for line in section("Endpoints").splitlines() if line.startswith("| `")]
    assert any(endpoint in row.split("|")[1] for row in rows)


@pytest.mark.parametrize("stored", STORED)
def test_everything_that_the_hand_made_design_stores_has_a_row(stored: str) -> None:
    rows = [line for line in section("Tables and keys").splitlines() if line.startswith("|")]
    assert any(stored in row.split("|")[1] for row in rows)


def test_every_method_that_is_named_is_in_the_contract() -> None:
    named = [one for one in inline_code() if re.fullmatch(r"([A-Z][a-z]+)+(/([A-Z][a-z]+)+)?", one)]
    assert len(named) > 20
    for name in named:
        service, _, method = name.rpartition("/")
        if service:
            assert method in SERVICES[service].methods_by_name, name
        else:
            assert method in METHODS | SERVICES.keys(), name


def test_every_field_that_is_named_is_in_the_contract_or_the_hand_made_design() -> None:
    fields = {field.name for message in messages() for field in message.fields}
    columns = {column.name for kind in KINDS.values() for column in kind.columns}
    named = {one for one in inline_code() if re.fullmatch(r"[a-z]+(_[a-z]+)+", one)}
    assert named >= HAND_MADE
    assert named - HAND_MADE <= fields | columns


def test_every_value_reason_and_setting_that_is_named_exists() -> None:
    values = {value for enum in enums() for value in enum.values_by_name}
    contract = "\n".join(
        path.read_text() for path in (PATH.parent.parent / "protos").rglob("*.proto")
    )
    reasons = set(re.findall(r"\(([A-Z]+(?:_[A-Z]+)+)[);]", contract))
    settings = set(re.findall(r"`(LAUREL_[A-Z_]+)`", (PATH.parent / "settings.md").read_text()))
    named = {word for one in inline_code() for word in re.findall(r"\b[A-Z]+(?:_[A-Z]+)+\b", one)}
    assert named & values
    assert named & reasons
    assert named & settings
    assert named <= values | reasons | settings


def commands() -> list[list[str]]:
    """The `laurel` commands, as words."""
    shell = [line.strip() for block in blocks("sh") for line in block.splitlines()]
    found = [re.sub(r"^(LAUREL_\w+=\S+ )+", "", one) for one in [*shell, *inline_code()]]
    return [one.split() for one in found if one.startswith("laurel ")]


@pytest.mark.parametrize("words", commands(), ids=" ".join)
def test_a_command_exists_and_has_its_options(words: list[str]) -> None:
    command = typer.main.get_command(app)
    rest = words[1:]
    while isinstance(command, TyperGroup):
        assert rest[0] in command.commands
        command = command.commands[rest.pop(0)]
    options = {name for parameter in command.params for name in parameter.opts}
    assert {word for word in rest if word.startswith("--")} <= options


def test_every_kind_of_an_import_that_is_named_exists_and_none_is_missing() -> None:
    named = re.findall(r"--kind (\S+?)[`\s]", prose() + "\n".join(blocks("sh")))
    assert set(named) == set(KindName)


def test_every_link_leads_somewhere() -> None:
    headings = re.findall(r"^#+ (.*)$", prose(), re.MULTILINE)
    anchors = {re.sub(r"[^a-z0-9 -]", "", one.lower()).replace(" ", "-") for one in headings}
    links = re.findall(r"\]\(([^)]*)\)", prose())
    assert links
    for link in links:
        file, _, anchor = link.partition("#")
        assert (PATH.parent / file).exists()
        assert file or anchor in anchors
