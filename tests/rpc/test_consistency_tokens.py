"""Consistency tokens: every write names its last change, and no other change is taken for it."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Protocol
from urllib.parse import urlsplit

import pytest

from progress_service.domain.write_mark import WriteMark
from progress_service.servicers import consistency_token
from progress_service.settings import ProgressSettings
from progress_service.token_resolver import TokenResolver
from shared.embedded.postgres import EmbeddedPostgres
from shared.errors import (
    DeadlineExceeded,
    FailedPrecondition,
    InvalidInput,
    ResourceExhausted,
    Unavailable,
)
from shared.gen.laurel.progress.v1 import catalog_pb2, progress_pb2
from shared.signed_token import Signer
from tests.conftest import running_progress
from tests.progress import Progress, award, level, refused, submission
from tests.pruned import prune
from tests.signing import SIGNER

Resolved = progress_pb2.ResolveConsistencyTokenResponse


async def resolve(progress: Progress, token: str, timeout_s: float = 10) -> Resolved:
    request = progress_pb2.ResolveConsistencyTokenRequest(consistency_token=token)
    return await progress.standings.ResolveConsistencyToken(request, timeout=timeout_s)


async def put_user(progress: Progress, user_id: str, name: str, *, hidden: bool = False) -> str:
    """The token of the profile's change."""
    user = catalog_pb2.User(user_id=user_id, display_name=name, hidden=hidden)
    answer = await progress.catalog.PutUser(catalog_pb2.PutUserRequest(user=user))
    return answer.consistency_token


class Answer(Protocol):
    """The answer to a write."""

    @property
    def consistency_token(self) -> str:
        """Names the write."""


async def _token(call: Awaitable[Answer]) -> str:
    token = (await call).consistency_token
    assert token
    return token


async def test_the_token_of_every_write_names_its_last_change(progress: Progress) -> None:
    await progress.put_course("c", level("l1"))
    await progress.put_users("ann")
    written = await progress.award("ann", 1)
    submitted = await progress.submit("ann", "l1")
    writes: list[Callable[[], Awaitable[str]]] = [
        lambda: put_user(progress, "ann", "Anna"),
        lambda: put_user(progress, "bob", "Bob", hidden=True),
        lambda: _token(progress.award("ann", 7)),
        lambda: _token(progress.submit("bob", "l1")),
        lambda: _token(progress.revoke(written.entry_id)),
        lambda: _token(progress.void(submitted.attempt_id)),
    ]
    for write in writes:
        before = await progress.settled()
        token = await write()
        found = await resolve(progress, token)
        head = await progress.settled()
        assert before.sequence < found.position.sequence
        assert found.position == found.head == head, "the write's last change is the newest"


async def test_a_write_that_changes_nothing_has_no_token(progress: Progress) -> None:
    await progress.put_course("c", level("l1"))
    assert await put_user(progress, "ann", "Ann")
    assert await put_user(progress, "ann", "Ann") == ""
    assert (await progress.submit("ann", "l1")).consistency_token
    again = await progress.submit("ann", "l1")
    assert again.consistency_token == ""
    assert (await progress.void(again.attempt_id)).consistency_token == ""
    assert (await progress.award("ann", 1, reference="once")).consistency_token
    assert (await progress.award("ann", 1, reference="once")).consistency_token == ""
    async with refused(InvalidInput, "INVALID_CONSISTENCY_TOKEN"):
        await resolve(progress, "")


async def test_a_replay_has_the_same_token_also_when_all_come_at_once(progress: Progress) -> None:
    await progress.put_users("ann", "bob")
    await progress.put_course("c", level("l1"))
    submitting, awarding = submission("ann", "l1"), award("bob", 5)
    submitted, awarded = await asyncio.gather(
        asyncio.gather(*(progress.progress.SubmitProgress(submitting) for _ in range(8))),
        asyncio.gather(*(progress.progress.AwardXp(awarding) for _ in range(8))),
    )
    assert len({one.consistency_token for one in submitted} - {""}) == 1
    assert len({one.consistency_token for one in awarded} - {""}) == 1
    entry_id, attempt_id = awarded[0].entry_id, submitted[0].attempt_id
    revoked = [await progress.revoke(entry_id, "revoke") for _ in range(2)]
    voided = [await progress.void(attempt_id, "void") for _ in range(2)]
    assert revoked[0].consistency_token == revoked[1].consistency_token != ""
    assert voided[0].consistency_token == voided[1].consistency_token != ""


