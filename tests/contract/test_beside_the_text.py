"""What vendors answer beside text: sources, service tier, fingerprint and their own finish reason, in every dialect."""

import json
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from anthropic.types import Message, RawMessageStreamEvent
from google.genai.types import GenerateContentResponse
from openai.lib.streaming.chat import ChatCompletionStreamState
from openai.types import Completion
from openai.types.chat import ChatCompletion, ChatCompletionChunk
from pydantic import TypeAdapter

from shared.stores.keys import KeyStore
from tests.client import frames
from tests.contract.all_vendors import CONTENT, MESSAGE, answering, every_vendor, streaming
from tests.contract.image_vendors import PNG, b64, studio_of
from tests.contract.vendor import HEAD, HOST, KEY, USAGE, Vendor
from tests.contract.wire import asking

pytestmark = pytest.mark.anyio

CHAT = "/v1/chat/completions"
STABLE = "/v1/chat/completions/stable"
ENVELOPE = "/v1/inference/chat"
COMPACT = "/ai/chat"
COMPLETIONS = "/v1/completions"

TEXT = "Grüße aus Köln [1]. Es regnet [2]."
RAIN, CITY, MAP = "https://rain.example/today", "https://city.example", "https://map.example"
PERPLEXITY = """
[providers.perplexity]
adapter = "openai"
base_url_env = "PERPLEXITY_BASE_URL"
api_key_env = "PERPLEXITY_API_KEY"
[[models]]
id = "sonar"
provider = "perplexity"
capabilities = ["chat"]
"""


@pytest.fixture
async def vendor(keys: KeyStore, tmp_path: Path) -> AsyncIterator[Vendor]:
    catalog = tmp_path / "catalog.toml"
    catalog.write_text(PERPLEXITY)
    settings = {
        "GATEWAY_CATALOG": str(catalog),
        "PERPLEXITY_API_KEY": KEY,
        "PERPLEXITY_BASE_URL": f"https://{HOST}/perplexity",
    }
    async with every_vendor(keys, settings) as vendor:
        yield vendor


def cited(url: str, title: str, start: int, end: int) -> dict[str, Any]:
    source = {"url": url, "title": title, "start_index": start, "end_index": end}
    return {"type": "url_citation", "url_citation": source}


@dataclass(frozen=True)
class Told:
    """An answer in a vendor's two forms, and the annotations that both mean."""

    model: str
    body: Any
    stream: Any
    annotations: list[Any]
    done: bool = True


def completion(message: Any, **more: Any) -> Any:
    choice = {"index": 0, "message": {"role": "assistant", "content": TEXT, **message}, "finish_reason": "stop"}
    return {**HEAD, "object": "chat.completion", "choices": [choice], "usage": USAGE, **more}


def chunk(delta: Any, reason: str | None = None, **more: Any) -> Any:
    choice = {"index": 0, "delta": delta, "finish_reason": reason}
    return {**HEAD, "object": "chat.completion.chunk", "choices": [choice], **more}


ANNOTATIONS = [cited(CITY, "The city", 10, 14), cited(RAIN, "Rain", 20, 29)]
OPENAI = Told(
    "openai/gpt-5-search-api",
    completion({"annotations": ANNOTATIONS}),
    [chunk({"content": TEXT[:12]}), chunk({"content": TEXT[12:]}), chunk({"annotations": ANNOTATIONS}, "stop")],
    ANNOTATIONS,
)
# OpenRouter sends them as they come, with what the page says, and files that it has read.
FILE = {"type": "file", "file": {"hash": "abc", "name": "a.pdf", "content": []}}
OPENROUTER = Told(
    "openrouter/some/model",
    completion({"annotations": [*ANNOTATIONS, FILE]}),
    [
        chunk({"content": TEXT[:15]}),
        chunk({"content": "", "annotations": ANNOTATIONS[:1]}),
        chunk({"content": TEXT[15:]}),
        chunk({"content": "", "annotations": [*ANNOTATIONS[1:], FILE]}),
        chunk({}, "stop"),
    ],
    ANNOTATIONS,
)
RESULTS = [
    {"title": "The city", "url": CITY, "date": "2026-11-01"},
    {"title": "Rain", "url": RAIN, "date": None},
    {"title": "Map", "url": MAP},
]
SEARCHED = {"citations": [CITY, RAIN, MAP], "search_results": RESULTS}
BY_NUMBER = [cited(CITY, "The city", 15, 18), cited(RAIN, "Rain", 30, 33), cited(MAP, "Map", 0, 0)]
SONAR = Told(
    "sonar",
    completion({}, **SEARCHED),
    [
        chunk({"content": TEXT[:16]}, **SEARCHED),
        chunk({"content": TEXT[16:]}, **SEARCHED),
        chunk({}, "stop", **SEARCHED),
    ],
    BY_NUMBER,
)
URLS_ALONE = Told(
    "sonar",
    completion({}, citations=[CITY, RAIN]),
    [chunk({"content": TEXT}), chunk({}, "stop", citations=[CITY, RAIN])],
    [cited(CITY, "", 15, 18), cited(RAIN, "", 30, 33)],
)

