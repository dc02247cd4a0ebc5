"""A stack's life in an emulated AWS: it is deployed, answers, takes a changed parameter, goes back, and is deleted."""

import json

import pytest
from botocore.exceptions import ClientError

from tests.deployed.conftest import TOPIC, Stack

pytestmark = pytest.mark.deployed
ORIGIN = "https://app.example.com"


def new_key(stack: Stack, *options: str) -> str:
    created = json.loads(stack.gateway("keys", "create", "app", *options))
    return str(created["token"])


def test_a_deployed_stack_passes_make_smoke(stack: Stack) -> None:
    # The emulated API Gateway does not stream.
    told = stack.run("scripts/smoke.py", URL=stack.url, GATEWAY_KEY=new_key(stack), MODEL="sandbox/chat", BUFFERED="on")
    assert told.count("ok ") == 8, told


def test_keys_and_their_limits_hold(stack: Stack) -> None:
    key = new_key(stack, "--requests-per-minute", "1")
    assert stack.chat(key).status_code == 200
    refused = stack.chat(key)
    assert refused.status_code == 429
    assert int(refused.headers["retry-after"]) > 0
    assert stack.chat("sk-unknown").status_code == 401


def test_a_changed_parameter_is_live_until_it_is_rolled_back(stack: Stack) -> None:
    key = new_key(stack)
    assert "access-control-allow-origin" not in stack.chat(key, origin=ORIGIN).headers
    stack.deploy(CorsOrigin=ORIGIN)
    assert stack.chat(key, origin=ORIGIN).headers["access-control-allow-origin"] == ORIGIN
    stack.gateway("releases", "rollback")
    assert "access-control-allow-origin" not in stack.chat(key, origin=ORIGIN).headers
    # CloudFormation has nothing to do here; it does not know of the rollback.
    stack.deploy()
    assert stack.chat(key, origin=ORIGIN).headers["access-control-allow-origin"] == ORIGIN
    stack.deploy(CorsOrigin="")


def test_alarms_and_dashboard_are_about_the_stacks_own_resources(stack: Stack) -> None:
    alarms = stack.client("cloudwatch").describe_alarms(AlarmNamePrefix=f"{stack.name}-")["MetricAlarms"]
    assert len(alarms) == 7
    assert all(alarm["AlarmActions"] == alarm["OKActions"] == [TOPIC] for alarm in alarms)
    queues = {queue.rpartition("/")[2] for queue in stack.resources("AWS::SQS::Queue")}
    watched = {row["Value"] for alarm in alarms for row in alarm["Dimensions"] if row["Name"] == "QueueName"}
    assert watched == queues
    (name,) = stack.resources("AWS::CloudWatch::Dashboard")
    body = stack.client("cloudwatch").get_dashboard(DashboardName=name)["DashboardBody"]
    assert json.loads(body)["widgets"]
    assert "${" not in body
    assert all(function in body for function in stack.resources("AWS::Lambda::Function"))


def test_two_stacks_share_nothing_and_one_outlives_the_other(stack: Stack, deployer_aws: dict[str, str]) -> None:
    theirs = Stack("inference-gateway-other", stack.aws)
    by_deployer = Stack(theirs.name, deployer_aws)
    by_deployer.deploy()
    key, other_key = new_key(stack), new_key(theirs)
    assert (stack.chat(key).status_code, theirs.chat(other_key).status_code) == (200, 200)
    assert (stack.chat(other_key).status_code, theirs.chat(key).status_code) == (401, 401)
    kept = theirs.resources("AWS::DynamoDB::Table")
    told = by_deployer.delete()
    assert kept
    assert all(table in told for table in kept)
    assert set(kept) <= set(theirs.client("dynamodb").list_tables()["TableNames"])
    functions = [row["FunctionName"] for row in theirs.client("lambda").list_functions()["Functions"]]
    assert functions
    assert not [name for name in functions if name.startswith(theirs.name)]
    assert stack.chat(key).status_code == 200


def test_the_emulated_aws_refuses_what_no_policy_allows(deployer_aws: dict[str, str]) -> None:
    with pytest.raises(ClientError, match="not authorized"):
        Stack("none", deployer_aws).client("dynamodb").list_tables()


def test_dead_letters_are_put_back(stack: Stack) -> None:
    outputs = stack.client("cloudformation").describe_stacks(StackName=stack.name)["Stacks"][0]["Outputs"]
    (queue,) = [row["OutputValue"] for row in outputs if row["OutputKey"] == "BatchDeadLetterQueueUrl"]
    letter = {"kind": "finish", "tenant": "app", "batch": "batch_unknown"}
    stack.client("sqs").send_message(QueueUrl=queue, MessageBody=json.dumps(letter))
    assert json.loads(stack.gateway("batch", "redrive")) == {"messages_moved": 1, "batches": ["batch_unknown"]}
    assert json.loads(stack.gateway("batch", "redrive")) == {"messages_moved": 0, "batches": []}
