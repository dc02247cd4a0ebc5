"""A vendor with signed requests, binary frames and no API key fits by a folder and catalog rows alone.

Its folder, `tests/providers/toy`, is made importable where the gateway looks for vendors, and its rows come from the
operator's catalog file. Nothing in the gateway is patched.
"""

import hashlib
import hmac
import json
import re
import sys
from binascii import crc32
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Any
from urllib.parse import quote

import httpx
import pytest
from botocore.eventstream import EventStreamBuffer

import shared.providers
from shared.errors import UpstreamError
from shared.framing import Frame
from shared.providers import load, load_vendor
from shared.schemas.chat import ChatRequest
from shared.schemas.events import ChatEvent, Finished, Started, TextDelta
from shared.schemas.model import Model
from shared.schemas.usage import FinishReason, Usage
from shared.stores.keys import KeyStore
from tests.client import frames, gateway_client, stream_of
from tests.contract.wire import assert_error
from tests.providers.canonical import user

pytestmark = pytest.mark.anyio

CREDENTIALS = {"TOY_ACCESS_KEY_ID": "TOYKEYID", "TOY_SECRET_ACCESS_KEY": "toy-secret-access-key"}
CATALOG = """
[providers.toy]
adapter = "toy"
base_url = "https://toy.{TOY_REGION}.vendor.test"
requires = ["TOY_REGION"]

[[models]]
id = "toy/chat"
provider = "toy"
upstream = "toy.chat-v1:0"
owned_by = "toy"
capabilities = ["chat"]

[[models]]
id = "toy/embedding"
provider = "toy"
upstream = "toy.embed-v1:0"
owned_by = "toy"
capabilities = ["embeddings"]
"""
HOST = "toy.moon-1.vendor.test"
CHAT, EMBEDDING = "toy.chat-v1:0", "toy.embed-v1:0"

COUNTS = {"inputTokens": 3, "outputTokens": 4}
USAGE = Usage(input_tokens=3, output_tokens=4)
WHOLE = {
    "output": {"message": {"role": "assistant", "content": [{"text": "Grüß dich!"}]}},
    "stopReason": "end_turn",
    "usage": COUNTS,
}
EVENTS = [Started(), TextDelta("Grüß "), TextDelta("dich!"), Finished(FinishReason.STOP, USAGE)]


def message(event: str, payload: Any, *, kind: str = "event") -> bytes:
    """One message of the binary framing; `kind` is `event` or `exception`."""
    headers = b"".join(
        bytes([len(name)]) + name.encode() + b"\x07" + len(value).to_bytes(2, "big") + value.encode()
        for name, value in {
            f":{kind}-type": event,
            ":content-type": "application/json",
            ":message-type": kind,
        }.items()
    )
    data = json.dumps(payload, ensure_ascii=False).encode()
    prelude = (16 + len(headers) + len(data)).to_bytes(4, "big") + len(headers).to_bytes(4, "big")
    checked = prelude + crc32(prelude).to_bytes(4, "big") + headers + data
    return checked + crc32(checked).to_bytes(4, "big")


def delta(text: str) -> bytes:
    return message("contentBlockDelta", {"contentBlockIndex": 0, "delta": {"text": text}})


MESSAGES = [
    message("messageStart", {"role": "assistant"}),
    delta("Grüß "),
    delta("dich!"),
    message("messageStop", {"stopReason": "end_turn"}),
    message("metadata", {"usage": COUNTS}),
]
STREAM = b"".join(MESSAGES)
SINGLE_BYTES = [STREAM[at : at + 1] for at in range(len(STREAM))]
THROTTLED = message("throttlingException", {"message": "Slow down."}, kind="exception")


