"""Starts HTTP servers on loopback, each in a process of its own."""

import http.client
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from scripts.emulator import ROOT, free_port

GATEWAY = (sys.executable, "-m", "functions")
_START_SECONDS = 60.0
_STOP_SECONDS = 10.0


@dataclass(frozen=True)
class Server:
    """A server that answers HTTP on a port of loopback."""

    pid: int
    port: int
    _output: IO[bytes]

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def output(self) -> str:
        """All that it has printed so far."""
        self._output.seek(0)
        return self._output.read().decode()


def isolated(environment: Mapping[str, str]) -> dict[str, str]:
    """An environment that has nothing of this shell's settings and keys."""
    return {name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ} | dict(environment)


@contextmanager
def gateway(environment: Mapping[str, str], tree: Path = ROOT) -> Iterator[Server]:
    """The local server of a checkout of this project."""
    port = free_port()
    with _serving(GATEWAY, port, tree, {**environment, "PORT": str(port)}) as server:
        yield server


@contextmanager
def application(name: str, environment: Mapping[str, str]) -> Iterator[Server]:
    """An ASGI application, named `module:attribute`, under uvicorn as it is without its optional parts.

    It keeps idle connections longer than its clients do, so that none is closed under a request.
    """
    port = free_port()
    options = ["--port", str(port), "--log-level", "critical", "--no-access-log", "--lifespan", "off"]
    options += ["--timeout-keep-alive", "75", "--loop", "asyncio", "--http", "h11"]
    with _serving([sys.executable, "-m", "uvicorn", name, *options], port, ROOT, environment) as server:
        yield server


@contextmanager
def _serving(command: Sequence[str], port: int, folder: Path, environment: Mapping[str, str]) -> Iterator[Server]:
    """Exits with what the server printed when it does not come up."""
    with tempfile.TemporaryFile() as output:
        process = subprocess.Popen(  # noqa: S603 - our own words
            command,
            cwd=folder,
            env=isolated(environment),
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            start_new_session=True,
        )
        server = Server(process.pid, port, output)
        try:
            _await(server, process)
            yield server
        finally:
            _stop(process)


def _await(server: Server, process: "subprocess.Popen[bytes]") -> None:
    end = time.monotonic() + _START_SECONDS
    while time.monotonic() < end and process.poll() is None:
        connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=_START_SECONDS)
        try:
            connection.request("GET", "/")
            connection.getresponse().read()  # whatever it is
        except (OSError, http.client.HTTPException):
            time.sleep(0.05)
        else:
            return
        finally:
            connection.close()
    sys.exit(f"{' '.join(map(str, process.args))} did not come up:\n{server.output()[-3000:]}")  # type: ignore[arg-type]


def _stop(process: "subprocess.Popen[bytes]") -> None:
    if process.poll() is None:
        os.killpg(process.pid, signal.SIGINT)
    try:
        process.wait(_STOP_SECONDS)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
