"""Bedrock behind the front door: every dialect's routes, links, masks, the list of models, and errors."""

import base64
import io
import json
import struct
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from typing import Any
from urllib.parse import unquote

import httpx
import pytest
from PIL import Image

from shared.fetch import RemoteFetcher
from shared.stores.keys import KeyStore
from tests.client import gateway_client
from tests.contract.image_vendors import GIF, JPEG, PNG, b64
from tests.contract.test_images import internet
from tests.contract.vendor import Vendor
from tests.contract.wire import CHATS, POSTS, asking, assert_error, events
from tests.providers.wires import bedrock
from tests.providers.wires.bedrock import ENVIRONMENT, STARTED, body, counts, ended, exception, texts, validate

pytestmark = pytest.mark.anyio

CLAUDE, NOVA = "anthropic.claude-haiku-4-5", "amazon.nova-lite-v1:0"
TITAN, COHERE = "amazon.titan-embed-text-v2:0", "cohere.embed-multilingual-v3"
CORE, INPAINT = "stability.stable-image-core-v1:1", "stability.stable-image-inpaint-v1:0"
USAGE = counts(11, 2)
EVENT_STREAM = "application/vnd.amazon.eventstream"
STREAMED = [path for path in POSTS if not path.endswith("/stable")]
CHAT, EDITS = "/v1/chat/completions", "/v1/images/edits"


def aws(request: httpx.Request) -> httpx.Response:
    """Says "Hello there", in ways of each operation; refuses what is not signed or not in the service's model."""
    assert request.headers["authorization"].startswith("AWS4-HMAC-SHA256 ")
    model, action = unquote(request.url.raw_path.decode()).removeprefix("/model/").rsplit("/", 1)
    asked = json.loads(request.content)
    match action:
        case "converse":
            validate({"modelId": model, **asked}, "ConverseRequest")
            return httpx.Response(200, content=body([{"text": "Hello there"}], "end_turn", USAGE))
        case "converse-stream":
            validate({"modelId": model, **asked}, "ConverseStreamRequest")
            return streamed(STARTED, *texts(0, "Hello", " there"), *ended("end_turn", USAGE))
    if "inputText" in asked:
        return httpx.Response(200, json={"embedding": [0.5, -0.25], "inputTextTokenCount": 3})
    if "texts" in asked:
        vectors = [[0.5, -0.25] for _ in asked["texts"]]
        answer = {"id": "1", "response_type": "embeddings_by_type", "embeddings": {"float": vectors}}
        return httpx.Response(200, json=answer, headers={"x-amzn-bedrock-input-token-count": "7"})
    return httpx.Response(200, json={"seeds": [1], "finish_reasons": [None], "images": [b64(PNG)]})


def streamed(*messages: bytes) -> httpx.Response:
    return httpx.Response(200, content=b"".join(messages), headers={"content-type": EVENT_STREAM})


@asynccontextmanager
async def gateway(
    keys: KeyStore, environment: Mapping[str, str] = ENVIRONMENT, fetcher: RemoteFetcher | None = None
) -> AsyncIterator[Vendor]:
    vendor = Vendor(aws)
    async with gateway_client(keys, environment, vendor, fetcher=fetcher) as vendor.client:
        yield vendor


@pytest.fixture
async def vendor(keys: KeyStore) -> AsyncIterator[Vendor]:
    async with gateway(keys) as vendor:
        yield vendor


# --- every dialect


