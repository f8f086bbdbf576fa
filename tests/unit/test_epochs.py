"""What is known of epochs: how far one is of the same history as another."""

from leaderboard_service.domain.answer import Position
from leaderboard_service.domain.epochs import Epochs


def at(epoch: str, sequence: int) -> Position:
    return Position(epoch, sequence)


def test_within_an_epoch_what_is_lower_is_of_it() -> None:
    known = Epochs()
    assert known.same(at("a", 5), at("a", 5))
    assert not known.same(at("a", 5), at("a", 6))


def test_of_other_epochs_nothing_is_known_before_it_is_learned() -> None:
    known = Epochs()
    assert not known.same(at("b", 9), at("a", 1))
    known.learn(at("b", 9), at("a", 4))
    assert known.same(at("b", 9), at("a", 4))
    assert not known.same(at("b", 9), at("a", 5))
    assert not known.same(at("a", 9), at("b", 1))
    known.learn(at("b", 9), at("a", 2))
    assert known.same(at("b", 9), at("a", 4)), "what is known is not forgotten"


def test_what_leads_up_to_an_epoch_leads_up_to_the_next() -> None:
    known = Epochs()
    known.follow("b", at("a", 10))
    known.follow("c", at("b", 15))
    assert known.same(at("c", 20), at("b", 15))
    assert not known.same(at("c", 20), at("b", 16))
    assert known.same(at("c", 20), at("a", 10))
    assert not known.same(at("c", 20), at("a", 11))


def test_a_history_that_was_put_back_goes_on_with_no_more_than_what_is_left() -> None:
    known = Epochs()
    known.follow("b", at("a", 10))
    # Boards that stood in the past of `b` go on in a history that knows it no further.
    known.follow("c", at("b", 7))
    assert known.same(at("c", 20), at("a", 7))
    assert not known.same(at("c", 20), at("a", 8))
    assert known.same(at("b", 20), at("a", 10))


def test_an_epoch_goes_on_in_itself() -> None:
    known = Epochs()
    known.follow("a", at("a", 10))
    known.learn(at("a", 10), at("a", 3))
    assert not known.same(at("a", 5), at("a", 6))


def test_of_many_others_the_oldest_are_forgotten() -> None:
    known = Epochs()
    for number in range(1_000):
        known.follow(f"e{number + 1}", at(f"e{number}", number * 10))
    for present in (1_000, 999, 994):
        for back in (1, 2, 30, 60):
            before = present - back
            assert known.same(at(f"e{present}", 10_000), at(f"e{before}", before * 10))
            assert not known.same(at(f"e{present}", 10_000), at(f"e{before}", before * 10 + 1))
        assert not known.same(at(f"e{present}", 10_000), at(f"e{present - 70}", 1))
    assert sum(map(len, known._through.values())) <= 8 * 64


def test_of_many_presents_the_oldest_are_forgotten() -> None:
    known = Epochs()
    for number in range(9):
        known.learn(at(f"p{number}", 9), at("a", 5))
    assert [known.same(at(f"p{number}", 9), at("a", 5)) for number in range(9)] == [
        False,
        *[True] * 8,
    ]