# Gemini counts bytes: "ü", "ß" and "ö" have two each.
GROUNDING = {
    "webSearchQueries": ["weather in Cologne"],
    "searchEntryPoint": {"renderedContent": "<div></div>"},
    "groundingChunks": [
        {"web": {"uri": CITY, "title": "The city"}},
        {"web": {"uri": RAIN, "title": "Rain"}},
        {"maps": {"uri": MAP, "title": "Map"}},
    ],
    "groundingSupports": [
        {"segment": {"endIndex": 22, "text": "Grüße aus Köln [1]."}, "groundingChunkIndices": [0, 1]},
        {"segment": {"startIndex": 23, "endIndex": 37, "text": "Es regnet [2]."}, "groundingChunkIndices": [1]},
    ],
}
GROUNDED = [
    cited(CITY, "The city", 0, 19),
    cited(RAIN, "Rain", 0, 19),
    cited(RAIN, "Rain", 20, 34),
    cited(MAP, "Map", 0, 0),
]


def content(parts: Any, **more: Any) -> Any:
    candidate = {"content": {"role": "model", "parts": parts}, "index": 0, **more}
    return {**CONTENT, "candidates": [candidate]}


GEMINI = Told(
    "gemini-3.8-flash",
    content([{"text": TEXT}], finishReason="STOP", groundingMetadata=GROUNDING),
    [
        content([{"text": TEXT[:12]}]),
        content([{"text": TEXT[12:]}]),
        content([{"text": ""}], finishReason="STOP", groundingMetadata=GROUNDING),
    ],
    GROUNDED,
    done=False,
)
THINKING = Told(  # its segments are counted from the part that they are in
    "gemini-3.8-flash",
    content(
        [{"text": "Hm.", "thought": True}, {"text": TEXT[:20]}, {"text": TEXT[20:]}],
        finishReason="STOP",
        groundingMetadata={
            "groundingChunks": [{"web": {"uri": RAIN, "title": "Rain"}}],
            "groundingSupports": [
                {
                    "segment": {"partIndex": 2, "startIndex": 0, "endIndex": 14, "text": "Es regnet [2]."},
                    "groundingChunkIndices": [0],
                }
            ],
        },
    ),
    None,
    [cited(RAIN, "Rain", 20, 34)],
)
QUOTING = Told(
    "gemini-3.8-flash",
    content(
        [{"text": TEXT}],
        finishReason="STOP",
        citationMetadata={"citationSources": [{"startIndex": 23, "endIndex": 37, "uri": RAIN}, {"license": "MIT"}]},
    ),
    None,
    [cited(RAIN, "", 20, 34)],
)


def source(url: str, title: str) -> Any:
    return {
        "type": "web_search_result_location",
        "url": url,
        "title": title,
        "encrypted_index": "abc",
        "cited_text": "…",
    }


SEARCH = {"type": "server_tool_use", "id": "srvtoolu_1", "name": "web_search", "input": {"query": "weather"}}
FOUND = {"type": "web_search_tool_result", "tool_use_id": "srvtoolu_1", "content": []}
IN_DOCUMENT = {
    "type": "char_location",
    "cited_text": "…",
    "document_index": 0,
    "document_title": "a.txt",
    "start_char_index": 0,
    "end_char_index": 1,
    "file_id": None,
}


def block(index: int, start: Any, *deltas: Any) -> list[Any]:
    return [
        ("content_block_start", {"type": "content_block_start", "index": index, "content_block": start}),
        *(("content_block_delta", {"type": "content_block_delta", "index": index, "delta": delta}) for delta in deltas),
        ("content_block_stop", {"type": "content_block_stop", "index": index}),
    ]


def text_delta(text: str) -> Any:
    return {"type": "text_delta", "text": text}


def citation_delta(citation: Any) -> Any:
    return {"type": "citations_delta", "citation": citation}


