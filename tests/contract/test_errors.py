"""What every route answers when it cannot answer: the status, the dialect's own shape, and nothing that is private.

Most tests put one case to many routes in turn: the assertions name the route at which one fails.
"""

import asyncio
import json
import re
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest

from shared.stores.keys import KeyStore
from tests.client import TOKEN, frames, gateway_client
from tests.contract import vendor as upstream
from tests.contract.vendor import BACKEND, BEGINNING, ENVIRONMENT, HOST, KEY, MODEL, Vendor
from tests.contract.wire import (
    CHATS,
    DISTINCT,
    GENERATES,
    LISTS,
    POSTS,
    SANDBOX,
    asking,
    assert_broken_stream,
    assert_error,
    dialect_of,
    events,
    make_request,
)

pytestmark = pytest.mark.anyio

ROUTES = [*POSTS, *LISTS]
OPENAIS_CHATS = ["/v1/chat/completions", "/v1/chat/completions/stable"]
COMPLETIONS = ["/v1/completions"]
INFERENCE = ["/v1/inference/chat", "/v1/inference/generate"]
ADDRESS = "10.1.2.3"  # stands for what is internal
PRIVATE = (KEY, HOST, ADDRESS, "Traceback", "Error(", "httpx", "pydantic")

streamed_or_not = pytest.mark.parametrize("stream", [False, True], ids=["whole", "streamed"])


def assert_nothing_private(response: httpx.Response) -> None:
    assert not [word for word in PRIVATE if word in response.text], response.text


async def post(client: httpx.AsyncClient, path: str, body: bytes, content_type: str = "application/json") -> Any:
    return await client.post(path, content=body, headers={"content-type": content_type})


# --- who may ask

UNAUTHORIZED: dict[str, tuple[Any, str]] = {
    "none": ({}, "token_missing"),
    "empty": ({"authorization": ""}, "token_missing"),
    "bare-scheme": ({"authorization": "Bearer"}, "token_missing"),
    "blank-token": ({"authorization": "Bearer   "}, "token_missing"),
    "no-scheme": ({"authorization": TOKEN}, "token_missing"),
    "basic": ({"authorization": "Basic c2stdGVzdDo="}, "token_missing"),
    "other-scheme": ({"authorization": f"Token {TOKEN}"}, "token_missing"),
    "blank-api-key": ({"x-api-key": ""}, "token_missing"),
    "unknown": ({"authorization": "Bearer sk-unknown"}, "token_invalid"),
    "unknown-api-key": ({"x-api-key": "sk-unknown"}, "token_invalid"),
    "longer": ({"authorization": f"Bearer {TOKEN}x"}, "token_invalid"),
    "two-tokens": ({"authorization": f"Bearer {TOKEN} {TOKEN}"}, "token_invalid"),
    "expired": ({"authorization": "Bearer sk-expired"}, "token_invalid"),
    "revoked": ({"authorization": "Bearer sk-revoked"}, "token_invalid"),
    "huge": ({"authorization": f"Bearer {'x' * 5000}"}, "token_invalid"),
    "bytes": ({"authorization": b"Bearer \xff\xfe"}, "token_invalid"),
}


@pytest.mark.parametrize(("headers", "kind"), UNAUTHORIZED.values(), ids=UNAUTHORIZED)
async def test_a_request_without_a_good_token_is_unauthorized(
    stranger: httpx.AsyncClient, headers: Any, kind: str
) -> None:
    for path in ROUTES:
        response = await make_request(stranger, path, headers=headers)
        assert_error(response, kind)
        assert response.headers["www-authenticate"].startswith("Bearer")


async def test_a_stranger_learns_nothing_about_bodies_and_models(stranger: httpx.AsyncClient) -> None:
    for path in POSTS:
        assert_error(await post(stranger, path, b"{"), "token_missing")
        assert_error(await stranger.post(path, json=asking(path, "nobody")), "token_missing")
    assert_error(await stranger.get("/v1/models/nobody"), "token_missing")


async def test_a_key_without_the_permission_is_forbidden(stranger: httpx.AsyncClient) -> None:
    for path in ROUTES:
        response = await make_request(stranger, path, headers={"authorization": "Bearer sk-powerless"})
        assert "models:use" in assert_error(response, "permission")


async def test_a_model_that_the_key_may_not_use_is_forbidden(stranger: httpx.AsyncClient) -> None:
    headers = {"authorization": "Bearer sk-one-model"}
    for path in POSTS:
        response = await stranger.post(path, json=asking(path, "sandbox/slow"), headers=headers)
        assert "sandbox/slow" in assert_error(response, "model_access")
        assert (await make_request(stranger, path, headers=headers)).status_code == 200