@pytest.mark.parametrize("model", [CLAUDE, NOVA, "us.amazon.nova-pro-v1:0", "bedrock/jp.anthropic.claude-sonnet-5-5"])
@pytest.mark.parametrize("path", POSTS)
async def test_B10_each_route_of_text_says_what_bedrock_says(vendor: Vendor, path: str, model: str) -> None:
    answer = await vendor.client.post(path, json=asking(path, model))
    assert answer.status_code == 200, answer.text
    assert "Hello there" in answer.text
    if path in STREAMED:
        stream = await vendor.client.post(path, json=asking(path, model, stream=True))
        said = "".join(frame.data.decode() for frame in events(stream))
        assert "Hello" in said
        assert " there" in said


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("model", [CLAUDE, NOVA])
@pytest.mark.parametrize(
    ("path", "fields"),
    [
        ("/v1/messages", {"max_tokens": 100, "messages": [{"role": "user", "content": "Hello"}]}),
        ("/v1/responses", {"input": "Hello"}),
    ],
)
async def test_B10_agents_hear_what_bedrock_says(
    vendor: Vendor, path: str, fields: dict[str, Any], model: str, stream: bool
) -> None:
    answer = await vendor.client.post(path, json={"model": model, "stream": stream, **fields})
    assert answer.status_code == 200, answer.text
    if stream:
        deltas = [json.loads(frame.data) for frame in events(answer) if frame.data != b"[DONE]"]
        assert "Hello there" in "".join(
            delta if isinstance(delta := event.get("delta"), str) else (delta or {}).get("text", "") for event in deltas
        )
    else:
        assert "Hello there" in answer.text


@pytest.mark.parametrize("model", [TITAN, COHERE])
@pytest.mark.parametrize("path", ["/v1/embeddings", "/ai/embeddings", "/v1/inference/embed"])
async def test_B10_each_route_of_embeddings_gives_bedrocks_vectors(vendor: Vendor, path: str, model: str) -> None:
    answer = await vendor.client.post(path, json={"model": model, "input": ["a", "b"]})
    assert answer.status_code == 200, answer.text
    assert answer.text.replace(" ", "").count("[0.5,-0.25]") == 2
    assert ("6" if model == TITAN else "7") in answer.text


@pytest.mark.parametrize("path", ["/v1/images/generations", "/v1/inference/images/generate"])
async def test_B10_each_route_of_images_gives_bedrocks_image(vendor: Vendor, path: str) -> None:
    asked = {"model": CORE, "prompt": "A cat", "response_format": "b64_json", "n": 2}
    answer = await vendor.client.post(path, json=asked)
    assert answer.status_code == 200, answer.text
    assert answer.text.count(b64(PNG)) == 2


async def test_B10_the_usage_is_told_and_charged(vendor: Vendor) -> None:
    answer = (await vendor.client.post(CHAT, json=asking(CHAT, CLAUDE))).json()
    assert (answer["model"], answer["choices"][0]["finish_reason"]) == (CLAUDE, "stop")
    usage = answer["usage"]
    assert (usage["prompt_tokens"], usage["completion_tokens"], usage["total_tokens"]) == (11, 2, 13)


async def test_B04_caches_read_and_written_are_told_and_charged_at_their_own_price(vendor: Vendor) -> None:
    data = bedrock.USAGE
    vendor.answer = lambda request: httpx.Response(200, content=data.body)
    answer = await vendor.client.post(CHAT, json=asking(CHAT, CLAUDE, stop=["END"]))
    usage = answer.json()["usage"]
    assert (usage["prompt_tokens"], usage["completion_tokens"]) == (2003, 510)
    assert usage["prompt_tokens_details"]["cached_tokens"] == 1800
    # $1 a million in, $5 out; a tenth to read, 1.25 times to write for five minutes and twice for an hour.
    dollars = (3 + 1800 * 0.1 + 50 * 1.25 + 150 * 2 + 510 * 5) / 1e6
    assert float(answer.headers["x-gateway-cost"]) == pytest.approx(dollars, abs=1e-6)


