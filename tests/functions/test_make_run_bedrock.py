"""`make run` with Bedrock: its calls are signed with the developer's own credentials, which nothing else sees."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.providers.scripted_bedrock import ScriptedBedrock, scripted_bedrock
from tests.providers.wires.bedrock import CREDENTIALS, MODEL, TEXT
from tests.sdk.server import TOKEN, LocalServer, running

EVENT_STREAM = {"content-type": "application/vnd.amazon.eventstream"}
SAID = "Grüße, Welt 👋!"


@pytest.fixture(scope="module")
def service() -> Iterator[ScriptedBedrock]:
    with scripted_bedrock() as service:
        yield service


def settings(service: ScriptedBedrock) -> dict[str, str]:
    return {"BEDROCK_REGION": service.region, "BEDROCK_BASE_URL": service.url}


def ask(server: LocalServer, **fields: Any) -> httpx.Response:
    body = {"model": MODEL, "messages": [{"role": "user", "content": "Hello"}], **fields}
    headers = {"authorization": f"Bearer {TOKEN}"}
    return httpx.post(f"{server.url}/v1/chat/completions", json=body, headers=headers, trust_env=False, timeout=60)


def test_B09_calls_are_signed_with_the_credentials_of_the_environment(service: ScriptedBedrock, tmp_path: Path) -> None:
    with running(tmp_path, **CREDENTIALS, **settings(service)) as server:
        service.respond(TEXT.body)
        whole = ask(server)
        assert whole.status_code == 200, whole.text
        assert whole.json()["choices"][0]["message"]["content"] == SAID
        service.respond(TEXT.stream, headers=EVENT_STREAM)
        lines = [line[6:] for line in ask(server, stream=True).text.splitlines() if line.startswith("data: {")]
        assert "".join(json.loads(line)["choices"][0]["delta"].get("content") or "" for line in lines) == SAID


def test_B09_calls_are_signed_with_the_credentials_of_a_profile(service: ScriptedBedrock, tmp_path: Path) -> None:
    folder = tmp_path / ".aws"
    folder.mkdir()
    rows = [f"{name.lower()} = {value}" for name, value in CREDENTIALS.items()]
    (folder / "credentials").write_text("\n".join(["[work]", *rows, ""]), "utf-8")
    service.respond(TEXT.body)
    with running(tmp_path, AWS_PROFILE="work", **settings(service)) as server:
        answer = ask(server)
        assert answer.status_code == 200, answer.text


def test_B09_without_credentials_the_log_says_what_is_missing(service: ScriptedBedrock, tmp_path: Path) -> None:
    service.respond(TEXT.body)
    with running(tmp_path, AWS_EC2_METADATA_DISABLED="true", **settings(service)) as server:
        answer = ask(server)
        assert answer.status_code == 502
        assert "embedded" not in answer.text
        (line,) = (line for line in server.log() if line["message"] == "provider call failed")
    assert "credentials" in line["advice"]
