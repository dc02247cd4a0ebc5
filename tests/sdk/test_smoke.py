"""`make smoke` passes against a gateway that works and fails against one that does not."""

import subprocess
import sys
from pathlib import Path

SMOKE = Path(__file__).parents[2] / "scripts" / "smoke.py"


def smoke(url: str, key: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(SMOKE)]
    environment = {"URL": url, "GATEWAY_KEY": key}
    return subprocess.run(
        command, env=environment, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=60, check=False
    )


def test_it_passes_against_make_run(sandbox_url: str) -> None:
    result = smoke(sandbox_url, "sk-local")
    assert result.returncode == 0, result.stdout + result.stderr
    assert result.stdout.count("ok ") == 8


def test_it_fails_with_a_key_that_is_not_known_and_does_not_print_it(sandbox_url: str) -> None:
    result = smoke(sandbox_url, "sk-nobodys-key")
    assert result.returncode == 1
    assert "FAIL" in result.stdout
    assert "sk-nobodys-key" not in result.stdout + result.stderr


def test_it_fails_where_nothing_answers() -> None:
    assert smoke("http://127.0.0.1:9", "sk-local").returncode == 1


def test_without_a_key_it_says_where_to_put_one() -> None:
    result = smoke("http://127.0.0.1:9", "")
    assert (result.returncode, result.stdout) == (1, "")
    assert "GATEWAY_KEY" in result.stderr
