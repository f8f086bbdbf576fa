"""What the table of RPCs and callers leaves open: who is meant, and which fields take a role."""

from collections.abc import Iterator
from dataclasses import replace

import pytest
from google.protobuf.message import Message
from google.protobuf.message_factory import GetMessageClass
from grpc import StatusCode

from shared.errors import PermissionDenied
from shared.gen.laurel.progress.v1 import admin_pb2, catalog_pb2, progress_pb2
from shared.gen.laurel.progress.v1.admin_pb2_grpc import ProgressAdminServiceStub
from shared.gen.laurel.progress.v1.catalog_pb2_grpc import CatalogServiceStub
from shared.gen.laurel.progress.v1.progress_pb2_grpc import ProgressServiceStub
from tests.access import as_role, bearer
from tests.access_matrix import METHODS
from tests.access_world import World
from tests.byte_call import Answer, call_without_request
from tests.imports import next_answer
from tests.progress import award, refused
from tests.who_may import ADMIN, RPCS, SELF_AWARDED, SERVICE, USER, Rpc

pytestmark = pytest.mark.asyncio(loop_scope="module")

OF_THE_CALLER = [rpc for rpc in RPCS if rpc.names_user]


def named_in(rpc: Rpc, answer: Answer) -> set[str]:
    """Every user whom the answer names."""
    method = METHODS[rpc.path]
    assert answer.body is not None
    return set(_users(GetMessageClass(method.output_type).FromString(answer.body)))


def _users(message: Message) -> Iterator[str]:
    for field, value in message.ListFields():
        for one in value if field.is_repeated else [value]:
            if field.name == "user_id":
                yield one
            elif field.message_type:
                yield from _users(one)


@pytest.mark.parametrize("rpc", OF_THE_CALLER, ids=lambda rpc: rpc.name)
async def test_a_user_who_names_nobody_is_meant_itself(world: World, rpc: Rpc) -> None:
    target = replace(world.targets["bob"], user_id="")

    answer = await world.doors.ask(rpc, target, bearer(USER, "bob"))

    assert answer.code is StatusCode.OK
    if rpc.name == "GetAround":
        assert "bob" in named_in(rpc, answer)
    else:
        assert named_in(rpc, answer) <= {"bob"}


@pytest.mark.parametrize("rpc", OF_THE_CALLER, ids=lambda rpc: rpc.name)
@pytest.mark.parametrize("role", [SERVICE, ADMIN])
async def test_nobody_else_means_itself(world: World, rpc: Rpc, role: str) -> None:
    target = replace(world.targets["bob"], user_id="")

    answer = await world.doors.ask(rpc, target, bearer(role, "bob"))

    assert answer.code is StatusCode.INVALID_ARGUMENT


async def test_an_attempt_of_nobody_is_recorded_for_its_caller(world: World) -> None:
    (submit,) = [rpc for rpc in RPCS if rpc.name == "SubmitProgress"]
    stub = ProgressServiceStub(world.doors.progress)
    request = progress_pb2.ListAttemptsRequest(page_size=500)
    me = as_role(USER, "cat")
    before = await stub.ListAttempts(request, **me)

    await world.doors.ask(submit, replace(world.targets["cat"], user_id=""), bearer(USER, "cat"))

    after = await stub.ListAttempts(request, **me)
    assert len(after.attempts) == len(before.attempts) + 1
    assert {one.user_id for one in after.attempts} == {"cat"}


async def test_a_user_awards_itself_only_what_the_metric_lets_it(world: World) -> None:
    stub = ProgressServiceStub(world.doors.progress)
    me = as_role(USER, "ann")

    await stub.AwardXp(award("ann", 10, metric=SELF_AWARDED), **me)
    for amount, metric in ((11, SELF_AWARDED), (1, "xp")):
        async with refused(PermissionDenied, "SELF_AWARD_TOO_LARGE"):
            await stub.AwardXp(award("ann", amount, metric=metric), **me)
        await stub.AwardXp(award("ann", amount, metric=metric), **as_role(SERVICE, "backend"))


async def test_a_user_changes_its_own_profile(world: World) -> None:
    stub = CatalogServiceStub(world.doors.progress)
    me = as_role(USER, "dan")
    user = catalog_pb2.User(user_id="dan", display_name="D", time_zone="UTC", hidden=True)

    await stub.PutUser(catalog_pb2.PutUserRequest(user=user), **me)

    assert (await stub.GetUser(catalog_pb2.GetUserRequest(), **me)).user == user


COURSE = catalog_pb2.Course(
    course_id="imported",
    sections=[
        catalog_pb2.Section(section_id="s", levels=[catalog_pb2.Level(level_id="imported-1")])
    ],
)
WITHOUT_COURSES = admin_pb2.ImportProgressRequest(users=[catalog_pb2.User(user_id="imported")])
WITH_COURSES = admin_pb2.ImportProgressRequest(courses=[COURSE])


async def imported(
    world: World, *batches: admin_pb2.ImportProgressRequest, role: str
) -> list[admin_pb2.ImportProgressResponse]:
    """The answers to an import by a caller of the role, which sends each batch when it has the
    answer to the one before, and does not say that it was the last.
    """
    stub = ProgressAdminServiceStub(world.doors.progress)
    call = stub.ImportProgress(**as_role(role, "importer"))
    try:
        answers: list[admin_pb2.ImportProgressResponse] = []
        for one in batches:
            await call.write(one)
            answers.append(await next_answer(call))
        return answers
    finally:
        call.cancel()


async def test_a_backend_imports_anything_but_courses(world: World) -> None:
    assert len(await imported(world, WITHOUT_COURSES, role=SERVICE)) == 1
    async with refused(PermissionDenied, "ROLE_REQUIRED"):
        await imported(world, WITH_COURSES, role=SERVICE)
    # Each message of a stream is held against the rule, not the first alone.
    async with refused(PermissionDenied, "ROLE_REQUIRED"):
        await imported(world, WITHOUT_COURSES, WITH_COURSES, role=SERVICE)
    stub, request = CatalogServiceStub(world.doors.progress), catalog_pb2.ListCoursesRequest()
    found = await stub.ListCourses(request, **as_role(ADMIN, "root"))
    assert "imported" not in {one.course_id for one in found.courses}


async def test_an_administrator_imports_courses(world: World) -> None:
    (answer,) = await imported(world, WITH_COURSES, role=ADMIN)

    assert answer.courses.stored == 1


async def nothing_sent(world: World, rpc: Rpc, *authorization: str, end: bool) -> Answer:
    """The answer to a call that brings no request, and says so or does not."""
    channel = world.doors.progress if rpc.is_of_progress else world.doors.leaderboard
    metadata = tuple(("authorization", one) for one in authorization)
    return await call_without_request(channel, METHODS[rpc.path], metadata=metadata, end=end)


@pytest.mark.parametrize("end", [True, False])
async def test_who_may_not_call_is_told_before_it_has_sent_its_request(
    world: World, end: bool
) -> None:
    answers = [await nothing_sent(world, rpc, end=end) for rpc in RPCS]

    assert {answer.reason for answer in answers} == {"TOKEN_MISSING"}


async def test_a_call_that_ends_without_a_request_is_refused(world: World) -> None:
    with_one = [rpc for rpc in RPCS if not METHODS[rpc.path].client_streaming]

    answers = [await nothing_sent(world, rpc, bearer(ADMIN, "root"), end=True) for rpc in with_one]

    assert {answer.reason for answer in answers} == {"MALFORMED_REQUEST"}