STREAMED_MESSAGE = [
    ("message_start", {"type": "message_start", "message": {**MESSAGE, "content": [], "stop_reason": None}}),
    *block(0, {**SEARCH, "input": {}}, {"type": "input_json_delta", "partial_json": '{"query": "weather"}'}),
    *block(1, FOUND),
    *block(2, {"type": "text", "text": ""}, text_delta(TEXT[:10])),
    *block(
        3,
        {"type": "text", "text": "", "citations": []},
        citation_delta(source(CITY, "The city")),
        text_delta(TEXT[10:12]),
        text_delta(TEXT[12:14]),
        citation_delta(IN_DOCUMENT),
    ),
    *block(4, {"type": "text", "text": ""}, text_delta(TEXT[14:20])),
    *block(5, {"type": "text", "text": ""}, text_delta(TEXT[20:29]), citation_delta(source(RAIN, "Rain"))),
    *block(6, {"type": "text", "text": ""}, text_delta(TEXT[29:])),
    (
        "message_delta",
        {
            "type": "message_delta",
            "delta": {"stop_reason": "end_turn", "stop_sequence": None},
            "usage": {"output_tokens": 2},
        },
    ),
    ("message_stop", {"type": "message_stop"}),
]
ANTHROPIC = Told(
    "claude-sonnet-5",
    {
        **MESSAGE,
        "content": [
            SEARCH,
            FOUND,
            {"type": "text", "text": TEXT[:10]},
            {"type": "text", "text": TEXT[10:14], "citations": [source(CITY, "The city"), IN_DOCUMENT]},
            {"type": "text", "text": TEXT[14:20]},
            {"type": "text", "text": TEXT[20:29], "citations": [source(RAIN, "Rain")]},
            {"type": "text", "text": TEXT[29:]},
        ],
    },
    STREAMED_MESSAGE,
    ANNOTATIONS,
    done=False,
)

ANSWERS = {
    "openai": OPENAI,
    "openrouter": OPENROUTER,
    "perplexity": SONAR,
    "urls alone": URLS_ALONE,
    "gemini": GEMINI,
    "gemini thinking": THINKING,
    "gemini quoting": QUOTING,
    "anthropic": ANTHROPIC,
}
STREAMED = {name: answer for name, answer in ANSWERS.items() if answer.stream is not None}
whole = pytest.mark.parametrize("told", ANSWERS.values(), ids=ANSWERS)
streamed = pytest.mark.parametrize("told", STREAMED.values(), ids=STREAMED)


async def answer_of(vendor: Vendor, told: Told, path: str = CHAT, **fields: Any) -> Any:
    vendor.answer = answering(told.body)
    response = await vendor.client.post(path, json=asking(path, told.model, **fields))
    assert response.status_code == 200, response.text
    return response.json()


async def stream_of(vendor: Vendor, told: Told, path: str = CHAT, **fields: Any) -> list[Any]:
    """The frames of a streamed answer, [DONE] left out."""
    vendor.answer = streaming(*told.stream, done=told.done)
    response = await vendor.client.post(path, json=asking(path, told.model, stream=True, **fields))
    assert response.status_code == 200, response.text
    *chunks, done = frames(response.content)
    assert done == "[DONE]"
    return chunks


def test_the_vendors_answers_are_as_their_sdks_have_them() -> None:
    ChatCompletion.model_validate(OPENAI.body)
    for each in OPENAI.stream:
        ChatCompletionChunk.model_validate(each)
    Message.model_validate(ANTHROPIC.body)
    events: TypeAdapter[Any] = TypeAdapter(RawMessageStreamEvent)
    for _, event in ANTHROPIC.stream:
        events.validate_python(event)
    for told in (GEMINI, THINKING, QUOTING):
        GenerateContentResponse.model_validate(told.body)


# --- sources


@whole
@pytest.mark.parametrize("path", [CHAT, STABLE])
async def test_sources_are_annotations_of_the_message(vendor: Vendor, told: Told, path: str) -> None:
    body = await answer_of(vendor, told, path)
    message = ChatCompletion.model_validate(body).choices[0].message
    assert message.content == TEXT
    assert [annotation.model_dump() for annotation in message.annotations or ()] == told.annotations


@streamed
async def test_sources_are_annotations_of_deltas_that_openais_sdk_joins(vendor: Vendor, told: Told) -> None:
    state: ChatCompletionStreamState[None] = ChatCompletionStreamState()
    for each in await stream_of(vendor, told):
        state.handle_chunk(ChatCompletionChunk.model_validate(each))
    message = state.get_final_completion().choices[0].message
    assert message.content == TEXT
    joined = [annotation.model_dump(exclude={"index"}) for annotation in message.annotations or ()]
    assert joined == told.annotations


