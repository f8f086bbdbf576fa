"""Boards under everything that goes wrong, at random and thousands of times: see `simulation`.

LAUREL_SIMULATIONS says how many seeds are played, LAUREL_SIMULATION_FIRST which is the first: a
seed that failed is played again with LAUREL_SIMULATIONS=1.
"""

import os
import subprocess
import sys
from hashlib import sha256

import pytest

from tests.unit.simulation.mutations import MUTATIONS, Mutation
from tests.unit.simulation.planted import planted
from tests.unit.simulation.play import first_wrong, play

COUNT = int(os.environ.get("LAUREL_SIMULATIONS", "2000"))
FIRST = int(os.environ.get("LAUREL_SIMULATION_FIRST", "0"))
SHARES = 8
"""Each is a test, so that they can be run beside each other."""
ENOUGH = 2000
"""Seeds within which each mutation shows; most do within ten."""
DIGEST = """
from tests.unit.test_simulation import digest
print(digest(range(10)))
"""


def digest(seeds: range) -> str:
    """What happened in these simulations."""
    with planted():
        logs = [line for seed in seeds for line in play(seed).log]
    return sha256("\n".join(logs).encode()).hexdigest()


@pytest.mark.timeout(120 + COUNT // 10)
@pytest.mark.parametrize("share", range(SHARES))
def test_whatever_goes_wrong_boards_equal_the_history_at_their_position(share: int) -> None:
    with planted():
        wrong = first_wrong(range(FIRST + share, FIRST + COUNT, SHARES))
    if wrong is not None:
        pytest.fail(str(wrong), pytrace=False)


@pytest.mark.parametrize("mutation", MUTATIONS, ids=lambda mutation: mutation.plant.__name__)
def test_each_mutation_is_found_out(mutation: Mutation) -> None:
    with planted() as patch:
        mutation.plant(patch)
        wrong = first_wrong(range(ENOUGH), mutation.faults)
    assert wrong is not None


def test_a_seed_plays_the_same_again_and_in_another_process() -> None:
    here = digest(range(10))
    assert digest(range(10)) == here
    # Sets of texts are in another order there.
    other = subprocess.run(
        [sys.executable, "-c", DIGEST],
        env={**os.environ, "PYTHONHASHSEED": "7", "PYTHONPATH": os.pathsep.join(sys.path)},
        capture_output=True,
        text=True,
        check=True,
    )
    assert other.stdout.strip() == here
