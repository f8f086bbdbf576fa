"""A real browser, and the page in it that calls the gateway (tests/browser)."""

import functools
import shutil
import threading
from collections.abc import AsyncIterator, Iterable, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from google.protobuf.descriptor import FileDescriptor
from google.protobuf.descriptor_pb2 import DescriptorProto, FileDescriptorProto, FileDescriptorSet
from google.rpc import error_details_pb2
from playwright.async_api import Browser, Page, async_playwright

from shared.embedded.public_methods import methods

FOLDER = Path(__file__).resolve().parent.parent / "browser"
ELSEWHERE = "elsewhere.example"
"""A host whose pages the gateway does not know; the browser finds it on this machine."""
FLAGS = (
    *("--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"),
    *("--disable-background-networking", "--disable-component-update", "--disable-sync"),
    f"--host-resolver-rules=MAP {ELSEWHERE} 127.0.0.1",
)


@dataclass
class LaurelPage:
    """An open page."""

    page: Page
    gateway: str
    token: str = ""
    """What it calls with; "" for none."""

    async def call(self, path: str, **request: Any) -> Any:
        """A unary call: {"answer": …} or {"error": …}."""
        return await self._run("call", self.gateway, self.token, path[1:], request)

    async def watch(self, name: str, path: str, **request: Any) -> None:
        """Begins a stream of answers."""
        await self._run("watch", name, self.gateway, self.token, path[1:], request)

    async def next(self, name: str) -> Any:
        """The stream's next answer that is more than a sign of life."""
        while (told := await self._run("next", name)).get("answer", {}).get("keepAlive"):
            pass
        return told

    async def stop(self, name: str) -> None:
        """Leaves the stream."""
        await self._run("stop", name)

    async def _run(self, function: str, *arguments: Any) -> Any:
        return await self.page.evaluate(
            "([name, given]) => laurel[name](...given)", [function, list(arguments)]
        )


@asynccontextmanager
async def running_browser() -> AsyncIterator[Browser]:
    """Chromium; the test is skipped where it, or the page's packages, are not installed."""
    program = shutil.which("chromium") or shutil.which("chromium-browser")
    if program is None:
        pytest.skip("there is no Chromium (on Debian: apt install chromium)")
    if not (FOLDER / "node_modules" / ".ready").exists():
        pytest.skip("the page's packages are not installed: make browser, which needs npm")
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=program, args=list(FLAGS))
        try:
            yield browser
        finally:
            await browser.close()


@contextmanager
def served_page() -> Iterator[int]:
    """Serves the page on this machine; the port."""
    handler = functools.partial(_Files, directory=str(FOLDER))
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        try:
            yield server.server_port
        finally:
            server.shutdown()
            thread.join()


class _Files(SimpleHTTPRequestHandler):
    """The folder's files, and the contract beside them."""

    def do_GET(self) -> None:
        if self.path != "/contract.binpb":
            super().do_GET()
            return
        content = contract()
        self.send_response(200)
        self.send_header("content-type", "application/octet-stream")
        self.send_header("content-length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_request(self, *_: object) -> None:
        """Says nothing."""


@functools.cache
def contract() -> bytes:
    """The contract and what it builds on, as a FileDescriptorSet in the order of imports."""
    files: dict[str, FileDescriptorProto] = {}

    def add(file: FileDescriptor) -> None:
        if file.name not in files:
            for dependency in file.dependencies:
                add(dependency)
            files[file.name] = FileDescriptorProto()
            file.CopyToProto(files[file.name])
            _add_json_names(files[file.name].message_type)

    add(error_details_pb2.DESCRIPTOR)
    for method in methods():
        add(method.containing_service.file)
    return FileDescriptorSet(file=files.values()).SerializeToString()


def _add_json_names(messages: Iterable[DescriptorProto]) -> None:
    """What protoc writes and Python leaves out, and the page needs."""
    for message in messages:
        for field in message.field:
            first, *others = field.name.split("_")
            field.json_name = first + "".join(part[:1].upper() + part[1:] for part in others)
        _add_json_names(message.nested_type)
