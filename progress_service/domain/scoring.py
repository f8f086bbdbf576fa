"""Marks and passing, computed by the server alone."""


def marks_of(max_marks: int, correct: int, total: int) -> int:
    """`max_marks` x correct / total, rounded half up, in integers."""
    return (2 * max_marks * correct + total) // (2 * total)


def is_pass(correct: int, total: int, pass_ratio: float) -> bool:
    """Whether correct/total reaches `pass_ratio`.

    Both sides are the doubles nearest to their values, so 40 of 100 reaches 0.4 exactly.
    """
    return correct / total >= pass_ratio
