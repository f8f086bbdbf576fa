"""A prerequisite graph that was drawn to hurt: refused by name, and quickly either way."""

import random
import time
from collections.abc import Callable

from shared.errors import InvalidInput
from shared.gen.laurel.progress.v1 import catalog_pb2 as pb
from tests.progress import Progress, level, refused

LEVELS, EDGES, SEED = 837, 981, 20261120
CYCLE = ("l100", "l400", "l700")
LOOPS = ("l13", "l613")
Record = Callable[[str, object], None]


def acyclic(edges: int) -> dict[str, set[str]]:
    """So many requirements drawn at random, each of a level that comes before."""
    drawn = random.Random(SEED)
    found: dict[str, set[str]] = {f"l{n}": set() for n in range(LEVELS)}
    while sum(map(len, found.values())) < edges:
        before, after = sorted(drawn.sample(range(LEVELS), 2))
        found[f"l{after}"].add(f"l{before}")
    return found


def hostile() -> dict[str, set[str]]:
    """The same with one cycle of three and two levels that require themselves."""
    graph = acyclic(EDGES - len(CYCLE) - len(LOOPS))
    for one, other in zip(CYCLE, (*CYCLE[1:], CYCLE[0]), strict=True):
        assert other not in graph[one]
        graph[one].add(other)
    for one in LOOPS:
        graph[one].add(one)
    assert sum(map(len, graph.values())) == EDGES
    return graph


def course_of(graph: dict[str, set[str]]) -> pb.PutCourseRequest:
    """In an order that says nothing, in three sections."""
    ids = random.Random(SEED + 1).sample(sorted(graph), len(graph))
    levels = [level(one, prerequisite_level_ids=sorted(graph[one])) for one in ids]
    sections = [
        pb.Section(section_id=f"s{n}", levels=levels[n * 279 : (n + 1) * 279]) for n in range(3)
    ]
    mode = pb.UNLOCK_MODE_PREREQUISITES
    return pb.PutCourseRequest(course=pb.Course(course_id="c", unlock_mode=mode, sections=sections))


async def test_a_hostile_graph_is_refused_naming_its_cycle_and_self_loops(
    progress: Progress, record_property: Record
) -> None:
    request = course_of(hostile())
    took: list[float] = []
    for validate_only in (True, False):
        request.validate_only = validate_only
        began_at = time.perf_counter()
        async with refused(InvalidInput, "INVALID_FIELD") as errors:
            await progress.catalog.PutCourse(request)
        took.append(time.perf_counter() - began_at)
        named = [one.description for one in errors[0].violations]
        cycles = [one.removeprefix("cycle: ") for one in named if one.startswith("cycle: ")]
        assert len(cycles) == 1
        first, *rest = cycles[0].split(" -> ")
        assert {first, *rest} == {*CYCLE}
        assert (len(rest), rest[-1]) == (3, first)
        assert sorted(one for one in named if "requires itself" in one) == [
            f"{one} requires itself" for one in LOOPS
        ]
        assert len(named) == 3
    assert max(took) < 1
    record_property("measured", f"a hostile graph is refused in {max(took) * 1000:.0f} ms")


async def test_the_same_graph_without_them_is_accepted(
    progress: Progress, record_property: Record
) -> None:
    request = course_of(acyclic(EDGES - len(CYCLE) - len(LOOPS)))
    began_at = time.perf_counter()
    stored = await progress.catalog.PutCourse(request)
    took = time.perf_counter() - began_at
    assert stored.course.version == 1
    assert [len(section.levels) for section in stored.course.sections] == [279, 279, 279]
    await progress.put_users("ann")
    answer = await progress.submit("ann", "l0")
    opened = [one.level_id for one in all_levels(request) if one.prerequisite_level_ids == ["l0"]]
    assert [*answer.unlocked_level_ids] == opened
    assert took < 1
    record_property(
        "measured", f"{LEVELS} levels with prerequisites stored in {took * 1000:.0f} ms"
    )


def all_levels(request: pb.PutCourseRequest) -> list[pb.Level]:
    return [one for section in request.course.sections for one in section.levels]
