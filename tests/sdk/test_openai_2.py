"""The tests of OpenAI's SDK once more, under the major version before the newest: many clients still have it."""

import os
import subprocess
import sys
from pathlib import Path

from tests.sdk.conftest import GIVEN_URL
from tests.sdk.server import ROOT, environment

PACKAGES = ROOT / ".venv" / "openai-2-packages"


def test_the_previous_sdk_meets_the_same_gateway(sandbox_url: str, tmp_path: Path) -> None:
    assert (PACKAGES / "openai").is_dir(), f"{PACKAGES} is missing: run `make .venv/openai-2`, or `make test`"
    settings = {
        "PYTHONPATH": str(PACKAGES),
        "TEST_OPENAI_VERSION": "2.",
        GIVEN_URL: sandbox_url,
    }
    files = [
        f"tests/sdk/test_{name}.py"
        for name in ("openai", "responses", "images", "embeddings", "audio", "files", "batches")
    ]
    options = ["-p", "no:xdist", "-p", "no:cacheprovider", *files]
    result = subprocess.run(
        [sys.executable, "-m", "pytest", *options],
        cwd=ROOT,
        env=environment(tmp_path, **settings),
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )
    assert result.returncode == os.EX_OK, result.stdout + result.stderr
    assert "skipped" not in result.stdout
