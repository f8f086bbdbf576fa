"""Whatever is done in whatever order: a run that is told as it must be breaks no promise."""

from hypothesis import given, settings
from hypothesis import strategies as st

from tests.faults.fabricated import a_run
from tests.faults.fabricated_writes import TODAY
from tests.faults.judging import judge

_USERS = ("ann", "bob", "cyd", "eve")


class _Play:
    """A run that goes on from the usual one. Every act that has a name here can be the next."""

    def __init__(self) -> None:
        self.told = a_run()
        self.told.recorded.calm_at = None
        self._gone: set[str] = set()
        self._copies = [(self.told.copy(), set(self._gone))]

    def act(self, number: int, act: str, user_id: str) -> None:
        """One act, under a name of its own, by a user who is made anew if need be."""
        if user_id in self._gone:
            self.told.user(user_id)
            self._gone.discard(user_id)
        ACTS[act](self, user_id, f"p{number}")

    def award(self, user_id: str, name: str) -> None:
        call = self.told.award(user_id, 1 + len(self.told.branch.entries) % 7, name)
        self.told.rank(user_id, call.response.consistency_token)

    def submit(self, user_id: str, name: str) -> None:
        self.told.submit(user_id, f"level-{name}", name)

    def revoke(self, user_id: str, name: str) -> None:
        entries = self.told.branch.entries
        cancelled = {one.of_entry_id for one in entries}
        own = [one for one in entries if one.user_id == user_id and one.amount > 0]
        for one in [one for one in own if one.entry_id not in cancelled][-1:]:
            self.told.revoke(one.entry_id, name)

    def hide(self, user_id: str, name: str) -> None:
        self.told.user(user_id, name, hidden=True)

    def show(self, user_id: str, name: str) -> None:
        self.told.user(user_id, name)

    def reset(self, _: str, name: str) -> None:
        self.told.reset(name)

    def erase(self, user_id: str, _: str) -> None:
        self.told.erase(user_id)
        self._gone.add(user_id)

    def tenure(self, _: str, name: str) -> None:
        self.told.tenure(name)

    def copy(self, *_: str) -> None:
        self._copies.append((self.told.copy(), set(self._gone)))

    def restore(self, _: str, name: str) -> None:
        copy, gone = self._copies.pop()
        if not self._copies:
            self.copy()
        self.told.restore(copy, name)
        self._gone = gone

    def top(self, *_: str) -> None:
        self.told.top()
        self.told.top(TODAY)

    def pages(self, *_: str) -> None:
        page = self.told.top(size=1).response
        if page.next_page_token:
            self.told.top(token=page.next_page_token, after=page.entries[0].user_id)

    def standings(self, user_id: str, _: str) -> None:
        self.told.standings()
        self.told.rank(user_id)

    def ledger(self, user_id: str, _: str) -> None:
        self.told.ledger(user_id, size=3)
        self.told.stats(user_id)

    def watch(self, *_: str) -> None:
        changes = self.told.branch.changes
        if not any(change.HasField("user_erasure") for change in changes):
            self.told.watch()


ACTS = {name: act for name, act in vars(_Play).items() if name != "act" and name[0] != "_"}


@settings(max_examples=150, deadline=None)
@given(st.lists(st.tuples(st.sampled_from(sorted(ACTS)), st.sampled_from(_USERS)), max_size=40))
def test_no_run_that_is_told_as_it_must_be_is_found_wrong(acts: list[tuple[str, str]]) -> None:
    play = _Play()
    for number, (act, user_id) in enumerate(acts):
        play.act(number, act, user_id)
    play.told.calm()
    play.told.top()
    verdict = judge(play.told.recorded)
    assert not verdict.violations, [str(one) for one in verdict.violations]
