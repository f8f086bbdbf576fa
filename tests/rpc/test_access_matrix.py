"""Every RPC and every kind of caller, against both running services."""

import pytest

from shared.access import rule_of
from tests.access_matrix import METHODS, wrongly_answered, wrongly_refused
from tests.access_world import World
from tests.callers import CALLERS, Caller
from tests.who_may import RPCS, Rpc


def test_the_table_names_every_rpc_of_the_contract_once() -> None:
    assert sorted(rpc.path for rpc in RPCS) == sorted(METHODS)


@pytest.mark.parametrize("rpc", RPCS, ids=lambda rpc: rpc.path)
def test_the_contract_says_what_the_table_says(rpc: Rpc) -> None:
    declared = rule_of(METHODS[rpc.path])

    assert declared.role.name.lower() == rpc.role
    assert bool(declared.user_field) == rpc.names_user
    assert (declared.own_only, declared.public) == (rpc.own, rpc.public)


@pytest.mark.asyncio(loop_scope="module")
@pytest.mark.parametrize("caller", CALLERS, ids=lambda caller: caller.name)
async def test_who_may_not_is_refused_before_any_work_and_learns_nothing(
    world: World, caller: Caller
) -> None:
    before = await world.state()

    wrong = await wrongly_answered(world.doors, caller, world.targets, Caller.refusal)

    assert wrong == {}
    assert await world.state() == before


@pytest.mark.asyncio(loop_scope="module")
@pytest.mark.parametrize("caller", CALLERS, ids=lambda caller: caller.name)
async def test_who_may_is_answered(world: World, caller: Caller) -> None:
    assert await wrongly_refused(world.doors, caller, world.targets, Caller.refusal) == {}