async def test_a_key_for_one_model_is_listed_that_one_only(stranger: httpx.AsyncClient) -> None:
    headers = {"authorization": "Bearer sk-one-model"}
    listed = (await stranger.get("/v1/models", headers=headers)).json()["data"]
    assert [row["id"] for row in listed] == [SANDBOX]
    listed = (await stranger.get("/ai/models", headers=headers)).json()["models"]
    assert [row["id"] for row in listed] == [SANDBOX]
    assert_error(await stranger.get("/v1/models/sandbox/slow", headers=headers), "model_not_found")


# --- where and how


METHODS = {
    **{path: {"POST"} for path in POSTS},
    **{path: {"GET"} for path in LISTS},
    "/v1/files": {"GET", "POST"},
    "/v1/files/file-x": {"GET", "DELETE"},
    "/v1/files/file-x/content": {"GET"},
    "/v1/batches": {"GET", "POST"},
    "/v1/batches/batch_x": {"GET"},
    "/v1/batches/batch_x/cancel": {"POST"},
    "/v1/inference/batch": {"GET", "POST"},
    "/v1/inference/batch/batch_x": {"GET"},
    "/v1/inference/batch/batch_x/cancel": {"POST"},
}


@pytest.mark.parametrize("path", METHODS)
async def test_a_wrong_method_is_told_all_methods_of_the_path(client: httpx.AsyncClient, path: str) -> None:
    for method in {"GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"} - METHODS[path]:
        response = await client.request(method, path)
        assert_error(response, "method")
        assert set(response.headers["allow"].split(", ")) == METHODS[path]


UNROUTED = [
    "/", "/v1", "/v1/nothing", "/v2/chat/completions", "/v1/chat", "/v1/inferences/chat", "/air/chat", "/favicon.ico",
    "/docs", "/openapi.json", "/v1/chat/completions/", "/v1/chat/completions/nothing",
    "/v1/chat/completions/stable/nothing", "/v1/completions/nothing",
    "/v1/inference", "/v1/inference/", "/v1/inference/nothing", "/v1/inference/chat/", "/v1/inference/chat/nothing",
    "/ai", "/ai/", "/ai/nothing", "/ai/chat/", "/ai/ai", "/ai/ai/nothing", "/ai/ai/ai/chat", "/ai/models/gpt-5",
]  # fmt: skip


@pytest.mark.parametrize("method", ["GET", "POST"])
async def test_an_unrouted_path_is_not_found_in_its_dialect(client: httpx.AsyncClient, method: str) -> None:
    for path in UNROUTED:
        assert_error(await client.request(method, path), "not_found")


async def test_an_unrouted_path_is_not_found_without_a_token_too(stranger: httpx.AsyncClient) -> None:
    for path in UNROUTED:
        assert_error(await stranger.get(path), "not_found")


# --- bodies that cannot be read

MALFORMED = {
    "empty": b"",
    "cut-off": b'{"model": "x"',
    "words": b"hello",
    "form": b"model=x&prompt=y",
    "list": b"[]",
    "string": b'"x"',
    "number": b"5",
    "null": b"null",
    "two-values": b"{} {}",
    "trailing-comma": b'{"model": "x",}',
    "single-quotes": b"{'model': 'x'}",
    "comment": b'{"model": "x" /* y */}',
    "nan": b'{"temperature": NaN}',
    "infinity": b'{"temperature": -Infinity}',
    "no-utf-8": b"\xff\xfe\xfd",
    "latin-1": '{"model": "é"}'.encode("latin-1"),
    "utf-16": '{"model": "x"}'.encode("utf-16"),
    "lone-surrogate": b'{"model": "\\ud800"}',
    "nul-in-text": b'{"model": "\x00"}',
    "nul-bytes": b"\x00" * 100,
    "deep-list": b"[" * 100_000,
    "deep-object": b'{"a":' * 100_000 + b"1" + b"}" * 100_000,
    "deep-member": b'{"metadata":' + b"[" * 100_000 + b"]" * 100_000 + b"}",
    "endless-number": b'{"max_tokens": 1' + b"0" * 10_000 + b"}",
}


@pytest.mark.parametrize("body", MALFORMED.values(), ids=MALFORMED)
async def test_a_body_that_is_no_json_object_is_malformed(client: httpx.AsyncClient, body: bytes) -> None:
    for path in POSTS:
        response = await post(client, path, body)
        assert "JSON" in assert_error(response, "malformed")
        assert_nothing_private(response)


