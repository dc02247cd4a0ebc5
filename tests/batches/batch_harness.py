"""The world around the batches' workers, in a test's hands: AWS whose calls fail when told to, a queue whose messages
come late, twice and in any order, a vendor that counts what it is asked, and a clock that nobody waits for."""

import asyncio
import itertools
import json
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass, field
from random import Random
from typing import Any

import httpx

from shared.batches.batch_service import BatchService
from shared.batches.delivery import deliver
from shared.batches.steps import NotReady
from shared.gateway.services import Services
from shared.schemas.batch import Batch, BatchInput, BatchOrder, InlineInput, Window
from shared.schemas.caller import Caller
from shared.settings import Settings
from shared.stores.aws import Aws
from shared.stores.aws_calls import AwsError
from shared.stores.keys import KeyStore
from shared.stores.queue import Received
from tests.client import BATCHES, BUCKET, KEYS, TENANTS, TOKEN
from tests.contract.vendor import ENVIRONMENT, HOST, MODEL, response, response_message

CALLER = KEYS[TOKEN]
HIDDEN_SECONDS = 1800.0
STEP_SECONDS = 300.0
_SQS = "AmazonSQS."

Answer = Callable[[Any], httpx.Response]


def no_fault(number: int) -> None:
    return None


class Killed(BaseException):
    """What a killed process does: nothing any more."""


@dataclass(slots=True)
class Message:
    """A message in the queue, which is not seen before `due`."""

    body: str
    due: float
    number: int
    group: str | None = None
    receives: int = 0


def last_words(body: Any) -> str:
    """What the vendor was asked last, by whichever of OpenAI's two APIs."""
    words: str = (body.get("messages") or body["input"])[-1]["content"]
    return words


def hello(body: Any) -> httpx.Response:
    """The vendor's plain answer, which says back what it was asked."""
    text = last_words(body)
    if "input" in body:
        return httpx.Response(200, json=response(response_message(f"You said {text}")))
    choice = {"index": 0, "message": {"role": "assistant", "content": f"You said {text}"}, "finish_reason": "stop"}
    usage = {"prompt_tokens": 3, "completion_tokens": 2, "total_tokens": 5}
    return httpx.Response(200, json={"id": "x", "object": "chat.completion", "choices": [choice], "usage": usage})


@dataclass
class BatchHarness(httpx.AsyncBaseTransport):
    """AWS's transport. Each call of AWS and of the vendor is a point at which a fault may be put.

    `fault` is called with the number of the point, from 1, and says what happens there to `request`: None, or one of
    "killed before", "killed after", "refused" and "answer lost".
    """

    inner: httpx.AsyncBaseTransport
    answer: Answer = hello
    before_answer: Callable[[], Awaitable[object]] | None = None
    fault: Callable[[int], str | None] = no_fault
    now: float = field(default_factory=time.time)
    points: int = 0
    request: httpx.Request | None = None
    queue: list[Message] = field(default_factory=list)
    asked: Counter[str] = field(default_factory=Counter)
    asked_at: list[float] = field(default_factory=list)
    dead: list[Message] = field(default_factory=list)
    _numbers: Any = field(default_factory=itertools.count)

    def clock(self) -> float:
        return self.now

    # ---- Faults ------------------------------------------------------------------------------------------------------

    @property
    def service(self) -> str:
        """Whose call the current point is."""
        assert self.request is not None
        if self.request.url.host == HOST:
            return "vendor"
        target = self.request.headers.get("x-amz-target", "")
        return "sqs" if target.startswith(_SQS) else "dynamodb" if target else "s3"

    def _point(self, request: httpx.Request) -> str | None:
        self.points += 1
        self.request = request
        return self.fault(self.points)

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        fault = self._point(request)
        if fault == "killed before":
            raise Killed
        if fault == "refused":
            return _refusal(request)
        if self.service == "sqs":
            action = request.headers["x-amz-target"].removeprefix(_SQS)
            response = self._sqs(action, json.loads(await request.aread()))
        else:
            response = await self.inner.handle_async_request(request)
        if fault == "killed after":
            raise Killed
        if fault == "answer lost":
            raise httpx.ReadError("the connection broke")
        return response

    async def vendor(self, request: httpx.Request) -> httpx.Response:
        fault = self._point(request)
        if fault == "killed before":
            raise Killed
        await asyncio.sleep(0)
        if self.before_answer is not None:
            await self.before_answer()
        body = json.loads(request.content)
        self.asked[last_words(body)] += 1
        self.asked_at.append(self.now)
        if fault == "killed after":
            raise Killed
        if fault in ("refused", "answer lost"):
            return httpx.Response(503, json={"error": {"message": "down"}})
        return self.answer(body)

    # ---- The queue ---------------------------------------------------------------------------------------------------

    def _sqs(self, action: str, body: Any) -> httpx.Response:
        match action:
            case "GetQueueUrl":
                return httpx.Response(200, json={"QueueUrl": "http://sqs/1/batches"})
            case "SendMessageBatch":
                entries = body["Entries"]
                assert 1 <= len(entries) <= 10
                for entry in entries:
                    assert 0 <= entry["DelaySeconds"] <= 900
                    due, group = self.now + entry["DelaySeconds"], entry.get("MessageGroupId")
                    self.queue.append(Message(entry["MessageBody"], due, next(self._numbers), group))
                return httpx.Response(200, json={"Successful": [{"Id": entry["Id"]} for entry in entries]})
            case "ChangeMessageVisibility":
                (message,) = [found for found in self.queue if str(found.number) == body["ReceiptHandle"]]
                message.due = self.now + body["VisibilityTimeout"]
                return httpx.Response(200, json={})
        raise AssertionError(action)

    async def work(
        self,
        services: Services,
        *,
        pick: Random | None = None,
        twice: bool = False,
        steps: int = 10_000,
        most: int = 10,
    ) -> None:
        """Delivers messages until there are none: in order or as `pick` likes, each once or `twice`.

        What has been received `most` times is dead.
        """
        for _ in range(steps):
            if not self.queue:
                return
            await self.step(services, pick=pick, twice=twice, most=most)
        raise AssertionError(f"the work does not end: {self.queue}")

    async def step(
        self, services: Services, *, pick: Random | None = None, twice: bool = False, most: int = 10
    ) -> None:
        """Delivers the message that is due next, at its time."""
        self.now = max(self.now, min(message.due for message in self.queue))
        due = [message for message in self.queue if message.due <= self.now]
        message = pick.choice(due) if pick else min(due, key=lambda message: (message.due, message.number))
        if message.receives >= most:
            self.queue.remove(message)
            self.dead.append(message)
            return
        message.due = self.now + HIDDEN_SECONDS
        message.receives += 1
        if await self.deliver(services, message) and not (twice and message.receives == 1):
            self.queue.remove(message)
        elif twice and message.receives == 1:
            message.due = self.now

    async def deliver(self, services: Services, message: Message) -> bool:
        """Whether the message's step was done."""
        received = Received(str(message.number), message.body, str(message.number), message.receives)
        end = self.now + STEP_SECONDS
        try:
            await deliver(received, services, remaining=lambda: end - self.now, clock=self.clock)
        except (AwsError, NotReady, Killed):
            return False
        return True


