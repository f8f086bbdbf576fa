"""Through the gateway of a running stack: by hand, and from pages in a real browser."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator

import grpc
import pytest
import pytest_asyncio

from shared.gen.laurel.leaderboard.v1 import leaderboard_pb2
from shared.gen.laurel.leaderboard.v1.leaderboard_pb2_grpc import LeaderboardServiceStub
from shared.gen.laurel.progress.v1 import catalog_pb2, progress_pb2
from shared.gen.laurel.progress.v1.catalog_pb2_grpc import CatalogServiceStub
from shared.gen.laurel.progress.v1.progress_pb2_grpc import ProgressServiceStub
from shared.gen.laurel.types.v1 import types_pb2
from tests.access import as_role, bearer, open_channel, token
from tests.e2e.browser import ELSEWHERE, LaurelPage, running_browser, served_page
from tests.e2e.grpc_web import TEXT, WEB, Stream, ask, preflight
from tests.e2e.running_stack import RunningStack
from tests.progress import award, level

# The browser lives in one loop for all of its tests.
in_its_loop = pytest.mark.asyncio(loop_scope="module")
TOP = "/laurel.leaderboard.v1.LeaderboardService/GetTop"
WATCH_TOP = "/laurel.leaderboard.v1.LeaderboardService/WatchTop"
WATCH_RANK = "/laurel.leaderboard.v1.LeaderboardService/WatchRank"
SUBMIT = "/laurel.progress.v1.ProgressService/SubmitProgress"
PUT_COURSE = "/laurel.progress.v1.CatalogService/PutCourse"
AWARD = "/laurel.progress.v1.ProgressService/AwardXp"
PAGE = {"origin": "http://localhost:5173"}
ANN = {"authorization": bearer("user", "ann")}
SERVICE = {"authorization": bearer("service", "backend")}


@pytest.fixture(scope="module")
def stack() -> Iterator[RunningStack]:
    with RunningStack() as running:
        yield running


@pytest.fixture(scope="module")
def public(stack: RunningStack) -> str:
    return stack.target("GATEWAY_PORT")


@pytest.mark.parametrize("headers", [WEB, TEXT], ids=["binary", "text"])
def test_a_call_over_grpc_web_is_answered(public: str, headers: dict[str, str]) -> None:
    request = leaderboard_pb2.GetTopRequest(page_size=5)

    answer = ask(public, TOP, request.SerializeToString(), headers | ANN)

    assert (answer.http_status, answer.grpc_status) == (200, 0)
    (message,) = answer.messages
    assert leaderboard_pb2.GetTopResponse.FromString(message).HasField("state")
    assert answer.headers["x-request-id"]


def test_an_error_over_grpc_web_has_status_and_details(public: str) -> None:
    request = leaderboard_pb2.GetTopRequest(page_token="nonsense")

    answer = ask(public, TOP, request.SerializeToString(), WEB | ANN)

    assert answer.grpc_status == grpc.StatusCode.INVALID_ARGUMENT.value[0]
    assert answer.reason


@pytest.mark.parametrize("token", [{}, {"authorization": "Bearer none.of.ours"}])
def test_a_caller_without_a_good_token_is_not_let_in(public: str, token: dict[str, str]) -> None:
    answer = ask(public, TOP, headers=WEB | PAGE | token)

    assert answer.grpc_status == grpc.StatusCode.UNAUTHENTICATED.value[0]
    assert answer.reason
    assert answer.headers["access-control-allow-origin"] == PAGE["origin"]


async def test_watches_over_grpc_web_tell_of_changes_and_outlast_every_timeout(
    stack: RunningStack, public: str
) -> None:
    token = WEB | {"authorization": bearer("user", "wat")}
    board = types_pb2.Board(metric="watched")
    asked = leaderboard_pb2.WatchTopRequest(board=board, count=3).SerializeToString()
    top = await asyncio.to_thread(Stream, public, WATCH_TOP, asked, token)
    asked = leaderboard_pb2.WatchRankRequest(board=board, user_id="wat").SerializeToString()
    rank = await asyncio.to_thread(Stream, public, WATCH_RANK, asked, token)

    async def next_top() -> leaderboard_pb2.WatchTopResponse:
        return leaderboard_pb2.WatchTopResponse.FromString(await asyncio.to_thread(top.read))

    async def next_rank() -> leaderboard_pb2.WatchRankResponse:
        return leaderboard_pb2.WatchRankResponse.FromString(await asyncio.to_thread(rank.read))

    assert not (await next_top()).entries
    assert not (await next_rank()).HasField("entry")
    # Nothing changes for 15 s: longer than Envoy would let a stream live by itself.
    assert (await next_top()).keep_alive
    assert (await next_rank()).keep_alive
    async with open_channel(stack.target("PROGRESS_PORT")) as channel:
        user = catalog_pb2.PutUserRequest(user=catalog_pb2.User(user_id="wat"))
        await CatalogServiceStub(channel).PutUser(user, timeout=10)
        metric = catalog_pb2.PutMetricRequest(metric=catalog_pb2.Metric(metric="watched"))
        await CatalogServiceStub(channel).PutMetric(metric, timeout=10)
        await ProgressServiceStub(channel).AwardXp(award("wat", 7, metric="watched"), timeout=10)
    assert [entry.score for entry in (await next_top()).entries] == [7]
    assert (await next_rank()).entry.rank == 1
    top.close()
    rank.close()


async def test_plain_grpc_goes_through_the_gateway_too(public: str) -> None:
    async with open_channel(public) as channel:
        answer = await LeaderboardServiceStub(channel).GetTop(
            leaderboard_pb2.GetTopRequest(), timeout=10, **as_role("user", "ann")
        )
    assert answer.HasField("state")


async def test_administration_goes_through_the_admin_listener_alone(
    stack: RunningStack, public: str
) -> None:
    request = catalog_pb2.PutMetricRequest(metric=catalog_pb2.Metric(metric="through-the-gateway"))
    async with open_channel(public) as channel:
        with pytest.raises(grpc.aio.AioRpcError) as refused:
            await CatalogServiceStub(channel).PutMetric(request, timeout=10)
    async with open_channel(stack.target("ADMIN_GATEWAY_PORT")) as channel:
        service = CatalogServiceStub(channel)
        await service.PutMetric(request, timeout=10)
        with pytest.raises(grpc.aio.AioRpcError) as not_admin:
            await service.PutMetric(request, timeout=10, **as_role("service", "backend"))

    assert refused.value.code() is grpc.StatusCode.PERMISSION_DENIED
    assert not_admin.value.code() is grpc.StatusCode.PERMISSION_DENIED


async def test_a_backend_says_whom_it_acts_for_to_the_service_and_not_through_the_gateway(
    stack: RunningStack, public: str
) -> None:
    outside, inside = award("ann", 1, source="outside"), award("ann", 2, source="inside")
    async with open_channel(stack.target("PROGRESS_PORT")) as channel:
        service = ProgressServiceStub(channel)
        user = catalog_pb2.PutUserRequest(user=catalog_pb2.User(user_id="ann"))
        await CatalogServiceStub(channel).PutUser(user, timeout=10)

        headers = WEB | SERVICE | {"x-laurel-actor": "mallory"}
        await asyncio.to_thread(ask, public, AWARD, outside.SerializeToString(), headers)
        acts = (("authorization", SERVICE["authorization"]), ("x-laurel-actor", "tutor"))
        await service.AwardXp(inside, metadata=acts, timeout=10)

        asked = progress_pb2.ListXpEntriesRequest(user_id="ann")
        entries = (await service.ListXpEntries(asked, timeout=10)).entries
    assert {one.source: one.actor for one in entries} == {"outside": "backend", "inside": "tutor"}


def test_a_page_of_this_machine_may_call(public: str) -> None:
    allowed = preflight(public, TOP, PAGE["origin"])

    assert allowed.http_status == 200
    assert allowed.headers["access-control-allow-origin"] == PAGE["origin"]
    assert "x-grpc-web" in allowed.headers["access-control-allow-headers"]
    assert "authorization" in allowed.headers["access-control-allow-headers"]
    answer = ask(public, TOP, headers=WEB | PAGE | ANN)
    assert "grpc-status-details-bin" in answer.headers["access-control-expose-headers"]


def test_a_page_of_elsewhere_may_not(public: str) -> None:
    refused = preflight(public, TOP, "https://localhost.evil.example")

    assert "access-control-allow-origin" not in refused.headers


Open = Callable[..., Awaitable[LaurelPage]]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def open_page(public: str) -> AsyncIterator[Open]:
    """Opens a page of another origin than the gateway's."""
    async with running_browser() as browser:
        with served_page() as port:

            async def opened(host: str = "localhost", user: str = "") -> LaurelPage:
                page = await browser.new_page()
                await page.goto(f"http://{host}:{port}/")
                await page.wait_for_selector("html[data-ready]", state="attached")
                known = token("user", user) if user else ""
                return LaurelPage(page, f"http://{public}", known)

            yield opened


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def course(stack: RunningStack) -> None:
    """Levels of which each is locked until the one before is completed, and who takes them."""
    levels = [level("one"), level("two"), level("three")]
    section = catalog_pb2.Section(section_id="s", title="S", levels=levels)
    sequential = catalog_pb2.UNLOCK_MODE_SEQUENTIAL
    taken = catalog_pb2.Course(
        course_id="web", title="Web", unlock_mode=sequential, sections=[section]
    )
    async with open_channel(stack.target("PROGRESS_PORT")) as channel:
        catalog = CatalogServiceStub(channel)
        await catalog.PutCourse(catalog_pb2.PutCourseRequest(course=taken), timeout=10)
        user = catalog_pb2.User(user_id="page", display_name="A page")
        await catalog.PutUser(catalog_pb2.PutUserRequest(user=user), timeout=10)


