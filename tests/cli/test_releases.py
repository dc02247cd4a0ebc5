"""Releases of a deployed stack: which are kept, which one is live, and how an earlier one gets the traffic again."""

import json
from typing import Any
from uuid import uuid4

import boto3
import pytest

from shared.cli.releases import kept, make_live
from tests.cli.conftest import Command

FIRST, SECOND, THIRD = (digit * 20 for digit in "abc")
LAMBDA = {"Service": "lambda.amazonaws.com"}
TRUST = {"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Principal": LAMBDA, "Action": "sts:AssumeRole"}]}


class Stack:
    """A stack with two functions."""

    def __init__(self) -> None:
        self.name = f"stack-{uuid4().hex}"
        self.functions: Any = boto3.client("lambda", region_name="us-east-1")
        cloudformation = boto3.client("cloudformation", region_name="us-east-1")
        function = {
            "Type": "AWS::Lambda::Function",
            "Properties": {
                "Code": {"ZipFile": "pass"},
                "Handler": "index.handler",
                "Runtime": "python3.13",
                "Role": {"Fn::GetAtt": ["Role", "Arn"]},
            },
        }
        role = {"Type": "AWS::IAM::Role", "Properties": {"AssumeRolePolicyDocument": TRUST}}
        outputs = {name: {"Value": name} for name in ("KeysTableName", "BaseUrl")}
        template = {"Resources": {"Role": role, "Chat": function, "Models": function}, "Outputs": outputs}
        cloudformation.create_stack(StackName=self.name, TemplateBody=json.dumps(template))
        resources = cloudformation.list_stack_resources(StackName=self.name)["StackResourceSummaries"]
        self.names = [row["PhysicalResourceId"] for row in resources if row["LogicalResourceId"] != "Role"]

    def release(self, name: str, *, functions: int = 2) -> None:
        """Publishes a version of the functions, or of the first of them, and moves their aliases there."""
        for function in self.names[:functions]:
            self.functions.update_function_configuration(FunctionName=function, Description=f"Chat {name}")
            version = self.functions.publish_version(FunctionName=function)["Version"]
            alias = {"FunctionName": function, "Name": "live", "FunctionVersion": version}
            if version == "1":
                self.functions.create_alias(**alias)
            else:
                self.functions.update_alias(**alias)

    def live(self) -> list[str]:
        """What the functions' aliases serve."""
        return [
            self.functions.get_function_configuration(FunctionName=name, Qualifier="live")["Description"][5:]
            for name in self.names
        ]


@pytest.fixture
def stack(box: dict[str, str]) -> Stack:
    return Stack()


def test_releases_are_listed_the_newest_first_with_what_is_live(command: Command, stack: Stack) -> None:
    for name in (FIRST, SECOND):
        stack.release(name)
    stack.release(THIRD, functions=1)
    rows = command("--stack", stack.name, "releases", "list", "--json").json
    found = [(row["release"], row["functions"], row["live"]) for row in rows]
    assert found == [(THIRD, 1, 1), (SECOND, 2, 1), (FIRST, 2, 0)]


def test_a_rollback_lets_the_release_before_serve_in_every_function(command: Command, stack: Stack) -> None:
    for name in (FIRST, SECOND, THIRD):
        stack.release(name)
    where = ["--stack", stack.name]
    done = command(*where, "releases", "rollback", "--json").json
    assert (done["release"], done["functions_moved"]) == (SECOND, 2)
    assert stack.live() == [SECOND, SECOND]
    command(*where, "releases", "rollback")
    assert stack.live() == [FIRST, FIRST]
    assert "No such release" in command(*where, "releases", "rollback").error
    command(*where, "releases", "rollback", THIRD)
    assert stack.live() == [THIRD, THIRD]


def test_a_release_that_is_not_kept_moves_nothing(command: Command, stack: Stack) -> None:
    stack.release(FIRST)
    result = command("--stack", stack.name, "releases", "rollback", SECOND)
    assert (result.status, stack.live()) == (1, [FIRST, FIRST])
    assert "No such release" in result.error


def test_a_function_that_a_release_did_not_have_keeps_what_it_serves(command: Command, stack: Stack) -> None:
    stack.release(FIRST, functions=1)
    stack.release(SECOND)
    assert command("--stack", stack.name, "releases", "rollback", "--json").json["functions_moved"] == 1
    assert stack.live() == [FIRST, SECOND]


def test_of_a_release_that_was_deployed_twice_the_newer_versions_count(stack: Stack) -> None:
    for name in (FIRST, SECOND, FIRST):
        stack.release(name)
    newest = kept(stack.name, "us-east-1")[0]
    assert (newest.name, {*newest.versions.values()}) == (FIRST, {"3"})
    assert make_live(newest, "us-east-1") == []


def test_old_releases_are_deleted_but_not_the_newest_nor_what_is_live(command: Command, stack: Stack) -> None:
    fourth = "d" * 20
    for name in (FIRST, SECOND, THIRD, fourth, SECOND):
        stack.release(name)
    where = ["--stack", stack.name]
    command(*where, "releases", "rollback", FIRST)
    assert command(*where, "releases", "prune", "--keep", "1", "--json").json == {"deleted": [fourth, THIRD]}
    assert [row["release"] for row in command(*where, "releases", "list", "--json").json] == [SECOND, FIRST]
    assert stack.live() == [FIRST, FIRST]
    command(*where, "releases", "rollback", SECOND)
    assert command(*where, "releases", "prune", "--keep", "1", "--json").json == {"deleted": [FIRST]}
    assert stack.live() == [SECOND, SECOND]
    assert command(*where, "releases", "prune", "--json").json == {"deleted": []}


def test_a_local_gateway_has_no_releases(command: Command, box: dict[str, str]) -> None:
    assert "Only a stack has releases" in command("releases", "list").error
