"""Runs tests in a process of its own, where packages that are not the development environment's come first."""

import os
import subprocess
import sys
from pathlib import Path

from tests.sdk.conftest import GIVEN_URL
from tests.sdk.server import ROOT, environment


def assert_pass(files: list[str], environment_name: str, url: str, home: Path, **settings: str) -> None:
    """That all tests of `files` pass against the gateway at `url`, with the packages of `make .venv/<name>`."""
    packages = ROOT / ".venv" / f"{environment_name}-packages"
    assert packages.is_dir(), f"{packages} is missing: run `make .venv/{environment_name}`, or `make test`"
    result = subprocess.run(
        [sys.executable, "-m", "pytest", "-p", "no:xdist", "-p", "no:cacheprovider", *files],
        cwd=ROOT,
        env=environment(home, PYTHONPATH=str(packages), **{GIVEN_URL: url}, **settings),
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )
    assert result.returncode == os.EX_OK, result.stdout + result.stderr
    assert "skipped" not in result.stdout
