import asyncio
import random
from datetime import date
from typing import Any

import pytest

from progress_service.settings import ProgressSettings
from shared.gen.laurel.leaderboard.v1 import leaderboard_pb2 as boards
from shared.gen.laurel.progress.v1 import progress_pb2 as pb
from shared.gen.laurel.types.v1 import types_pb2
from tests.conftest import running_progress
from tests.faults.availability import HEALTHY, Share, availability
from tests.faults.recording import Act, Call, Recorded, Stream
from tests.faults.workload import world, writes
from tests.faults.workload.client import Client, Run
from tests.faults.workload.connection import Addresses, Connection
from tests.faults.workload.crowd import KINDS
from tests.faults.workload.reader import next_page
from tests.faults.workload.reads import Question
from tests.faults.workload.recorder import Asker, Recorder
from tests.faults.workload.returner import last_given
from tests.faults.workload.writer import settle
from tests.faults.workload.writes import Draw, Memory, Write
from tests.ports import free_port
from tests.progress import award

TODAY = date(2026, 11, 20)
NOWHERE = Addresses(["127.0.0.1:1"], ["127.0.0.1:1"])


def drawn(seed: int, count: int = 300) -> list[Write]:
    memory = Memory()
    draw = Draw(memory, TODAY)
    found = []
    for number in range(count):
        one = draw.any(f"r{number}", random.Random(f"{seed}/w/{number}"))
        if isinstance(one.request, pb.AwardXpRequest):
            memory.keep(one, pb.AwardXpResponse(entry_id=f"{number}", amount_credited=1))
        if isinstance(one.request, pb.SubmitProgressRequest):
            review = pb.SubmitProgressResponse(attempt_id=f"{number}", under_review=number % 9 == 0)
            memory.keep(one, review)
        found.append(one)
    return found


def test_a_seed_gives_the_same_writes_every_time() -> None:
    assert drawn(7) == drawn(7)
    assert drawn(7) != drawn(8)


def test_every_kind_of_write_and_of_read_is_drawn() -> None:
    assert len({one.path for one in drawn(1)}) == 8
    chance = random.Random(1)
    assert len({Question(chance, TODAY).any()[0] for _ in range(300)}) == 11


def test_corrections_often_come_after_resets_and_some_users_are_hidden_from_the_beginning() -> None:
    methods = [one.path.split("/")[1] for one in drawn(1)]
    resets = [number for number, name in enumerate(methods) if name == "ResetWindow"]
    assert len(resets) >= 5
    assert methods[resets[0] :].count("RevokeXp") >= 20
    founding: list[tuple[str, Any]] = list(world.founding())
    made = [one.user for path, one in founding if path.endswith("PutUser")]
    assert 1 < sum(user.hidden for user in made) < len(made) / 4


def test_a_repeated_write_is_the_very_same_request() -> None:
    by_id: dict[str, Any] = {}
    repeated = 0
    for one in drawn(3):
        if one.request_id:
            repeated += one.request_id in by_id
            assert by_id.setdefault(one.request_id, one.request) == one.request
    assert repeated > 5


class Note(Client):
    """Notes what chance gives it each time."""

    def __init__(self, run: Run, ask: Asker, rate: float) -> None:
        super().__init__(run, ask, rate)
        self.noted: list[tuple[int, float]] = []

    async def act(self, number: int, chance: random.Random) -> None:
        self.noted.append((number, chance.random()))
        if number == 5:
            self._run.stopping.set()


async def test_what_a_client_does_follows_from_seed_name_and_number_not_from_time() -> None:
    noted = []
    for rate in (10_000.0, 100.0):
        connection = Connection(NOWHERE, "admin", "a")
        asker = Recorder(Recorded(1, 1)).asker("a", connection)
        client = Note(Run(1, TODAY, asyncio.Event()), asker, rate)
        await client.live()
        await connection.close()
        noted.append(client.noted)
    assert noted[0] == noted[1]
    assert len(noted[0]) == 5


