"""ListFlaggedAttempts: the queue, whole or of a user, a course or a level, page by page."""

from shared.errors import InvalidInput
from shared.gen.laurel.progress.v1 import admin_pb2
from tests.progress import Progress, refused
from tests.review_scene import prepared, quick, slow, timed


async def test_the_queue_is_read_page_by_page_oldest_first(progress: Progress) -> None:
    await prepared(progress)
    made = [(await quick(progress, user)).attempt_id for user in ("ann", "bob", "ann", "bob")]
    await slow(progress)
    for size in (1, 3, 4, 500):
        assert [one.attempt_id for one in await progress.flagged(size)] == made
    request = admin_pb2.ListFlaggedAttemptsRequest(page_size=2)
    token = (await progress.admin.ListFlaggedAttempts(request)).next_page_token
    # What is decided meanwhile moves nothing that follows.
    await progress.resolve(made[1], accept=False)
    request.page_token = token
    page = (await progress.admin.ListFlaggedAttempts(request)).attempts
    assert [one.attempt_id for one in page] == made[2:]
    request.page_token = token[:-2]
    async with refused(InvalidInput, "INVALID_PAGE_TOKEN"):
        await progress.admin.ListFlaggedAttempts(request)


async def test_the_queue_of_a_user_a_course_or_a_level_is_read_alone(progress: Progress) -> None:
    await prepared(progress)
    await progress.put_course("d", timed("m1"))
    made = {
        (user, level_id): [
            (await quick(progress, user, level_id, request_id=f"{level_id}{n}")).attempt_id
            for n in range(2)
        ]
        for user in ("ann", "bob")
        for level_id in ("l1", "m1")
    }

    async def ids(**filters: str) -> list[str]:
        return [one.attempt_id for one in await progress.flagged(1, **filters)]

    assert await ids(user_id="ann") == made["ann", "l1"] + made["ann", "m1"]
    assert await ids(course_id="d") == made["ann", "m1"] + made["bob", "m1"]
    assert await ids(level_id="l1") == made["ann", "l1"] + made["bob", "l1"]
    assert await ids(user_id="bob", course_id="d", level_id="m1") == made["bob", "m1"]
    for none in ({"user_id": "cyd"}, {"user_id": "ann", "course_id": "d", "level_id": "l1"}):
        assert await ids(**none) == []
    async with refused(InvalidInput, "INVALID_FIELD"):
        await ids(level_id="~")


async def test_a_page_of_the_queue_goes_on_with_its_own_filters_alone(progress: Progress) -> None:
    await prepared(progress)
    for _ in range(2):
        await quick(progress)
    request = admin_pb2.ListFlaggedAttemptsRequest(page_size=1, user_id="ann")
    token = (await progress.admin.ListFlaggedAttempts(request)).next_page_token
    others: list[dict[str, str]] = [
        {},
        {"user_id": "bob"},
        {"course_id": "ann"},
        {"user_id": "ann", "level_id": "l1"},
    ]
    for other in others:
        async with refused(InvalidInput, "INVALID_PAGE_TOKEN"):
            foreign = admin_pb2.ListFlaggedAttemptsRequest(page_token=token)
            for name, value in other.items():
                setattr(foreign, name, value)
            await progress.admin.ListFlaggedAttempts(foreign)
