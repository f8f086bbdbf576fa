"""Writes docs/settings.md from the settings classes; with --check, fails when it is out of date."""

import sys
from pathlib import Path

from pydantic.fields import FieldInfo

from leaderboard_service.settings import LeaderboardSettings
from progress_service.settings import ProgressSettings
from shared.embedded.settings import EmbeddedSettings
from shared.settings import CommonSettings, ServiceSettings

TARGET = Path(__file__).parent.parent / "docs" / "settings.md"
HEAD = """# Settings

Environment variables; one that is set to nothing is not set. A bad one is one line on stderr and
exit status 2, before anything is started. This page is written by `make settings`; edit the
settings classes instead.
"""
GROUPS = (
    ("Everything", CommonSettings),
    ("`laurel up`", EmbeddedSettings),
    ("Both services", ServiceSettings),
    ("ProgressService", ProgressSettings),
    ("LeaderboardService", LeaderboardSettings),
)


def page() -> str:
    """The whole page."""
    parts = [HEAD]
    for title, settings in GROUPS:
        wider = [one for _, one in GROUPS if one is not settings and issubclass(settings, one)]
        told = {name for one in wider for name in one.model_fields}
        rows = [
            _row(name, field) for name, field in settings.model_fields.items() if name not in told
        ]
        parts.append(f"## {title}\n\n| variable | default | meaning |\n|---|---|---|")
        parts.append("\n".join(rows) + "\n")
    return "\n".join(parts)


def _row(name: str, field: FieldInfo) -> str:
    default = "required" if field.is_required() else field.get_default(call_default_factory=True)
    text = "unset" if default is None else "empty" if default == "" else f"`{default}`"
    if field.is_required():
        text = "required"
    return f"| `LAUREL_{name.upper()}` | {text} | {field.description or ''} |"


def main() -> int:
    """Exit status 1 when --check finds a difference."""
    text = page()
    if "--check" in sys.argv:
        if not TARGET.exists() or TARGET.read_text(encoding="utf-8") != text:
            print("docs/settings.md is out of date: run `make settings`")
            return 1
        return 0
    TARGET.write_text(text, encoding="utf-8")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
