"""Starts built functions under AWS's Runtime Interface Emulator, without Docker.

This machine's Python 3.13 and the packages in `.venv/lambda-runtime` replace Lambda's interpreter and the packages of
its image (awslambdaric, boto3). The emulator is part of aws-sam-cli.
"""

import ctypes
import json
import os
import platform
import re
import shlex
import shutil
import signal
import socket
import stat
import subprocess
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

import yaml

ROOT = Path(__file__).parents[1]
BUILT = ROOT / ".aws-sam" / "build"
MANAGED_RUNTIME = ROOT / ".venv" / "lambda-runtime"
STREAMING_RUNTIME = ROOT / "layers" / "runtime" / "streaming-runtime"


class NotReady(Exception):
    """Something has to be built or installed first; the text says what."""


@dataclass(frozen=True)
class Function:
    """What is started: code in `task`, layers in `path`, on our streaming runtime or on AWS's own."""

    name: str
    handler: str
    task: Path
    path: tuple[Path, ...] = ()
    streaming: bool = False
    routes: tuple[tuple[str, str], ...] = ()  # method and path in API Gateway's spelling, in the template's order
    takes_messages: bool = False  # of a queue
    environment: Mapping[str, str] = field(default_factory=dict)

    def command(self, python: str) -> list[str]:
        if self.streaming:
            return [str(STREAMING_RUNTIME), python]
        return [python, "-m", "awslambdaric", self.handler]


def built_functions() -> dict[str, Function]:
    """The functions of the built template by their folders' names. Raises NotReady."""
    if not (BUILT / "template.yaml").exists():
        raise NotReady("there are no artefacts: run `make build` for this machine's architecture")
    resources = yaml.load((BUILT / "template.yaml").read_text("utf-8"), _TemplateLoader)["Resources"]  # noqa: S506
    layers = tuple(
        BUILT / name / "python" for name, resource in resources.items() if resource["Type"].endswith("LayerVersion")
    )
    functions = (
        _built_function(BUILT / name, resource["Properties"], layers)
        for name, resource in resources.items()
        if resource["Type"] == "AWS::Serverless::Function"
    )
    return {function.name: function for function in functions}


def _built_function(task: Path, properties: Mapping[str, Any], layers: tuple[Path, ...]) -> Function:
    handler = str(properties["Handler"])
    events = properties.get("Events", {}).values()
    routes = (event["Properties"] for event in events if event["Type"] == "Api")
    return Function(
        name=handler.split(".")[1],
        handler=handler,
        task=task,
        path=layers,
        streaming=not handler.endswith(".handler"),  # an application and no handler: only our runtime serves it
        routes=tuple((route["Method"].upper(), route["Path"]) for route in routes),
        takes_messages=any(event["Type"] == "SQS" for event in events),
    )


class _TemplateLoader(yaml.SafeLoader):
    """Reads a template, whose intrinsic functions do not matter here."""


_TemplateLoader.add_multi_constructor("!", lambda loader, suffix, node: None)  # type: ignore[no-untyped-call]


class Emulated:
    """A function that is up."""

    def __init__(self, process: "subprocess.Popen[bytes]", url: str, log: IO[str]) -> None:
        self._process = process
        self._url = url
        self._log = log

    def invoke(self, event: Mapping[str, Any]) -> bytes:
        """The answer to an event, a streamed one whole: prelude, eight NULs, body."""
        body = json.dumps(event).encode()
        for _ in range(500):
            try:
                with urllib.request.urlopen(self._url, body, timeout=60) as response:  # noqa: S310 - loopback
                    return bytes(response.read())
            except (ConnectionError, urllib.error.URLError) as error:
                if isinstance(error, urllib.error.HTTPError) or self._process.poll() is not None:
                    raise
            time.sleep(0.01)  # the emulator is not listening yet
        raise TimeoutError("the emulator did not come up")

    def log(self) -> str:
        """All that the emulator and the function have written so far."""
        self._log.seek(0)
        return self._log.read()

    def init_milliseconds(self) -> float:
        return float(re.findall(r"INIT REPORT\(durationMs: ([\d.]+)\)", self.log())[0])

    def invoke_milliseconds(self) -> list[float]:
        """How long each invocation took that the emulator has reported on."""
        return [float(found) for found in re.findall(r"INVOKE RTDONE\(.*?duration: ([\d.]+)ms\)", self.log())]

    def cpu_milliseconds(self) -> float:
        """The CPU time that the function's processes have had so far."""
        return sum(cpu_seconds(pid) for pid in _descendants(self._process.pid)) * 1000

    def peak_megabytes(self) -> float:
        """The most resident memory that a process of the function has had."""
        return max(peak_megabytes(pid) for pid in _descendants(self._process.pid))


