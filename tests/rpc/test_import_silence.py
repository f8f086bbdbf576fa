"""An import keeps its place only while its caller takes part."""

from typing import Any

import pytest
from grpc import aio

from progress_service.importer import MAX_IMPORTS
from shared.errors import Unavailable
from shared.gen.laurel.progress.v1.admin_pb2_grpc import ProgressAdminServiceStub
from tests.access import dial
from tests.imports import attempt, batch, counts, import_all, next_answer
from tests.progress import Progress, award, eventually, held, level, refused
from tests.stalls import LITTLE_ON_ITS_WAY, read_to_the_end


async def open_imports(progress: Progress, how_many: int) -> list[Any]:
    calls = [progress.admin.ImportProgress() for _ in range(how_many)]
    for call in calls:
        await call.write(batch())
        await next_answer(call)
    return calls


async def test_whoever_sends_nothing_more_is_ended_and_the_place_is_free_again(
    progress: Progress,
) -> None:
    await progress.put_users("ann")
    progress.app.importer.silence_s = 0.2
    for call in await open_imports(progress, MAX_IMPORTS):
        async with refused(Unavailable, "CALLER_SILENT"):
            await call.read()
    (answer,) = await import_all(progress, [batch(awards=[award("ann", 1)])])
    assert counts(answer)[:2] == (1, 1)


async def test_whoever_waits_for_an_answer_is_not_silent(progress: Progress) -> None:
    await progress.put_users("ann")
    await progress.put_course("c", level("l1"))
    progress.app.importer.silence_s = 0.2
    call = progress.admin.ImportProgress()
    async with held(progress, "ann"):
        # The server waits for the user for 2 s, and answers then.
        await call.write(batch(attempt("ann", "l1", 10, "a")))
        assert [one.reason for one in (await next_answer(call)).errors] == ["USER_BUSY"]
    await call.write(batch(attempt("ann", "l1", 10, "a")))
    assert counts(await next_answer(call))[:2] == (2, 1)
    async with refused(Unavailable, "CALLER_SILENT"):
        await call.read()


async def test_whoever_takes_no_answers_is_ended_and_the_place_is_free_again(
    progress: Progress,
) -> None:
    importer = progress.app.importer
    importer.silence_s = 0.5
    # Wrong in every field: the errors fill what is on its way soon.
    wrong = batch(*[attempt("a b", "l 1", None, "r" * 200)] * 100)
    async with dial(progress.target, LITTLE_ON_ITS_WAY) as channel:
        call = ProgressAdminServiceStub(channel).ImportProgress(iter([wrong] * 1_000))
        assert len((await next_answer(call)).errors) == 100

        async def is_free() -> bool:
            return importer._open.total() == 0

        await eventually(is_free, "the import is ended")
        # READER_STALLED, unless grpcio marks the call INTERNAL because a write of ours failed.
        with pytest.raises(aio.AioRpcError):
            await read_to_the_end(call)
