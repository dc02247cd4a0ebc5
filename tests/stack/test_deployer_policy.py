"""The IAM policy for who deploys: enough for every resource of the template, and no more than its own."""

import json
from pathlib import Path
from typing import Any

import pytest

from tests.stack.test_template import translated

POLICY: dict[str, Any] = json.loads((Path(__file__).parents[2] / "docs" / "deployer-policy.json").read_text("utf-8"))
# https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_iam-quotas.html
MANAGED_POLICY_LIMIT = 6144
EVERYTHING = {
    "Alarms": "on",
    "ApiLogRole": "stack",
    "Deployment": "Canary10Percent5Minutes",
    "Bedrock": "on",
    "DomainName": "ai.example.com",
    "HostedZoneId": "Z1",
    "WebAclArn": "arn:aws:wafv2:us-east-1:123456789012:regional/webacl/mine/1",
}


@pytest.fixture(autouse=True)
def _region(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")


def listed(value: Any) -> list[str]:
    return value if isinstance(value, list) else [value]


def actions() -> dict[str, set[str]]:
    """What is allowed, by service."""
    found: dict[str, set[str]] = {}
    for statement in POLICY["Statement"]:
        for action in listed(statement["Action"]):
            service, _, name = action.partition(":")
            found.setdefault(service, set()).add(name)
    return found


def test_each_resource_of_the_template_can_be_made_and_removed() -> None:
    allowed = actions()
    for resource in translated(**EVERYTHING).values():
        service = resource["Type"].split("::")[1].lower()
        verbs = {
            name
            for name in allowed[service]
            if name.startswith(("Create", "Put", "Add", "Associate", "Change", "POST"))
        }
        undoing = ("Delete", "Remove", "Disassociate", "Change", "DELETE")
        removes = {name for name in allowed[service] if name.startswith(undoing)}
        assert verbs, resource["Type"]
        assert removes, resource["Type"]


def test_nothing_is_allowed_on_everything_but_looking_and_what_has_no_name_of_ours() -> None:
    everywhere = {statement["Sid"] for statement in POLICY["Statement"] if "*" in listed(statement["Resource"])}
    assert everywhere == {"Nameless", "Lookups", "Firewall", "Domain"}
    for statement in POLICY["Statement"]:
        assert statement["Effect"] == "Allow"
        assert not {"*", "iam:*"} & {*listed(statement["Action"])}
        if any(action.startswith("iam:") for action in listed(statement["Action"])):
            assert statement["Resource"] == "arn:aws:iam::*:role/inference-gateway*"


def test_roles_are_passed_only_to_the_services_that_take_them() -> None:
    (passing,) = [statement for statement in POLICY["Statement"] if "iam:PassRole" in listed(statement["Action"])]
    taken = {
        statement["Principal"]["Service"] if isinstance(statement["Principal"]["Service"], str) else service
        for resource in translated(**EVERYTHING).values()
        if resource["Type"] == "AWS::IAM::Role"
        for statement in resource["Properties"]["AssumeRolePolicyDocument"]["Statement"]
        for service in listed(statement["Principal"]["Service"])
    }
    assert {*passing["Condition"]["StringEquals"]["iam:PassedToService"]} == taken


def test_it_fits_into_a_managed_policy() -> None:
    assert len("".join(json.dumps(POLICY).split())) <= MANAGED_POLICY_LIMIT


def test_it_is_for_the_stacks_that_samconfig_names() -> None:
    config = (Path(__file__).parents[2] / "samconfig.toml").read_text("utf-8")
    names = [line.split('"')[1] for line in config.splitlines() if line.startswith("stack_name")]
    assert names
    assert all(name.startswith("inference-gateway") for name in names)
    # CloudFormation begins the names of what has none with the stack's.
    given = {"FunctionName", "RoleName", "TableName", "QueueName", "BucketName"}
    for resource in translated(**EVERYTHING).values():
        if resource["Type"].rpartition("::")[2] in ("Function", "Role", "Table", "Queue", "Bucket"):
            assert not given & set(resource["Properties"])
