"""Providers' keys get into a stack's secret without being shown, and each provider can be tried."""

import io
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any
from uuid import uuid4

import boto3
import pytest

from tests.cli.conftest import Command, Stores

ROOT = Path(__file__).parents[2]
KEY = "sk-proj-a-key-that-nobody-may-see"


class Stack:
    """A stack with a secret that holds keys already."""

    def __init__(self, **parameters: str) -> None:
        self.name = f"stack-{uuid4().hex}"
        self._secrets: Any = boto3.client("secretsmanager", region_name="us-east-1")
        arn = self._secrets.create_secret(Name=self.name, SecretString='{"GROQ_API_KEY": "groq"}')["ARN"]
        outputs = {"KeysTableName": self.name, "BaseUrl": "https://x/live/v1", "ProviderSecretArn": arn}
        template = {
            "Parameters": {name: {"Type": "String", "Default": value} for name, value in parameters.items()},
            "Resources": {"Queue": {"Type": "AWS::SQS::Queue"}},
            "Outputs": {output: {"Value": value} for output, value in outputs.items()},
        }
        cloudformation = boto3.client("cloudformation", region_name="us-east-1")
        cloudformation.create_stack(StackName=self.name, TemplateBody=json.dumps(template))

    @property
    def secret(self) -> dict[str, str]:
        found: dict[str, str] = json.loads(self._secrets.get_secret_value(SecretId=self.name)["SecretString"])
        return found


@pytest.fixture
def stack(box: dict[str, str]) -> Stack:
    return Stack()