@in_its_loop
async def test_a_page_submits_reads_the_board_and_watches_it_change(
    open_page: Open, course: None
) -> None:
    page = await open_page(user="page")
    await page.watch("top", WATCH_TOP, count=3)
    before = (await page.next("top"))["answer"].get("entries", [])
    submitted = await page.call(
        SUBMIT, levelId="one", correctAnswers=9, totalQuestions=10, requestId="from-a-page"
    )
    seen = (await page.next("top"))["answer"]["entries"]
    top = await page.call(TOP, consistencyToken=submitted["answer"]["consistencyToken"])
    await page.stop("top")

    xp = submitted["answer"]["xpEarned"]
    assert "page" not in {entry["userId"] for entry in before}
    assert {entry["userId"]: entry["score"] for entry in seen}["page"] == xp
    assert {entry["userId"]: entry["score"] for entry in top["answer"]["entries"]}["page"] == xp


@in_its_loop
async def test_a_page_reads_the_details_of_an_error(open_page: Open, course: None) -> None:
    page = await open_page(user="page")

    locked = await page.call(
        SUBMIT, levelId="three", correctAnswers=9, totalQuestions=10, requestId="too-early"
    )
    bad = await page.call(SUBMIT, levelId="one", correctAnswers=-1, totalQuestions=10)
    (info,) = locked["error"]["details"]
    assert locked["error"]["code"] == "FailedPrecondition"
    assert (info["@type"], info["reason"]) == ("google.rpc.ErrorInfo", "LEVEL_LOCKED")
    assert bad["error"]["code"] == "InvalidArgument"
    violations = [one.get("fieldViolations", []) for one in bad["error"]["details"]]
    assert "correct_answers" in {violation["field"] for one in violations for violation in one}


@in_its_loop
async def test_a_page_is_told_what_it_may_not_do(open_page: Open, course: None) -> None:
    page = await open_page()

    anonymous = await page.call(TOP)
    page.token = token("user", "page")
    other = await page.call(
        SUBMIT, userId="ann", levelId="one", correctAnswers=1, totalQuestions=2, requestId="ann"
    )
    page.token = token("admin", "page")
    administration = await page.call(PUT_COURSE, course={"courseId": "mine", "title": "Mine"})

    assert anonymous["error"]["code"] == "Unauthenticated"
    assert anonymous["error"]["details"][0]["reason"]
    assert other["error"]["code"] == "PermissionDenied"
    assert other["error"]["details"][0]["reason"] == "NOT_YOUR_OWN"
    assert administration["error"]["code"] == "PermissionDenied"


@in_its_loop
async def test_a_page_of_elsewhere_gets_nothing(open_page: Open) -> None:
    page = await open_page(host=ELSEWHERE, user="page")
    said: list[str] = []
    page.page.on("console", lambda message: said.append(message.text))

    refused = await page.call(TOP)

    assert "answer" not in refused
    assert any("blocked by CORS policy" in text for text in said), said
