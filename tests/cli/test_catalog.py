"""A stack's own catalog: checked before it is put into the bucket, shown, and removed."""

import json
from pathlib import Path
from uuid import uuid4

import boto3
import pytest

from tests.cli.conftest import Command
from tests.stores.test_operator_catalog import ROWS


@pytest.fixture(params=["on", "off"])
def stack(box: dict[str, str], request: pytest.FixtureRequest) -> tuple[str, str]:
    """The name of a stack with a bucket and a sandbox, and whether it reads a catalog of its own."""
    name = f"stack-{uuid4().hex}"
    outputs = {"KeysTableName": name, "BaseUrl": "https://x/live/v1", "MediaBucketName": name}
    template = {
        "Parameters": {parameter: {"Type": "String"} for parameter in ("Catalog", "Sandbox")},
        "Resources": {"Bucket": {"Type": "AWS::S3::Bucket", "Properties": {"BucketName": name}}},
        "Outputs": {output: {"Value": value} for output, value in outputs.items()},
    }
    given = [("Catalog", request.param), ("Sandbox", "on")]
    boto3.client("cloudformation", region_name="us-east-1").create_stack(
        StackName=name,
        TemplateBody=json.dumps(template),
        Parameters=[{"ParameterKey": key, "ParameterValue": value} for key, value in given],
    )
    return name, request.param


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "catalog.toml"
    # Served by the sandbox, so that it is configured without a key.
    path.write_text(ROWS.replace('"acme"\nowned_by', '"sandbox"\nupstream = "sandbox/chat"\nowned_by'), "utf-8")
    return path


def test_a_file_is_put_where_the_stack_reads_it(command: Command, stack: tuple[str, str], file: Path) -> None:
    name, reads = stack
    done = command("--stack", name, "catalog", "set", str(file), "--json").json
    assert done == {"catalog": f"s3://{name}/config/catalog.toml", "read_by_functions": reads == "on"}
    assert command("--stack", name, "catalog", "show").stdout == file.read_text("utf-8")
    models = {row["model"] for row in command("--stack", name, "models", "--json").json}
    assert ("acme-large" in models) == (reads == "on")
    command("--stack", name, "catalog", "remove")
    assert "no catalog of its own" in command("--stack", name, "catalog", "show").error


def test_a_file_that_is_wrong_changes_nothing(command: Command, stack: tuple[str, str], file: Path) -> None:
    name, _ = stack
    command("--stack", name, "catalog", "set", str(file))
    before = file.read_text("utf-8")
    file.write_text('[[models]]\nid = "x"\nprovider = "nobody"\n', "utf-8")
    result = command("--stack", name, "catalog", "set", str(file))
    assert result.status == 1
    assert str(file) in result.error
    assert command("--stack", name, "catalog", "show").stdout == before


def test_a_file_that_is_missing_is_one_line(command: Command, stack: tuple[str, str], tmp_path: Path) -> None:
    assert "could not be read" in command("--stack", stack[0], "catalog", "set", str(tmp_path / "none")).error


def test_a_local_gateway_has_a_file_of_its_own(command: Command, box: dict[str, str]) -> None:
    assert "GATEWAY_CATALOG" in command("catalog", "show").error
