"""`make delete`: it asks first, says what remains, and what remains can be used again."""

import json
from pathlib import Path
from typing import Any
from uuid import uuid4

import boto3
import pytest

from scripts.adopt import adopt, only
from scripts.delete import Retained, delete, retained
from scripts.deploy import Order, Refused
from tests.stack.test_template import parsed

REGION = "eu-central-1"


@pytest.fixture
def cloudformation(moto_environment: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> Any:
    for name, value in moto_environment.items():
        monkeypatch.setenv(name, value)
    return boto3.client("cloudformation", region_name=REGION)


@pytest.fixture
def stack(cloudformation: Any) -> str:
    """A stack with a table that stays and a queue that does not, and an API Gateway key in its usage plan."""
    name = f"stack-{uuid4().hex}"
    table = {
        "BillingMode": "PAY_PER_REQUEST",
        "AttributeDefinitions": [{"AttributeName": "id", "AttributeType": "S"}],
        "KeySchema": [{"AttributeName": "id", "KeyType": "HASH"}],
    }
    api = boto3.client("apigateway", region_name=REGION)
    plan = api.create_usage_plan(name=name)["id"]
    template = {
        "Resources": {
            "KeysTable": {"Type": "AWS::DynamoDB::Table", "DeletionPolicy": "Retain", "Properties": table},
            "Queue": {"Type": "AWS::SQS::Queue"},
        },
        "Outputs": {"UsagePlanId": {"Value": plan}},
    }
    cloudformation.create_stack(StackName=name, TemplateBody=json.dumps(template))
    key = api.create_api_key(name="app", value=uuid4().hex)["id"]
    api.create_usage_plan_key(usagePlanId=plan, keyId=key, keyType="API_KEY")
    return name


def ids_of(cloudformation: Any, stack: str) -> dict[str, str]:
    rows = cloudformation.list_stack_resources(StackName=stack)["StackResourceSummaries"]
    return {row["LogicalResourceId"]: row["PhysicalResourceId"] for row in rows}


def exists(cloudformation: Any, stack: str) -> bool:
    return any(row["StackName"] == stack for row in cloudformation.describe_stacks()["Stacks"])


def order(stack: str) -> Order:
    return Order.read({"STACK": stack, "REGION": REGION})


def never(question: str) -> str:
    raise AssertionError(question)


def test_what_stays_is_told_with_how_to_remove_it_and_how_to_use_it_again(
    cloudformation: Any, stack: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    table = ids_of(cloudformation, stack)["KeysTable"]
    delete(order(stack), stack, never, tmp_path)
    assert not exists(cloudformation, stack)
    told = capsys.readouterr().out
    assert f"KeysTable: {table}" in told
    assert f"aws dynamodb delete-table --region {REGION} --table-name {table}" in told
    assert "aws apigateway delete-api-key" in told
    assert "Queue" not in told
    file = tmp_path / f"retained-{stack}.json"
    assert f"make deploy STACK={stack} ADOPT={file}" in told
    assert [(row["name"], row["type"]) for row in json.loads(file.read_text("utf-8"))] == [
        ("KeysTable", "AWS::DynamoDB::Table"),
        ("API Gateway key app", "AWS::ApiGateway::ApiKey"),
    ]


@pytest.mark.parametrize("typed", ["", "y", "another-stack"])
def test_nothing_is_deleted_unless_the_stack_is_named(
    cloudformation: Any, stack: str, tmp_path: Path, typed: str
) -> None:
    with pytest.raises(Refused, match="Nothing was deleted"):
        delete(order(stack), None, lambda question: typed, tmp_path)
    assert exists(cloudformation, stack)
    delete(order(stack), None, lambda question: stack, tmp_path)
    assert not exists(cloudformation, stack)


def test_all_that_the_template_keeps_can_be_removed_and_adopted() -> None:
    template = parsed()
    kept = [
        Retained(resource["Type"], name, name)
        for name, resource in template["Resources"].items()
        if "DeletionPolicy" in resource and not name.startswith("ApiGateway")  # the account's log role
    ]
    assert {row.name for row in kept} == {
        "KeysTable",
        "LimitsTable",
        "UsageTable",
        "BatchesTable",
        "ProviderSecret",
        "TenantSecret",
        "MediaBucket",
    }
    assert all(row.removed_by(REGION) for row in kept)
    imported = only(template, [row.name for row in kept])
    # CloudFormation imports only what it is told to keep, and knows nothing that is not in the same template.
    assert all("DeletionPolicy" in resource for resource in imported["Resources"].values())
    named = {name for name in template["Resources"] if f'"{name}"' in json.dumps(imported["Resources"])}
    assert named == {row.name for row in kept}
    assert len(json.dumps(imported)) < 51_200


class Cloudformation:
    """Notes how it is called."""

    def __init__(self) -> None:
        self.calls: list[tuple[str, dict[str, Any]]] = []

    def __getattr__(self, name: str) -> Any:
        return lambda **arguments: self.calls.append((name, arguments))

    def get_waiter(self, name: str) -> Any:
        calls = self.calls

        class Waiter:
            def wait(self, **arguments: Any) -> None:
                calls.append((name, arguments))

        return Waiter()


def test_what_was_left_is_imported_into_a_new_stack() -> None:
    template = parsed()
    left = [
        {"type": "AWS::DynamoDB::Table", "name": "KeysTable", "id": "old-keys"},
        {"type": "AWS::SecretsManager::Secret", "name": "ProviderSecret", "id": "arn:secret"},
        {"type": "AWS::S3::Bucket", "name": "MediaBucket", "id": "old-media"},
        {"type": "AWS::IAM::Role", "name": "ApiGatewayRole", "id": "old-role"},
        {"type": "AWS::DynamoDB::Table", "name": "GoneFromTheTemplate", "id": "old"},
    ]
    aws = Cloudformation()
    adopt(aws, "new", template, {"CorsOrigin": ""}, left)
    assert [name for name, _ in aws.calls] == [
        "create_change_set",
        "change_set_create_complete",
        "execute_change_set",
        "stack_import_complete",
    ]
    change = aws.calls[0][1]
    assert change["ChangeSetType"] == "IMPORT"
    assert change["Parameters"] == [{"ParameterKey": "CorsOrigin", "ParameterValue": ""}]
    assert [(row["LogicalResourceId"], row["ResourceIdentifier"]) for row in change["ResourcesToImport"]] == [
        ("KeysTable", {"TableName": "old-keys"}),
        ("ProviderSecret", {"Id": "arn:secret"}),
        ("MediaBucket", {"BucketName": "old-media"}),
    ]
    assert [*json.loads(change["TemplateBody"])["Resources"]] == ["KeysTable", "ProviderSecret", "MediaBucket"]


def test_a_stack_that_is_none_is_told(cloudformation: Any) -> None:
    with pytest.raises(Exception, match="nowhere"):
        retained(cloudformation, "nowhere")