def flipped(data: bytes, bit: int) -> bytes:
    """The data with one bit inverted."""
    changed = bytearray(data)
    changed[bit // 8] ^= 1 << bit % 8
    return bytes(changed)


def corrupted(message: bytes) -> bytes:
    """The message with a bit of its payload inverted."""
    return flipped(message, 8 * (len(message) - 5))


@dataclass
class Service:
    """The vendor's side: answers signed requests only, streams in `pieces`, and remembers what it was asked."""

    pieces: Sequence[bytes] = (STREAM,)
    requests: list[httpx.Request] = field(default_factory=list)

    def __call__(self, request: httpx.Request) -> httpx.Response:
        self.requests.append(request)
        if request.headers.get("authorization") != self._signature(request):
            return httpx.Response(403, json={"message": "The signature does not match."})
        path = request.url.raw_path.decode()
        if path == f"/model/{quote(CHAT, safe='')}/converse":
            return httpx.Response(200, json=WHOLE)
        if path == f"/model/{quote(CHAT, safe='')}/converse-stream":
            content_type = {"content-type": "application/vnd.amazon.eventstream"}
            return httpx.Response(200, content=stream_of(self.pieces), headers=content_type)
        assert path == f"/model/{quote(EMBEDDING, safe='')}/invoke"
        vectors = [[float(len(text)), 0.5] for text in json.loads(request.content)["texts"]]
        return httpx.Response(200, json={"embeddings": vectors, "inputTextTokenCount": 2 * len(vectors)})

    @staticmethod
    def _signature(request: httpx.Request) -> str:
        body = hashlib.sha256(request.content).digest()
        signed = request.method.encode() + b"\n" + request.url.raw_path + b"\n" + body
        digest = hmac.new(CREDENTIALS["TOY_SECRET_ACCESS_KEY"].encode(), signed, "sha256").hexdigest()
        return f"TOY-HMAC-SHA256 Credential={CREDENTIALS['TOY_ACCESS_KEY_ID']}, Signature={digest}"

    @property
    def bodies(self) -> list[Any]:
        return [json.loads(request.content) for request in self.requests]


@pytest.fixture(autouse=True)
def toy_vendor(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Installs the folder `toy` as a vendor, and its credentials in the environment."""
    folders = [*shared.providers.__path__, str(Path(__file__).parent)]
    monkeypatch.setattr(shared.providers, "__path__", folders)
    for name, value in CREDENTIALS.items():
        monkeypatch.setenv(name, value)
    yield
    for name in [name for name in sys.modules if re.match(r"shared\.providers\.toy\b", name)]:
        del sys.modules[name]
    vars(shared.providers).pop("toy", None)


# --- the vendor's own parts


def decoded(*chunks: bytes) -> list[Frame]:
    decoder = load_vendor("toy").frames()
    return [frame for chunk in chunks for frame in decoder.feed(chunk)]


def read(*chunks: bytes) -> list[ChatEvent]:
    """What the chat adapter reads from a stream that arrives in these chunks."""
    adapter = load("toy", "chat")
    decoder, reader = adapter.frames(), adapter.reader(question(stream=True))
    events = [event for chunk in chunks for frame in decoder.feed(chunk) for event in reader.frame(frame)]
    return [*events, *reader.end()]


def question(*, stream: bool = False) -> ChatRequest:
    return ChatRequest(model="toy/chat", messages=(user("Hello"),), max_tokens=9, stream=stream)


def test_decoder_reads_what_the_aws_client_reads() -> None:
    reference = EventStreamBuffer()
    reference.add_data(STREAM)
    expected = [Frame(each.payload, each.headers[":event-type"]) for each in reference]
    assert len(expected) == len(MESSAGES)
    assert decoded(STREAM) == expected


def test_stream_may_be_split_at_every_byte() -> None:
    frames_at_once = decoded(STREAM)
    assert decoded(*SINGLE_BYTES) == frames_at_once
    for at in range(len(STREAM)):
        assert decoded(STREAM[:at], STREAM[at:]) == frames_at_once
    assert read(*SINGLE_BYTES) == read(STREAM) == EVENTS


def test_every_flipped_bit_is_detected() -> None:
    for bit in range(len(STREAM) * 8):
        with pytest.raises(UpstreamError, match="corrupt"):
            decoded(flipped(STREAM, bit))


def test_frames_before_a_corrupt_message_are_delivered() -> None:
    decoder = load_vendor("toy").frames()
    corrupt = iter(decoder.feed(MESSAGES[0] + MESSAGES[1] + corrupted(MESSAGES[2])))
    assert [next(corrupt).event, next(corrupt).event] == ["messageStart", "contentBlockDelta"]
    with pytest.raises(UpstreamError, match="corrupt"):
        next(corrupt)


@pytest.mark.parametrize("lengths", [(15, 0), (16, 1), (2**32 - 1, 0)], ids=["too short", "headers", "too long"])
def test_impossible_length_is_detected_without_waiting_for_more(lengths: tuple[int, int]) -> None:
    prelude = b"".join(length.to_bytes(4, "big") for length in lengths)
    with pytest.raises(UpstreamError, match="corrupt"):
        decoded(prelude + crc32(prelude).to_bytes(4, "big"))


def test_incomplete_stream_is_an_error() -> None:
    ends = [0]
    for each in MESSAGES:
        ends.append(ends[-1] + len(each))
    for start, end in pairwise(ends):
        for cut in (start, end - 1):
            with pytest.raises(UpstreamError, match="before it was complete"):
                read(STREAM[:cut])


def test_whole_response_is_read_into_the_same_text() -> None:
    reader = load("toy", "chat").reader(question())
    assert list(reader.body(json.dumps(WHOLE).encode())) == [Started(), TextDelta("Grüß dich!"), EVENTS[-1]]


@pytest.mark.parametrize(("altered", "status"), [(False, 200), (True, 403)])
def test_request_is_signed_over_its_body(altered: bool, status: int) -> None:
    model = Model(id="toy/chat", provider="toy", upstream=CHAT, owned_by="toy")
    call = load("toy", "chat").call(question(), model)
    auth = load_vendor("toy").auth(None)
    assert auth is not None
    assert CREDENTIALS["TOY_SECRET_ACCESS_KEY"] not in repr(auth)
    request = httpx.Request(call.method, f"https://{HOST}{call.path}", json=call.json)
    signed = next(auth.sync_auth_flow(request))
    if altered:
        signed = httpx.Request("POST", signed.url, headers=signed.headers, content=signed.content.replace(b"9", b"8"))
    assert Service()(signed).status_code == status


# --- through the gateway


@pytest.fixture
def environment(tmp_path: Path) -> dict[str, str]:
    """What an operator sets to add the vendor."""
    catalog = tmp_path / "catalog.toml"
    catalog.write_text(CATALOG)
    return {"GATEWAY_CATALOG": str(catalog), "TOY_REGION": "moon-1"}


def asking(**fields: Any) -> dict[str, Any]:
    return {"model": "toy/chat", "messages": [{"role": "user", "content": "Hello"}], "max_tokens": 9, **fields}


async def streamed(keys: KeyStore, environment: dict[str, str], service: Service) -> httpx.Response:
    async with gateway_client(keys, environment, service) as client:
        return await client.post("/v1/chat/completions", json=asking(stream=True))


def text_of(chunks: Sequence[Any]) -> str:
    return "".join(choice["delta"].get("content") or "" for chunk in chunks for choice in chunk.get("choices", ()))


async def test_chat_is_answered(keys: KeyStore, environment: dict[str, str]) -> None:
    service = Service()
    async with gateway_client(keys, environment, service) as client:
        response = await client.post("/v1/chat/completions", json=asking())
    assert response.status_code == 200, response.text
    answer = response.json()
    assert answer["choices"][0]["message"]["content"] == "Grüß dich!"
    assert answer["choices"][0]["finish_reason"] == "stop"
    assert (answer["usage"]["prompt_tokens"], answer["usage"]["completion_tokens"]) == (3, 4)
    assert service.bodies == [
        {"messages": [{"role": "user", "content": [{"text": "Hello"}]}], "inferenceConfig": {"maxTokens": 9}}
    ]
    assert service.requests[0].url.host == HOST


@pytest.mark.parametrize("pieces", [(STREAM,), MESSAGES, SINGLE_BYTES], ids=["at once", "by message", "by byte"])
async def test_chat_is_streamed_however_its_bytes_are_split(
    keys: KeyStore, environment: dict[str, str], pieces: Sequence[bytes]
) -> None:
    response = await streamed(keys, environment, Service(pieces))
    assert response.status_code == 200, response.text
    *chunks, end = frames(response.content)
    assert end == "[DONE]"
    assert text_of(chunks) == "Grüß dich!"
    assert chunks[-1]["choices"][0]["finish_reason"] == "stop"


@pytest.mark.parametrize("corrupt", [0, 1], ids=["start", "first text"])
async def test_flipped_bit_before_the_first_text_is_a_bad_gateway(
    keys: KeyStore, environment: dict[str, str], corrupt: int
) -> None:
    pieces = [corrupted(each) if at == corrupt else each for at, each in enumerate(MESSAGES)]
    assert "corrupt" in assert_error(await streamed(keys, environment, Service(pieces)), "upstream")


@pytest.mark.parametrize("corrupt", [2, 3, 4], ids=["second text", "stop", "metadata"])
@pytest.mark.parametrize("split", [False, True], ids=["by message", "by byte"])
async def test_flipped_bit_later_ends_the_stream_with_an_error(
    keys: KeyStore, environment: dict[str, str], corrupt: int, split: bool
) -> None:
    pieces = [corrupted(each) if at == corrupt else each for at, each in enumerate(MESSAGES)]
    if split:
        pieces = [bytes([byte]) for piece in pieces for byte in piece]
    response = await streamed(keys, environment, Service(pieces))
    assert response.status_code == 200
    *chunks, error = frames(response.content)
    assert text_of(chunks) == ("Grüß " if corrupt == 2 else "Grüß dich!")
    assert error["error"]["code"] == "upstream_error"
    assert "corrupt" in error["error"]["message"]


async def test_stream_cut_off_between_messages_ends_with_an_error(keys: KeyStore, environment: dict[str, str]) -> None:
    response = await streamed(keys, environment, Service(MESSAGES[:-1]))
    assert frames(response.content)[-1]["error"]["code"] == "upstream_error"


async def test_exception_in_a_stream_is_that_error(keys: KeyStore, environment: dict[str, str]) -> None:
    response = await streamed(keys, environment, Service([MESSAGES[0], THROTTLED]))
    assert_error(response, "rate_limited", retry_after=5)


async def test_texts_are_embedded_in_batches(keys: KeyStore, environment: dict[str, str]) -> None:
    service = Service()
    body = {"model": "toy/embedding", "input": ["a", "bb", "ccc"], "encoding_format": "float"}
    async with gateway_client(keys, environment, service) as client:
        response = await client.post("/v1/embeddings", json=body)
    assert response.status_code == 200, response.text
    assert [item["embedding"] for item in response.json()["data"]] == [[1.0, 0.5], [2.0, 0.5], [3.0, 0.5]]
    assert response.json()["usage"]["prompt_tokens"] == 6
    assert sorted(service.bodies, key=str) == [{"texts": ["a", "bb"]}, {"texts": ["ccc"]}]


async def test_credentials_that_the_vendor_refuses_are_the_operators_fault(
    keys: KeyStore, environment: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TOY_SECRET_ACCESS_KEY", "another-secret")
    async with gateway_client(keys, environment, Service()) as client:
        response = await client.post("/v1/chat/completions", json=asking())
    message = assert_error(response, "upstream")
    assert "signature" not in message
    assert "another-secret" not in message


async def test_vendor_without_what_it_requires_is_not_configured(keys: KeyStore, environment: dict[str, str]) -> None:
    service = Service()
    del environment["TOY_REGION"]
    async with gateway_client(keys, environment, service) as client:
        response = await client.post("/v1/chat/completions", json=asking())
    assert_error(response, "model_not_found")
    assert service.requests == []
