"""With SnapStart, what a request needs is imported before the snapshot, and elsewhere only when it is needed."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
# Answers a request, and prints which modules it has imported that are ours or that were installed.
REQUEST = """
import asyncio, json, sys
import httpx
from functions.chat.app import app
from shared.schemas.caller import Caller, Permission
from shared.snapshot import before_snapshot

class Context:
    aws_request_id = "lambda-1"
    def get_remaining_time_in_millis(self): return 60_000

caller = Caller(key_id="k", tenant="t", permissions=frozenset(Permission))
event = {"requestContext": {"authorizer": {"caller": caller.model_dump_json()}}}

async def called(scope, receive, send):
    await app({**scope, "aws.event": event, "aws.context": Context()}, receive, send)

async def main():
    body = {"model": "sandbox/chat", "messages": [{"role": "user", "content": "Hello"}]}
    async with httpx.AsyncClient(transport=httpx.ASGITransport(called), base_url="http://gateway") as client:
        answer = await client.post("/v1/chat/completions", json=body)
    assert answer.status_code == 200, answer.text

before_snapshot()
imported = set(sys.modules)
asyncio.run(main())
later = {name for name in set(sys.modules) - imported if name.partition(".")[0] not in sys.stdlib_module_names}
print(json.dumps(sorted(later)), file=sys.stderr)
"""


def imported_by_a_request(**environment: str) -> list[str]:
    given = {"GATEWAY_TRUST_AUTHORIZER": "on", "GATEWAY_SANDBOX": "on", **environment}
    command = [sys.executable, "-c", REQUEST]
    result = subprocess.run(
        command, cwd=ROOT, env={"PATH": os.environ["PATH"], **given}, capture_output=True, text=True, check=False
    )
    assert result.returncode == 0, result.stderr
    found: list[str] = json.loads(result.stderr.splitlines()[-1])
    return found


def test_a_request_imports_nothing_after_the_snapshot() -> None:
    assert imported_by_a_request(AWS_LAMBDA_INITIALIZATION_TYPE="snap-start") == []


def test_a_process_that_serves_several_at_once_imports_all_before_the_first() -> None:
    assert imported_by_a_request(AWS_LAMBDA_MAX_CONCURRENCY="64") == []


def test_without_snapshots_a_request_imports_what_it_needs() -> None:
    found = imported_by_a_request(AWS_LAMBDA_INITIALIZATION_TYPE="on-demand")
    assert "shared.upstream" in found
    assert "shared.providers.openai.chat" not in found


@pytest.mark.parametrize("function", ["batch_worker", "batches", "models"])
def test_functions_on_awss_own_runtime_import_it_all_as_well(function: str) -> None:
    program = f"import functions.{function}.app, sys; print('\\n'.join(sys.modules))"
    for kind in ("snap-start", "on-demand"):
        environment = {"PATH": os.environ["PATH"], "AWS_LAMBDA_INITIALIZATION_TYPE": kind}
        result = subprocess.run(
            [sys.executable, "-c", program], cwd=ROOT, env=environment, capture_output=True, text=True, check=True
        )
        loaded = {*result.stdout.split()}
        assert ({"shared.upstream", "shared.providers.openai.chat_answer"} <= loaded) == (kind == "snap-start")
        assert not {"boto3", "botocore.session", "shared.cli.__main__"} & loaded
