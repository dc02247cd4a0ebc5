"""`gateway batch redrive`: dead letters go back to the queue of batches, none lost, with what they were about."""

import json
from typing import Any
from uuid import uuid4

import boto3
import pytest
from samtranslator.yaml_helper import yaml_parse

from shared.schemas.batch import FinishMessage
from tests.cli.conftest import Command
from tests.stack.test_template import source


class Stack:
    """A stack with the queues of batches."""

    def __init__(self) -> None:
        self.name = f"stack-{uuid4().hex}"
        self._sqs: Any = boto3.client("sqs", region_name="us-east-1")
        cloudformation = boto3.client("cloudformation", region_name="us-east-1")
        queues = {name: {"Type": "AWS::SQS::Queue"} for name in ("BatchQueue", "BatchDeadLetterQueue")}
        outputs = {name: {"Value": name} for name in ("KeysTableName", "BaseUrl")}
        outputs |= {f"{name}Url": {"Value": {"Ref": name}} for name in queues}
        template = {"Resources": queues, "Outputs": outputs}
        cloudformation.create_stack(StackName=self.name, TemplateBody=json.dumps(template))
        rows = cloudformation.list_stack_resources(StackName=self.name)["StackResourceSummaries"]
        urls = {row["LogicalResourceId"]: row["PhysicalResourceId"] for row in rows}
        self.batches, self.dead_letters = urls["BatchQueue"], urls["BatchDeadLetterQueue"]

    def die(self, *bodies: str) -> None:
        for body in bodies:
            self._sqs.send_message(QueueUrl=self.dead_letters, MessageBody=body)

    def count(self, url: str) -> int:
        """The messages in a queue, also those that somebody is looking at."""
        names = ["ApproximateNumberOfMessages", "ApproximateNumberOfMessagesNotVisible"]
        found = self._sqs.get_queue_attributes(QueueUrl=url, AttributeNames=names)["Attributes"]
        return sum(int(found[name]) for name in names)

    def waiting(self) -> list[str]:
        """What is in the queue of batches, which is empty afterwards."""
        found: list[str] = []
        while True:
            answer = self._sqs.receive_message(QueueUrl=self.batches, MaxNumberOfMessages=10)
            if not answer.get("Messages"):
                return found
            found += [message["Body"] for message in answer["Messages"]]

    def lose(self) -> None:
        self._sqs.delete_queue(QueueUrl=self.batches)


@pytest.fixture
def stack(box: dict[str, str]) -> Stack:
    return Stack()


def message(batch: str) -> str:
    return FinishMessage(tenant="acme", batch=batch).model_dump_json()


def test_all_dead_letters_go_back_with_their_count_and_batches(command: Command, stack: Stack) -> None:
    letters = [message(f"batch_{number % 2}") for number in range(13)] + ["about no batch"]
    stack.die(*letters)
    done = command("--stack", stack.name, "batch", "redrive", "--json").json
    assert done == {"messages_moved": 14, "batches": ["batch_0", "batch_1"]}
    assert sorted(stack.waiting()) == sorted(letters)
    assert stack.count(stack.dead_letters) == 0


def test_without_dead_letters_nothing_is_moved(command: Command, stack: Stack) -> None:
    assert command("--stack", stack.name, "batch", "redrive", "--json").json == {"messages_moved": 0, "batches": []}


def test_a_dead_letter_that_cannot_be_sent_stays(command: Command, stack: Stack) -> None:
    stack.die(message("batch_1"))
    stack.lose()
    assert "sqs" in command("--stack", stack.name, "batch", "redrive").error
    assert stack.count(stack.dead_letters) == 1


def test_a_local_gateway_has_no_dead_letters(command: Command, box: dict[str, str]) -> None:
    assert "Only a stack has dead letters" in command("batch", "redrive").error


def test_the_template_tells_the_command_line_where_dead_letters_are() -> None:
    outputs = yaml_parse(source())["Outputs"]
    assert outputs["BatchDeadLetterQueueUrl"]["Value"] == {"Ref": "BatchDeadLetterQueue"}
