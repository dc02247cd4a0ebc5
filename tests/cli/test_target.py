"""Where the command line works: the gateway that runs here, a stack by its outputs, or nowhere."""

import json
import os
import subprocess
import sys
import tomllib
from importlib import import_module
from pathlib import Path
from typing import Any
from uuid import uuid4

import boto3
import pytest

from shared.authorizer import _allow
from shared.cli import target
from shared.cli.__main__ import main
from shared.stores.keys import KeyStore
from shared.stores.limits.store import LimitStore
from tests.cli.conftest import Command, Stores, make_tables

ROOT = Path(__file__).parents[2]


@pytest.fixture
def running(tmp_path: Path, box: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder for what gateways leave, of which none runs, and an environment that leads nowhere."""
    for name in box:
        monkeypatch.delenv(name)
    folder = tmp_path / ".run"
    folder.mkdir()
    monkeypatch.setattr(target, "RUNNING", folder)
    return folder


def left(folder: Path, port: int, box: dict[str, str], tables: str, pid: int | None = None) -> None:
    """What `make run` leaves."""
    found = {"AWS_ENDPOINT_URL_DYNAMODB": box["AWS_ENDPOINT_URL"], "GATEWAY_KEYS_TABLE": tables}
    found |= {name: value for name, value in box.items() if name != "AWS_ENDPOINT_URL"}
    content = {"pid": pid or os.getpid(), "environment": found}
    (folder / f"{port}.json").write_text(json.dumps(content), "utf-8")


def table(box: dict[str, str]) -> str:
    name = f"keys-{uuid4().hex}"
    Stores(box, (name, f"l-{name}", f"u-{name}")).run(make_tables)
    return name


def dead() -> int:
    with subprocess.Popen([sys.executable, "-c", ""]) as process:
        process.wait()
    return process.pid


def test_without_a_gateway_it_says_how_to_start_one(command: Command, running: Path) -> None:
    for arguments in (["keys", "list"], ["usage"], ["models"], ["keys", "create", "app"]):
        result = command(*arguments)
        assert result.status == 1
        assert (
            result.error
            == "gateway: No gateway is running here: start one with `make run`, or name a stack with --stack."
        )


def test_the_one_gateway_that_runs_is_found(command: Command, running: Path, box: dict[str, str]) -> None:
    left(running, 8081, box, table(box))
    left(running, 8082, box, "gone", pid=dead())
    assert command("keys", "create", "app").status == 0
    assert [row["name"] for row in command("keys", "list", "--json").json] == ["app"]


def test_of_several_gateways_the_port_chooses(
    command: Command, running: Path, box: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    for port in (8081, 8082):
        left(running, port, box, table(box))
    refused = command("keys", "list")
    assert refused.status == 1
    assert "PORT=8081" in refused.error
    monkeypatch.setenv("PORT", "8082")
    assert command("keys", "create", "app").status == 0
    monkeypatch.setenv("PORT", "8081")
    assert command("keys", "list", "--json").json == []
    monkeypatch.setenv("PORT", "9999")
    assert "No gateway is running here" in command("keys", "list").error


def test_a_wrong_setting_is_named_in_one_line(command: Command, local: Stores, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GATEWAY_KEY_CACHE", "long")
    result = command("keys", "list")
    assert result.status == 1
    assert "GATEWAY_KEY_CACHE" in result.error


# --- a stack


TEMPLATE: dict[str, Any] = {
    "AWSTemplateFormatVersion": "2010-09-09",
    "Parameters": {"Sandbox": {"Type": "String", "Default": "off"}},
    "Resources": {"Queue": {"Type": "AWS::SQS::Queue"}},
}


@pytest.fixture
def stack(box: dict[str, str]) -> tuple[str, Stores]:
    """The name of a deployed stack, and its tables."""
    name = f"stack-{uuid4().hex}"
    tables = f"{name}-keys", f"{name}-limits", f"{name}-usage"
    values: dict[str, Any] = dict(zip(("KeysTableName", "LimitsTableName", "UsageTableName"), tables, strict=True))
    plan = boto3.client("apigateway", region_name="eu-central-1").create_usage_plan(name=name)["id"]
    values |= {"BaseUrl": "https://x.execute-api.eu-central-1.amazonaws.com/live/v1", "UsagePlanId": plan}
    template = {**TEMPLATE, "Outputs": {output: {"Value": value} for output, value in values.items()}}
    client = boto3.client("cloudformation", region_name="eu-central-1")
    client.create_stack(
        StackName=name,
        TemplateBody=json.dumps(template),
        Parameters=[{"ParameterKey": "Sandbox", "ParameterValue": "on"}],
    )
    stores = Stores({**box, "AWS_REGION": "eu-central-1"}, tables)
    stores.run(make_tables)
    return name, stores


def test_a_stack_is_found_by_its_outputs(
    command: Command, stack: tuple[str, Stores], monkeypatch: pytest.MonkeyPatch
) -> None:
    name, stores = stack
    monkeypatch.setenv("OPENAI_API_KEY", "of this shell, not of the stack")
    where = ["--stack", name, "--region", "eu-central-1"]
    made = command("keys", "create", "app", "--json", *where).json

    async def find(keys: KeyStore, _: LimitStore) -> Any:
        return await keys.find(made["token"])

    assert stores.run(find).key_id == made["key_id"]
    assert [row["name"] for row in command(*where, "--json", "keys", "list").json] == ["app"]
    assert command(*where, "usage", "--json").json == []
    assert {row["provider"] for row in command(*where, "models", "--json").json} == {"sandbox"}


def test_an_api_gateway_key_joins_the_stacks_usage_plan_and_is_what_the_authorizer_answers(
    command: Command, stack: tuple[str, Stores]
) -> None:
    name, stores = stack
    where = ["--stack", name, "--region", "eu-central-1"]
    made = command("keys", "create", "app", "--api-gateway", "--json", *where).json

    async def find(keys: KeyStore, _: LimitStore) -> Any:
        return await keys.find(made["token"])

    key = stores.run(find)
    api = boto3.client("apigateway", region_name="eu-central-1")
    (plan,) = [plan["id"] for plan in api.get_usage_plans()["items"] if plan["name"] == name]
    joined = [row["id"] for row in api.get_usage_plan_keys(usagePlanId=plan)["items"]]
    values = {row["id"]: row["value"] for row in api.get_api_keys(includeValues=True)["items"]}
    assert key.usage_key in [values[row] for row in joined]
    assert _allow(key, "arn:aws:execute-api:eu-central-1:1:api/live/GET/x")["usageIdentifierKey"] == key.usage_key
    # It is a secret of API Gateway's, and tells nothing of the token.
    for arguments in (["keys", "list"], ["keys", "show", key.key_id]):
        assert key.usage_key not in command(*arguments, "--json", *where).stdout
    rotated = command("keys", "rotate", key.key_id, "--json", *where).json

    async def again(keys: KeyStore, _: LimitStore) -> Any:
        return await keys.find(rotated["token"])

    assert stores.run(again).usage_key == key.usage_key


def test_a_stack_that_is_none_is_said_in_one_line(command: Command, box: dict[str, str]) -> None:
    result = command("--stack", "nowhere", "--region", "eu-central-1", "keys", "list")
    assert result.status == 1
    assert "nowhere" in result.error


def test_a_stack_that_is_no_gateway_is_said_in_one_line(command: Command, box: dict[str, str]) -> None:
    name = f"other-{uuid4().hex}"
    client = boto3.client("cloudformation", region_name="us-east-1")
    client.create_stack(StackName=name, TemplateBody=json.dumps(TEMPLATE))
    assert command("--stack", name, "keys", "list").error == f"gateway: The stack {name} is not a gateway."


def test_a_stack_without_a_region_is_said_in_one_line(
    command: Command, box: dict[str, str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.delenv("AWS_REGION")
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "none"))
    result = command("--stack", "any", "keys", "list")
    assert result.status == 1
    assert "region" in result.error


def test_an_api_gateway_that_refuses_makes_no_key(
    command: Command, stack: tuple[str, Stores], monkeypatch: pytest.MonkeyPatch
) -> None:
    name, _ = stack
    where = ["--stack", name, "--region", "eu-central-1"]
    monkeypatch.setenv("AWS_ENDPOINT_URL_API_GATEWAY", "http://127.0.0.1:9")
    monkeypatch.setenv("AWS_MAX_ATTEMPTS", "1")
    result = command("keys", "create", "app", "--api-gateway", *where)
    assert result.status == 1
    assert "The API Gateway key could not be created" in result.error
    assert command("keys", "list", "--json", *where).json == []


# --- as a program


def test_it_runs_as_a_module(local: Stores) -> None:
    environment = {**os.environ, "PORT": ""}
    module = subprocess.run(
        [sys.executable, "-m", "shared.cli", "keys", "list"],
        cwd=ROOT, env=environment, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert (module.returncode, module.stderr) == (0, "")
    assert module.stdout.startswith("There are no keys yet")


def test_it_is_installed_as_gateway_with_all_that_it_reads() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))
    module, _, name = project["project"]["scripts"]["gateway"].partition(":")
    assert getattr(import_module(module), name) is main
    folders = {file.parent for file in (ROOT / "shared").rglob("*.py")}
    assert all((folder / "__init__.py").is_file() for folder in folders)
    data = {file.suffix for file in (ROOT / "shared").rglob("*") if file.is_file()} - {".py", ".pyc"}
    assert data == {".toml"}
    assert project["tool"]["setuptools"]["package-data"] == {"*": ["*.toml"]}


def test_a_function_never_loads_it() -> None:
    code = "import sys, functions.chat.app; print([name for name in sys.modules if name.startswith('shared.cli')])"
    result = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert result.stdout == "[]\n"