def give(monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    """Puts text on standard input, which then is no terminal."""
    monkeypatch.setattr(sys, "stdin", io.StringIO(text))


def test_a_key_from_standard_input_joins_those_that_the_secret_holds(
    command: Command, stack: Stack, monkeypatch: pytest.MonkeyPatch
) -> None:
    give(monkeypatch, f"{KEY}\n")
    result = command("--stack", stack.name, "providers", "set", "openai")
    assert result.status == 0
    assert KEY not in result.stdout + result.stderr
    assert stack.secret == {"GROQ_API_KEY": "groq", "OPENAI_API_KEY": KEY}


def test_a_key_may_be_in_a_file_and_come_with_an_address(command: Command, stack: Stack, tmp_path: Path) -> None:
    file = tmp_path / "key"
    file.write_text(f"{KEY}\n", "utf-8")
    address = ["--base-url", "https://proxy.example.com/v1"]
    command("--stack", stack.name, "providers", "set", "openai", "--file", str(file), *address)
    assert stack.secret["OPENAI_BASE_URL"] == "https://proxy.example.com/v1"
    assert stack.secret["OPENAI_API_KEY"] == KEY


def test_a_provider_without_a_key_needs_its_address_only(command: Command, stack: Stack) -> None:
    where = ["--stack", stack.name, "providers", "set", "ollama"]
    assert "--base-url" in command(*where).error
    command(*where, "--base-url", "https://ollama.example.com/v1")
    assert stack.secret["OLLAMA_BASE_URL"] == "https://ollama.example.com/v1"


def test_B09_bedrock_needs_no_key_for_an_address_of_its_own(command: Command, box: dict[str, str]) -> None:
    stack = Stack(Bedrock="on", BedrockRegion="eu-west-1")
    command("--stack", stack.name, "providers", "set", "bedrock", "--base-url", "https://vpce-1.example.com")
    assert stack.secret == {"GROQ_API_KEY": "groq", "BEDROCK_BASE_URL": "https://vpce-1.example.com"}
    rows = {row["provider"]: row for row in command("--stack", stack.name, "providers", "list", "--json").json}
    assert rows["bedrock"]["configured"]
    assert rows["bedrock"]["models"] > 0


def test_B09_a_bedrock_api_key_may_be_set(command: Command, box: dict[str, str], tmp_path: Path) -> None:
    stack, file = Stack(Bedrock="on", BedrockRegion=""), tmp_path / "key"
    file.write_text(f"{KEY}\n", "utf-8")
    command("--stack", stack.name, "providers", "set", "bedrock", "--file", str(file))
    assert stack.secret["AWS_BEARER_TOKEN_BEDROCK"] == KEY


def test_B09_a_stack_without_bedrock_does_not_name_it(command: Command, stack: Stack) -> None:
    assert "no provider bedrock" in command("--stack", stack.name, "providers", "set", "bedrock").error


def test_a_key_that_is_asked_for_is_not_echoed(stack: Stack) -> None:
    arguments = ["-m", "shared.cli", "--stack", stack.name, "providers", "set", "openai"]
    in_a_terminal = "import os, pty, sys; sys.exit(os.waitstatus_to_exitcode(pty.spawn(sys.argv[1:])))"
    with subprocess.Popen(
        [sys.executable, "-c", in_a_terminal, sys.executable, *arguments],
        cwd=ROOT, env={**os.environ}, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
    ) as process:  # fmt: skip
        assert process.stdin is not None
        assert process.stdout is not None
        shown = b""
        while b"not shown: " not in shown:
            shown += (letter := process.stdout.read(1))
            assert letter, shown
        process.stdin.write(f"{KEY}\n".encode())
        process.stdin.flush()
        shown += process.stdout.read()
        assert process.wait() == 0, shown
    assert KEY.encode() not in shown
    assert stack.secret["OPENAI_API_KEY"] == KEY


@pytest.mark.parametrize("text", ["", "\n", "two words", "OPENAI_API_KEY=x y"])
def test_what_is_no_key_changes_nothing(
    command: Command, stack: Stack, monkeypatch: pytest.MonkeyPatch, text: str
) -> None:
    give(monkeypatch, text)
    assert "one word" in command("--stack", stack.name, "providers", "set", "openai").error
    assert stack.secret == {"GROQ_API_KEY": "groq"}


def test_a_provider_that_the_catalog_lacks_is_one_line(command: Command, stack: Stack) -> None:
    assert "no provider acme" in command("--stack", stack.name, "providers", "set", "acme").error


def test_a_key_can_be_removed_again(command: Command, stack: Stack) -> None:
    command("--stack", stack.name, "providers", "remove", "groq")
    assert stack.secret == {}


def test_the_list_shows_what_is_set_and_no_key(command: Command, stack: Stack) -> None:
    result = command("--stack", stack.name, "providers", "list", "--json")
    rows = {row["provider"]: row for row in result.json}
    assert [name for name, row in rows.items() if row["configured"]] == ["groq"]
    assert rows["groq"]["models"] > 0
    assert rows["openai"]["key"] == "OPENAI_API_KEY"
    assert '"groq"' not in result.stdout.replace('"provider": "groq"', "")


def test_a_local_gateway_takes_keys_from_its_environment(command: Command, local: Stores) -> None:
    assert "environment" in command("providers", "set", "openai").error


# --- trying them


def test_each_configured_provider_is_called_once(
    command: Command, local: Stores, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = command("providers", "test", "--json").json
    assert [(row["provider"], row["ok"], row["error"]) for row in rows] == [("sandbox", True, None)]
    assert rows[0]["milliseconds"] >= 0


def test_a_provider_that_fails_is_told_and_fails_the_command(
    command: Command, local: Stores, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    monkeypatch.setenv("OPENAI_BASE_URL", "http://127.0.0.1:9/v1")
    result = command("providers", "test", "--json")
    rows = {row["provider"]: row for row in json.loads(result.stdout)}
    assert result.status == 1
    assert result.stderr == "gateway: openai failed.\n"
    assert (rows["sandbox"]["ok"], rows["openai"]["ok"]) == (True, False)
    assert rows["openai"]["error"].startswith("502: ")
    assert KEY not in result.stdout


def test_only_those_that_are_named_are_called(command: Command, local: Stores) -> None:
    assert [row["provider"] for row in command("providers", "test", "sandbox", "--json").json] == ["sandbox"]
    assert "groq is not configured" in command("providers", "test", "groq").error
