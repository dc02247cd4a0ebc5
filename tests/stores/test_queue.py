"""The queue against an emulated SQS, and against one that refuses some of what it is sent."""

import json
from collections.abc import AsyncIterator

import httpx
import pytest

from shared.stores.aws import Aws
from shared.stores.aws_calls import AwsError
from shared.stores.queue import Outgoing, Queue

pytestmark = pytest.mark.anyio


@pytest.fixture
async def aws(aws_environment: dict[str, str]) -> AsyncIterator[Aws]:
    aws = Aws(aws_environment)
    yield aws
    await aws.aclose()


@pytest.fixture
async def queue(aws: Aws, request: pytest.FixtureRequest) -> Queue:
    queue = Queue(aws, str(abs(hash(request.node.name))))
    await queue.create_queue(hidden_seconds=600)
    return queue


async def test_messages_come_as_they_were_sent_until_they_are_deleted(queue: Queue) -> None:
    await queue.send([Outgoing("hällo 🚀"), Outgoing('{"a": 1}')])
    received = [message for _ in range(2) for message in await queue.receive(1, wait=0)]
    assert {message.body for message in received} == {"hällo 🚀", '{"a": 1}'}
    assert [message.receives for message in received] == [1, 1]
    for message in received:
        await queue.delete(message.receipt)
    assert await queue.receive(10, wait=0) == []


async def test_any_number_of_messages_is_sent(queue: Queue) -> None:
    await queue.send([Outgoing(str(number)) for number in range(123)])
    bodies: list[int] = []
    while received := await queue.receive(10, wait=0):
        bodies += [int(message.body) for message in received]
    assert sorted(bodies) == list(range(123))
    await queue.send([])


async def test_a_message_is_hidden_while_it_is_worked_on_and_seen_again_when_it_is_given_back(queue: Queue) -> None:
    await queue.send([Outgoing("once")])
    (message,) = await queue.receive(1, wait=0)
    assert await queue.receive(1, wait=0) == []
    await queue.hide(message.receipt, 0)
    (again,) = await queue.receive(1, wait=0)
    assert (again.id, again.receives) == (message.id, 2)


async def test_a_message_that_is_to_come_later_is_not_there_yet(queue: Queue) -> None:
    await queue.send([Outgoing("later", 900)])
    assert await queue.receive(1, wait=0) == []


async def test_a_queue_may_be_given_by_its_url(aws: Aws, queue: Queue) -> None:
    answer = await aws.call("sqs", "GetQueueUrl", {"QueueName": queue._name})
    await Queue(aws, answer["QueueUrl"]).send([Outgoing("by url")])
    (message,) = await queue.receive(1, wait=0)
    assert message.body == "by url"


async def test_a_queue_that_there_is_not_is_an_error(aws: Aws) -> None:
    with pytest.raises(AwsError):
        await Queue(aws, "nowhere").send([Outgoing("lost")])


def refusing(times: int) -> tuple[httpx.MockTransport, list[list[str]]]:
    """An SQS that so often takes only the first message of a call, and what each call sent."""
    calls: list[list[str]] = []

    def answer(request: httpx.Request) -> httpx.Response:
        entries = json.loads(request.content)["Entries"]
        calls.append([entry["MessageBody"] for entry in entries])
        taken = entries[:1] if len(calls) <= times else entries
        refused = [{"Id": entry["Id"], "Code": "Throttled"} for entry in entries if entry not in taken]
        return httpx.Response(200, json={"Successful": [{"Id": entry["Id"]} for entry in taken], "Failed": refused})

    return httpx.MockTransport(answer), calls


KEYS = {"AWS_ACCESS_KEY_ID": "a", "AWS_SECRET_ACCESS_KEY": "b"}


async def test_messages_that_were_refused_are_sent_again_and_no_others() -> None:
    transport, calls = refusing(1)
    await Queue(Aws(KEYS, transport=transport), "https://sqs.test/1/q").send([Outgoing(name) for name in "abc"])
    assert calls == [["a", "b", "c"], ["b", "c"]]


async def test_messages_that_are_refused_again_and_again_are_an_error() -> None:
    transport, _ = refusing(100)
    with pytest.raises(AwsError) as error:
        await Queue(Aws(KEYS, transport=transport), "https://sqs.test/1/q").send([Outgoing(name) for name in "abcde"])
    assert error.value.code == "Throttled"
