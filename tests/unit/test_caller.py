"""What a call says of itself, read from its metadata."""

from shared.caller import Caller, actor, current_call, request_id
from shared.identity import NOBODY, Actor, Identity, Role


class Context:
    """A servicer's context whose metadata cannot be read without a line in the log, as grpc's
    when it is no UTF-8.
    """

    def __init__(self, **metadata: str) -> None:
        self.metadata = [(key.replace("_", "-"), value) for key, value in metadata.items()]
        self.ids_in_log: list[str] = []

    def invocation_metadata(self) -> list[tuple[str, str]]:
        self.ids_in_log.append(request_id())
        return self.metadata


def test_what_reading_it_logs_does_not_have_it_read_again() -> None:
    context = Context(authorization="\xff", x_request_id="trace-1", x_laurel_actor="tutor")
    caller = Caller(context)
    token = current_call.set(caller)
    try:
        found = (caller.authorization, caller.request_id, caller.actor)
    finally:
        current_call.reset(token)

    assert found == ("\xff", "trace-1", "tutor")
    assert len(context.ids_in_log) == 1
    assert context.ids_in_log[0]


def test_of_several_ids_the_first_that_is_well_formed_counts() -> None:
    context = Context()
    context.metadata = [("x-request-id", one) for one in ("", "a b", "x" * 65, "one", "two")]

    assert Caller(context).request_id == "one"


def test_an_actor_is_whom_the_caller_names_and_whose_token_it_was() -> None:
    assert actor() == NOBODY
    caller = Caller(Context(x_laurel_actor="tutor"))
    caller.identity = Identity("backend", Role.SERVICE)
    token = current_call.set(caller)
    try:
        assert actor() == Actor("tutor", caller="backend")
        caller.identity = Identity("ann", Role.USER)
        assert actor() == Actor("ann", caller="ann")
    finally:
        current_call.reset(token)


def test_an_actor_can_be_kept_without_one_who_is_erased() -> None:
    assert Actor("dean", "ann").without("ann") == Actor("dean")
    assert Actor("ann", "shop").without("ann") == Actor("", "shop")
    assert Actor("ann", "ann").without("ann") == NOBODY
