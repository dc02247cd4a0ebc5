"""`python -m functions` in a process of its own, as `make run` starts it."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

ROOT = Path(__file__).parents[2]
TOKEN = "sk-local"
_COMMAND = [sys.executable, "-m", "functions"]
_BANNER_END = "'\n\n"
_READY_SECONDS = 60.0
_EXIT_SECONDS = 20.0
_STEP = 0.05

_FoundT = TypeVar("_FoundT")


def environment(home: Path, **settings: str) -> dict[str, str]:
    """A newcomer's environment: no vendor's key, no AWS, no proxy; only `settings`."""
    return {"PATH": os.environ["PATH"], "HOME": str(home), **settings}


def run_to_the_end(home: Path, **settings: str) -> "subprocess.CompletedProcess[str]":
    """Starts a server that is expected not to come up."""
    return subprocess.run(
        _COMMAND,
        cwd=ROOT,
        env=environment(home, **settings),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=_READY_SECONDS,
        check=False,
    )


class LocalServer:
    """A server that is up. Its process leads a group, as a terminal's foreground job does."""

    def __init__(self, process: "subprocess.Popen[bytes]", stdout: Path, stderr: Path) -> None:
        self._process = process
        self._stdout = stdout
        self._stderr = stderr
        self.banner = self._await(self._complete_banner, _READY_SECONDS, "the banner")

    @property
    def url(self) -> str:
        """Where it is, without a slash at the end."""
        return next(line.split()[1] for line in self.banner.splitlines() if line.startswith("Gateway "))

    @property
    def pid(self) -> int:
        return self._process.pid

    def has_ended(self) -> bool:
        return self._process.poll() is not None

    def _complete_banner(self) -> str | None:
        assert self._process.poll() is None, f"the server ended:\n{self.stdout()}{self.stderr()}"
        before, end, _ = self.stdout().partition(_BANNER_END)
        return before + end if end else None

    def _await(self, find: Callable[[], _FoundT | None], seconds: float, what: str) -> _FoundT:
        deadline = time.monotonic() + seconds
        while (found := find()) is None:
            assert time.monotonic() < deadline, f"no {what} in {seconds} s:\n{self.stdout()}{self.stderr()}"
            time.sleep(_STEP)
        return found

    def stdout(self) -> str:
        return self._stdout.read_text("utf-8")

    def stderr(self) -> str:
        return self._stderr.read_text("utf-8")

    def log(self) -> list[dict[str, Any]]:
        """The log's lines so far: all that follows the banner."""
        complete = self.stdout()[len(self.banner) :].rpartition("\n")[0]
        return [json.loads(line) for line in complete.splitlines()]

    def logged(self, request_id: str) -> list[dict[str, Any]]:
        """The log's lines of one request, waiting for the last: it is written after the answer has left."""

        def written() -> list[dict[str, Any]] | None:
            lines = [line for line in self.log() if line["request_id"] == request_id]
            return lines if any(line["message"] == "request" for line in lines) else None

        return self._await(written, 20.0, f"log line of {request_id}")

    @contextmanager
    def shown(self) -> Iterator["LocalServer"]:
        """Prints what the server writes meanwhile, which pytest shows where a test fails."""
        stdout, stderr = len(self.stdout()), len(self.stderr())
        try:
            yield self
        finally:
            print(self.stdout()[stdout:] + self.stderr()[stderr:])

    def stop(self) -> int:
        """Ctrl-C, as a terminal sends it: to the whole group. Gives the exit status."""
        os.killpg(self._process.pid, signal.SIGINT)
        try:
            status = self._process.wait(_EXIT_SECONDS)
        except subprocess.TimeoutExpired:
            raise AssertionError(f"alive {_EXIT_SECONDS} s after Ctrl-C:\n{self.stdout()}{self.stderr()}") from None
        assert not _group_lives(self._process.pid), "the server left a child behind"
        return status


@contextmanager
def running(home: Path, **settings: str) -> Iterator[LocalServer]:
    """A server with `settings` on a free port, its output in files under `home`, ended by Ctrl-C."""
    stdout, stderr = home / "stdout", home / "stderr"
    with stdout.open("wb") as out, stderr.open("wb") as err:
        process = subprocess.Popen(
            _COMMAND,
            cwd=ROOT,
            env=environment(home, PORT="0", **settings),
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=err,
            start_new_session=True,
        )
    try:
        server = LocalServer(process, stdout, stderr)
        yield server
        if process.poll() is None:
            assert server.stop() == 0
            assert server.stderr() == ""
    finally:
        if _group_lives(process.pid):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def _group_lives(group: int) -> bool:
    try:
        os.killpg(group, 0)
    except ProcessLookupError:
        return False
    return True
