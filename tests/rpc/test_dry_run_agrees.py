"""Whatever a stream holds, and whatever is stored: the import does what its dry run told."""

import asyncio
from collections.abc import Callable, Sequence
from itertools import count
from typing import Any

from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from shared.gen.laurel.progress.v1 import admin_pb2 as pb
from shared.gen.laurel.progress.v1 import catalog_pb2 as catalog
from tests.conftest import serving
from tests.imports import attempt, batch, both, import_all
from tests.progress import award, level

LEVELS = ["l1", "l2", "l3"]
USERS = st.sampled_from(["ann", "ann", "ann", "bob", "bob", "eve", "a b"])
COURSES = st.sampled_from(["c", "c", "c", "d"])
REQUESTS = st.sampled_from([*(f"r{n}" for n in range(40)), ""])
DATES = st.sampled_from(["2014-02-03", "2014-02-04", "1999-01-01", "9999-12-31", "today"])
_examples = count(1)

Add = Callable[[pb.ImportProgressRequest, str], None]
"""Adds an item to a message; ids begin with the text, which sets examples apart."""


@st.composite
def users(draw: st.DrawFn) -> Add:
    user_id, zone = draw(USERS), draw(st.sampled_from(["", "Asia/Jakarta", "Mars/Phobos"]))
    return lambda message, own: message.users.append(
        catalog.User(user_id=own + user_id, time_zone=zone)
    )


@st.composite
def courses(draw: st.DrawFn) -> Add:
    course_id = draw(COURSES)
    mode = draw(st.sampled_from([catalog.UNLOCK_MODE_SEQUENTIAL, catalog.UNLOCK_MODE_OPEN]))
    archived = draw(st.integers(0, 9)) == 9
    drawn = [
        (one, draw(st.sampled_from([0.6, 0.0, 0.3, 1.0])), draw(st.integers(0, 30)))
        for one in LEVELS
        if draw(st.integers(0, 5)) < 5
    ]

    def add(message: pb.ImportProgressRequest, own: str) -> None:
        levels = [
            level(
                own + level_id,
                pass_ratio=ratio,
                rewards=[catalog.MetricReward(metric="unknown", amount=1)] if kind == 30 else [],
            )
            for level_id, ratio, kind in drawn
        ]
        section = catalog.Section(section_id="s", levels=levels)
        message.courses.append(
            catalog.Course(
                course_id=own + course_id, sections=[section], unlock_mode=mode, archived=archived
            )
        )

    return add


@st.composite
def attempts(draw: st.DrawFn) -> Add:
    user_id, level_id, request_id = draw(USERS), draw(st.sampled_from(LEVELS)), draw(REQUESTS)
    correct = draw(st.sampled_from([10, 7, 4, 4, 4, 2, 11]))
    carried = draw(st.integers(0, 4)) == 4

    def add(message: pb.ImportProgressRequest, own: str) -> None:
        item = attempt(own + user_id, own + level_id, correct, "r", without_xp=carried)
        item.attempt.request_id = request_id
        message.attempts.append(item)

    return add


@st.composite
def awards(draw: st.DrawFn) -> Add:
    user_id, request_id, amount = draw(USERS), draw(REQUESTS), draw(st.integers(0, 2))
    fields: dict[str, Any] = {"reference": draw(st.sampled_from(["", "w1", "w2"]))}
    fields["metric"] = draw(st.sampled_from(["", "pomodoros", "unknown"]))
    course_id = draw(st.one_of(st.just(""), COURSES))

    def add(message: pb.ImportProgressRequest, own: str) -> None:
        item = award(own + user_id, amount, **fields, course_id=course_id and own + course_id)
        item.request_id = request_id
        message.awards.append(item)

    return add


@st.composite
def days(draw: st.DrawFn) -> Add:
    user_id, day = draw(USERS), draw(DATES)
    return lambda message, own: message.active_days.append(
        pb.ActiveDay(user_id=own + user_id, date=day)
    )


ITEMS = st.one_of(*[attempts()] * 6, courses(), awards(), awards(), users(), days())
BATCHES = st.lists(st.lists(ITEMS, max_size=12), max_size=5)
BASE = batch(
    users=[catalog.User(user_id=one) for one in ("ann", "bob")],
    courses=[
        catalog.Course(
            course_id="c",
            sections=[catalog.Section(section_id="s", levels=[level(one) for one in LEVELS])],
        )
    ],
)


def base(own: str) -> pb.ImportProgressRequest:
    """What most of the items need."""
    message = pb.ImportProgressRequest()
    message.CopyFrom(BASE)
    for user in message.users:
        user.user_id = own + user.user_id
    message.courses[0].course_id = own + "c"
    for one in message.courses[0].sections[0].levels:
        one.level_id = own + one.level_id
    return message


def messages(batches: Sequence[Sequence[Add]], own: str) -> list[pb.ImportProgressRequest]:
    sent = []
    for items in batches:
        message = pb.ImportProgressRequest()
        for add in items:
            add(message, own)
        sent.append(message)
    return sent


def test_the_import_does_what_its_dry_run_told(postgres_url: str) -> None:
    with serving(postgres_url) as (runner, progress):

        @settings(
            max_examples=80,
            deadline=None,
            derandomize=True,
            phases=[Phase.generate],  # a failure is the same one again; shrinking takes minutes
            suppress_health_check=list(HealthCheck),
        )
        @given(stored=BATCHES, sent=BATCHES, base_is_sent=st.booleans())
        def agrees(stored: list[list[Add]], sent: list[list[Add]], *, base_is_sent: bool) -> None:
            own = f"e{next(_examples)}-"

            async def run() -> None:
                before = [] if base_is_sent else [base(own)]
                after = [base(own)] if base_is_sent else [batch()]
                async with asyncio.timeout(30):
                    await import_all(progress, [*before, *messages(stored, own)])
                    await both(progress, [*after, *messages(sent, own)])

            runner.run(run())

        agrees()
