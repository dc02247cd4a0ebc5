"""An SQS queue: sends messages in bulk, each with a delay, and receives them where Lambda does not.

Followed: https://docs.aws.amazon.com/AWSSimpleQueueService/latest/APIReference
"""

from collections.abc import Sequence
from typing import Any

from shared.dataclass import dataclass
from shared.pump import gather_or_cancel
from shared.stores.aws import Aws
from shared.stores.aws_calls import ATTEMPTS, AwsError, pause_before

MAX_DELAY_SECONDS = 900
_SENT_AT_ONCE = 10
_CALLS_AT_ONCE = 8


@dataclass(frozen=True, slots=True)
class Outgoing:
    """A message that becomes visible after `delay` seconds, at most MAX_DELAY_SECONDS.

    SQS gives messages of a `group` that keeps consumers busy after those of others; one without is a group of its own.
    https://docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/sqs-fair-queues.html
    """

    body: str
    delay: int = 0
    group: str | None = None

    def entry(self, entry_id: str) -> dict[str, object]:
        """The message as SendMessageBatch takes it."""
        group = {} if self.group is None else {"MessageGroupId": self.group}
        return {"Id": entry_id, "MessageBody": self.body, "DelaySeconds": self.delay, **group}


@dataclass(frozen=True, slots=True)
class Received:
    """A received message, hidden from others until its visibility timeout; `receives` is how often it was received."""

    id: str
    body: str
    receipt: str
    receives: int


class Queue:
    """One queue, given by its URL or its name. Every method raises AwsError."""

    def __init__(self, aws: Aws, queue: str) -> None:
        self._aws = aws
        self._name = queue.rpartition("/")[2]
        self._url = queue if "/" in queue else None

    async def send(self, messages: Sequence[Outgoing]) -> None:
        """Sends all messages. If it fails, some of them may have been sent."""
        calls = [messages[start : start + _SENT_AT_ONCE] for start in range(0, len(messages), _SENT_AT_ONCE)]
        for start in range(0, len(calls), _CALLS_AT_ONCE):
            await gather_or_cancel(self._send(call) for call in calls[start : start + _CALLS_AT_ONCE])

    async def _send(self, messages: Sequence[Outgoing]) -> None:
        waiting = {str(index): message.entry(str(index)) for index, message in enumerate(messages)}
        for attempt in range(ATTEMPTS):
            if attempt:
                await pause_before(attempt)
            answer = await self._call("SendMessageBatch", {"Entries": list(waiting.values())})
            # A successful call may still reject some of its messages.
            for sent in answer.get("Successful", ()):
                waiting.pop(sent["Id"], None)
            if not waiting:
                return
        refused = answer.get("Failed") or [{}]
        raise AwsError("sqs", "SendMessageBatch", str(refused[0].get("Code", "NotSent")))

    async def receive(self, limit: int, *, wait: int) -> list[Received]:
        """Up to `limit` messages (at most 10), as soon as there is one, or none after `wait` seconds."""
        wanted = {
            "MaxNumberOfMessages": limit,
            "WaitTimeSeconds": wait,
            "MessageSystemAttributeNames": ["ApproximateReceiveCount"],
        }
        answer = await self._call("ReceiveMessage", wanted)
        return [
            Received(
                message["MessageId"],
                message["Body"],
                message["ReceiptHandle"],
                int(message.get("Attributes", {}).get("ApproximateReceiveCount", 1)),
            )
            for message in answer.get("Messages", ())
        ]

    async def hide(self, receipt: str, seconds: int) -> None:
        """Makes a received message visible again after a number of seconds."""
        await self._call("ChangeMessageVisibility", {"ReceiptHandle": receipt, "VisibilityTimeout": seconds})

    async def delete(self, receipt: str) -> None:
        """Removes a received message."""
        await self._call("DeleteMessage", {"ReceiptHandle": receipt})

    async def create_queue(self, *, hidden_seconds: int) -> None:
        """Creates the queue in an embedded AWS; in a stack the template does."""
        attributes = {"VisibilityTimeout": str(hidden_seconds)}
        await self._aws.call("sqs", "CreateQueue", {"QueueName": self._name, "Attributes": attributes})

    async def _call(self, action: str, body: dict[str, object]) -> dict[str, Any]:
        if self._url is None:
            self._url = str((await self._aws.call("sqs", "GetQueueUrl", {"QueueName": self._name}))["QueueUrl"])
        return await self._aws.call("sqs", action, {"QueueUrl": self._url, **body})
