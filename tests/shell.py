"""A shell that runs what a document says."""

import asyncio
import os
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

BIN = Path(sys.executable).parent


@dataclass
class Shell:
    """Runs what the document says, in a folder of its own."""

    folder: Path
    environment: Mapping[str, str] = field(default_factory=dict)

    async def run(self, script: str) -> str:
        """What it prints; fails if one of its commands does."""
        path = f"{self.folder}:{BIN}:{os.environ['PATH']}"
        process = await asyncio.create_subprocess_exec(
            *("sh", "-eu", "-c", script),
            cwd=self.folder,
            env={**os.environ, **self.environment, "PATH": path},
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
        printed, errors = await process.communicate()
        assert process.returncode == 0, errors.decode()
        return printed.decode()

    def provide(self, name: str, script: str) -> None:
        """A command of that name, found before all others."""
        command = self.folder / name
        command.write_text(f"#!/bin/sh\n{script}\n")
        command.chmod(0o755)