@whole
async def test_the_envelope_dialect_has_them_too(vendor: Vendor, told: Told) -> None:
    body = await answer_of(vendor, told, ENVELOPE)
    assert body["data"]["choices"][0]["message"]["annotations"] == told.annotations


@streamed
async def test_the_envelope_dialect_streams_them_too(vendor: Vendor, told: Told) -> None:
    deltas = [each["choices"][0]["delta"] for each in await stream_of(vendor, told, ENVELOPE) if each["choices"]]
    assert annotations_in(deltas) == told.annotations


@whole
async def test_the_compact_dialect_has_them_too(vendor: Vendor, told: Told) -> None:
    assert (await answer_of(vendor, told, COMPACT))["message"]["annotations"] == told.annotations


@streamed
async def test_the_compact_dialect_streams_them_too(vendor: Vendor, told: Told) -> None:
    deltas = [each["delta"] for each in await stream_of(vendor, told, COMPACT)]
    assert annotations_in(deltas) == told.annotations


def annotations_in(deltas: list[Any]) -> list[Any]:
    """The annotations of deltas, which number them from 0."""
    found = [annotation for delta in deltas for annotation in delta.get("annotations", ())]
    assert [annotation.pop("index") for annotation in found] == list(range(len(found)))
    return found


@pytest.mark.parametrize("path", [CHAT, ENVELOPE, COMPACT])
async def test_a_message_without_sources_has_no_annotations(vendor: Vendor, path: str) -> None:
    told = Told("openai/gpt-5.6-sol", completion({"annotations": []}), None, [])
    assert "annotations" not in json.dumps(await answer_of(vendor, told, path))


async def test_numbers_in_brackets_are_not_sources_where_the_vendor_says_which_are(vendor: Vendor) -> None:
    told = Told("openrouter/perplexity/sonar", completion({"annotations": ANNOTATIONS}, **SEARCHED), None, [])
    message = (await answer_of(vendor, told))["choices"][0]["message"]
    assert message["annotations"] == ANNOTATIONS


async def test_text_completions_have_no_place_for_sources(vendor: Vendor) -> None:
    Completion.model_validate(await answer_of(vendor, OPENAI, COMPLETIONS))
    assert "annotations" not in json.dumps(await stream_of(vendor, OPENAI, COMPLETIONS))


async def test_a_message_may_be_sent_back_with_its_annotations(vendor: Vendor) -> None:
    message = (await answer_of(vendor, OPENAI))["choices"][0]["message"]
    vendor.requests.clear()
    messages = [{"role": "user", "content": "Hello"}, message, {"role": "user", "content": "And tomorrow?"}]
    await answer_of(vendor, OPENAI, messages=messages)
    assert vendor.sent["messages"][1] == {"role": "assistant", "content": TEXT}


async def test_sources_that_come_in_the_middle_leave_a_stop_sequence_whole(vendor: Vendor) -> None:
    told = Told(
        "grok-4.7",  # refuses `stop`: the gateway looks for it
        None,
        [
            chunk({"content": "Before EN"}),
            chunk({"content": "", "annotations": ANNOTATIONS}),
            chunk({"content": "D after"}),
            chunk({}, "stop"),
        ],
        [],
    )
    chunks = await stream_of(vendor, told, stop="END")
    assert "".join(each["choices"][0]["delta"].get("content") or "" for each in chunks) == "Before "


async def test_a_source_is_of_all_of_a_text_into_which_the_gateway_put_a_link(keys: KeyStore) -> None:
    async with studio_of(keys) as studio:
        parts = [{"text": TEXT}, {"inlineData": {"mimeType": "image/png", "data": b64(PNG)}}]
        studio.answer = answering(content(parts, finishReason="STOP", groundingMetadata=GROUNDING))
        response = await studio.client.post(CHAT, json=asking(CHAT, "gemini-2.5-flash-image"))
        message = response.json()["choices"][0]["message"]
        assert "![image](" in message["content"]
        assert message["annotations"] == [{**each, "url_citation": whole_text(each)} for each in GROUNDED]


def whole_text(annotation: Any) -> Any:
    return {**annotation["url_citation"], "start_index": 0, "end_index": 0}


# --- who served, and how


