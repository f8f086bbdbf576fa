"""Services whose LAUREL_TOKEN_SECRET differs: the operator is told, and no caller is blamed."""

from collections.abc import Mapping, Sequence

import pytest
from structlog.testing import capture_logs

from leaderboard_service.domain.board import Board
from leaderboard_service.domain.question import After, TopAsk
from leaderboard_service.fallback import Fallback
from shared.errors import InvalidInput, Unavailable
from shared.gen.laurel.leaderboard.v1 import leaderboard_pb2 as pb
from shared.gen.laurel.progress.v1.progress_pb2_grpc import StandingsServiceStub
from shared.periods import Window
from shared.rank_mode import RankMode
from shared.signed_token import Signer
from tests.access import open_channel
from tests.leaderboard_app import dial, running
from tests.pair import Pair
from tests.progress import Progress, refused
from tests.signing import SIGNER

ANOTHER = "another secret for tests, 32 characters"
XP = Board("xp", "", Window.ALL_TIME, "")
EVENT = "LAUREL_TOKEN_SECRET differs between the services"


def _told(logs: Sequence[Mapping[str, object]]) -> list[object]:
    return [line["log_level"] for line in logs if line["event"] == EVENT]


@pytest.mark.parametrize("signed_by", ["ProgressService", "LeaderboardService"])
async def test_a_write_that_one_service_alone_knows_tells_that_the_secrets_differ(
    progress: Progress, redis_url: str, signed_by: str
) -> None:
    await progress.put_users("ann")
    token = (await progress.award("ann", 5)).consistency_token
    if signed_by == "LeaderboardService":
        token = Signer(ANOTHER).sign("write", SIGNER.open("write", token))
    with capture_logs() as logs:
        async with (
            running(redis_url, progress.target, token_secret=ANOTHER) as app,
            dial(app) as channel,
        ):
            pair = Pair(channel, progress)
            await pair.settled()
            request = pb.GetRankRequest(user_id="ann", consistency_token=token)
            for _ in range(3):
                async with refused(Unavailable, "TOKEN_SECRETS_DIFFER"):
                    await pair.boards.GetRank(request, timeout=10)
            plain = await pair.boards.GetRank(pb.GetRankRequest(user_id="ann"))
            assert plain.entry.score == 5
    assert _told(logs) == ["error"]


async def test_a_token_that_neither_service_has_signed_tells_nothing(
    progress: Progress, redis_url: str
) -> None:
    with capture_logs() as logs:
        async with running(redis_url, progress.target) as app, dial(app) as channel:
            pair = Pair(channel, progress)
            await pair.settled()
            forged = Signer(ANOTHER).sign("write", ["e", 1, "x"])
            request = pb.GetRankRequest(user_id="ann", consistency_token=forged)
            for _ in range(3):
                async with refused(InvalidInput, "INVALID_CONSISTENCY_TOKEN"):
                    await pair.boards.GetRank(request, timeout=10)
    assert _told(logs) == []


@pytest.mark.parametrize("own", [True, False])
async def test_the_next_page_from_postgresql_tells_it_unless_it_is_of_another_history(
    progress: Progress, own: bool
) -> None:
    await progress.put_users("ann", "bob")
    await progress.award("ann", 5)
    await progress.award("bob", 3)
    epoch = (await progress.settled()).epoch
    ask = TopAsk(XP, RankMode.COMPETITION, 1, after=After(5, "ann", epoch if own else "another"))
    with capture_logs() as logs:
        async with open_channel(progress.target) as channel:
            stub = StandingsServiceStub(channel)
            fallback = Fallback(stub, Signer(ANOTHER), limit=1, timeout_s=10)
            expected = Unavailable if own else InvalidInput
            for _ in range(3):
                with pytest.raises(expected) as caught:
                    await fallback.top(ask, lambda: None)
                reason = "TOKEN_SECRETS_DIFFER" if own else "INVALID_PAGE_TOKEN"
                assert caught.value.reason == reason
            right = Fallback(stub, SIGNER, limit=1, timeout_s=10)
            if own:
                page = await right.top(ask, lambda: None)
                assert [entry.user_id for entry in page.page.entries] == ["bob"]
    assert _told(logs) == (["error"] if own else [])
