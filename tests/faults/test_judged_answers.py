"""Whatever is changed in an answer about a board, the judge finds it."""

from collections.abc import Iterator
from typing import Any

import pytest
from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.message import Message

from shared.gen.laurel.leaderboard.v1 import leaderboard_pb2 as boards
from shared.gen.laurel.progress.v1 import progress_pb2 as pb
from shared.gen.laurel.types.v1 import types_pb2
from tests.faults.fabricated import XP, Told, a_run
from tests.faults.fabricated_writes import TODAY
from tests.faults.judging import judge
from tests.faults.recording import Act
from tests.faults.verdict import ANSWERS, RESTORE

_JUDGED = ("GetTop", "GetRank", "GetAround", "BatchGetRanks", "ListStandings", "BatchGetStandings")
_WITHOUT_MEANING = {"confirmed_time", "period_end_time", "next_page_token"}
"""Times by the service's clock; of a token, whether there is one is judged elsewhere."""


def _told() -> Told:
    """A run with one answer of each kind, all of them right."""
    told = a_run()
    whole, state = told.entries(XP), told.state(XP)
    around = boards.GetAroundResponse(entries=whole[:3], state=state)
    told.call("GetAround", boards.GetAroundRequest(user_id=whole[1].user_id, count=3), around)
    users = [whole[1].user_id, "nobody", whole[0].user_id]
    batch = boards.BatchGetRanksResponse(
        entries=whole[:2], unranked_user_ids=["nobody"], state=state
    )
    told.call("BatchGetRanks", boards.BatchGetRanksRequest(user_ids=users), batch)
    scores = [entry.score for entry in whole]
    standing = pb.Standing(
        rank=whole[1].rank,
        user_id=whole[1].user_id,
        score=scores[1],
        display_name=whole[1].display_name,
        users_below=sum(1 for score in scores if score < scores[1]),
        score_to_next_rank=scores[0] - scores[1],
    )
    some = pb.BatchGetStandingsResponse(
        standings=[standing],
        total_users=len(whole),
        position=state.position,
        as_of_time=state.as_of_time,
    )
    asked = pb.BatchGetStandingsRequest(user_ids=[standing.user_id])
    told.call("BatchGetStandings", asked, some)
    return told


def _damages(message: Message) -> Iterator[str]:
    """Changes one value after the other, each time until the next is asked for."""
    for field, value in message.ListFields():
        if field.name in _WITHOUT_MEANING:
            continue
        if field.is_repeated:
            kept = list(value)
            if field.message_type:
                for number, one in enumerate(kept):
                    yield from (f"{field.name}[{number}].{what}" for what in _damages(one))
                kept = [type(one).FromString(one.SerializeToString()) for one in kept]
            del value[-1]
            yield f"one of {field.name} less"
            del value[:]
            value.extend(kept)
        elif field.message_type:
            yield from (f"{field.name}.{what}" for what in _damages(value))
        else:
            setattr(message, field.name, _another(field, value))
            yield field.name
            setattr(message, field.name, value)


def _another(field: FieldDescriptor, value: Any) -> Any:
    if field.enum_type:
        return 0
    return value + "x" if isinstance(value, str) else value + 1


@pytest.mark.parametrize("method", _JUDGED)
def test_each_value_of_an_answer_must_be_right(method: str) -> None:
    told = _told()
    assert judge(told.recorded).ok, [str(one) for one in judge(told.recorded).violations]
    tried = 0
    for call in [one for one in told.recorded.calls if one.method == method and one.response]:
        for what in _damages(call.response):
            tried += 1
            broken = {one.promise for one in judge(told.recorded).violations}
            assert broken, f"{what} is not noticed"
            assert broken <= {ANSWERS, RESTORE}, f"{what}: {broken}"
    assert tried > 5
    assert judge(told.recorded).ok, "a damage was not taken back"


def _watch(told: Told) -> tuple[Any, Any]:
    """A watch of the top and one of a rank, with two states and a sign of life each."""
    tops, ranks, before = [], [], 0
    for number in range(2):
        told.award("ann", 100 * (1 + number), f"w{number}")
        entry = next(one for one in told.entries(XP) if one.user_id == "ann")
        tops.append(boards.WatchTopResponse(entries=told.entries(XP)[:2], state=told.state(XP)))
        ranks.append(
            boards.WatchRankResponse(entry=entry, previous_rank=before, state=told.state(XP))
        )
        before = entry.rank
    told.award("bob", 1, "w3")
    told.award("bob", 10_000, "w4")
    del told.branch.changes[-1], told.branch.entries[-1], told.recorded.calls[-1]
    told.branch.keys.pop()
    ranks.append(boards.WatchRankResponse(keep_alive=True, state=told.state(XP)))
    top = told.stream("WatchTop", boards.WatchTopRequest(count=2), *tops)
    rank = told.stream("WatchRank", boards.WatchRankRequest(user_id="ann"), *ranks)
    return top, rank


