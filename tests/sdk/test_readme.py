"""The examples of the README, run as they stand but for the address."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.sdk.curl import needs_curl, shell

README = (Path(__file__).parents[2] / "README.md").read_text("utf-8")
ADDRESS = "http://127.0.0.1:8080"


def blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", README, re.DOTALL)


def curl_lines() -> list[str]:
    found = [command.strip() for block in blocks("sh") for command in re.split(r"\n\n", block)]
    return [command for command in found if command.startswith("curl") and ADDRESS in command]


@needs_curl
@pytest.mark.parametrize("command", curl_lines(), ids=lambda command: re.findall(r"8080(\S+)", command)[0])
def test_a_curl_line_of_the_readme_is_answered(command: str, sandbox_url: str, tmp_path: Path) -> None:
    answer = shell(command.replace(ADDRESS, sandbox_url), tmp_path)
    assert answer.status == 200
    assert b"Hello" in answer.body


def test_the_readme_has_a_curl_line_for_each_dialect() -> None:
    paths = ("/v1/chat/completions", "/v1/chat/completions/stable", "/ai/chat", "/v1/inference/chat")
    assert {path for path in paths if any(f"8080{path} " in command for command in curl_lines())} == set(paths)


def test_the_python_of_the_readme_runs_as_it_stands(sandbox_url: str) -> None:
    program = "\n".join(blocks("python")).replace(ADDRESS, sandbox_url)
    environment = {**os.environ, "NO_PROXY": "127.0.0.1"}
    result = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=30, env=environment, check=False
    )
    assert result.returncode == 0, result.stderr
    assert result.stdout.count("Hello") == 4