@pytest.mark.parametrize("content_type", ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data"])
async def test_a_body_of_another_type_is_malformed(client: httpx.AsyncClient, content_type: str) -> None:
    for path in POSTS:
        response = await post(client, path, json.dumps(asking(path)).encode(), content_type)
        assert "application/json" in assert_error(response, "malformed")


@pytest.mark.parametrize("content_type", ["application/json; charset=utf-8", "Application/JSON", "application/x+json"])
async def test_json_may_go_by_many_names(client: httpx.AsyncClient, content_type: str) -> None:
    for path in POSTS:
        response = await post(client, path, json.dumps(asking(path)).encode(), content_type)
        assert response.status_code == 200, response.text


@pytest.mark.parametrize("declared", [True, False], ids=["declared", "chunked"])
async def test_a_body_that_is_too_large_is_told_the_limit_and_the_way_around(keys: KeyStore, declared: bool) -> None:
    body = b" " * (1024 * 1024 + 1)

    async def in_chunks() -> AsyncIterator[bytes]:
        yield body[:700_000]
        yield body[700_000:]

    environment = {"GATEWAY_SANDBOX": "on", "GATEWAY_MAX_BODY": str(1024 * 1024)}
    async with gateway_client(keys, environment) as client:
        for path in POSTS:
            response = await client.post(path, content=body if declared else in_chunks())
            message = assert_error(response, "too_large")
            assert re.search("1048576 bytes|1 MB", message)
            assert "URL" in message


async def test_a_body_of_33_mb_is_too_large_unless_the_operator_says_otherwise(client: httpx.AsyncClient) -> None:
    for path in POSTS:
        response = await client.post(path, content=b"{}", headers={"content-length": str(33 * 1024 * 1024)})
        assert re.search("33554432 bytes|32 MB", assert_error(response, "too_large"))


# --- fields that are wrong


def said(*content: Any) -> list[Any]:
    """Messages of the user, each with the given content."""
    return [{"role": "user", "content": piece} for piece in content]


def tool(**function: Any) -> list[Any]:
    return [{"type": "function", "function": function}]


# By routes: a field as errors name it, and a value of its top-level field that is wrong.
WRONG: list[tuple[list[str], list[tuple[str, Any]]]] = [
    (
        POSTS,
        [
            ("model", 5),
            ("model", ""),
            ("model", []),
            ("temperature", "1"),
            ("temperature", True),
            ("temperature", [1]),
            ("temperature", -0.1),
            ("temperature", 2.1),
            ("max_tokens", "5"),
            ("max_tokens", True),
            ("max_tokens", 0),
            ("max_tokens", -1),
            ("max_tokens", 1.5),
            ("max_tokens", 10**30),
            ("stream", "true"),
            ("stream", 1),
            ("stream", {}),
        ],
    ),
    (
        CHATS,
        [
            ("messages", "Hello"),
            ("messages", {}),
            ("messages", []),
            ("messages", True),
            ("messages[0]", ["Hello"]),
            ("messages[0].role", [{"content": "Hello"}]),
            ("messages[0].role", [{"role": "boss", "content": "Hello"}]),
            ("messages[0].content", [{"role": "user"}]),
            ("messages[0].content", said(5)),
            ("messages[0].content", said({"type": "text", "text": "Hello"})),
            ("messages[0].content[0]", said(["Hello"])),
            ("messages[0].content[0].type", said([{"text": "Hello"}])),
            ("messages[0].content[0].type", said([{"type": "video"}])),
            ("messages[0].content[0].text", said([{"type": "text"}])),
            ("messages[0].content[0].text", said([{"type": "text", "text": 5}])),
            ("messages[0].content[0].image_url", said([{"type": "image_url"}])),
            ("messages[0].content[0].image_url.url", said([{"type": "image_url", "image_url": {"url": "x"}}])),
            ("messages[1].content", said("Hello", 5)),
            ("messages[1].tool_call_id", [*said("Hello"), {"role": "tool", "content": "x"}]),
            ("messages[1].tool_call_id", [*said("Hello"), {"role": "tool", "tool_call_id": "x", "content": "x"}]),
            ("top_p", "1"),
            ("top_p", True),
            ("top_p", -0.1),
            ("top_p", 1.1),
            ("tools", {}),
            ("tools", "get_weather"),
            ("tools[0].type", [{"type": "search"}]),
            ("tools[0].function", [{"type": "function"}]),
            ("tools[0].function.name", tool()),
            ("tools[0].function.name", tool(name="two words")),
            ("tools[0].function.parameters", tool(name="x", parameters="y")),
            ("tool_choice", "sometimes"),
            ("tool_choice", 5),
            ("tool_choice", "required"),  # there are no tools
        ],
    ),
    (
        OPENAIS_CHATS,
        [
            ("max_completion_tokens", True),
            ("max_completion_tokens", 0),
            ("n", 0),
            ("n", True),
            ("n", "2"),
            ("n", 129),
            ("stop", 5),
            ("stop", ["a", "b", "c", "d", "e"]),
            ("stop[1]", ["a", 5]),
            ("seed", "7"),
            ("seed", True),
            ("seed", 1.5),
            ("seed", 2**63),
            ("stream_options", True),
            ("stream_options.include_usage", {"include_usage": "yes"}),
            ("parallel_tool_calls", "no"),
            ("response_format", "json"),
            ("response_format.type", {"type": "xml"}),
            ("response_format.json_schema", {"type": "json_schema"}),
            ("response_format.json_schema.schema", {"type": "json_schema", "json_schema": {"name": "x"}}),
            ("reasoning_effort", "extreme"),
            ("reasoning_effort", 5),
            ("presence_penalty", 2.1),
            ("presence_penalty", True),
            ("frequency_penalty", -2.1),
            ("logprobs", 5),
            ("top_logprobs", 5),  # needs logprobs
            ("top_logprobs", 21),
            ("modalities", "text"),
            ("modalities[0]", ["smell"]),
            ("user", 5),
            ("metadata", "x"),
        ],
    ),
    (GENERATES, [("prompt", 5), ("prompt", {}), ("prompt", True)]),
    (
        COMPLETIONS,
        [
            ("prompt", [[1, 2, 3]]),
            ("prompt", []),
            ("n", 0),
            ("n", True),
            ("top_p", 1.1),
            ("stop", 5),
            ("seed", True),
            ("logprobs", 6),
            ("best_of", 0),
            ("echo", "yes"),
            ("presence_penalty", 3),
        ],
    ),
    (["/ai/generate", "/ai/ai/generate"], [("prompt", ["Hello"]), ("top_p", True), ("top_p", 1.1)]),
    (INFERENCE, [("stop", 5), ("stop[0]", [5]), ("seed", True), ("seed", 1.5), ("seed", "7")]),
    (["/v1/inference/generate"], [("prompt", ["Hello"])]),
    (["/v1/inference/chat"], [("metadata", "x"), ("metadata", [])]),
]


@pytest.mark.parametrize(
    ("paths", "field", "value"), [(paths, field, value) for paths, fields in WRONG for field, value in fields]
)
async def test_a_field_of_a_wrong_type_or_out_of_range_is_named(
    client: httpx.AsyncClient, paths: list[str], field: str, value: Any
) -> None:
    name = field.partition("[")[0].partition(".")[0]
    for path in paths:
        response = await client.post(path, json=asking(path, **{name: value}))
        assert_error(response, "validation", field=field)
        assert_nothing_private(response)


@pytest.mark.parametrize("number", ["1e999", "-1e999", "1" + "0" * 400], ids=["1e999", "-1e999", "400-digits"])
@pytest.mark.parametrize("field", ["temperature", "max_tokens"])
async def test_a_number_beyond_all_bounds_is_refused(client: httpx.AsyncClient, field: str, number: str) -> None:
    for path in POSTS:
        body = json.dumps(asking(path))[:-1] + f', "{field}": {number}}}'
        assert_error(await post(client, path, body.encode()), "validation", field=field)


async def test_a_schema_with_a_number_beyond_all_bounds_is_refused(vendor: Vendor) -> None:
    tools = '[{"type": "function", "function": {"name": "x", "parameters": {"maximum": 1e999}}}]'
    for path in CHATS:
        body = json.dumps(asking(path, MODEL))[:-1] + f', "tools": {tools}}}'
        response = await post(vendor.client, path, body.encode())
        assert response.status_code in (400, 422), response.text
        assert_nothing_private(response)
    assert not vendor.requests


# Whatever may be left out, and hence may be null.
OPTIONAL = [
    "temperature", "max_tokens", "stream", "top_p", "tools", "tool_choice", "stop", "seed", "n", "metadata", "user",
    "stream_options", "response_format", "reasoning_effort", "presence_penalty", "frequency_penalty", "logprobs",
    "top_logprobs", "logit_bias", "modalities", "max_completion_tokens", "parallel_tool_calls", "echo", "suffix",
    "best_of", "verbosity",
]  # fmt: skip


@pytest.mark.parametrize("path", POSTS)
async def test_null_means_absent(vendor: Vendor, path: str) -> None:
    await vendor.client.post(path, json=asking(path, MODEL))
    await vendor.client.post(path, json=asking(path, MODEL, **dict.fromkeys(OPTIONAL)))
    absent, null = (json.loads(request.content) for request in vendor.requests)
    assert null == absent


async def test_what_is_required_may_not_be_null(client: httpx.AsyncClient) -> None:
    for path in POSTS:
        asked = "messages" if path in CHATS else "prompt"
        assert_error(await client.post(path, json=asking(path, **{asked: None})), "validation", field=asked)
        if not path.endswith("/stable"):
            assert_error(await client.post(path, json=asking(path, model=None)), "validation", field="model")


@pytest.mark.parametrize("path", POSTS)
async def test_unknown_fields_are_ignored(vendor: Vendor, path: str) -> None:
    body = asking(path, MODEL, nonsense={"deep": [1, None]}, Temperature="hot")
    assert (await vendor.client.post(path, json=body)).status_code == 200
    assert not vendor.sent.keys() & {"nonsense", "Temperature"}


@pytest.mark.parametrize(
    "text", ["", "\x00", "\u2028\r\n\n data: x", "🜁" * 1000], ids=["empty", "nul", "lines", "long"]
)
@streamed_or_not
async def test_any_text_is_fine(client: httpx.AsyncClient, text: str, stream: bool) -> None:
    for path in DISTINCT:
        asked = {"messages": said(text)} if path in CHATS else {"prompt": text}
        response = await client.post(path, json=asking(path, max_tokens=3, stream=stream, **asked))
        assert response.status_code == 200, response.text
        assert frames(response.content)[-1] == "[DONE]" if stream else response.json()


# --- models

UNKNOWN = {
    "unknown": "nobody",
    "in-sandbox": "sandbox/nobody",
    "of-unconfigured-vendor": "openai/nobody",
    "unconfigured": "gpt-5",
    "slash": "/",
    "no-name": "sandbox/",
    "wildcard": "openai/*",
    "dots": "../chat",
    "other-case": "auto",
    "nul": "\x00",
    "long": "x" * 10_000,
}


@pytest.mark.parametrize("model", UNKNOWN.values(), ids=UNKNOWN)
@streamed_or_not
async def test_an_unknown_model_is_not_found(client: httpx.AsyncClient, model: str, stream: bool) -> None:
    for path in POSTS:
        response = await client.post(path, json=asking(path, model, stream=stream))
        assert len(assert_error(response, "model_not_found")) < 500
        assert "x-gateway-model" not in response.headers


async def test_an_unknown_model_cannot_be_looked_up(client: httpx.AsyncClient) -> None:
    for name in ("nobody", "sandbox/nobody", "gpt-5", "a/b/c", "%00", "x" * 2000):
        assert_error(await client.get(f"/v1/models/{name}"), "model_not_found")


PIXEL = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
IMAGE = {"type": "image_url", "image_url": {"url": f"data:image/png;base64,{PIXEL}"}}
SCHEMA = {"type": "json_schema", "json_schema": {"name": "x", "schema": {"type": "object"}}}


@pytest.mark.parametrize(
    ("paths", "word", "fields"),
    [
        (CHATS, "tools", {"tools": tool(name="x")}),
        (CHATS, "image", {"messages": said([IMAGE])}),
        (OPENAIS_CHATS, "JSON schema", {"response_format": SCHEMA}),
        (OPENAIS_CHATS, "image output", {"modalities": ["text", "image"]}),
        (COMPLETIONS, "suffix", {"suffix": "x"}),
        (COMPLETIONS, "best_of", {"best_of": 3}),
    ],
    ids=["tools", "image-input", "json-schema", "image-output", "suffix", "best_of"],
)
@streamed_or_not
async def test_a_feature_that_the_model_lacks_is_named(
    client: httpx.AsyncClient, paths: list[str], word: str, fields: Any, stream: bool
) -> None:
    for path in paths:
        response = await client.post(path, json=asking(path, "sandbox/fail-500", stream=stream, **fields))
        assert word in assert_error(response, "unsupported")


async def test_a_model_that_does_not_chat_says_so(vendor: Vendor) -> None:
    for path in POSTS:
        response = await vendor.client.post(path, json=asking(path, "text-embedding-3-small"))
        assert "chat" in assert_error(response, "unsupported")
    assert not vendor.requests


async def test_without_any_provider_there_is_nothing_to_choose(keys: KeyStore) -> None:
    async with gateway_client(keys, {}) as client:
        for path in POSTS:
            assert_error(await client.post(path, json=asking(path, "Auto")), "unavailable")


async def test_a_model_id_cannot_bring_headers_of_its_own(vendor: Vendor) -> None:
    response = await vendor.client.post(CHATS[0], json=asking(CHATS[0], "openai/gpt-ü\r\nx-injected: yes"))
    assert_error(response, "model_not_found")
    assert "x-injected" not in response.headers
    assert vendor.requests == []


@pytest.mark.parametrize("name", ["../../v1/files", "x/../../../v1/files", "%2e%2e/files", "x?key=1", "x#", "x:y/z"])
async def test_a_model_id_cannot_leave_its_place_in_the_providers_address(keys: KeyStore, name: str) -> None:
    vendor = Vendor(upstream.answering(404))
    async with gateway_client(keys, {"GEMINI_API_KEY": KEY, "GEMINI_BASE_URL": f"https://{HOST}"}, vendor) as client:
        for path in DISTINCT:
            assert_error(await client.post(path, json=asking(path, f"gemini/{name}")), "model_not_found")
    for request in vendor.requests:
        assert re.fullmatch(r"/v1beta/models/[^/?#]+:generateContent", request.url.raw_path.decode())


# --- request ids


async def answers_of_all_kinds(client: httpx.AsyncClient, path: str, headers: Any) -> list[httpx.Response]:
    answers = [
        await make_request(client, path, headers=headers),
        await client.request("DELETE", path, headers=headers),
        await client.get(f"{path.rpartition('/')[0]}/nothing/here", headers=headers),
        await make_request(client, path, headers={**headers, "authorization": "Bearer sk-unknown"}),
    ]
    if path in POSTS:
        answers += [
            await client.post(path, json=asking(path, stream=True, max_tokens=1), headers=headers),
            await client.post(path, json=asking(path, "sandbox/fail-500"), headers=headers),
            await client.post(path, content=b"{", headers=headers),
        ]
    return answers


@pytest.mark.parametrize("request_id", ["a", "Trace:1.2_3-4", "x" * 128])
async def test_a_request_id_is_echoed_on_every_answer(client: httpx.AsyncClient, request_id: str) -> None:
    for path in ROUTES:
        for response in await answers_of_all_kinds(client, path, {"x-request-id": request_id}):
            assert response.headers.get_list("x-request-id") == [request_id]
            own = dialect_of(response.request.url.path) == "envelope"
            assert response.headers.get_list("x-scaigrid-request-id") == [request_id] * own


@pytest.mark.parametrize(
    "request_id",
    ["", " ", "x" * 129, "two words", "a,b", "a/b", "<script>", "é".encode(), b"a\xff", "a\tb"],
    ids=["empty", "blank", "long", "words", "comma", "slash", "tag", "utf-8", "byte", "tab"],
)
async def test_an_unfit_request_id_is_replaced(client: httpx.AsyncClient, request_id: Any) -> None:
    for path in ("/v1/chat/completions", "/ai/models", "/v1/inference/chat"):
        answers = await answers_of_all_kinds(client, path, {"x-request-id": request_id})
        given = [response.headers["x-request-id"] for response in answers]
        assert len(set(given)) == len(given)
        assert all(1 <= len(name) <= 128 and name.isascii() and name.isalnum() for name in given)
        for response in answers:
            if response.headers["content-type"] == "application/json" and "meta" in response.json():
                assert response.json()["meta"]["request_id"] == response.headers["x-request-id"]


# --- failures of the provider, before anything has been said

RATE_LIMIT = b'{"error": {"message": "Rate limit reached for org-1234", "type": "requests"}}'
BAD_KEY = b'{"error": {"message": "Incorrect API key provided: vendor-secret-key", "code": "invalid_api_key"}}'
BAD_REQUEST = b'{"error": {"message": "max_tokens is too large", "type": "invalid_request_error"}}'
FILTERED = b'{"error": {"message": "Your request was flagged.", "code": "content_filter"}}'
NO_CREDIT = b'{"error": {"message": "You exceeded your current quota.", "type": "insufficient_quota"}}'
TOO_LONG = b'{"error": {"message": "This model\'s maximum context length is 8192 tokens."}}'
HTML = b"<html><h1>502 Bad Gateway</h1><hr>nginx at vendor.test (10.1.2.3)</html>"
FAILURES: dict[str, tuple[upstream.Handler, str, int | None]] = {
    "400": (upstream.answering(400, BAD_REQUEST), "rejected", None),
    "400-html": (upstream.answering(400, HTML), "rejected", None),
    "400-filter": (upstream.answering(400, FILTERED), "filtered", None),
    "400-bad-key": (upstream.answering(400, BAD_KEY), "upstream", None),
    "401": (upstream.answering(401, BAD_KEY), "upstream", None),
    "403": (upstream.answering(403, BAD_KEY), "upstream", None),
    "404": (upstream.answering(404, HTML), "model_not_found", None),
    "413": (upstream.answering(413, HTML), "too_large", None),
    "408": (upstream.answering(408), "timeout", None),
    "429": (upstream.answering(429, RATE_LIMIT, {"retry-after": "21"}), "rate_limited", 21),
    "429-fraction": (upstream.answering(429, RATE_LIMIT, {"retry-after": "0.3"}), "rate_limited", 1),
    "500": (upstream.answering(500, HTML), "upstream", None),
    "502": (upstream.answering(502, HTML), "upstream", None),
    "503": (upstream.answering(503, b'{"error": {"message": "broken"}}'), "upstream", None),
    "503-overloaded": (upstream.answering(503, b'{"error": {"message": "overloaded"}}'), "overloaded", 5),
    "529": (upstream.answering(529, HTML, {"retry-after": "8"}), "overloaded", 8),
    "402": (upstream.answering(402, b'{"error": {"message": "Insufficient Balance"}}'), "no_quota", None),
    "429-no-credit": (upstream.answering(429, NO_CREDIT, {"retry-after": "21"}), "no_quota", None),
    "400-too-long": (upstream.answering(400, TOO_LONG), "too_long", None),
    "503-wait": (upstream.answering(503, HTML, {"retry-after": "30"}), "upstream", 30),
    "504": (upstream.answering(504, HTML), "timeout", None),
    "redirect": (upstream.answering(302, b"", {"location": "https://vendor.test/"}), "upstream", None),
    "html": (upstream.answering(200, HTML), "upstream", None),
    "empty": (upstream.answering(200), "upstream", None),
    "list": (upstream.answering(200, b"[]"), "upstream", None),
    "no-choices": (upstream.answering(200, b'{"choices": []}'), "upstream", None),
    "deep": (upstream.answering(200, b"[" * 100_000), "upstream", None),
    "garbage-frame": (upstream.answering(200, b"data: <html>\n\n"), "upstream", None),
    "cut-off": (upstream.answering(200, b'data: {"choices": [{"index"'), "upstream", None),
    "unreachable": (upstream.raising(httpx.ConnectError(f"no route to {ADDRESS}")), "upstream", None),
    "bad-certificate": (upstream.raising(httpx.ConnectError(f"certificate of {HOST} expired")), "upstream", None),
    "reset": (upstream.raising(httpx.ReadError(f"reset by {ADDRESS}")), "upstream", None),
    "connect-timeout": (upstream.raising(httpx.ConnectTimeout(f"to {ADDRESS}")), "timeout", None),
    "read-timeout": (upstream.raising(httpx.ReadTimeout(f"from {ADDRESS}")), "timeout", None),
    "our-own-fault": (upstream.raising(RuntimeError(f"boom at {ADDRESS} with {KEY}")), "internal", None),
}


@pytest.mark.parametrize(("answer", "kind", "retry_after"), FAILURES.values(), ids=FAILURES)
@streamed_or_not
async def test_a_failure_of_the_provider_has_its_own_status(
    vendor: Vendor, answer: upstream.Handler, kind: str, retry_after: int | None, stream: bool
) -> None:
    vendor.answer = answer
    for path in DISTINCT:
        response = await vendor.client.post(path, json=asking(path, MODEL, stream=stream))
        assert_error(response, kind, retry_after=retry_after)
        assert_nothing_private(response)
        assert response.headers["x-gateway-model"] == MODEL
        assert response.headers["x-gateway-backend"] == BACKEND


async def test_the_providers_own_words_for_a_bad_request_come_through(vendor: Vendor) -> None:
    vendor.answer = upstream.answering(400, BAD_REQUEST)
    for path in POSTS:
        response = await vendor.client.post(path, json=asking(path, MODEL))
        assert "max_tokens is too large" in assert_error(response, "rejected")


@pytest.mark.parametrize(
    "private",
    [f"https://{HOST}/docs", HOST, f"{HOST}:8443", ADDRESS, f"{ADDRESS}:8080", "sk-abcdef123456", KEY, f"'{KEY}'"],
    ids=["url", "host", "host-port", "address", "address-port", "key", "own-key", "quoted-key"],
)
async def test_what_is_private_in_the_providers_words_does_not(vendor: Vendor, private: str) -> None:
    words = f"The request is wrong, see {private} for more."
    error = {"error": {"message": words, "type": "invalid_request_error"}}
    for path in DISTINCT:
        for status in (400, 200):
            vendor.answer = upstream.answering(status, json.dumps(error).encode())
            response = await vendor.client.post(path, json=asking(path, MODEL))
            assert "The request is wrong" in assert_error(response, "rejected")
            assert private.strip("'") not in response.text
        vendor.answer = upstream.answering(200, BEGINNING + upstream.frame(error))
        response = await vendor.client.post(path, json=asking(path, MODEL, stream=True))
        assert "The request is wrong" in assert_broken_stream(response, "rejected")
        assert private.strip("'") not in response.text


@streamed_or_not
async def test_a_content_filter_that_ends_an_answer_is_no_error(client: httpx.AsyncClient, stream: bool) -> None:
    text = "[sandbox:filter] Hello"
    for path in DISTINCT:
        asked = {"messages": said(text)} if path in CHATS else {"prompt": text}
        response = await client.post(path, json=asking(path, stream=stream, **asked))
        assert response.status_code == 200, response.text
        assert '"finish_reason":"content_filter"' in response.text


@streamed_or_not
async def test_a_provider_that_is_slower_than_allowed_is_a_time_out(keys: KeyStore, stream: bool) -> None:
    environment = {"GATEWAY_SANDBOX": "on", "GATEWAY_UPSTREAM_TIMEOUT": "0.01"}
    async with gateway_client(keys, environment) as client:
        for path in POSTS:
            response = await client.post(path, json=asking(path, "sandbox/fail-timeout", stream=stream))
            assert_error(response, "timeout")


@pytest.mark.parametrize(
    ("model", "kind", "retry_after"),
    [
        ("sandbox/fail-400", "rejected", None),
        ("sandbox/fail-401", "upstream", None),
        ("sandbox/fail-429", "rate_limited", 7),
        ("sandbox/fail-500", "upstream", None),
    ],
)
@streamed_or_not
async def test_the_sandbox_fails_as_it_is_told_to(
    client: httpx.AsyncClient, model: str, kind: str, retry_after: int | None, stream: bool
) -> None:
    for path in POSTS:
        response = await client.post(path, json=asking(path, model, stream=stream))
        assert_error(response, kind, retry_after=retry_after)
        assert "sk-sandbox" not in response.text
        assert response.headers["x-gateway-model"] == model


# --- failures of the provider, after it has begun to speak

MIDSTREAM: dict[str, tuple[upstream.Handler, str]] = {
    "reset": (upstream.breaking(httpx.ReadError(f"reset by {ADDRESS}")), "upstream"),
    "protocol": (upstream.breaking(httpx.RemoteProtocolError(f"{HOST} closed")), "upstream"),
    "timeout": (upstream.breaking(httpx.ReadTimeout(f"from {ADDRESS}")), "timeout"),
    "our-own-fault": (upstream.breaking(RuntimeError(f"boom at {ADDRESS} with {KEY}")), "internal"),
    "cut-off": (upstream.answering(200, BEGINNING), "upstream"),
    "garbage": (upstream.answering(200, BEGINNING + b"data: <html>\n\n"), "upstream"),
    "error": (upstream.answering(200, BEGINNING + upstream.frame({"error": {"message": ADDRESS}})), "upstream"),
    "rate-limit": (
        upstream.answering(200, BEGINNING + upstream.frame({"error": {"code": "rate_limit_exceeded"}})),
        "rate_limited",
    ),
    "no-credit": (
        upstream.answering(200, BEGINNING + upstream.frame({"error": {"code": "insufficient_quota"}})),
        "no_quota",
    ),
    "overload": (
        upstream.answering(200, BEGINNING + upstream.frame({"error": {"type": "overloaded_error"}})),
        "overloaded",
    ),
}


@pytest.mark.parametrize(("answer", "kind"), MIDSTREAM.values(), ids=MIDSTREAM)
async def test_a_stream_that_breaks_says_so_in_its_dialect(vendor: Vendor, answer: upstream.Handler, kind: str) -> None:
    vendor.answer = answer
    for path in POSTS:
        response = await vendor.client.post(path, json=asking(path, MODEL, stream=True))
        assert_broken_stream(response, kind)
        assert "Hello" in response.text
        assert_nothing_private(response)


@pytest.mark.parametrize("path", DISTINCT)
async def test_the_sandbox_breaks_off_in_the_middle_of_a_stream(client: httpx.AsyncClient, path: str) -> None:
    response = await client.post(path, json=asking(path, "sandbox/fail-midstream", stream=True))
    assert_broken_stream(response, "upstream")
    assert len(events(response)) > 2


def hesitating(vendor: Vendor) -> upstream.Handler:
    """A vendor that takes longer than a stream's status line waits for it."""

    async def answer(request: httpx.Request) -> httpx.Response:
        await asyncio.sleep(0.05)
        return vendor(request)

    return answer


@pytest.mark.parametrize("path", DISTINCT)
async def test_a_stream_that_is_long_in_coming_begins_with_a_comment(keys: KeyStore, path: str) -> None:
    late = hesitating(Vendor())
    async with gateway_client(keys, {**ENVIRONMENT, "GATEWAY_FIRST_EVENT_WAIT": "0.001"}, late) as client:
        response = await client.post(path, json=asking(path, MODEL, stream=True))
    assert response.text.startswith(":")
    assert frames(response.content)[-1] == "[DONE]"
    assert "there" in response.text


@pytest.mark.parametrize("path", DISTINCT)
async def test_a_failure_after_that_comment_is_told_in_the_stream(keys: KeyStore, path: str) -> None:
    late = hesitating(Vendor(upstream.answering(500, HTML)))
    async with gateway_client(keys, {**ENVIRONMENT, "GATEWAY_FIRST_EVENT_WAIT": "0.001"}, late) as client:
        response = await client.post(path, json=asking(path, MODEL, stream=True))
    assert response.text.startswith(":")
    assert_broken_stream(response, "upstream")
    assert_nothing_private(response)


# --- failures of our own


class _OutOfReach:
    """A store of keys that cannot be asked."""

    aws = None

    async def find(self, token: str) -> None:
        raise RuntimeError(f"the table at {ADDRESS} cannot be asked for {token}")


async def test_a_crash_is_an_internal_error_that_tells_nothing() -> None:
    async with gateway_client(_OutOfReach()) as client:  # type: ignore[arg-type]
        for path in ROUTES:
            response = await make_request(client, path)
            assert_error(response, "internal")
            assert_nothing_private(response)
            assert TOKEN not in response.text
