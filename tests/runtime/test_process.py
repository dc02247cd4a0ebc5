"""`python -m shared.runtime` as Lambda starts it: its beginning, its end, and that it does not grow in between."""

import asyncio
import json
import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.runtime.platform import Platform, platform
from tests.runtime.requests import rest_event

pytestmark = pytest.mark.anyio

ROOT = Path(__file__).parents[2]
WRAPPER = ROOT / "layers" / "runtime" / "streaming-runtime"
PLAIN = "tests.runtime.apps.plain.app"
_PATIENCE = 10.0


class Sandbox:
    """A runtime in a process of its own, and Lambda's side of it."""

    def __init__(self, lambda_: Platform, process: asyncio.subprocess.Process) -> None:
        self.platform = lambda_
        self.process = process

    async def get(self, path: str) -> Any:
        """The JSON that the application answers a request with."""
        answer = self.platform.invoke(rest_event(path))
        assert (await answer.prelude())["statusCode"] == 200
        return await answer.json()

    async def line(self) -> str:
        """The next line of standard output."""
        assert self.process.stdout is not None
        return (await asyncio.wait_for(self.process.stdout.readline(), _PATIENCE)).decode().rstrip("\n")

    async def exit_status(self) -> int:
        return await asyncio.wait_for(self.process.wait(), _PATIENCE)


@asynccontextmanager
async def sandbox(
    handler: str = PLAIN, *command: str, refuses: Mapping[str, int] | None = None, **environment: str
) -> AsyncIterator[Sandbox]:
    async with platform() as lambda_:
        lambda_.refuses.update(refuses or {})
        process = await asyncio.create_subprocess_exec(
            *(command or (sys.executable, "-m", "shared.runtime")),
            cwd=ROOT,
            env={
                "PATH": os.environ["PATH"],
                "AWS_LAMBDA_RUNTIME_API": lambda_.address,
                "_HANDLER": handler,
                **environment,
            },
            stdout=subprocess.PIPE,
        )
        try:
            yield Sandbox(lambda_, process)
        finally:
            if process.returncode is None:
                process.kill()
            await process.wait()


@pytest.mark.parametrize(
    ("handler", "error_type", "message"),
    [
        ("tests.runtime.apps.missing.app", "Runtime.ImportModuleError", "No module named 'tests.runtime.apps.missing'"),
        ("tests.runtime.apps.raising.app", "Function.ValueError", "a setting is missing"),
        ("tests.runtime.apps.plain.missing", "Runtime.HandlerNotFound", "has no application 'missing'"),
        ("tests.runtime.apps.plain.no_application", "Runtime.HandlerNotFound", "has no application 'no_application'"),
        ("app", "Runtime.MalformedHandlerName", "'app' is not a module and a name"),
    ],
)
async def test_an_application_that_cannot_be_loaded_is_reported_before_the_process_ends(
    handler: str, error_type: str, message: str
) -> None:
    async with sandbox(handler) as runtime:
        assert await runtime.exit_status() == 1
        ((headers, report),) = runtime.platform.reports
        assert runtime.platform.calls == ["POST /init/error"]
    assert headers["lambda-runtime-function-error-type"] == error_type
    assert set(report) == {"errorType", "errorMessage", "stackTrace"}
    assert report["errorType"] == error_type
    assert message in report["errorMessage"]


async def test_an_application_that_raises_at_import_is_reported_with_where_it_did_so() -> None:
    async with sandbox("tests.runtime.apps.raising.app") as runtime:
        assert await runtime.exit_status() == 1
        ((_, report),) = runtime.platform.reports
        assert "raising.py" in report["stackTrace"][-1]
        assert not any("importlib" in frame for frame in report["stackTrace"])
        assert json.loads(await runtime.line())["exception_name"] == "ValueError"


async def test_a_handler_may_be_spelled_as_a_path() -> None:
    async with sandbox("tests/runtime/apps/plain.app") as runtime:
        assert await runtime.get("/") is None


async def test_all_requests_of_a_sandbox_are_served_on_one_event_loop() -> None:
    async with sandbox() as runtime:
        assert len({(await runtime.get("/environment"))["loop"] for _ in range(3)}) == 1


async def test_what_the_application_prints_is_in_the_log_at_once() -> None:
    async with sandbox() as runtime:
        assert await runtime.line() == "loaded"


async def test_a_snapshot_is_taken_between_loading_and_the_first_event() -> None:
    async with sandbox(AWS_LAMBDA_INITIALIZATION_TYPE="snap-start") as runtime:
        await runtime.get("/")
        assert runtime.platform.calls[:3] == [
            "GET /restore/next",
            "GET /invocation/next",
            "POST /invocation/id-1/response",
        ]


