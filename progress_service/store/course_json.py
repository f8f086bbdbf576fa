"""A course's definition as the JSON document that course_versions keeps."""

from typing import Any

from progress_service.domain.course import Course, Level, Reward, Section, UnlockMode


def to_json(course: Course) -> dict[str, Any]:
    """Everything but id and version, which are columns."""
    return {
        "title": course.title,
        "unlock_mode": course.unlock_mode.name,
        "archived": course.archived,
        "sections": [
            {
                "section_id": section.section_id,
                "title": section.title,
                "levels": [_level_to_json(level) for level in section.levels],
            }
            for section in course.sections
        ],
    }


def _level_to_json(level: Level) -> dict[str, Any]:
    return {
        "level_id": level.level_id,
        "title": level.title,
        "xp_reward": level.xp_reward,
        "max_marks": level.max_marks,
        "pass_ratio": level.pass_ratio,
        "prerequisites": list(level.prerequisites),
        "question_count": level.question_count,
        "min_time_spent_ms": level.min_time_spent_ms,
        "rewards": [{"metric": r.metric, "amount": r.amount} for r in level.rewards],
    }


def from_json(course_id: str, version: int, document: dict[str, Any]) -> Course:
    """The inverse of `to_json`."""
    return Course(
        course_id=course_id,
        title=document["title"],
        unlock_mode=UnlockMode[document["unlock_mode"]],
        archived=document["archived"],
        version=version,
        sections=tuple(
            Section(
                section_id=section["section_id"],
                title=section["title"],
                levels=tuple(_level_from_json(level) for level in section["levels"]),
            )
            for section in document["sections"]
        ),
    )


def _level_from_json(document: dict[str, Any]) -> Level:
    return Level(
        **{
            **document,
            "prerequisites": tuple(document["prerequisites"]),
            "rewards": tuple(Reward(**reward) for reward in document["rewards"]),
        }
    )