def environment_of(function: Function, aws: Mapping[str, str] | None = None) -> dict[str, str]:
    """What a function finds in its environment; `aws` leads to the AWS that it shall use."""
    return {
        "AWS_REGION": "us-east-1",
        "PATH": os.environ["PATH"],
        "HOME": "/tmp",  # noqa: S108 - as on Lambda
        "PYTHONPATH": ":".join(map(str, (function.task, *function.path, MANAGED_RUNTIME))),
        "LAMBDA_TASK_ROOT": str(function.task),
        "LAMBDA_RUNTIME_DIR": str(MANAGED_RUNTIME),
        "AWS_LAMBDA_FUNCTION_NAME": function.name,
        "AWS_LAMBDA_FUNCTION_TIMEOUT": "60",
        "_HANDLER": function.handler,
        **(aws or {}),
        **function.environment,
    }


@contextmanager
def emulated(function: Function, aws: Mapping[str, str] | None = None) -> Iterator[Emulated]:
    """Starts a function; its init only begins with the first invoke. Raises NotReady."""
    emulator, python = _emulator(), lambda_python()
    ours, theirs = free_port(), free_port()
    listening = ["--runtime-interface-emulator-address", f"127.0.0.1:{ours}"]
    listening += ["--runtime-api-address", f"127.0.0.1:{theirs}"]
    command = [str(emulator), "--log-level", "info", *listening]
    if "AWS_LAMBDA_MAX_CONCURRENCY" in function.environment:
        command = _with_bootstrap(command, function.command(python), function.task)
    else:
        command += function.command(python)
    with tempfile.TemporaryFile("w+") as log:
        process = subprocess.Popen(  # noqa: S603 - our own words
            command,
            env=environment_of(function, aws),
            cwd=function.task,
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
        try:
            yield Emulated(process, f"http://127.0.0.1:{ours}/2015-03-31/functions/function/invocations", log)
        finally:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()


def _with_bootstrap(emulator: list[str], runtime: list[str], folder: Path) -> list[str]:
    """A command that starts the emulator where it finds a runtime to start, in a mount namespace of its own.

    For functions that take several invocations at once it ignores the command that it is given. It starts
    /var/runtime/bootstrap in /var/task, as another user, to whom the folders of our interpreter are opened. Raises
    NotReady where that is impossible.
    """
    if os.geteuid() or shutil.which("unshare") is None:
        raise NotReady("the emulator of managed instances needs unshare(1), and to be root")
    bootstrap = ["#!/bin/sh", f"cd {shlex.quote(str(folder))}", f"exec {shlex.join(runtime)}"]
    written = shlex.join(["printf", r"%s\n", *bootstrap])
    steps = ["mount -t tmpfs none /var", "mkdir -p /var/task /var/runtime"]
    for number, closed in enumerate(_closed_folders(Path(runtime[-1]))):
        above, work, name = f"/var/above{number}", f"/var/work{number}", shlex.quote(str(closed))
        steps += [
            f"mkdir {above} {work}",
            f"mount -t overlay none -o lowerdir={name},upperdir={above},workdir={work} {name}",
            f"chmod a+rx {name}",
        ]
    steps += [
        f"{written} > /var/runtime/bootstrap",
        "chmod a+rx /var/runtime/bootstrap",
        f"exec {shlex.join(emulator)}",
    ]
    return ["unshare", "--mount", "sh", "-c", " && ".join(steps)]


def _closed_folders(path: Path) -> list[Path]:
    """The folders above a path that only their owners may enter, the outermost first."""
    return [folder for folder in reversed(path.parents) if not folder.stat().st_mode & stat.S_IXOTH]


def _descendants(pid: int) -> Iterator[int]:
    for children in Path(f"/proc/{pid}/task").glob("*/children"):
        for child in children.read_text().split():
            yield int(child)
            yield from _descendants(int(child))


def peak_megabytes(pid: int) -> float:
    """The most resident memory that a process has had."""
    found = re.search(r"VmHWM:\s+(\d+) kB", Path(f"/proc/{pid}/status").read_text())
    return int(found.group(1)) / 1024 if found else 0.0


def cpu_seconds(pid: int) -> float:
    """The CPU time that all threads of a process have had; see clock_getcpuclockid(3)."""
    clock = ctypes.c_int()
    if error := ctypes.CDLL(None).clock_getcpuclockid(pid, ctypes.byref(clock)):
        raise OSError(error, os.strerror(error))
    return time.clock_gettime(clock.value)


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        return int(server.getsockname()[1])


def _emulator() -> Path:
    machine = {"aarch64": "arm64"}.get(platform.machine(), platform.machine())
    pattern = f"lib/python3.*/site-packages/samcli/local/rapid/aws-lambda-rie-{machine}"
    found = sorted((ROOT / ".venv" / "sam").glob(pattern))
    if not found:
        raise NotReady("the Runtime Interface Emulator is missing: run `make .venv/sam`")
    if not (MANAGED_RUNTIME / "awslambdaric").exists():
        raise NotReady("what Lambda's image brings is missing: run `make .venv/lambda-runtime`")
    return found[0]


def lambda_python() -> str:
    """An interpreter of the version that Lambda runs. Raises NotReady."""
    result = subprocess.run([ROOT / "scripts" / "find-python", "3.13"], capture_output=True, text=True, check=False)  # noqa: S603 - our own words
    if result.returncode:
        raise NotReady(result.stderr.strip())
    return result.stdout.strip()