async def test_a_token_outlives_the_tenure_that_numbered_its_write(postgres_url: str) -> None:
    settings = ProgressSettings(postgres_url=postgres_url, drain_seconds=0.5)
    async with running_progress(settings) as progress:
        await progress.put_users("ann")
        token = await _token(progress.award("ann", 1))
        first = await resolve(progress, token)
    async with running_progress(settings) as progress:
        await progress.award("ann", 1)
        head = await progress.settled()
        later = await resolve(progress, token)
    assert (later.position, later.head) == (first.position, head)
    assert head.epoch != first.head.epoch == first.position.epoch


@pytest.mark.parametrize("at", ["start", "middle", "end"])
async def test_a_token_that_is_changed_by_one_bit_is_none(progress: Progress, at: str) -> None:
    await progress.put_users("ann")
    token = await _token(progress.award("ann", 1))
    place = {"start": 0, "middle": len(token) // 2, "end": len(token) - 1}[at]
    for bit in range(7):
        forged = token[:place] + chr(ord(token[place]) ^ (1 << bit)) + token[place + 1 :]
        async with refused(InvalidInput, "INVALID_CONSISTENCY_TOKEN") as errors:
            await resolve(progress, forged)
        assert [one.field for one in errors[0].violations] == ["consistency_token"]


async def test_what_was_not_signed_as_the_token_of_a_write_is_none(progress: Progress) -> None:
    await progress.put_users("ann", "bob")
    for user_id in ("ann", "bob"):
        await progress.award(user_id, 1)
    await progress.settled()
    request = progress_pb2.ListStandingsRequest(page_size=1)
    page = (await progress.standings.ListStandings(request)).next_page_token
    mark = WriteMark("e", 1, "0" * 16)
    another = consistency_token.encode(Signer("another"), mark)
    for token in (page, another, SIGNER.sign("write", [1]), "x", "ö", "A" * 100_000):
        async with refused(InvalidInput, "INVALID_CONSISTENCY_TOKEN"):
            await resolve(progress, token)


@asynccontextmanager
async def restored(
    server: EmbeddedPostgres, url: str, lost: Callable[[Progress], Awaitable[None]]
) -> AsyncIterator[Progress]:
    """ProgressService on a copy of the database from before `lost` was written."""
    backup = "before_the_loss"
    server.create_database(backup, template=urlsplit(url).path.removeprefix("/"))
    try:
        settings = ProgressSettings(postgres_url=url, drain_seconds=0.5)
        async with running_progress(settings) as progress:
            await lost(progress)
            await progress.settled()
        settings = ProgressSettings(postgres_url=server.url(backup), drain_seconds=0.5)
        async with running_progress(settings) as progress:
            yield progress
    finally:
        server.drop_database(backup)


async def test_a_write_that_a_restore_has_undone_is_of_another_history_though_ids_come_again(
    postgres_server: EmbeddedPostgres, postgres_url: str
) -> None:
    settings = ProgressSettings(postgres_url=postgres_url, drain_seconds=0.5)
    async with running_progress(settings) as progress:
        await progress.put_course("c", level("l1"), level("l2"))
        kept = [await put_user(progress, "ann", "Ann"), await _token(progress.award("ann", 7))]
        await progress.put_users("bob")
        await progress.settled()
    lost: list[str] = []
    again: list[str] = []

    async def write(progress: Progress, tokens: list[str], user_id: str) -> None:
        tokens += [
            await _token(progress.submit(user_id, "l1")),
            # Of two equal credits under one id the transaction's time alone tells which is which.
            await _token(progress.award(user_id, 5)),
            await put_user(progress, user_id, "New"),
        ]

    async def lose(progress: Progress) -> None:
        await write(progress, lost, "ann")
        lost.append(await _token(progress.award("bob", 1)))

    async with restored(postgres_server, postgres_url, lose) as progress:
        for token in lost:
            async with refused(FailedPrecondition, "EPOCH_MISMATCH"):
                await resolve(progress, token)
        await write(progress, again, "bob")
        head = await progress.settled()
        for mine, theirs in zip(again, lost, strict=False):
            assert (
                consistency_token.decode(SIGNER, mine)[:2]
                == (consistency_token.decode(SIGNER, theirs)[:2])
            )
        for token in lost:
            async with refused(FailedPrecondition, "EPOCH_MISMATCH"):
                await resolve(progress, token)
        for token in [*kept, *again]:
            assert (await resolve(progress, token)).head == head


@pytest.mark.parametrize("gone", ["pruned", "erased"])
@pytest.mark.parametrize("bearer", ["profile", "credit"])
async def test_the_id_of_a_lost_profile_is_enough_only_when_what_bears_it_again_is_gone_too(
    postgres_server: EmbeddedPostgres, postgres_url: str, bearer: str, gone: str
) -> None:
    """The limit of tokens: ADR 12. While anything is left to compare with they are refused."""
    settings = ProgressSettings(postgres_url=postgres_url, drain_seconds=0.5)
    async with running_progress(settings) as progress:
        await progress.put_users("ann", "bob")
        await progress.settled()
    lost: list[str] = []

    async def lose(progress: Progress) -> None:
        lost.append(await put_user(progress, "ann", "New"))

    async with restored(postgres_server, postgres_url, lose) as progress:
        if bearer == "profile":
            again = await put_user(progress, "bob", "Other")
            ids = [consistency_token.decode(SIGNER, token).id for token in (again, *lost)]
            assert ids[0] == ids[1]
        else:
            await progress.award("bob", 1)
        await progress.settled()
        async with refused(FailedPrecondition, "EPOCH_MISMATCH"):
            await resolve(progress, lost[0])
        await (prune(progress) if gone == "pruned" else progress.erase("bob"))
        if bearer == "profile":
            found = await resolve(progress, lost[0])
            assert found.position == found.head == await progress.settled()
        else:
            async with refused(FailedPrecondition, "EPOCH_MISMATCH"):
                await resolve(progress, lost[0])


async def test_after_an_erasure_only_the_head_surely_includes_the_write(
    progress: Progress,
) -> None:
    tokens = [await put_user(progress, "ann", "Ann"), await _token(progress.award("ann", 5))]
    others = [await put_user(progress, "bob", "Bob"), await _token(progress.award("bob", 5))]
    before = [(await resolve(progress, token)).position for token in others]
    await progress.erase("ann")
    await progress.award("bob", 1)
    head = await progress.settled()
    for token in tokens:
        found = await resolve(progress, token)
        assert found.position == found.head == head
    assert [(await resolve(progress, token)).position for token in others] == before


async def test_a_token_is_waited_for_until_its_write_has_a_number(progress: Progress) -> None:
    await progress.put_users("ann")
    await progress.settled()
    async with progress.numbering_held():
        tokens = [await put_user(progress, "ann", "Anna"), await _token(progress.award("ann", 5))]
        waiting = [asyncio.create_task(resolve(progress, token)) for token in tokens]
        for token in tokens:
            async with refused(DeadlineExceeded, "DEADLINE_EXCEEDED"):
                await resolve(progress, token, timeout_s=0.3)
        assert not any(task.done() for task in waiting)
    found = [(await task).position.sequence for task in waiting]
    assert found == [2, 3]


async def test_waits_are_bounded_in_time_and_number(progress: Progress) -> None:
    await progress.put_users("ann")
    async with progress.numbering_held():
        mark = consistency_token.decode(SIGNER, await _token(progress.award("ann", 5)))
        resolver = TokenResolver(progress.app.publisher, most_s=0.05, max_waiting=1)
        with pytest.raises(Unavailable) as late:
            await resolver.resolve(mark, lambda: None)
        assert late.value.reason == "NOT_NUMBERED_YET"
        patient = asyncio.create_task(resolver.resolve(mark, lambda: 30.0))
        while not resolver.waiting:
            await asyncio.sleep(0)
        with pytest.raises(ResourceExhausted):
            await resolver.resolve(mark, lambda: 30.0)
    assert (await patient).position.sequence == (await progress.settled()).sequence
    assert resolver.waiting == 0
