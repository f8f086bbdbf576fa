"""What `laurel up` prints about itself: the endpoints, and example calls to paste."""

import os
import shlex
import shutil
import sys
from pathlib import Path

from shared.cli import demo_course
from shared.embedded.settings import EmbeddedSettings
from shared.settings import CommonSettings

TOP = "laurel.leaderboard.v1.LeaderboardService/GetTop"
RANK = "laurel.leaderboard.v1.LeaderboardService/GetRank"
SUBMIT = "laurel.progress.v1.ProgressService/SubmitProgress"


def endpoints(settings: EmbeddedSettings) -> str:
    """A line for each endpoint; what is embedded and therefore private is named with its folder."""
    metrics = "none (LAUREL_METRICS_PORT=0)"
    if settings.metrics_port:
        ports = (settings.metrics_port, settings.metrics_port + 1)
        metrics = ", ".join(
            f"http://{settings.reachable(port, settings.metrics_bind_host)}/metrics"
            for port in ports
        )
    scheme = "https" if settings.tls_cert_file else "http"
    admin = "none (LAUREL_ADMIN_GATEWAY_PORT=0)"
    if settings.admin_gateway_port:
        address = settings.reachable(settings.admin_gateway_port, settings.admin_gateway_host)
        admin = f"{scheme}://{address}  (every method, for consoles)"
    embedded = "embedded, on a socket in {home}/{folder}"
    home = settings.home
    postgres = embedded.format(home=home, folder="postgres")
    redis = embedded.format(home=home, folder="redis")
    lines = {
        "ProgressService": f"{settings.progress_target}  (gRPC)",
        "LeaderboardService": f"{settings.leaderboard_target}  (gRPC)",
        "Gateway": f"{scheme}://{settings.reachable(settings.gateway_port)}  (gRPC-Web and gRPC)",
        "Admin gateway": admin,
        "Metrics": metrics,
        "PostgreSQL": "LAUREL_POSTGRES_URL" if settings.postgres_url else postgres,
        "Redis": "LAUREL_REDIS_URL" if settings.redis_url else redis,
        "Logs": f"{home}/logs",
    }
    return "\n".join(f"{name:<20}{text}" for name, text in lines.items())


def example_calls(settings: EmbeddedSettings) -> str:
    """Calls that can be pasted into a shell in the present folder, and answer."""
    user = demo_course.users()[0].user_id
    buf = _beside("buf")
    caller = '-H "authorization: Bearer $TOKEN"'
    services = settings.leaderboard_target, settings.progress_target
    top = "'{\"page_size\": 5}'"
    rank = f'\'{{"user_id": "{user}", "board": {{"window": "WINDOW_WEEK"}}}}\''
    first = demo_course.levels()[0].level_id
    submit = (
        f'\'{{"user_id": "{user}", "level_id": "{first}", "correct_answers": 1, '
        '"total_questions": 1, "request_id": "my-first"}\''
    )
    scheme, of_grpcurl, of_buf = _transport(settings)
    direct = f"{buf} curl {of_buf or '--http2-prior-knowledge'} --protocol grpc {caller}"
    # The gateway offers no reflection: the schema comes from the repository.
    web = f"{buf} curl {of_buf + ' ' if of_buf else ''}--schema . --protocol grpcweb {caller}"
    gateway = f"{scheme}://{settings.reachable(settings.gateway_port)}"
    return "\n".join(
        (
            "# a backend's token, for all that follows; it is valid for an hour",
            f"export TOKEN=$({_home(settings)}{_beside('laurel')} token --role service --sub me)",
            "# gRPC, with grpcurl (the servers offer reflection)",
            f"grpcurl {of_grpcurl} {caller} -d {top} {services[0]} {TOP}",
            f"grpcurl {of_grpcurl} {caller} -d {submit} {services[1]} {SUBMIT}",
            "# gRPC, with buf curl",
            f"{direct} -d {top} {scheme}://{services[0]}/{TOP}",
            f"{direct} -d {rank} {scheme}://{services[0]}/{RANK}",
            f"{direct} -d {submit} {scheme}://{services[1]}/{SUBMIT}",
            "# gRPC-Web through the gateway, with buf curl, from the repository's folder",
            f"{web} -d {top} {gateway}/{TOP}",
            f"{web} -d {submit} {gateway}/{SUBMIT}",
        )
    )


def _transport(settings: EmbeddedSettings) -> tuple[str, str, str]:
    """The scheme of addresses, and the options of grpcurl and of buf curl that go with it."""
    files = {
        "cacert": settings.tls_ca_file,
        "cert": settings.tls_cert_file,
        "key": settings.tls_key_file,
    }
    if settings.tls_cert_file is None:
        return "http", "-plaintext", ""
    options = [f"{name} {shlex.quote(str(file))}" for name, file in files.items()]
    return "https", " ".join(f"-{one}" for one in options), " ".join(f"--{one}" for one in options)


def _home(settings: EmbeddedSettings) -> str:
    """What says to `laurel token` where the secret is, unless it is where it looks anyway."""
    given = settings.auth_secret is not None
    usual = CommonSettings.model_fields["home"].default.absolute()
    return (
        "" if given or settings.home == usual else f"LAUREL_HOME={shlex.quote(str(settings.home))} "
    )


def _beside(program: str) -> str:
    """How a program is called here: the one beside this Python, by its path from the present
    folder.
    """
    beside = Path(sys.executable).parent / program
    if not beside.exists():
        return program
    if shutil.which(program) == str(beside):
        return program
    relative = os.path.relpath(beside)
    return shlex.quote(str(beside) if relative.startswith("..") else relative)
