"""What the demo shows: a small course, and the learners who take it."""

from shared.gen.laurel.progress.v1 import catalog_pb2

COURSE_ID = "python-basics"

# Sections with their levels: id, title, XP, questions (0: a text to read).
SECTIONS = (
    (
        "first-steps",
        "First steps",
        (
            ("py-hello", "Hello, world", 20, 0),
            ("py-values", "Values and names", 30, 5),
            ("py-text", "Text", 30, 5),
            ("py-first-quiz", "Quiz: first steps", 50, 10),
        ),
    ),
    (
        "control-flow",
        "Deciding and repeating",
        (
            ("py-if", "If and else", 40, 5),
            ("py-loops", "Loops", 40, 6),
            ("py-functions", "Functions", 50, 6),
            ("py-flow-quiz", "Quiz: control flow", 80, 10),
        ),
    ),
    (
        "collections",
        "Collections",
        (
            ("py-lists", "Lists", 50, 6),
            ("py-dicts", "Dictionaries", 60, 6),
            ("py-files", "Files", 60, 6),
            ("py-final", "Final exam", 150, 12),
        ),
    ),
)

METRICS = (
    catalog_pb2.Metric(metric="problems_solved", title="Problems solved", unit="problems"),
    catalog_pb2.Metric(metric="pomodoros", title="Pomodoros", unit="pomodoros"),
)

# Name and time zone.
LEARNERS = (
    ("Ada", "Europe/London"),
    ("Alan", "Europe/London"),
    ("Barbara", "America/New_York"),
    ("Dennis", "America/New_York"),
    ("Donald", "America/Los_Angeles"),
    ("Dorothy", "America/New_York"),
    ("Edsger", "Europe/Amsterdam"),
    ("Emmy", "Europe/Berlin"),
    ("Evelyn", "America/Chicago"),
    ("Frances", "America/New_York"),
    ("Grace", "America/New_York"),
    ("Guido", "Europe/Amsterdam"),
    ("Hedy", "Europe/Vienna"),
    ("Joan", "Europe/London"),
    ("Katherine", "America/New_York"),
    ("Ken", "America/Los_Angeles"),
    ("Leslie", "America/Los_Angeles"),
    ("Margaret", "America/Chicago"),
    ("Niklaus", "Europe/Zurich"),
    ("Radia", "America/Los_Angeles"),
    ("Shafi", "Asia/Jerusalem"),
    ("Srinivasa", "Asia/Kolkata"),
    ("Sofya", "Europe/Stockholm"),
    ("Terence", "Australia/Adelaide"),
    ("Yukihiro", "Asia/Tokyo"),
)


def course() -> catalog_pb2.Course:
    """The course's definition: sequential, quizzes passed with six answers of ten."""
    return catalog_pb2.Course(
        course_id=COURSE_ID,
        title="Python basics",
        unlock_mode=catalog_pb2.UNLOCK_MODE_SEQUENTIAL,
        sections=[
            catalog_pb2.Section(
                section_id=section_id,
                title=title,
                levels=[_level(*level) for level in levels],
            )
            for section_id, title, levels in SECTIONS
        ],
    )


def _level(level_id: str, title: str, xp: int, questions: int) -> catalog_pb2.Level:
    level = catalog_pb2.Level(level_id=level_id, title=title, xp_reward=xp)
    if questions:
        level.max_marks = questions * 10
        level.pass_ratio = 0.6
        level.question_count = questions
        level.rewards.add(metric="problems_solved", amount=questions)
    return level


def users() -> list[catalog_pb2.User]:
    """The learners' profiles; their ids begin with `demo-`."""
    return [
        catalog_pb2.User(
            user_id=f"demo-{name.lower()}",
            display_name=name,
            avatar_url=f"https://avatars.example/{name.lower()}.png",
            time_zone=zone,
        )
        for name, zone in LEARNERS
    ]


def levels() -> list[catalog_pb2.Level]:
    """The course's levels, in the order in which they are learned."""
    return [level for section in course().sections for level in section.levels]
