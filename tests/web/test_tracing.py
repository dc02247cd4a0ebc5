"""With GATEWAY_TRACING=on a request is a subsegment of Lambda's trace; without it no X-Ray SDK is imported."""

import json
import os
import socket
import subprocess
import sys
from pathlib import Path

PROGRAM = """
import asyncio, sys
import httpx
from functions.chat.app import app

async def main():
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://gateway") as client:
        answer = await client.post("/v1/chat/completions", json={}, headers={"x-request-id": "r-9"})
        assert answer.status_code == 401

asyncio.run(main())
print("aws_xray_sdk" in sys.modules)
"""
TRACE = "Root=1-5759e988-bd862e3fe1be46a994272793;Parent=53995c3f42cd8ad8;Sampled=1"


def run(**environment: str) -> str:
    """The last line that the program prints."""
    given = {"PATH": os.environ["PATH"], "LAMBDA_TASK_ROOT": "/var/task", "_X_AMZN_TRACE_ID": TRACE, **environment}
    result = subprocess.run(
        [sys.executable, "-c", PROGRAM],
        env=given,
        cwd=Path(__file__).parents[2],
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.returncode == 0, result.stderr
    return result.stdout.splitlines()[-1]


def test_a_request_is_a_subsegment_of_the_functions_trace() -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as daemon:
        daemon.bind(("127.0.0.1", 0))
        daemon.settimeout(5)
        run(GATEWAY_TRACING="on", AWS_XRAY_DAEMON_ADDRESS=f"127.0.0.1:{daemon.getsockname()[1]}")
        segment = json.loads(daemon.recv(65535).partition(b"\n")[2])
    assert segment["name"] == "## /v1/chat/completions"
    assert segment["trace_id"] == "1-5759e988-bd862e3fe1be46a994272793"
    assert segment["annotations"]["request_id"] == "r-9"


def test_without_the_setting_nothing_of_x_ray_is_loaded() -> None:
    assert run(GATEWAY_TRACING="off") == "False"
