"""What a terminal agent does, in a few lines on OpenAI's SDK: `scripts/try_codex.py` lets a real one do it by hand."""

import json
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from openai import OpenAI

from scripts.agent_trial import DONE, FILE, PROMPT
from scripts.scripted_provider import provider
from scripts.try_codex import CODEX
from tests.sdk.server import TOKEN, running

EXEC: Any = {
    "type": "function",
    "name": "exec_command",
    "description": "Runs a command in a shell.",
    "strict": False,
    "parameters": {"type": "object", "properties": {"cmd": {"type": "string"}}, "required": ["cmd"]},
}


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with provider(CODEX.script) as address:
        names = {name for name, _ in CODEX.models}
        settings = {f"{name.upper()}_API_KEY": "scripted" for name in names}
        settings |= {f"{name.upper()}_BASE_URL": f"{address}/{name}" for name in names}
        with running(tmp_path_factory.mktemp("home"), **settings) as server:
            yield server.url


@pytest.mark.parametrize("model", [model for _, model in CODEX.models])
def test_P24_an_agent_that_speaks_responses_completes_its_task(url: str, tmp_path: Path, model: str) -> None:
    conversation: list[Any] = [{"role": "user", "content": PROMPT}]
    seen = []
    with OpenAI(base_url=f"{url}/v1", api_key=TOKEN, max_retries=0) as client:
        for _ in range(3):
            # It keeps the conversation itself, thoughts included, as agents do.
            with client.responses.stream(
                model=model, input=conversation, tools=[EXEC], store=False, include=["reasoning.encrypted_content"]
            ) as stream:
                response = stream.get_final_response()
            conversation += [item.model_dump(mode="json", exclude_none=True) for item in response.output]
            for item in response.output:
                if item.type == "function_call":
                    subprocess.run(json.loads(item.arguments)["cmd"], shell=True, cwd=tmp_path, check=True)
                    seen.append((tmp_path / FILE).read_text("utf-8"))
                    conversation.append({"type": "function_call_output", "call_id": item.call_id, "output": "done"})
    assert seen == ["hello\n", "goodbye\n"]
    assert response.output_text == DONE
