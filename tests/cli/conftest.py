"""The command line as a person calls it, on an emulated AWS of its own."""

import asyncio
import json
import sys
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any
from uuid import uuid4

import pytest

from shared.cli.__main__ import main
from shared.stores.aws import Aws
from shared.stores.keys import KeyStore
from shared.stores.limits.store import LimitStore


@dataclass(frozen=True)
class Result:
    """What a command printed, and its exit status."""

    stdout: str
    stderr: str
    status: int

    @property
    def json(self) -> Any:
        """The one document that it printed. Raises AssertionError where it failed."""
        assert self.status == 0, self.stderr
        return json.loads(self.stdout)

    @property
    def error(self) -> str:
        """The one line that it ended with, and nothing else."""
        assert self.status != 0
        assert self.stdout == ""
        (line,) = self.stderr.splitlines()
        return line


Command = Callable[..., Result]


@pytest.fixture
def command(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Command:
    """Runs a command in this process, its streams and its exit status as a shell would see them."""

    def run(*arguments: str) -> Result:
        monkeypatch.setattr(sys, "argv", ["gateway", *arguments])
        status = 0
        try:
            main()
        except SystemExit as exit_:
            if isinstance(exit_.code, str):
                print(exit_.code, file=sys.stderr)
            status = exit_.code if isinstance(exit_.code, int) else int(exit_.code is not None)
        written = capsys.readouterr()
        return Result(written.out, written.err, status)

    return run


@pytest.fixture
def box(moto_environment: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    """The variables that lead to the emulated AWS, which are set, and nothing else that leads anywhere."""
    for name in ("PORT", "AWS_PROFILE", "AWS_DEFAULT_REGION", "AWS_SESSION_TOKEN"):
        monkeypatch.delenv(name, raising=False)
    for name, value in moto_environment.items():
        monkeypatch.setenv(name, value)
    return moto_environment


@dataclass(frozen=True)
class Stores:
    """The tables behind the command line."""

    environment: dict[str, str]
    names: tuple[str, str, str]

    def run(self, work: Callable[[KeyStore, LimitStore], Any]) -> Any:
        """The result of a coroutine that gets the stores."""

        async def done() -> Any:
            aws = Aws(self.environment)
            try:
                return await work(KeyStore(aws, self.names[0]), LimitStore(aws, *self.names[1:]))
            finally:
                await aws.aclose()

        return asyncio.run(done())


@pytest.fixture
def local(box: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> Stores:
    """A local gateway's tables, those of each test under names of their own."""
    name = uuid4().hex
    names = f"keys-{name}", f"limits-{name}", f"usage-{name}"
    for what, table in zip(("KEYS", "LIMITS", "USAGE"), names, strict=True):
        monkeypatch.setenv(f"GATEWAY_{what}_TABLE", table)
    stores = Stores(box, names)
    stores.run(make_tables)
    return stores


async def make_tables(keys: KeyStore, limits: LimitStore) -> None:
    await keys.create_table()
    await limits.create_tables()
