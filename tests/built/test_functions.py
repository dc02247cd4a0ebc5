"""The built functions under AWS's Runtime Interface Emulator, on their own path: each answers its sample events."""

import asyncio
import base64
import json
import re
import time
import urllib.request
import wave
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from io import BytesIO
from pathlib import Path
from random import Random
from threading import Thread
from typing import Any

import pytest
from PIL import Image as Pillow

from functions.embedded_aws import LOCAL_TOKEN, seed, seed_batches
from scripts.emulator import (
    Emulated,
    NotReady,
    built_functions,
    emulated,
    environment_of,
    lambda_python,
    peak_megabytes,
)
from scripts.sam_local import SAMPLE_FILE, store_sample_batches, store_sample_files, store_sample_responses
from shared.framing import SseDecoder
from shared.stores.aws import Aws
from shared.stores.batches import BatchStore
from shared.stores.keys import KeyStore
from shared.stores.limits.store import LimitStore
from shared.stores.objects import ObjectStore
from shared.stores.queue import Queue
from shared.stores.responses import ResponseStore
from shared.stores.stack_secret import StackSecret
from shared.stores.tenants import TenantFolders
from tests.runtime.test_process import sandbox

pytestmark = pytest.mark.built
EVENTS = Path(__file__).parents[2] / "events"
SETTINGS = {
    "GATEWAY_SANDBOX": "on",
    "GATEWAY_LIMITS_TABLE": "gateway-limits",
    "GATEWAY_TRUST_AUTHORIZER": "on",
    "GATEWAY_CATALOG": str(EVENTS.parent / "tests" / "sandbox_for_gemini.toml"),
}
LARGE = 8 * 2**20
PEAK_MEGABYTES = 128  # the smallest function that there is


@dataclass
class Functions:
    """The functions that have been asked so far, each started once."""

    aws: Mapping[str, str]
    stack: ExitStack
    started: dict[str, Emulated] = field(default_factory=dict)

    def invoke(self, name: str, event: Mapping[str, Any]) -> bytes:
        if name not in self.started:
            function = replace(built_functions()[name], environment=SETTINGS)
            self.started[name] = self.stack.enter_context(emulated(function, self.aws))
        return self.started[name].invoke(event)

    def answer(self, event: Mapping[str, Any]) -> tuple[int, bytes]:
        """What the function behind the event's route answers: status and body."""
        route = (event["httpMethod"], event["resource"])
        (name,) = [function.name for function in built_functions().values() if route in function.routes]
        return status_and_body(self.invoke(name, event))


@pytest.fixture(scope="module")
def functions(moto_environment: dict[str, str]) -> Iterator[Functions]:
    aws = Aws(moto_environment)
    objects = ObjectStore(aws, "gateway-media")
    secret = StackSecret(aws, "gateway-tenants")
    folders = TenantFolders(secret)
    limits = LimitStore(aws, "gateway-limits", "gateway-usage")
    asyncio.run(seed(KeyStore(aws, "gateway-keys"), objects, limits, secret))
    asyncio.run(store_sample_files(objects, folders))
    batches = BatchStore(aws, "gateway-batches")
    asyncio.run(seed_batches(batches, Queue(aws, "gateway-batches")))
    asyncio.run(store_sample_batches(objects, batches, folders))
    asyncio.run(store_sample_responses(ResponseStore(objects, folders)))
    with ExitStack() as stack:
        yield Functions(moto_environment, stack)


def event(name: str) -> dict[str, Any]:
    loaded: dict[str, Any] = json.loads((EVENTS / f"{name}.json").read_text("utf-8"))
    return loaded


def status_and_body(answer: bytes) -> tuple[int, bytes]:
    """A streamed answer's prelude and body, or a proxy response's."""
    prelude, separator, body = answer.partition(bytes(8))
    parsed = json.loads(prelude)
    if separator:
        return parsed["statusCode"], body
    text = parsed["body"]
    return parsed["statusCode"], base64.b64decode(text) if parsed["isBase64Encoded"] else text.encode()


BINARY = {"speech", "envelope-synthesize", "file-content"}
# What no provider of the sandbox's does.
REFUSED = {"response-compact": 400}
HTTP_EVENTS = sorted(path.stem for path in EVENTS.glob("*.json") if path.stem not in ("authorizer", "batch-message"))


@pytest.mark.parametrize("name", HTTP_EVENTS)
def test_a_function_answers_its_sample_event(functions: Functions, name: str) -> None:
    status, body = functions.answer(event(name))
    assert status == REFUSED.get(name, 200), body
    if "stream" in name:
        frames = [frame.data for frame in SseDecoder().feed(body)]
        assert len(frames) > 2
        assert frames[-1] in (b"[DONE]", b'{"type":"message_stop"}')
    elif name not in BINARY:
        assert json.loads(body)