def test_each_message_of_a_watch_must_be_right_and_none_may_go_back() -> None:
    told = a_run()
    top, rank = _watch(told)
    assert judge(told.recorded).ok, [str(one) for one in judge(told.recorded).violations]
    for stream in (top, rank):
        for _, message in stream.messages:
            for what in _damages(message):
                broken = {one.promise for one in judge(told.recorded).violations}
                assert broken == {ANSWERS} or what == "keep_alive", f"{what}: {broken}"
    rank.messages[2][1].keep_alive = False
    assert not judge(told.recorded).ok
    rank.messages[2][1].keep_alive = True
    top.messages.reverse()
    assert any("goes back" in one.what for one in judge(told.recorded).violations)


def test_a_sign_of_life_says_that_nothing_has_changed() -> None:
    told = a_run()
    _, rank = _watch(told)
    told.award("ann", 1, "w5")
    rank.messages[-1][1].state.CopyFrom(told.state(XP))
    assert {one.promise for one in judge(told.recorded).violations} == {ANSWERS}


def _snapshot(told: Told) -> Any:
    profiles = [told.branch.changes[number].profile_change for number in (0, 1, 3)]
    profiles.append(pb.ProfileChange(user_id="cyd", display_name="Cydonia"))
    at: dict[str, Any] = {"position": told.position}
    parts = [pb.SnapshotStandingsResponse(profiles=profiles, **at)]
    for board in (XP, TODAY):
        scores = [pb.Standing(user_id=one.user_id, score=one.score) for one in told.entries(board)]
        parts.append(pb.SnapshotStandingsResponse(board=board, standings=scores, **at))
    parts.append(pb.SnapshotStandingsResponse(complete=True, **at))
    request = pb.SnapshotStandingsRequest(boards=[XP, TODAY])
    return told.stream("SnapshotStandings", request, *parts)


def test_each_part_of_a_snapshot_must_be_right_and_a_whole_one_lacks_nothing() -> None:
    told = a_run()
    stream = _snapshot(told)
    assert judge(told.recorded).ok, [str(one) for one in judge(told.recorded).violations]
    for _, message in stream.messages:
        for what in _damages(message):
            if what != "complete":
                broken = {one.promise for one in judge(told.recorded).violations}
                assert broken == {ANSWERS}, f"{what}: {broken}"
    del stream.messages[1:3], stream.messages[-1]
    assert judge(told.recorded).ok, "it was cut short, and is right as far as it goes"


def test_what_a_late_follower_has_of_a_user_who_was_erased_may_be_less() -> None:
    told = a_run()
    for amount, request_id in ((5, "x1"), (6, "x2"), (300, "x3")):
        told.award("eve", amount, request_id)
    through = len(told.branch.changes)
    erasing = told.erase("eve")
    position = types_pb2.Position(epoch=told.epoch, sequence=through)
    whole = told.entries(XP, through)
    late = [one for one in whole if one.user_id != "eve"]
    late.insert(3, boards.Entry(user_id="eve", display_name="Eve", score=7 + 5))
    for entry in late:
        entry.rank = 1 + sum(1 for one in late if one.score > entry.score)
    state = told.state(XP)
    state.position.CopyFrom(position)
    state.total_users = len(whole)
    state.as_of_time.CopyFrom(told.branch.changes[through - 1].numbered_time)
    answer = boards.GetTopResponse(entries=late, state=state)
    frozen = Act("freeze.leaderboard", "leaderboard", 1.0, 2.0, effect="stood still")
    told.recorded.acts.append(frozen)
    told.call("GetTop", boards.GetTopRequest(), answer)
    assert judge(told.recorded).ok, [str(one) for one in judge(told.recorded).violations]
    answer.entries[-1].score += 2
    assert not judge(told.recorded).ok, "no redaction gives that score"
    answer.entries[-1].score -= 2
    told.recorded.calls.remove(erasing)
    assert not judge(told.recorded).ok, "nobody was erased by then"