FINGERPRINT = "fp_7c1f0a9d2e"
SERVED = {"service_tier": "priority", "system_fingerprint": FINGERPRINT}
SERVED_OPENAI = Told("openai/gpt-5.6-sol", completion({}, **SERVED), [chunk({"content": TEXT}, "stop", **SERVED)], [])


@pytest.mark.parametrize("path", [CHAT, STABLE])
async def test_service_tier_and_fingerprint_are_told(vendor: Vendor, path: str) -> None:
    answer = ChatCompletion.model_validate(await answer_of(vendor, SERVED_OPENAI, path))
    assert (answer.service_tier, answer.system_fingerprint) == ("priority", FINGERPRINT)
    chunks = await stream_of(vendor, SERVED_OPENAI, path, stream_options={"include_usage": True})
    for each in map(ChatCompletionChunk.model_validate, chunks):
        assert (each.service_tier, each.system_fingerprint) == ("priority", FINGERPRINT)


async def test_the_envelope_dialect_tells_them_too(vendor: Vendor) -> None:
    body = (await answer_of(vendor, SERVED_OPENAI, ENVELOPE))["data"]
    assert {name: body[name] for name in SERVED} == SERVED
    for each in await stream_of(vendor, SERVED_OPENAI, ENVELOPE):
        assert {name: each[name] for name in SERVED} == SERVED


async def test_a_text_completion_tells_its_fingerprint(vendor: Vendor) -> None:
    answer = Completion.model_validate(await answer_of(vendor, SERVED_OPENAI, COMPLETIONS))
    assert answer.system_fingerprint == FINGERPRINT
    for each in await stream_of(vendor, SERVED_OPENAI, COMPLETIONS):
        assert each["system_fingerprint"] == FINGERPRINT


@pytest.mark.parametrize("path", [CHAT, ENVELOPE])
async def test_what_the_vendor_does_not_tell_is_left_out(vendor: Vendor, path: str) -> None:
    told = Told("openai/gpt-5.6-sol", completion({}, service_tier=None), [chunk({"content": TEXT}, "stop")], [])
    said = json.dumps([await answer_of(vendor, told, path), await stream_of(vendor, told, path)])
    for name in ("service_tier", "system_fingerprint", "native_finish_reason"):
        assert name not in said


@pytest.mark.parametrize(
    ("model", "body", "tier"),
    [
        ("claude-sonnet-5", {**MESSAGE, "usage": {**MESSAGE["usage"], "service_tier": "standard"}}, "default"),
        ("claude-sonnet-5", {**MESSAGE, "usage": {**MESSAGE["usage"], "service_tier": "priority"}}, "priority"),
        ("gemini-3.8-flash", {**CONTENT, "usageMetadata": {**CONTENT["usageMetadata"], "serviceTier": "flex"}}, "flex"),
        ("groq/openai/gpt-oss-120b", completion({}, service_tier="on_demand"), "default"),
    ],
)
async def test_a_tier_goes_by_openais_name_whichever_vendor_tells_it(
    vendor: Vendor, model: str, body: Any, tier: str
) -> None:
    answer = ChatCompletion.model_validate(await answer_of(vendor, Told(model, body, None, [])))
    assert answer.service_tier == tier


async def test_a_streamed_message_tells_its_tier(vendor: Vendor) -> None:
    start = {**MESSAGE, "content": [], "usage": {**MESSAGE["usage"], "service_tier": "priority"}}
    stream = [("message_start", {"type": "message_start", "message": start}), *STREAMED_MESSAGE[1:]]
    for each in await stream_of(vendor, Told("claude-sonnet-5", None, stream, [], done=False)):
        assert each["service_tier"] == "priority"


async def test_the_finish_reason_of_the_vendor_behind_openrouter_is_told(vendor: Vendor) -> None:
    body = completion({})
    body["choices"][0]["native_finish_reason"] = "end_turn"
    last = chunk({}, "stop")
    last["choices"][0]["native_finish_reason"] = "end_turn"
    told = Told("openrouter/some/model", body, [chunk({"content": TEXT}), last], [])
    (choice,) = (await answer_of(vendor, told))["choices"]
    assert (choice["finish_reason"], choice["native_finish_reason"]) == ("stop", "end_turn")
    (choice,) = (await answer_of(vendor, told, ENVELOPE))["data"]["choices"]
    assert choice["native_finish_reason"] == "end_turn"
    *_, last = await stream_of(vendor, told)
    (choice,) = last["choices"]
    assert (choice["finish_reason"], choice["native_finish_reason"]) == ("stop", "end_turn")