@pytest.mark.parametrize(
    ("reason", "told"),
    [
        ("end_turn", "stop"),
        ("stop_sequence", "stop"),
        ("max_tokens", "length"),
        ("model_context_window_exceeded", "length"),
        ("content_filtered", "content_filter"),
        ("guardrail_intervened", "content_filter"),
    ],
)
async def test_B04_finish_reasons_are_openais(vendor: Vendor, reason: str, told: str) -> None:
    vendor.answer = lambda request: httpx.Response(200, content=body([{"text": "Once"}], reason, USAGE))
    whole = (await vendor.client.post(CHAT, json=asking(CHAT, NOVA))).json()
    vendor.answer = lambda request: streamed(STARTED, *texts(0, "Once"), *ended(reason, USAGE))
    stream = await vendor.client.post(CHAT, json=asking(CHAT, NOVA, stream=True))
    chunks = [json.loads(frame.data) for frame in events(stream)[:-1]]
    reasons = [choice["finish_reason"] for chunk in chunks for choice in chunk["choices"] if choice["finish_reason"]]
    assert [whole["choices"][0]["finish_reason"]] == reasons == [told]


async def test_B10_tools_and_thoughts_go_round(vendor: Vendor) -> None:
    data = bedrock.REASONING
    vendor.answer = lambda request: httpx.Response(200, content=data.body)
    tools = [{"type": "function", "function": {"name": "get_weather", "parameters": {"type": "object"}}}]
    asked = asking(CHAT, CLAUDE, tools=tools, reasoning_effort="low")
    answer = await vendor.client.post(CHAT, json=asked)
    assert answer.status_code == 200, answer.text
    message = answer.json()["choices"][0]["message"]
    (call,) = message["tool_calls"]
    turns = [*asked["messages"], message, {"role": "tool", "tool_call_id": call["id"], "content": "Sunny"}]
    vendor.answer = aws
    vendor.requests.clear()
    again = await vendor.client.post(CHAT, json={**asked, "messages": turns})
    assert again.status_code == 200, again.text
    kept = [block for block in vendor.sent["messages"][1]["content"] if "reasoningContent" in block]
    given = [block for block in json.loads(data.body)["output"]["message"]["content"] if "reasoningContent" in block]
    assert kept == given


# --- links and masks


def seeing(*urls: str) -> list[dict[str, Any]]:
    parts = [{"type": "image_url", "image_url": {"url": url}} for url in urls]
    return [{"role": "user", "content": [*parts, {"type": "text", "text": "What is it?"}]}]


async def test_B10_the_gateway_fetches_images_because_bedrock_takes_bytes_only(keys: KeyStore) -> None:
    async with gateway(keys, fetcher=internet(JPEG)) as vendor:
        asked = asking(CHAT, NOVA, messages=seeing("https://images.example/cat", f"data:image/gif;base64,{b64(GIF)}"))
        answer = await vendor.client.post(CHAT, json=asked)
    assert answer.status_code == 200, answer.text
    assert [block.get("image") for block in vendor.sent["messages"][0]["content"][:2]] == [
        {"format": "jpeg", "source": {"bytes": b64(JPEG)}},
        {"format": "gif", "source": {"bytes": b64(GIF)}},
    ]


async def test_B06_a_mask_of_openais_kind_becomes_the_vendors(vendor: Vendor) -> None:
    """OpenAI edits where a mask is transparent, Stability where it is white."""
    mask = Image.new("RGBA", (2, 2), (0, 0, 0, 255))
    mask.putpixel((0, 0), (0, 0, 0, 0))
    file = io.BytesIO()
    mask.save(file, "png")
    files = [("image", ("a.png", PNG, "image/png")), ("mask", ("m.png", file.getvalue(), "image/png"))]
    data = {"model": INPAINT, "prompt": "A hat", "response_format": "b64_json"}
    answer = await vendor.client.post(EDITS, data=data, files=files)
    assert answer.status_code == 200, answer.text
    assert answer.json()["data"][0]["b64_json"] == b64(PNG)
    sent = vendor.sent
    assert sent["image"] == b64(PNG)
    with Image.open(io.BytesIO(base64.b64decode(sent["mask"]))) as converted:
        grey = converted.convert("L")
        assert [grey.getpixel(at) for at in ((0, 0), (1, 0), (0, 1), (1, 1))] == [255, 0, 0, 0]


# --- what is configured