def _refusal(request: httpx.Request) -> httpx.Response:
    if "x-amz-target" in request.headers:
        return httpx.Response(400, json={"__type": "com.amazonaws#AccessDeniedException"})
    return httpx.Response(403, content=b"<Error><Code>AccessDenied</Code></Error>")


def make_services(keys: KeyStore, aws_environment: dict[str, str], harness: BatchHarness, **settings: str) -> Services:
    """A gateway whose AWS and vendor are the world's."""
    environment = {
        "GATEWAY_MEDIA_BUCKET": BUCKET,
        "GATEWAY_TENANT_SECRET": TENANTS,
        "GATEWAY_BATCHES_TABLE": BATCHES,
        "GATEWAY_BATCH_CHUNK_LINES": "2",
        "GATEWAY_BATCH_CONCURRENCY": "2",
        "GATEWAY_BATCH_LANES": "2",
        **ENVIRONMENT,
        **settings,
    }
    transport = httpx.MockTransport(harness.vendor)
    aws = Aws(aws_environment, transport=harness)
    return Services(Settings.from_environment(environment), keys, aws=aws, transport=transport)


def chat(custom_id: str, text: str | None = None, **fields: Any) -> dict[str, Any]:
    """A line that asks the vendor."""
    messages = [{"role": "user", "content": custom_id if text is None else text}]
    body = {"model": MODEL, "messages": messages, **fields}
    return {"custom_id": custom_id, "method": "POST", "url": "/v1/inference/chat", "body": body}


def jsonl(lines: Iterable[Any]) -> bytes:
    return b"".join((line if isinstance(line, bytes) else json.dumps(line).encode()) + b"\n" for line in lines)


async def submit(
    services: Services,
    harness: BatchHarness,
    lines: bytes | BatchInput,
    *,
    caller: Caller = CALLER,
    window: Window = "24h",
    endpoint: str | None = None,
    token: str = TOKEN,
) -> Batch:
    given = InlineInput(lines) if isinstance(lines, bytes) else lines
    order = BatchOrder(given, window, None, endpoint)
    return await BatchService(services, clock=harness.clock).submit(order, caller, token)


async def found(services: Services, batch: Batch) -> Batch:
    now = await services.batches.find(batch.tenant, batch.id)
    assert now is not None
    return now


async def results(services: Services, batch: Batch) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """The lines of the output file and of the error file."""
    return await _lines(services, batch.output_key), await _lines(services, batch.error_key)


async def _lines(services: Services, key: str | None) -> list[dict[str, Any]]:
    if key is None:
        return []
    content = (await services.objects.get(key)).content
    assert content.endswith(b"\n")
    return [json.loads(line) for line in content.splitlines()]


async def assert_whole(services: Services, batch: Batch, ids: Iterable[str | None]) -> Batch:
    """That a batch has ended with each id in exactly one line of exactly one file, and that its counts agree."""
    batch = await found(services, batch)
    assert batch.status.ended
    outputs, errors = await results(services, batch)
    told = [line["custom_id"] for line in (*outputs, *errors)]
    assert Counter(told) == Counter(ids)
    assert len({line["id"] for line in (*outputs, *errors)}) == len(told)
    assert all(line["error"] is None and line["response"]["status_code"] == 200 for line in outputs)
    assert all(line["error"]["code"] and line["error"]["message"] for line in errors)
    assert (batch.total, batch.tally.completed, batch.tally.failed) == (len(told), len(outputs), len(errors))
    return batch


def text_of(line: dict[str, Any]) -> str:
    """What the vendor said on an output line of a chat."""
    body = line["response"]["body"]
    text: str = body.get("data", body)["choices"][0]["message"]["content"]
    return text