def test_the_authorizer_answers_its_sample_event(functions: Functions) -> None:
    answer = json.loads(functions.invoke("authorizer", event("authorizer")))
    assert answer["policyDocument"]["Statement"][0]["Effect"] == "Allow"
    assert json.loads(answer["context"]["caller"])["key_id"] == "local"
    assert LOCAL_TOKEN not in json.dumps(answer)


def test_the_authorizer_refuses_who_has_no_key(functions: Functions) -> None:
    asked = {**event("authorizer"), "headers": {"Authorization": "Bearer sk-unknown"}}
    assert json.loads(functions.invoke("authorizer", asked))["errorMessage"] == "Unauthorized"


def test_a_failure_of_the_provider_keeps_its_status_on_lambda(functions: Functions) -> None:
    asked = event("chat-stream")
    body = {**json.loads(asked["body"]), "model": "sandbox/fail-429"}
    status, answer = status_and_body(functions.invoke("chat", {**asked, "body": json.dumps(body)}))
    assert status == 429
    assert json.loads(answer)["error"]["code"] == "rate_limit_exceeded"


# ---- Images ----------------------------------------------------------------------------------------------------------


def with_fields(name: str, **fields: Any) -> dict[str, Any]:
    """A sample event with other fields in its JSON body."""
    sample = event(name)
    return {**sample, "body": json.dumps({**json.loads(sample["body"]), **fields})}


def test_an_image_is_the_same_behind_its_url_and_inline(functions: Functions) -> None:
    status, body = functions.answer(with_fields("image-generation", response_format="url"))
    assert status == 200, body
    with urllib.request.urlopen(json.loads(body)["data"][0]["url"]) as stored:
        assert stored.headers["content-type"] == "image/png"
        behind = stored.read()
    status, body = functions.answer(with_fields("image-generation", response_format="b64_json"))
    assert status == 200, body
    inline = base64.b64decode(json.loads(body)["data"][0]["b64_json"])
    assert inline == behind
    assert Pillow.open(BytesIO(inline)).size == (1024, 1024)


def test_an_uploaded_image_arrives_unharmed(functions: Functions) -> None:
    sample = event("image-edit")
    uploaded = base64.b64decode(sample["body"]).partition(b"image/png\r\n\r\n")[2]
    status, body = functions.answer(sample)
    assert status == 200, body
    with urllib.request.urlopen(json.loads(body)["data"][0]["url"]) as stored:
        edited = stored.read()
    # The sandbox gives an edited image the size of the original: it has read the upload.
    assert Pillow.open(BytesIO(edited)).size == Pillow.open(BytesIO(uploaded)).size


