"""curl as a shell runs it."""

import json
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from shared.framing import SseDecoder
from tests.sdk.server import environment

needs_curl = pytest.mark.skipif(shutil.which("curl") is None, reason="curl is not installed")


@dataclass(frozen=True)
class Answer:
    status: int
    headers: dict[str, str]
    body: bytes

    def json(self) -> Any:
        return json.loads(self.body)

    def frames(self) -> list[Any]:
        """The data of a stream's events: JSON decoded, and "[DONE]" as it is."""
        assert self.headers["content-type"].startswith("text/event-stream"), self.body
        data = [frame.data.decode() for frame in SseDecoder().feed(self.body)]
        return [text if text == "[DONE]" else json.loads(text) for text in data]


def shell(command: str, home: Path) -> Answer:
    """Runs a command line that calls curl once, not a letter of it changed: what it does not print is dumped."""
    dump = home / "headers"
    (home / ".curlrc").write_text(f'silent\nshow-error\ndump-header = "{dump}"\n', "utf-8")
    result = subprocess.run(
        ["sh", "-c", command], cwd=home, env=environment(home), capture_output=True, timeout=60, check=False
    )
    assert result.returncode == 0, result.stderr.decode()
    assert result.stderr == b""
    status_line, *lines = dump.read_text("latin-1").strip().rpartition("\n\n")[2].splitlines()
    headers = dict(line.lower().split(": ", 1) for line in lines)
    return Answer(int(status_line.split()[1]), headers, result.stdout)
