"""Whatever arrives, in whatever order and however often: the service ends where the model does."""

from random import Random
from typing import Any

from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from tests.conftest import serving
from tests.learning_model import Rule
from tests.learning_play import LEVELS, USERS, Play

DAYS = 6


def rules() -> st.SearchStrategy[dict[str, Rule]]:
    """Any part of the levels; each may wait for those before it."""

    @st.composite
    def drawn(draw: st.DrawFn) -> dict[str, Rule]:
        kept = [one for one in LEVELS if draw(st.integers(0, 5))] or [LEVELS[0]]
        return {
            one: Rule(
                draw(st.sampled_from([0.0, 0.4, 0.7, 1.0])),
                draw(st.sampled_from([0, 50, 70])),
                draw(st.sampled_from([0, 10, 100])),
                draw(st.sampled_from([0, 1])),
                tuple(other for other in kept[:n] if not draw(st.integers(0, 3))),
            )
            for n, one in enumerate(kept)
        }

    return drawn()


USER = st.sampled_from(USERS)
DAY = st.integers(0, DAYS - 1)
SUBMIT_ARGUMENTS = (USER, st.sampled_from(LEVELS), st.integers(0, 10), DAY, st.integers(0, 40))
SUBMIT = st.tuples(st.just("submit"), *SUBMIT_ARGUMENTS)
AWARD = st.tuples(
    st.just("award"), USER, st.integers(1, 9), DAY, st.integers(0, 3), st.integers(0, 40)
)
QUICK = st.tuples(st.just("quick"), *SUBMIT_ARGUMENTS)
PICK = st.tuples(st.sampled_from(["revoke", "void"]), USER, st.integers(0, 30))
REVIEW = st.tuples(st.sampled_from(["accept", "accept", "reject"]), USER, st.integers(0, 30))
EDIT = st.tuples(st.just("edit"), rules())
ERASE = st.tuples(st.sampled_from(["erase", "erase", "create"]), USER)
STEPS = st.lists(
    st.one_of(
        *(SUBMIT, SUBMIT, SUBMIT, QUICK, REVIEW, AWARD, PICK, PICK, EDIT),
        st.integers(0, 30),
    )
    | ERASE,
    min_size=5,
    max_size=40,
)
"""A number means: once more what was done that many steps ago."""


EXAMPLES = settings(
    max_examples=30,
    deadline=None,
    derandomize=True,
    suppress_health_check=list(HealthCheck),
    phases=[Phase.generate, Phase.shrink],
)


def test_any_sequence_of_calls_ends_where_the_model_does(postgres_url: str) -> None:
    with serving(postgres_url) as (runner, progress):

        @EXAMPLES
        @given(STEPS)
        def check(steps: list[Any]) -> None:
            runner.run(Play(progress).run(steps))

        check()


@st.composite
def facts(draw: st.DrawFn) -> list[Any]:
    """Attempts and awards whose order of arrival must not matter: in a course where no level
    waits, and of one level and user at most one attempt that passes.
    """
    found = draw(st.lists(st.one_of(SUBMIT, SUBMIT, AWARD), min_size=2, max_size=20))
    passed: set[tuple[str, str]] = set()
    kept = []
    for one in found:
        if one[0] == "submit" and one[3] >= 5:
            if one[1:3] in passed:
                continue
            passed.add(one[1:3])
        kept.append(one)
    # Of one reference the first credit counts, whatever its amount: so each has one of its own.
    return [one if one[0] == "submit" else (*one[:4], n, n) for n, one in enumerate(kept)]


def test_the_order_of_arrival_does_not_matter_where_the_rules_say_so(postgres_url: str) -> None:
    with serving(postgres_url) as (runner, progress):

        @EXAMPLES
        @given(facts(), st.randoms(use_true_random=False), st.data())
        def check(steps: list[Any], chance: Random, data: st.DataObject) -> None:
            again = data.draw(st.lists(st.sampled_from(steps), max_size=5))
            shuffled = [*steps, *again]
            chance.shuffle(shuffled)
            first, second = Play(progress), Play(progress)
            runner.run(first.run(steps))
            runner.run(second.run(shuffled))
            assert runner.run(first.state()) == runner.run(second.state())

        check()
