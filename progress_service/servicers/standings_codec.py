"""Standings and snapshots as the contract's messages."""

from collections.abc import Sequence

from progress_service.servicers import codec
from progress_service.servicers.board_codec import check_period, window_of
from progress_service.store.positions import Head
from progress_service.store.snapshot import Profile
from progress_service.store.standings import Standing
from shared.errors import invalid_field
from shared.gen.laurel.progress.v1 import progress_pb2 as pb
from shared.periods import Window
from shared.rank_mode import RankMode


def rank_mode_of(number: int) -> RankMode:
    """The mode; 0 is COMPETITION; InvalidInput for a number that is none."""
    try:
        return RankMode(number or RankMode.COMPETITION)
    except ValueError:
        raise invalid_field("rank_mode", f"{number} is not a rank mode") from None


def floors_of(floors: Sequence[pb.PeriodFloor]) -> list[tuple[Window, str]]:
    """The first period wanted of each window; InvalidInput names the wrong field."""
    found = [_floor(one, n) for n, one in enumerate(floors)]
    for n, (window, _) in enumerate(found):
        if window in (earlier for earlier, _ in found[:n]):
            raise invalid_field(f"floors[{n}].window", "occurs twice")
    return found


def _floor(floor: pb.PeriodFloor, n: int) -> tuple[Window, str]:
    window = window_of(floor.window, f"floors[{n}].window")
    if window is Window.ALL_TIME:
        raise invalid_field(f"floors[{n}].window", "must be a window with several periods")
    check_period(window, floor.first_period, f"floors[{n}].first_period")
    return window, floor.first_period


def standing_message(standing: Standing) -> pb.Standing:
    """One user on a board."""
    return pb.Standing(
        user_id=standing.user_id,
        score=standing.score,
        rank=standing.rank,
        display_name=standing.display_name,
        avatar_url=standing.avatar_url,
        users_below=standing.users_below,
        score_to_next_rank=standing.score_to_next_rank,
        also_scores=standing.also_scores,
    )


def profile_message(profile: Profile) -> pb.ProfileChange:
    """A profile of a snapshot."""
    return pb.ProfileChange(
        user_id=profile.user_id,
        display_name=profile.display_name,
        avatar_url=profile.avatar_url,
        hidden=profile.hidden,
    )


def add_head(response: pb.ListStandingsResponse | pb.BatchGetStandingsResponse, head: Head) -> None:
    """Says of which position the answer is."""
    response.position.CopyFrom(codec.position_message(head.position))
    if head.position.sequence:
        response.as_of_time.CopyFrom(codec.timestamp(head.time))
