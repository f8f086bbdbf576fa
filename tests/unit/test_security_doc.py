"""docs/security.md names only what there is, and its example of a token is accepted."""

import os
import re
import time
from pathlib import Path

import prometheus_client
import pytest

import leaderboard_service.metrics
import progress_service.metrics
from leaderboard_service.settings import LeaderboardSettings
from progress_service.settings import ProgressSettings
from shared import tls
from shared.auth.authenticator import Authenticator
from shared.embedded.settings import EmbeddedSettings
from shared.identity import Role
from tests.access import AUTH_SECRET
from tests.signing import SECRET

ROOT = Path(__file__).resolve().parent.parent.parent
PATH = ROOT / "docs" / "security.md"
TEXT = PATH.read_text(encoding="utf-8")
FIELDS = {
    f"LAUREL_{name.upper()}": field
    for settings in (ProgressSettings, LeaderboardSettings, EmbeddedSettings)
    for name, field in settings.model_fields.items()
}
# What declares the metrics.
DECLARING = (progress_service.metrics, leaderboard_service.metrics, tls)
LINKS = re.findall(r"\]\(([^)]+)\)", TEXT)


@pytest.mark.parametrize("link", sorted({*LINKS}))
def test_every_link_leads_somewhere(link: str) -> None:
    file, _, heading = link.partition("#")
    path = (PATH.parent / file).resolve() if file else PATH
    assert path.exists()
    if heading:
        titles = re.findall(r"^#+ (.*)$", path.read_text(encoding="utf-8"), re.MULTILINE)
        anchors = {re.sub(r"[^\w -]", "", title).lower().replace(" ", "-") for title in titles}
        assert heading in anchors


@pytest.mark.parametrize("name", sorted({*re.findall(r"LAUREL_[A-Z_]+[A-Z]\b", TEXT)}))
def test_every_setting_is_one(name: str) -> None:
    assert name in FIELDS or any(field.startswith(f"{name}_") for field in FIELDS)


def test_every_bound_that_is_named_with_its_setting_is_the_default() -> None:
    named = re.findall(r"`(LAUREL_[A-Z_]+)` \(([0-9][0-9,]*)\)", TEXT)
    assert len(named) >= 4
    for name, figure in named:
        assert FIELDS[name].default == int(figure.replace(",", "")), name


def test_every_metric_is_one() -> None:
    known = prometheus_client.generate_latest().decode()
    for name in re.findall(r"`(laurel_[a-z_]+)`", TEXT):
        assert name in known


def test_each_of_the_ten_is_there_in_its_order() -> None:
    assert re.findall(r"^\*\*API([0-9]+) ", TEXT, re.MULTILINE) == [str(n) for n in range(1, 11)]


async def test_a_token_made_as_the_example_makes_it_is_its_users(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    (example,) = re.findall(r"^```python\n(.*?)^```", TEXT, re.DOTALL | re.MULTILINE)
    monkeypatch.setitem(os.environ, "LAUREL_AUTH_SECRET", AUTH_SECRET)
    names: dict[str, object] = {}
    exec(example, names)
    mint = names["laurel_token"]
    assert callable(mint)
    settings = ProgressSettings(
        postgres_url="postgresql://h/d", token_secret=SECRET, auth_secret=AUTH_SECRET
    )
    identity = await Authenticator(settings).identify(f"Bearer {mint('ann')}")
    assert (identity.subject, identity.role) == ("ann", Role.USER)
    ends_in_s = identity.expires - time.time()
    assert 890 < ends_in_s <= 900 + settings.auth_leeway_seconds