@contextmanager
def gemini(answer: bytes) -> Iterator[str]:
    """A vendor on loopback that answers every call alike; its URL."""

    class Vendor(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["content-length"]))
            self.send_response(200)
            self.send_header("content-type", "application/json")
            self.send_header("content-length", str(len(answer)))
            self.end_headers()
            self.wfile.write(answer)

        def log_message(self, format: str, *arguments: Any) -> None:  # noqa: A002 - the base class names it so
            """Keeps quiet."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Vendor) as server:
        thread = Thread(target=server.serve_forever)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()
            thread.join()


@pytest.mark.anyio
async def test_an_answer_larger_than_lambda_buffers_arrives_whole(moto_environment: dict[str, str]) -> None:
    """On our own Runtime API: the emulator collects a stream, and refuses one of more than 6 MB."""
    image = base64.b64encode(b"\x89PNG\r\n\x1a\n" + Random(8).randbytes(LARGE * 3 // 4)).decode()
    part = {"inlineData": {"mimeType": "image/png", "data": image}}
    generated = {
        "candidates": [{"content": {"role": "model", "parts": [part]}, "finishReason": "STOP", "index": 0}],
        "usageMetadata": {"promptTokenCount": 5, "candidatesTokenCount": 1290, "totalTokenCount": 1295},
        "modelVersion": "gemini-2.5-flash-image",
        "responseId": "response-1",
    }
    with gemini(json.dumps(generated).encode()) as url:
        vendor = {"GEMINI_API_KEY": "vendor-key", "GEMINI_BASE_URL": url, "GATEWAY_TRUST_AUTHORIZER": "on"}
        function = replace(built_functions()["images"], environment=vendor)
        # Without the folder of the sources on its path: what is built shall answer.
        environment = {**environment_of(function, moto_environment), "PYTHONSAFEPATH": "1"}
        async with sandbox(function.handler, *function.command(lambda_python()), **environment) as images:
            answer = images.platform.invoke(event("image-stable"))
            assert (await answer.prelude())["statusCode"] == 200
            answered = await answer.json()
            peak = peak_megabytes(images.process.pid)
    assert answered["candidates"][0]["content"]["parts"] == [{"inline_data": {"mime_type": "image/png", "data": image}}]
    assert peak < PEAK_MEGABYTES


# ---- Embeddings, audio, files ----------------------------------------------------------------------------------------


def test_texts_are_embedded(functions: Functions) -> None:
    status, body = functions.answer(with_fields("embeddings", encoding_format="float"))
    assert status == 200, body
    first, second = (row["embedding"] for row in json.loads(body)["data"])
    assert first != second
    assert len(first) == len(second) > 100


def test_what_is_spoken_can_be_written_down(functions: Functions) -> None:
    status, audio = functions.answer(event("speech"))
    assert status == 200, audio
    with wave.open(BytesIO(audio)) as sound:
        spoken = sound.getnframes() / sound.getframerate()
    assert spoken > 0.1
    sample = event("transcription")
    recorded = base64.b64decode(sample["body"])
    start = recorded.index(b"RIFF")
    end = recorded.index(b"\r\n--", start)
    upload = base64.b64encode(recorded[:start] + audio + recorded[end:]).decode()
    status, body = functions.answer({**sample, "body": upload})
    assert status == 200, body
    assert json.loads(body)["text"]


def test_a_stored_file_arrives_as_it_is(functions: Functions) -> None:
    status, body = functions.answer(event("file-content"))
    assert (status, body) == (200, SAMPLE_FILE)


# ---- Batches ---------------------------------------------------------------------------------------------------------


def test_the_worker_answers_its_sample_event(functions: Functions) -> None:
    assert json.loads(functions.invoke("batch_worker", event("batch-message"))) == {"batchItemFailures": []}


def test_a_batch_is_answered(functions: Functions) -> None:
    line = {"method": "POST", "url": "/v1/chat/completions"}
    body = {"model": "sandbox/chat", "messages": [{"role": "user", "content": "Hello"}]}
    lines = [{**line, "custom_id": name, "body": body} for name in ("first", "second")]
    status, answer = functions.answer(with_fields("batch-submit", requests=lines))
    assert status == 200, answer
    asked = {**event("openai-batch"), "pathParameters": {"batch_id": json.loads(answer)["data"]["batch_id"]}}
    asked["path"] = asked["resource"].format(**asked["pathParameters"])
    batch = asyncio.run(worked_on(functions, asked))
    assert batch["request_counts"] == {"total": 2, "completed": 2, "failed": 0}
    content = {**event("file-content"), "pathParameters": {"file_id": batch["output_file_id"]}}
    content["path"] = content["resource"].format(**content["pathParameters"])
    status, results = functions.answer(content)
    assert status == 200, results
    assert {json.loads(row)["custom_id"] for row in results.splitlines()} == {"first", "second"}


async def worked_on(functions: Functions, asked: Mapping[str, Any]) -> dict[str, Any]:
    """The batch behind an event once it is completed: brings messages to the worker, as Lambda does, until it is."""
    queue = Queue(Aws(functions.aws), "gateway-batches")
    (record,) = event("batch-message")["Records"]
    for _ in range(20):
        messages = await queue.receive(4, wait=2)
        records = [{**record, "messageId": message.id, "body": message.body} for message in messages]
        if records:
            assert json.loads(functions.invoke("batch_worker", {"Records": records})) == {"batchItemFailures": []}
        for message in messages:
            await queue.delete(message.receipt)
        batch: dict[str, Any] = json.loads(functions.answer(asked)[1])
        if batch["status"] == "completed":
            return batch
    raise AssertionError(batch)


def test_L01_awss_emulator_gives_a_function_many_requests_at_once(aws_environment: dict[str, str]) -> None:
    """As on Lambda Managed Instances: each of them gets its own answer, and none waits for another."""
    at_once = 32
    settings = {**SETTINGS, "AWS_LAMBDA_MAX_CONCURRENCY": str(at_once)}
    function = replace(built_functions()["chat"], environment=settings)

    def asked(number: int) -> bytes:
        request = event("chat-stream")
        content = json.loads(request["body"]) | {"model": "sandbox/slow"}
        content["messages"] = [{"role": "user", "content": f"This is number {number}."}]
        headers = {**request["headers"], "X-Request-ID": f"r-{number}"}
        several = {name: [value] for name, value in headers.items()}
        return running.invoke(
            {**request, "body": json.dumps(content), "headers": headers, "multiValueHeaders": several}
        )

    try:
        with emulated(function, aws_environment) as running:
            asked(0)
            while '"request_id":"r-0"' not in running.log():  # it is written after the response, and what was used too
                time.sleep(0.01)
            with ThreadPoolExecutor(at_once) as pool:
                answers = list(pool.map(asked, range(at_once)))
            log = running.log()
    except NotReady as why:
        pytest.skip(str(why))
    for number, answer in enumerate(answers):
        status, body = status_and_body(answer)
        assert status == 200
        assert f'"x-request-id": "r-{number}"'.encode() in answer
        assert f"{number}.".encode() in body
    times = re.findall(r"^(START|END) RequestId", log, re.MULTILINE)[2:]
    assert times.index("END") > at_once / 2  # most had begun before the first ended
