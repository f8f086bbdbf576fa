"""A watcher's history when someone is erased: who has read it before has seen the person, and
whoever reads it afterwards has not.
"""

from tests.faults.fabricated import Told, a_run
from tests.faults.judging import judge
from tests.faults.recording import Stream
from tests.faults.verdict import WATCHERS


def _broken(told: Told) -> set[str]:
    return {violation.promise for violation in judge(told.recorded).violations}


def _redacted(stream: Stream, user_id: str) -> None:
    """The user's changes as they are read afterwards."""
    for _, message in stream.messages:
        for change in message.changes:
            owner = change.xp_delta.user_id or change.profile_change.user_id
            if owner == user_id:
                change.redaction.SetInParent()


def _erased() -> Told:
    told = a_run()
    told.erase("eve")
    assert not _broken(told)
    return told


def test_whoever_reads_after_an_erasure_is_sent_redactions() -> None:
    told = _erased()
    _redacted(told.watch(), "eve")
    assert not _broken(told)


def test_whoever_reads_after_an_erasure_is_not_told_of_the_person() -> None:
    told = _erased()
    told.watch()
    assert _broken(told) == {WATCHERS}


def test_whoever_reads_while_someone_is_erased_may_be_sent_either() -> None:
    told = a_run()
    begun = told.now
    told.erase("eve")
    first, second = told.watch(), told.watch()
    first.begun = second.begun = begun
    _redacted(second, "eve")
    assert not _broken(told)


def test_only_the_changes_of_who_was_erased_are_redactions() -> None:
    told = _erased()
    stream = told.watch()
    _redacted(stream, "eve")
    _redacted(stream, "bob")
    assert _broken(told) == {WATCHERS}


def test_an_erasure_itself_is_sent() -> None:
    told = _erased()
    stream = told.watch()
    _redacted(stream, "eve")
    for _, message in stream.messages:
        for change in message.changes:
            if change.HasField("user_erasure"):
                change.redaction.SetInParent()
    assert _broken(told) == {WATCHERS}


def test_a_change_is_sent_as_it_was_numbered() -> None:
    told = a_run()
    for _, message in told.watch().messages:
        for change in message.changes:
            if change.HasField("window_reset"):
                change.window_reset.board.period = "2026-11-19"
    assert _broken(told) == {WATCHERS}