async def test_without_snapshots_there_is_nothing_to_restore() -> None:
    async with sandbox(AWS_LAMBDA_INITIALIZATION_TYPE="on-demand") as runtime:
        await runtime.get("/")
        assert runtime.platform.calls[0] == "GET /invocation/next"


async def test_a_restore_that_fails_is_reported_before_the_process_ends() -> None:
    async with sandbox(refuses={"next": 500}, AWS_LAMBDA_INITIALIZATION_TYPE="snap-start") as runtime:
        assert await runtime.exit_status() == 1
        assert runtime.platform.calls == ["GET /restore/next", "POST /restore/error"]
        ((headers, report),) = runtime.platform.reports
    assert headers["lambda-runtime-function-error-type"] == report["errorType"] == "Runtime.AfterRestoreError"
    assert "status 500" in report["errorMessage"]


@pytest.mark.parametrize("path", ["/", "/busy"])
async def test_sigterm_ends_the_process_well_and_at_once(path: str) -> None:
    async with sandbox() as runtime:
        assert await runtime.line() == "loaded"
        if path == "/busy":
            runtime.platform.invoke(rest_event("/busy"))
            assert await runtime.line() == "busy"
        else:
            await runtime.platform.idle()
        runtime.process.send_signal(signal.SIGTERM)
        assert await runtime.exit_status() == 0


async def test_a_runtime_api_that_gives_no_event_ends_the_process() -> None:
    async with sandbox(refuses={"next": 500}) as runtime:
        assert await runtime.exit_status() == 1
        assert await runtime.line() == "loaded"
        assert "status 500" in json.loads(await runtime.line())["exception"]


async def test_a_large_body_is_not_copied_over_and_over() -> None:
    async with sandbox() as runtime:
        answer = runtime.platform.invoke(rest_event("/large"))
        await answer.prelude()
        large = len(await answer.chunk())
        # Python 3.11 keeps a copy of what the socket does not take at once; later versions keep none.
        assert int(await answer.chunk()) < large * (1.1 if sys.version_info < (3, 12) else 0.1)


async def test_two_thousand_requests_leave_nothing_behind() -> None:
    async with sandbox() as runtime:
        for _ in range(200):
            await runtime.get("/")
        before = await runtime.get("/size")
        for _ in range(1800):
            await runtime.get("/")
        after = await runtime.get("/size")
    assert after["files"] == before["files"]
    assert after["tasks"] == before["tasks"] == 3
    assert after["blocks"] < before["blocks"] + 500


async def test_the_wrapper_starts_the_runtime_in_place_of_lambda_s_own() -> None:
    bootstrap = (sys.executable, "/var/runtime/bootstrap.py")
    async with sandbox(PLAIN, str(WRAPPER), *bootstrap, LAMBDA_TASK_ROOT=str(ROOT)) as runtime:
        seen = await runtime.get("/environment")
    assert str(ROOT) in seen["sys.path"]


def test_the_wrapper_makes_importable_what_lambda_s_own_client_does(tmp_path: Path) -> None:
    interpreter = tmp_path / "python3.13"
    interpreter.write_text('#!/bin/sh\necho "$PYTHONPATH"\necho "$*"\n')
    interpreter.chmod(0o755)

    def started(**environment: str) -> list[str]:
        command = [WRAPPER, interpreter, "/var/runtime/bootstrap.py"]
        return subprocess.run(command, env=environment, capture_output=True, text=True, check=True).stdout.splitlines()

    layers = "/opt/python/lib/python3.13/site-packages:/opt/python"
    assert started() == [f"/var/task:{layers}:/var/runtime", "-m shared.runtime"]
    given = {"LAMBDA_TASK_ROOT": "/task", "LAMBDA_RUNTIME_DIR": "/runtime", "PYTHONPATH": "/more"}
    assert started(**given) == [f"/task:{layers}:/runtime:/more", "-m shared.runtime"]


def test_loading_the_runtime_loads_mangum_and_little_of_the_standard_library() -> None:
    program = "import sys; before = {*sys.modules}; import shared.runtime.__main__; print(*{*sys.modules} - before)"
    result = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=True)
    loaded = {name.partition(".")[0] for name in result.stdout.split()}
    assert loaded - sys.stdlib_module_names <= {"mangum", "shared", "typing_extensions"}
    assert not loaded & {"email", "http", "multiprocessing", "unittest", "xml"}
