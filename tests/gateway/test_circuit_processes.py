"""Eight operating-system processes share their circuits through one table."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from uuid import uuid4

from shared.gateway.circuits import OPEN_SECONDS, READ_SECONDS
from shared.stores.keys import KeyStore
from tests.client import LIMITS
from tests.gateway.circuit_process import FAILURES

PROCESSES = 8


class Group:
    """Processes with a clock that is moved by hand, and a target that nobody else has."""

    def __init__(self, running: "list[subprocess.Popen[str]]") -> None:
        self._running = running
        self._target = f"acme/{uuid4().hex}"
        self.now = 1_700_000_000.0

    def all(self, verb: str) -> list[bool]:
        """What came of it in each process; all are told before any is listened to."""
        for process in self._running:
            self._tell(process, verb)
        return [bool(answer_of(process)) for process in self._running]

    def one(self, at: int, verb: str) -> bool:
        self._tell(self._running[at], verb)
        return bool(answer_of(self._running[at]))

    def _tell(self, process: "subprocess.Popen[str]", verb: str) -> None:
        assert process.stdin is not None
        process.stdin.write(json.dumps([self.now, verb, self._target]) + "\n")
        process.stdin.flush()


def answer_of(process: "subprocess.Popen[str]") -> object:
    assert process.stdout is not None
    answer: object = json.loads(process.stdout.readline())
    return answer


@contextmanager
def group(environment: dict[str, str]) -> Iterator[Group]:
    command = [sys.executable, "-m", "tests.gateway.circuit_process", LIMITS, json.dumps(environment)]
    quiet = {**os.environ, "POWERTOOLS_LOG_LEVEL": "CRITICAL"}  # logs go to where the answers go
    with ExitStack() as stack:
        running = [
            stack.enter_context(
                subprocess.Popen(command, env=quiet, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
            )
            for _ in range(PROCESSES)
        ]
        assert [answer_of(process) for process in running] == ["ready"] * PROCESSES
        yield Group(running)


def test_F09_F10_processes_know_of_a_circuit_within_seconds_and_one_of_them_probes_at_a_time(
    keys: KeyStore, aws_environment: dict[str, str]
) -> None:
    with group(aws_environment) as processes:
        assert processes.all("read") == [False] * PROCESSES
        for _ in range(FAILURES):
            processes.one(0, "fail")
        processes.now += READ_SECONDS
        assert processes.all("read") == [True] * PROCESSES
        assert processes.all("ask") == [False] * PROCESSES
        for _ in range(4):
            processes.now += OPEN_SECONDS + 1
            admitted = processes.all("ask")
            assert admitted.count(True) == 1
            prober = admitted.index(True)
            processes.one(prober, "fail")
            assert processes.all("ask") == [False] * PROCESSES
        processes.now += OPEN_SECONDS + 1
        processes.one(processes.all("ask").index(True), "succeed")
        processes.now += READ_SECONDS
        assert processes.all("read") == [False] * PROCESSES
        assert processes.all("ask") == [True] * PROCESSES