async def test_a_write_is_repeated_until_a_server_answers_it(postgres_url: str) -> None:
    port = free_port()
    recorded = Recorded(1, 1)
    connection = Connection(Addresses([f"127.0.0.1:{port}"], []), "admin", "a")
    ask = Recorder(recorded).asker("a", connection)
    one = Write("ProgressService/AwardXp", award("nobody", 5))
    settling = asyncio.create_task(settle(ask, one, asyncio.Event()))
    async with asyncio.timeout(20):
        while len(recorded.calls) < 3:
            await asyncio.sleep(0.01)
        settings = ProgressSettings(postgres_url=postgres_url, drain_seconds=0.5)
        async with running_progress(settings, port=port):
            answer = await settling
    await connection.close()
    assert answer.failure is not None
    assert answer.failure.reason == "USER_NOT_FOUND"
    assert {call.failure.code for call in recorded.calls[:-1] if call.failure} == {"UNAVAILABLE"}
    assert all(call.request == one.request for call in recorded.calls)


async def test_a_writer_gives_up_when_it_is_told_to() -> None:
    connection = Connection(NOWHERE, "admin", "a")
    recorded, gave_up = Recorded(1, 1), asyncio.Event()
    gave_up.set()
    async with asyncio.timeout(10):
        one = writes.arrival("u", "U")
        answer = await settle(Recorder(recorded).asker("a", connection), one, gave_up)
    await connection.close()
    assert recorded.calls == [answer]
    assert answer.failure is not None


def test_the_next_page_is_asked_for_with_the_same_board_and_the_token() -> None:
    board = types_pb2.Board(metric="marks")
    request = pb.ListStandingsRequest(board=board, page_size=3, around_user_id="u")
    following = next_page(request, pb.ListStandingsResponse(next_page_token="t"))
    assert following == pb.ListStandingsRequest(board=board, page_size=3, page_token="t")
    assert next_page(request, pb.ListStandingsResponse()) is None
    assert next_page(request, None) is None


def probe(begun: float, took: float, *, answered: bool = True, client: str = "prober") -> Call:
    response = object() if answered else None
    request = pb.GetUserStatsRequest()
    return Call(client, "LeaderboardService", "GetRank", request, begun, begun + took, response)


def test_a_share_counts_the_probers_calls_that_began_while_one_fault_alone_held() -> None:
    acts = [Act("a", "", 10, 20), Act("b", "", 18, 30)]
    calls = [
        probe(1, 0.1),
        probe(11, 0.25),
        probe(12, 0.26),
        probe(13, 0.1, answered=False),
        probe(14, 0.1, client="reader"),
        probe(19, 0.1),
        probe(20.5, 0.1),
        probe(40, 0.1),
    ]
    found = availability(Recorded(1, 1, calls=calls, acts=acts))
    assert found == {HEALTHY: Share(1, 1), "a": Share(3, 1), "b": Share(1, 1)}
    assert found["a"].ratio == pytest.approx(1 / 3)


def test_every_client_of_a_run_has_a_name_of_its_own() -> None:
    assert len({kind.name for kind in KINDS}) == len(KINDS)


def given(method: str, at: float, response: Any) -> Call:
    service = "LeaderboardService" if method == "GetTop" else "StandingsService"
    request = boards.GetTopRequest() if method == "GetTop" else pb.ListStandingsRequest()
    return Call("a", service, method, request, at, at, response)


def test_what_was_given_last_before_a_moment_is_brought_back() -> None:
    position = types_pb2.Position(epoch="e", sequence=4)
    calls = [
        given("GetTop", at, boards.GetTopResponse(next_page_token=f"t{at}")) for at in range(9)
    ]
    calls.append(given("ListStandings", 3, pb.ListStandingsResponse(position=position)))
    calls.append(given("ListStandings", 8, pb.ListStandingsResponse(next_page_token="late")))
    told = [(2.0, pb.WatchXpDeltasResponse(through=position)), (8.0, pb.WatchXpDeltasResponse())]
    stream = Stream("a", "ProgressService", "WatchXpDeltas", pb.WatchXpDeltasRequest(), 1, told)
    found = last_given(Recorded(1, 1, calls=calls, streams=[stream]), 7.5)
    pages = [read.page_token for path, read in found if path == "LeaderboardService/GetTop"]
    assert pages == ["t7", "t6", "t5", "t4", "t3", "t2"]
    watches = [read for path, read in found if path == "ProgressService/WatchXpDeltas"]
    assert watches == [pb.WatchXpDeltasRequest(after=position)] * 2
    assert len(found) == len(pages) + len(watches)
