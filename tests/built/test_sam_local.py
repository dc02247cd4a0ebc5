"""The built template under `sam local start-api`: authorizer, functions, dialects, and streams that arrive whole."""

import json
import os
import shutil
import socket
import subprocess
import sys
import time
import wave
from collections.abc import Iterator
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import Any

import httpx
import pytest

from functions.embedded_aws import LOCAL_TOKEN
from scripts.sam_local import TABLE
from tests.client import frames

ROOT = Path(__file__).parents[2]
MESSAGES = [{"role": "user", "content": "Hello"}]
DIALECTS = ["/v1/chat/completions", "/v1/chat/completions/stable", "/ai/chat", "/v1/inference/chat"]


def engine() -> bool:
    docker = shutil.which("docker")
    return docker is not None and subprocess.run([docker, "info"], capture_output=True, check=False).returncode == 0


pytestmark = [pytest.mark.built, pytest.mark.skipif(not engine(), reason="no Docker engine answers")]


@dataclass
class Served:
    url: str
    powerless: str


@pytest.fixture(scope="module")
def served() -> Iterator[Served]:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    command = [sys.executable, "-u", "-m", "scripts.sam_local"]
    environment = {**os.environ, "PORT": str(port)}
    with subprocess.Popen(
        command, cwd=ROOT, env=environment, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    ) as process:
        try:
            assert process.stdout is not None
            told = {}
            for line in process.stdout:
                name, _, value = line.strip().partition(" ")
                told[name] = value.strip()
                if name == "AWS":
                    break
            wait_for(port)
            yield Served(told["Gateway"], key_for_batches(told["AWS"]))
        finally:
            process.terminate()


def wait_for(port: int) -> None:
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        with socket.socket() as attempt:
            if attempt.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.2)
    raise AssertionError("sam local does not listen")


def key_for_batches(url: str) -> str:
    """A new key that may not use models, made by the command line."""
    aws = {"AWS_ENDPOINT_URL": url, "AWS_ACCESS_KEY_ID": "local", "AWS_SECRET_ACCESS_KEY": "local"}
    environment = {**os.environ, **aws, "AWS_REGION": "us-east-1", "GATEWAY_KEYS_TABLE": TABLE}
    command = [sys.executable, "-m", "shared.cli", "keys", "create", "batches", "--permissions", "batch:use", "--json"]
    made = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, check=True)
    token: str = json.loads(made.stdout)["token"]
    return token


def ask(served: Served, path: str, token: str | None = LOCAL_TOKEN, **fields: Any) -> httpx.Response:
    headers = {} if token is None else {"authorization": f"Bearer {token}"}
    body = {"model": "Auto", "messages": MESSAGES, **fields}
    return httpx.post(served.url + path, json=body, headers=headers, timeout=120)


def test_without_a_key_nothing_is_answered(served: Served) -> None:
    assert ask(served, DIALECTS[0], token=None).status_code == 401


@pytest.mark.parametrize("path", DIALECTS)
def test_a_key_without_the_permission_is_refused(served: Served, path: str) -> None:
    answer = ask(served, path, served.powerless)
    assert answer.status_code == 403
    assert "error" in answer.json()


@pytest.mark.parametrize("path", DIALECTS)
def test_chat_is_answered_in_each_dialect(served: Served, path: str) -> None:
    answer = ask(served, path)
    assert answer.status_code == 200
    assert "Hello" in answer.text
    assert answer.headers["x-gateway-model"] == "sandbox/chat"


@pytest.mark.parametrize("path", DIALECTS)
def test_a_stream_arrives_whole_and_valid(served: Served, path: str) -> None:
    answer = ask(served, path, stream=True)
    assert answer.status_code == 200
    assert answer.headers["content-type"].startswith("text/event-stream")
    *events, last = frames(answer.content)
    assert last == "[DONE]"
    assert len(events) > 3


def test_models_are_listed_also_one_whose_id_holds_a_slash(served: Served) -> None:
    headers = {"authorization": f"Bearer {LOCAL_TOKEN}"}
    models = httpx.get(f"{served.url}/v1/models", headers=headers, timeout=120).json()["data"]
    assert models
    one = httpx.get(f"{served.url}/v1/models/sandbox/chat", headers=headers, timeout=120).json()
    assert one["id"] == "sandbox/chat"


def test_bytes_come_through_both_ways(served: Served) -> None:
    headers = {"authorization": f"Bearer {LOCAL_TOKEN}"}
    wanted = {"model": "sandbox/speech", "input": "Hello there", "voice": "alloy", "response_format": "wav"}
    audio = httpx.post(f"{served.url}/v1/audio/speech", json=wanted, headers=headers, timeout=120)
    assert audio.status_code == 200
    assert audio.headers["content-type"] == "audio/wav"
    with wave.open(BytesIO(audio.content)) as sound:
        assert sound.getnframes() > 1000
    form = {"model": "sandbox/transcription"}
    upload = {"file": ("hello.wav", audio.content, "audio/wav")}
    url = f"{served.url}/v1/audio/transcriptions"
    written = httpx.post(url, data=form, files=upload, headers=headers, timeout=120)
    assert written.status_code == 200, written.text
    assert written.json()["text"]
