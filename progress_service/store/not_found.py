"""What is asked for and is not there."""

from shared.errors import NotFound


def user_not_found(user_id: str) -> NotFound:
    """No such user."""
    return NotFound("USER_NOT_FOUND", "No such user.", metadata={"user_id": user_id})


def course_not_found(course_id: str) -> NotFound:
    """No such course."""
    return NotFound("COURSE_NOT_FOUND", "No such course.", metadata={"course_id": course_id})


def level_not_found(level_id: str) -> NotFound:
    """No such level in any course's current version."""
    return NotFound("LEVEL_NOT_FOUND", "No such level.", metadata={"level_id": level_id})


def attempt_not_found(attempt_id: int) -> NotFound:
    """No such attempt, or one of a user who was erased."""
    metadata = {"attempt_id": str(attempt_id)}
    return NotFound("ATTEMPT_NOT_FOUND", "No such attempt.", metadata=metadata)


def metric_not_found(metric: str) -> NotFound:
    """No such metric in the catalog."""
    return NotFound("METRIC_NOT_FOUND", "No such metric.", metadata={"metric": metric})