async def test_B08_models_are_listed_where_a_region_is_set_and_nowhere_else(keys: KeyStore) -> None:
    async def listed(environment: Mapping[str, str]) -> set[str]:
        async with gateway(keys, environment) as vendor:
            return {row["id"] for row in (await vendor.client.get("/v1/models")).json()["data"]}

    ids = await listed(ENVIRONMENT)
    assert {CLAUDE, NOVA, TITAN, CORE, "eu.anthropic.claude-sonnet-5-5"} <= ids
    assert not {CLAUDE, NOVA, TITAN, CORE} & await listed({"GATEWAY_SANDBOX": "on"})


@pytest.mark.parametrize("path", CHATS)
async def test_B08_without_a_region_its_models_do_not_exist(keys: KeyStore, path: str) -> None:
    async with gateway(keys, {"GATEWAY_SANDBOX": "on"}) as vendor:
        answer = await vendor.client.post(path, json=asking(path, CLAUDE))
    assert_error(answer, "model_not_found")


# --- errors

Failing = Callable[[httpx.Request], httpx.Response]


def failing(status: int, kind: str, text: str) -> Failing:
    return lambda request: httpx.Response(
        status, json={"message": text}, headers={"x-amzn-errortype": f"{kind}:http://internal.amazon.com/coral/"}
    )


ERRORS: dict[str, tuple[Failing, str, int | None]] = {
    "throttled": (failing(429, "ThrottlingException", "Too many requests"), "rate_limited", 5),
    "denied": (failing(403, "AccessDeniedException", "You don't have access to the model."), "upstream", None),
    "no_token": (failing(403, "UnrecognizedClientException", "The security token is invalid."), "upstream", None),
    "failed": (failing(500, "InternalServerException", "Internal error"), "upstream", None),
    "model_failed": (failing(424, "ModelErrorException", "The model failed."), "upstream", None),
    "timed_out": (failing(408, "ModelTimeoutException", "Too slow."), "timeout", None),
    "unavailable": (failing(503, "ServiceUnavailableException", "Later."), "overloaded", 5),
    "invalid": (failing(400, "ValidationException", "The text field is blank."), "rejected", None),
    "too_long": (failing(400, "ValidationException", "Input is too long for requested model."), "too_long", None),
    "quota": (failing(400, "ServiceQuotaExceededException", "You have exceeded a quota."), "no_quota", None),
}


@pytest.mark.parametrize("name", ERRORS)
@pytest.mark.parametrize("path", POSTS)
async def test_B03_errors_are_the_dialects_own(vendor: Vendor, path: str, name: str) -> None:
    vendor.answer, kind, seconds = ERRORS[name]
    message = assert_error(await vendor.client.post(path, json=asking(path, NOVA)), kind, retry_after=seconds)
    assert "amazon" not in message.replace(NOVA, "")
    assert "token" not in message


@pytest.mark.parametrize("path", STREAMED)
async def test_B03_an_exception_inside_a_stream_ends_it_with_an_error(vendor: Vendor, path: str) -> None:
    vendor.answer = lambda request: streamed(
        STARTED, *texts(0, "Once")[:-1], exception("modelStreamErrorException", "The model failed.")
    )
    response = await vendor.client.post(path, json=asking(path, NOVA, stream=True))
    said = b"".join(frame.data for frame in events(response))
    assert b"Once" in said
    assert b"The provider failed." in said


@pytest.mark.parametrize("path", STREAMED)
async def test_B02_a_corrupt_stream_is_a_bad_gateway(vendor: Vendor, path: str) -> None:
    message = bytearray(STARTED)
    message[-1] ^= 1
    vendor.answer = lambda request: streamed(bytes(message))
    answer = await vendor.client.post(path, json=asking(path, NOVA, stream=True))
    assert_error(answer, "upstream")


async def test_B02_a_message_that_claims_gigabytes_is_not_waited_for(vendor: Vendor) -> None:
    vendor.answer = lambda request: streamed(struct.pack(">III", 2**31, 0, 0) + b"x" * 100)
    answer = await vendor.client.post(CHAT, json=asking(CHAT, NOVA, stream=True))
    assert_error(answer, "upstream")
