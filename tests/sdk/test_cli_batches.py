"""`gateway batch` against `make run`, as a person would use it."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


def gateway(url: str, *arguments: str, key: str = "sk-local") -> "subprocess.CompletedProcess[str]":
    command = [sys.executable, "-m", "shared.cli", "--json", "batch", "--url", url, "--key", key, *arguments]
    # Nothing but the gateway itself is asked.
    environment = {**os.environ, "AWS_ENDPOINT_URL": "http://127.0.0.1:9", "NO_PROXY": "127.0.0.1"}
    return subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=60, check=False)


def lines(tmp_path: Path, count: int) -> Path:
    file = tmp_path / "lines.jsonl"
    body = {"model": "sandbox/embedding", "input": "Hello", "dimensions": 2}
    rows = [{"custom_id": f"c{at}", "method": "POST", "url": "/v1/embeddings", "body": body} for at in range(count)]
    file.write_text("".join(f"{json.dumps(row)}\n" for row in (*rows, "no object")), "utf-8")
    return file


def test_a_file_is_submitted_watched_and_its_results_are_printed(sandbox_url: str, tmp_path: Path) -> None:
    submitted = gateway(sandbox_url, "submit", str(lines(tmp_path, 5)), "--wait")
    assert submitted.returncode == 0, submitted.stderr
    batch = json.loads(submitted.stdout)
    assert (batch["status"], batch["completed"], batch["failed"]) == ("completed", 5, 1)
    assert "6/6" in submitted.stderr
    results = gateway(sandbox_url, "results", batch["batch_id"]).stdout.splitlines()
    assert sorted(json.loads(line)["custom_id"] for line in results) == [f"c{at}" for at in range(5)]
    failed = gateway(sandbox_url, "results", batch["batch_id"], "--errors").stdout.splitlines()
    assert "line 6" in json.loads(failed[0])["error"]["message"]
    listed = json.loads(gateway(sandbox_url, "list", "--status", "completed").stdout)
    assert batch["batch_id"] in [row["batch_id"] for row in listed]
    assert gateway(sandbox_url, "cancel", batch["batch_id"]).returncode == 1


@pytest.mark.parametrize(
    ("arguments", "key", "message"),
    [
        (("show", "batch_none"), "sk-local", "The batch 'batch_none' does not exist"),
        (("submit", "/nowhere.jsonl"), "sk-local", "No such file"),
        (("list",), "sk-wrong", "API key"),
    ],
)
def test_what_is_wrong_is_said_in_one_line(
    sandbox_url: str, arguments: tuple[str, ...], key: str, message: str
) -> None:
    result = gateway(sandbox_url, *arguments, key=key)
    assert result.returncode == 1
    assert message in result.stderr
    assert len(result.stderr.splitlines()) == 1
