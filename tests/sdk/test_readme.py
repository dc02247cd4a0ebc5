"""The examples of the README, run as they stand but for the address."""

import os
import re
import subprocess
import sys
from pathlib import Path

from tests.providers.operations import gemini
from tests.sdk.curl import needs_curl, shell
from tests.sdk.vendor import Vendor

README = (Path(__file__).parents[2] / "README.md").read_text("utf-8")
ADDRESS = "http://127.0.0.1:8080"


def blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", README, re.DOTALL)


def curl_lines() -> list[str]:
    found = [command.strip() for block in blocks("sh") for command in re.split(r"\n\n", block)]
    return [command for command in found if command.startswith("curl") and ADDRESS in command]


# In the place of Gemini, whose own response this route gives.
GEMINI = next(wire for wire in gemini.wires if wire.operation == "content")


def path_of(command: str) -> str:
    return re.findall(r"8080(\S+)", command)[0]


@needs_curl
def test_every_curl_line_of_the_readme_is_answered(
    sandbox_url: str, vendor_url: str, vendor: Vendor, tmp_path: Path
) -> None:
    """In their order: one makes the recording that the next writes down."""
    vendor.say(next(iter(GEMINI.answers.values())).body)
    for command in curl_lines():
        url = vendor_url if path_of(command) == "/v1/image/generation/stable" else sandbox_url
        answer = shell(command.replace(ADDRESS, url), tmp_path)
        assert answer.status == 200, command
        assert SHOWN[path_of(command)] in answer.body, command
    assert (tmp_path / "hello.wav").read_bytes().startswith(b"RIFF")


SHOWN = {
    "/v1/chat/completions": b"Hello",
    "/v1/chat/completions/stable": b"Hello",
    "/ai/chat": b"Hello",
    "/v1/inference/chat": b"Hello",
    "/v1/messages": b'"type":"message"',
    "/v1/responses": b'"object":"response"',
    "/v1/images/generations": b'"url":"http',
    "/v1/inference/images/generate": b'"b64_json":"iVBORw0KGgo',
    "/v1/image/generation/stable": b'"inline_data"',
    "/v1/audio/speech": b"",
    "/v1/audio/transcriptions": b"-->",
    "/v1/embeddings": b'"index":1',
    "/v1/inference/batch": b'"object":"batch"',
}


def test_the_readme_has_a_curl_line_for_each_route_that_it_promises() -> None:
    assert {path_of(command) for command in curl_lines()} == set(SHOWN)


def test_the_python_of_the_readme_runs_as_it_stands(sandbox_url: str) -> None:
    program = "\n".join(blocks("python")).replace(ADDRESS, sandbox_url)
    environment = {**os.environ, "NO_PROXY": "127.0.0.1"}
    result = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=60, env=environment, check=False
    )
    assert result.returncode == 0, result.stderr
    assert result.stdout.count("Hello") == 4
