"""What `laurel up` prints about itself: the endpoints, and example calls to paste."""

import os
import shutil
import sys
from pathlib import Path

from shared.cli import demo_course
from shared.embedded.settings import EmbeddedSettings

TOP = "laurel.leaderboard.v1.LeaderboardService/GetTop"
RANK = "laurel.leaderboard.v1.LeaderboardService/GetRank"
SUBMIT = "laurel.progress.v1.ProgressService/SubmitProgress"


def endpoints(settings: EmbeddedSettings) -> str:
    """A line for each endpoint; what is embedded and therefore private is named with its folder."""
    metrics = "none (LAUREL_METRICS_PORT=0)"
    if settings.metrics_port:
        ports = (settings.metrics_port, settings.metrics_port + 1)
        metrics = ", ".join(f"http://{settings.reachable(port)}/metrics" for port in ports)
    embedded = "embedded, on a socket in {home}/{folder}"
    home = settings.home
    postgres = embedded.format(home=home, folder="postgres")
    redis = embedded.format(home=home, folder="redis")
    lines = {
        "ProgressService": f"{settings.progress_target}  (gRPC)",
        "LeaderboardService": f"{settings.leaderboard_target}  (gRPC)",
        "Gateway": f"http://{settings.reachable(settings.gateway_port)}  (gRPC-Web and gRPC)",
        "Metrics": metrics,
        "PostgreSQL": "LAUREL_POSTGRES_URL" if settings.postgres_url else postgres,
        "Redis": "LAUREL_REDIS_URL" if settings.redis_url else redis,
        "Logs": f"{home}/logs",
    }
    return "\n".join(f"{name:<20}{text}" for name, text in lines.items())


def example_calls(settings: EmbeddedSettings) -> str:
    """Calls that can be pasted into a shell in the present folder, and answer."""
    user = demo_course.users()[0].user_id
    buf = _buf()
    services = settings.leaderboard_target, settings.progress_target
    top = "'{\"page_size\": 5}'"
    rank = f'\'{{"user_id": "{user}", "board": {{"window": "WINDOW_WEEK"}}}}\''
    first = demo_course.levels()[0].level_id
    submit = (
        f'\'{{"user_id": "{user}", "level_id": "{first}", "correct_answers": 1, '
        '"total_questions": 1, "request_id": "my-first"}\''
    )
    direct = f"{buf} curl --http2-prior-knowledge --protocol grpc"
    # The gateway offers no reflection: the schema comes from the repository.
    web = f"{buf} curl --schema . --protocol grpcweb"
    gateway = f"http://{settings.reachable(settings.gateway_port)}"
    return "\n".join(
        (
            "# gRPC, with grpcurl (the servers offer reflection)",
            f"grpcurl -plaintext -d {top} {services[0]} {TOP}",
            f"grpcurl -plaintext -d {submit} {services[1]} {SUBMIT}",
            "# gRPC, with buf curl",
            f"{direct} -d {top} http://{services[0]}/{TOP}",
            f"{direct} -d {rank} http://{services[0]}/{RANK}",
            f"{direct} -d {submit} http://{services[1]}/{SUBMIT}",
            "# gRPC-Web through the gateway, with buf curl, from the repository's folder",
            f"{web} -d {top} {gateway}/{TOP}",
            f"{web} -d {submit} {gateway}/{SUBMIT}",
        )
    )


def _buf() -> str:
    """How buf is called here: the one beside this Python, by its path from the present folder."""
    beside = Path(sys.executable).parent / "buf"
    if not beside.exists():
        return "buf"
    if shutil.which("buf") == str(beside):
        return "buf"
    relative = os.path.relpath(beside)
    return str(beside) if relative.startswith("..") else relative
