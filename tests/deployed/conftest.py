"""An emulated AWS, and stacks in it that `make deploy` has made."""

import os
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import boto3
import httpx
import pytest

from scripts.emulator import free_port

ROOT = Path(__file__).parents[2]
EMULATOR = Path(__file__).with_name("emulated_aws.py")
TOPIC = "arn:aws:sns:us-east-1:000000000000:pager"
# Those of the account's root.
CREDENTIALS = {"AWS_DEFAULT_REGION": "us-east-1", "AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "test"}
_SECONDS_TO_START = 60


@dataclass(frozen=True)
class Stack:
    """A stack, which need not be there yet."""

    name: str
    aws: Mapping[str, str]

    def run(self, *arguments: str, fails: bool = False, **variables: str) -> str:
        """What a command of this project printed, as the operator of this stack calls it."""
        environment = {"PATH": os.environ["PATH"], "HOME": os.environ["HOME"], **self.aws, **variables}
        result = subprocess.run(
            [sys.executable, *arguments],
            cwd=ROOT,
            env=environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=600,
            check=False,
        )
        assert (result.returncode != 0) == fails, result.stdout[-5000:] + result.stderr[-5000:]
        return result.stdout

    def deploy(self, **parameters: str) -> None:
        """`make deploy` of what is built, with parameters in addition to those that the stack has."""
        given = " ".join(f"{name}={value}" for name, value in parameters.items())
        self.run("-m", "scripts.deploy", "stack", STACK=self.name, PARAMETERS=given)

    def delete(self) -> str:
        return self.run("-m", "scripts.delete", STACK=self.name, CONFIRM=self.name)

    def gateway(self, *arguments: str, fails: bool = False) -> str:
        """What the command line printed, as JSON."""
        return self.run("-m", "shared.cli", "--stack", self.name, "--json", *arguments, fails=fails)

    def client(self, service: str) -> Any:
        return boto3.client(
            service,
            region_name=self.aws["AWS_DEFAULT_REGION"],
            endpoint_url=self.aws["AWS_ENDPOINT_URL"],
            aws_access_key_id=self.aws["AWS_ACCESS_KEY_ID"],
            aws_secret_access_key=self.aws["AWS_SECRET_ACCESS_KEY"],
        )

    def resources(self, kind: str) -> list[str]:
        """The physical ids of a type of resource."""
        pages = self.client("cloudformation").get_paginator("list_stack_resources").paginate(StackName=self.name)
        rows = [row for page in pages for row in page["StackResourceSummaries"]]
        return [row["PhysicalResourceId"] for row in rows if row["ResourceType"] == kind]

    @property
    def url(self) -> str:
        """Where the API answers: the emulated AWS has no names of its own."""
        (api,) = self.resources("AWS::ApiGateway::RestApi")
        return f"{self.aws['AWS_ENDPOINT_URL']}/restapis/{api}/live/_user_request_"

    def chat(self, key: str, **headers: str) -> httpx.Response:
        """The answer to a chat request."""
        body = {"model": "Auto", "messages": [{"role": "user", "content": "Hello"}]}
        headers["authorization"] = f"Bearer {key}"
        return httpx.post(f"{self.url}/v1/chat/completions", json=body, headers=headers, timeout=60)


@pytest.fixture(scope="session")
def deployed_aws(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    """The variables that lead to an emulated AWS."""
    python = ROOT / ".venv" / "stack" / "bin" / "python"
    assert python.exists(), "the emulated AWS is missing: run `make .venv/stack`"
    port, state = free_port(), tmp_path_factory.mktemp("aws")
    environment = {
        "PATH": os.environ["PATH"],
        "HOME": os.environ["HOME"],  # where interpreters may be
        "TMPDIR": str(state),
        "GATEWAY_PORT": str(port),
        "BIND_HOST": "127.0.0.1",
        "AUTH": "true",  # policies count
        **CREDENTIALS,
    }
    log = (state / "log").open("wb")
    process = subprocess.Popen([python, EMULATOR], env=environment, stdout=log, stderr=log, start_new_session=True)
    url = f"http://127.0.0.1:{port}"
    try:
        _wait_for(f"{url}/_ministack/health", process, state / "log")
        yield {"AWS_ENDPOINT_URL": url, **CREDENTIALS}
    finally:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(timeout=20)
        except subprocess.TimeoutExpired:
            process.kill()
        log.close()


def _wait_for(url: str, process: "subprocess.Popen[bytes]", log: Path) -> None:
    until = time.monotonic() + _SECONDS_TO_START
    while time.monotonic() < until and process.poll() is None:
        try:
            with urllib.request.urlopen(url, timeout=5):
                return
        except OSError:
            time.sleep(0.2)
    raise AssertionError("the emulated AWS did not come up: " + log.read_text("utf-8", "replace")[-3000:])


@pytest.fixture(scope="session")
def stack(deployed_aws: dict[str, str]) -> Stack:
    """A stack that is up."""
    deployed = Stack("inference-gateway", deployed_aws)
    deployed.deploy(Alarms="on", AlarmTopicArn=TOPIC)
    return deployed


@pytest.fixture(scope="session")
def deployer_aws(deployed_aws: dict[str, str]) -> dict[str, str]:
    """The variables for the same AWS as a user who may do what docs/deployer-policy.json says, and nothing else."""
    users = Stack("none", deployed_aws).client("iam")
    users.create_user(UserName="deployer")
    policy = (ROOT / "docs" / "deployer-policy.json").read_text("utf-8")
    users.put_user_policy(UserName="deployer", PolicyName="deploy", PolicyDocument=policy)
    key = users.create_access_key(UserName="deployer")["AccessKey"]
    own = {"AWS_ACCESS_KEY_ID": key["AccessKeyId"], "AWS_SECRET_ACCESS_KEY": key["SecretAccessKey"]}
    return {**deployed_aws, **own}
