"""Embeddings by the contract's numbers: T10 to T14 on /ai, S14 on /v1/inference, and OpenAI's own on /v1."""

import asyncio
import base64
import json
import struct
from collections.abc import Callable
from typing import Any

import httpx
import pytest
from openai.types import CreateEmbeddingResponse

from shared.stores.keys import KeyStore
from tests.client import gateway_client
from tests.contract.vendor import ENVIRONMENT, Handler, Vendor, answering
from tests.contract.wire import assert_error

pytestmark = pytest.mark.anyio

OPENAI = "/v1/embeddings"
COMPACT = "/ai/embeddings"
ENVELOPE = "/v1/inference/embed"
ROUTES = [OPENAI, COMPACT, "/ai/ai/embeddings", ENVELOPE]
SANDBOX = "sandbox/embedding"
SMALL = "text-embedding-3-small"
HOSTED = "Qwen/Qwen3-Embedding-8B"  # on a host that promises no size of batches
FASCINATING = "Machine learning is fascinating"
SOME_TOKENS = [22333, 6975, 374, 27387]

on_each_route = pytest.mark.parametrize("path", ROUTES)


def asking(text: Any = FASCINATING, model: str = SANDBOX, **fields: Any) -> dict[str, Any]:
    return {"model": model, "input": text, **fields}


async def answered(client: httpx.AsyncClient, path: str, text: Any = FASCINATING, **fields: Any) -> Any:
    """The answer, out of its envelope where it has one."""
    response = await client.post(path, json=asking(text, **fields))
    assert response.status_code == 200, response.text[:1000]
    body = response.json()
    if path == ENVELOPE:
        assert body.keys() == {"status", "data", "meta"}
        assert (body["status"], body["meta"]) == ("ok", {"request_id": response.headers["x-request-id"]})
        body = body["data"]
    if "data" in body and fields.get("encoding_format") != "base64":  # which the SDK decodes before its types
        CreateEmbeddingResponse.model_validate(body, strict=True)
    return body


async def vectors(client: httpx.AsyncClient, path: str, text: Any, **fields: Any) -> list[list[float]]:
    body = await answered(client, path, text, **fields)
    if "data" in body:
        return [item["embedding"] for item in body["data"]]
    found: list[list[float]] = body["embeddings"] if "embeddings" in body else [body["embedding"]]
    return found


def numbered(length: int = 4, *, turned: bool = False) -> Handler:
    """A vendor whose vector for the text "7" starts with 7; `turned` puts the last one first."""

    def answer(request: httpx.Request) -> httpx.Response:
        asked = json.loads(request.content)
        rows = [[float(text), *[0.5] * (length - 1)] for text in asked["input"]]
        data = [
            {"object": "embedding", "index": index, "embedding": encoded(row, asked.get("encoding_format"))}
            for index, row in enumerate(rows)
        ]
        usage = {"prompt_tokens": len(rows), "total_tokens": len(rows)}
        return httpx.Response(
            200, json={"object": "list", "model": "m", "data": data[::-1] if turned else data, "usage": usage}
        )

    return answer


def encoded(row: list[float], encoding_format: str | None) -> Any:
    return base64.b64encode(struct.pack(f"<{len(row)}f", *row)).decode() if encoding_format == "base64" else row


# --- the compact dialect


@pytest.mark.parametrize("path", [COMPACT, "/ai/ai/embeddings"])
async def test_T10_a_string_is_answered_with_one_embedding(client: httpx.AsyncClient, path: str) -> None:
    body = await answered(client, path)
    assert body.keys() == {"embedding", "dimensions", "usage"}
    assert all(isinstance(number, float) for number in body["embedding"])
    assert any(body["embedding"])


async def test_T11_text_embedding_3_small_has_1536_dimensions(vendor: Vendor) -> None:
    vendor.answer = numbered(1536)
    body = await answered(vendor.client, COMPACT, "7", model=SMALL)
    assert body["dimensions"] == 1536
    assert body["embedding"][:2] == [7.0, 0.5]
    assert vendor.sent["model"] == SMALL
    assert "dimensions" not in vendor.sent


@pytest.mark.parametrize("text", [FASCINATING, [FASCINATING, "And so is the sea"]])
async def test_T12_dimensions_is_the_vectors_length(client: httpx.AsyncClient, text: Any) -> None:
    for asked in (None, 7, 256):
        body = await answered(client, COMPACT, text, dimensions=asked)
        rows = body["embeddings"] if isinstance(text, list) else [body["embedding"]]
        assert {len(row) for row in rows} == {body["dimensions"]}
        assert asked in (None, body["dimensions"])


async def test_T13_usage_has_the_total_of_tokens_alone(client: httpx.AsyncClient) -> None:
    one = (await answered(client, COMPACT))["usage"]
    assert one.keys() == {"total_tokens"}
    assert one["total_tokens"] > 0
    two = (await answered(client, COMPACT, [FASCINATING, FASCINATING]))["usage"]
    assert two == {"total_tokens": 2 * one["total_tokens"]}


async def test_T14_an_array_is_answered_with_embeddings_in_its_order(client: httpx.AsyncClient) -> None:
    texts = ["First document", "Second document", "First document"]
    body = await answered(client, COMPACT, texts)
    assert body.keys() == {"embeddings", "dimensions", "usage"}
    assert body["embeddings"] == [(await answered(client, COMPACT, text))["embedding"] for text in texts]
    assert body["embeddings"][0] != body["embeddings"][1]


@pytest.mark.parametrize("text", [[FASCINATING], SOME_TOKENS, [SOME_TOKENS]])
async def test_T14_an_array_of_one_is_an_array(client: httpx.AsyncClient, text: Any) -> None:
    body = await answered(client, COMPACT, text)
    assert body.keys() == {"embeddings", "dimensions", "usage"}
    assert len(body["embeddings"]) == 1


# --- the envelope dialect


@pytest.mark.parametrize("text", [FASCINATING, [FASCINATING], [FASCINATING, "And so is the sea"]])
async def test_S14_embed_answers_a_list_of_vectors(client: httpx.AsyncClient, text: Any) -> None:
    data = await answered(client, ENVELOPE, text)
    assert data.keys() == {"object", "data", "model", "usage"}
    assert (data["object"], data["model"]) == ("list", SANDBOX)
    texts = [text] if isinstance(text, str) else text
    assert [item["index"] for item in data["data"]] == list(range(len(texts)))
    assert all(item.keys() == {"object", "index", "embedding"} for item in data["data"])
    assert [item["embedding"] for item in data["data"]] == await vectors(client, OPENAI, texts)


async def test_S14_dimensions_set_the_length(client: httpx.AsyncClient) -> None:
    assert [len(row) for row in await vectors(client, ENVELOPE, ["a", "b"], dimensions=12)] == [12, 12]


# --- OpenAI's


async def test_openai_answers_its_list(client: httpx.AsyncClient) -> None:
    body = await answered(client, OPENAI)
    assert body.keys() == {"object", "data", "model", "usage"}
    assert body["object"] == "list"
    assert body["model"] == SANDBOX
    assert body["usage"]["prompt_tokens"] == body["usage"]["total_tokens"] > 0


@pytest.mark.parametrize("text", [FASCINATING, ["a", "b", "c"], SOME_TOKENS, [SOME_TOKENS, [1, 2]], ["a"], [[5]]])
async def test_base64_is_the_same_numbers_as_little_endian_32_bit_floats(client: httpx.AsyncClient, text: Any) -> None:
    numbers = await vectors(client, OPENAI, text, encoding_format="float")
    coded = await vectors(client, OPENAI, text, encoding_format="base64")
    assert all(isinstance(row, str) for row in coded)
    decoded = [base64.b64decode(row, validate=True) for row in coded]  # type: ignore[arg-type]
    assert [list(struct.unpack(f"<{len(row) // 4}f", row)) for row in decoded] == numbers


async def test_numbers_come_unasked(client: httpx.AsyncClient) -> None:
    for path in ROUTES:
        (row,) = await vectors(client, path, [FASCINATING])
        assert len(row) == 1536
        assert all(isinstance(number, float) for number in row)


@on_each_route
async def test_every_dialect_gives_the_same_vectors(client: httpx.AsyncClient, path: str) -> None:
    assert await vectors(client, path, ["a", "b"]) == await vectors(client, OPENAI, ["a", "b"])


async def test_paraphrases_are_nearer_than_what_has_nothing_in_common(client: httpx.AsyncClient) -> None:
    sentence, paraphrase, other = await vectors(
        client, OPENAI, ["The cat sleeps on the sofa", "A cat is sleeping on a sofa", "Interest rates rose in March"]
    )
    products = [sum(a * b for a, b in zip(sentence, row, strict=True)) for row in (paraphrase, other)]
    assert products[0] > products[1] + 0.1


# --- what reaches the vendor


async def test_what_is_asked_reaches_the_vendor(vendor: Vendor) -> None:
    vendor.answer = numbered(2)
    await answered(vendor.client, OPENAI, ["1", "2"], model=SMALL, dimensions=2, user="me", encoding_format="float")
    sent = vendor.sent
    assert (sent["model"], sent["input"], sent["dimensions"], sent["user"]) == (SMALL, ["1", "2"], 2, "me")


@pytest.mark.parametrize(("text", "sent"), [(SOME_TOKENS, [SOME_TOKENS]), ([SOME_TOKENS, [7]], [SOME_TOKENS, [7]])])
async def test_tokens_reach_a_vendor_that_understands_them(vendor: Vendor, text: Any, sent: Any) -> None:
    rows = [{"object": "embedding", "index": index, "embedding": [1.0]} for index in range(len(sent))]
    vendor.answer = lambda request: httpx.Response(200, json={"data": rows, "usage": {"prompt_tokens": 5}})
    body = await answered(vendor.client, OPENAI, text, model=SMALL)
    assert vendor.sent["input"] == sent
    assert len(body["data"]) == len(sent)


@on_each_route
async def test_tokens_are_refused_where_the_vendor_takes_text_only(vendor: Vendor, path: str) -> None:
    response = await vendor.client.post(path, json=asking(SOME_TOKENS, HOSTED))
    assert "input" in assert_error(response, "unsupported")
    assert vendor.requests == []


@on_each_route
async def test_dimensions_are_refused_where_the_vendor_has_one_length(vendor: Vendor, path: str) -> None:
    response = await vendor.client.post(path, json=asking(model=HOSTED, dimensions=5))
    assert "dimensions" in assert_error(response, "unsupported")
    assert vendor.requests == []


async def test_an_alias_is_answered_by_the_name_that_was_sent(vendor: Vendor) -> None:
    vendor.answer = numbered()
    response = await vendor.client.post(OPENAI, json=asking("7", f"openai/{SMALL}"))
    assert response.json()["model"] == f"openai/{SMALL}"
    assert response.headers["x-gateway-model"] == SMALL
    assert response.headers["x-gateway-backend"] == f"openai/{SMALL}"
    assert vendor.sent["model"] == SMALL


async def test_the_vendors_order_is_not_relied_on(vendor: Vendor) -> None:
    vendor.answer = numbered(turned=True)
    rows = await vectors(vendor.client, OPENAI, ["3", "1", "2"], model=SMALL)
    assert [row[0] for row in rows] == [3.0, 1.0, 2.0]


# --- many


@on_each_route
async def test_2048_inputs_are_embedded_in_their_order(client: httpx.AsyncClient, path: str) -> None:
    texts = [f"Document number {number}" for number in range(2048)]
    rows = await vectors(client, path, texts, dimensions=16)
    assert len(rows) == 2048
    for at in (0, 99, 100, 101, 1000, 2047):  # around the seams of the sandbox's batches
        assert rows[at] == (await vectors(client, path, texts[at], dimensions=16))[0]


@on_each_route
async def test_2049_inputs_are_refused(vendor: Vendor, path: str) -> None:
    response = await vendor.client.post(path, json=asking(["a"] * 2049, SMALL))
    assert "2048" in assert_error(response, "validation", field="input")
    assert vendor.requests == []


async def test_batches_go_to_the_vendor_together_and_their_order_is_kept(vendor: Vendor) -> None:
    texts = [str(number) for number in range(300)]
    expected = [texts[:128], texts[128:256], texts[256:]]
    everybody_is_here = asyncio.Barrier(len(expected))
    turns = [asyncio.Event() for _ in range(len(expected) + 1)]
    turns[-1].set()

    async def answer(request: httpx.Request) -> httpx.Response:
        place = expected.index(json.loads(request.content)["input"])
        async with asyncio.timeout(5):
            await everybody_is_here.wait()
            await turns[place + 1].wait()  # the last one is answered first
        turns[place].set()
        response = numbered()(request)
        assert isinstance(response, httpx.Response)
        return response

    vendor.answer = answer
    body = await answered(vendor.client, OPENAI, texts, model=HOSTED)
    assert [item["embedding"][0] for item in body["data"]] == [float(text) for text in texts]
    assert [item["index"] for item in body["data"]] == list(range(300))
    assert body["usage"] == {"prompt_tokens": 300, "total_tokens": 300}
    assert len(vendor.requests) == len(expected)


@on_each_route
async def test_one_batch_that_fails_is_the_answer(vendor: Vendor, path: str) -> None:
    def answer(request: httpx.Request) -> httpx.Response:
        if "200" in json.loads(request.content)["input"]:
            return httpx.Response(429, headers={"retry-after": "3"})
        response = numbered()(request)
        assert isinstance(response, httpx.Response)
        return response

    vendor.answer = answer
    texts = [str(number) for number in range(300)]
    response = await vendor.client.post(path, json=asking(texts, HOSTED))
    assert_error(response, "rate_limited", retry_after=3)


# --- what is refused


@on_each_route
@pytest.mark.parametrize(
    "text",
    [
        "",
        [],
        [""],
        ["a", ""],
        [[]],
        [[1], []],
        7,
        True,
        {"text": "a"},
        ["a", 1],
        [1, "a"],
        [1, 2.5],
        [True],
        [-1],
        [10**9],
        [["a"]],
        [[[1]]],
        [None],
        ["a" * 1_000_000] * 5,
    ],
    ids=lambda value: str(value)[:20],
)
async def test_an_input_that_is_none_is_refused_by_name(vendor: Vendor, path: str, text: Any) -> None:
    response = await vendor.client.post(path, json=asking(text, SMALL))
    assert_error(response, "validation", field="input")
    assert vendor.requests == []


@on_each_route
@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("model", None),
        ("model", ""),
        ("model", 5),
        ("input", None),
        ("dimensions", 0),
        ("dimensions", -3),
        ("dimensions", 1.5),
        ("dimensions", "8"),
        ("dimensions", True),
        ("dimensions", 10**6),
    ],
)
async def test_a_wrong_field_is_refused_by_name(client: httpx.AsyncClient, path: str, field: str, value: Any) -> None:
    response = await client.post(path, json={**asking(), field: value})
    assert_error(response, "validation", field=field)


@pytest.mark.parametrize("value", ["hex", "", 5, ["base64"]])
async def test_an_unknown_encoding_is_refused_by_name(client: httpx.AsyncClient, value: Any) -> None:
    response = await client.post(OPENAI, json=asking(encoding_format=value))
    assert_error(response, "validation", field="encoding_format")


@on_each_route
async def test_null_means_absent_and_unknown_fields_are_ignored(client: httpx.AsyncClient, path: str) -> None:
    rows = await vectors(client, path, "a", dimensions=None, encoding_format=None, user=None, nonsense=[{}])
    assert len(rows[0]) == 1536


@on_each_route
async def test_an_unknown_model_is_not_found(client: httpx.AsyncClient, path: str) -> None:
    assert "nobody/nothing" in assert_error(
        await client.post(path, json=asking(model="nobody/nothing")), "model_not_found"
    )


@on_each_route
async def test_a_model_that_does_not_embed_says_so(client: httpx.AsyncClient, path: str) -> None:
    assert "embeddings" in assert_error(await client.post(path, json=asking(model="sandbox/chat")), "unsupported")


@on_each_route
async def test_a_key_may_be_kept_from_a_model(client: httpx.AsyncClient, path: str) -> None:
    response = await client.post(path, json=asking(), headers={"authorization": "Bearer sk-one-model"})
    assert_error(response, "model_access")


@on_each_route
async def test_a_key_and_its_permission_are_needed(stranger: httpx.AsyncClient, path: str) -> None:
    assert_error(await stranger.post(path, json=asking()), "token_missing")
    powerless = {"authorization": "Bearer sk-powerless"}
    assert_error(await stranger.post(path, json=asking(), headers=powerless), "permission")


@on_each_route
async def test_what_is_no_json_is_refused(client: httpx.AsyncClient, path: str) -> None:
    assert_error(await client.post(path, content=b'{"model":'), "malformed")
    assert_error(await client.get(path), "method")


@on_each_route
async def test_a_body_past_the_limit_is_too_large(keys: KeyStore, path: str) -> None:
    async with gateway_client(keys, {"GATEWAY_SANDBOX": "on", "GATEWAY_MAX_BODY": "1000"}) as client:
        assert "1000 bytes" in assert_error(await client.post(path, json=asking("a" * 1000)), "too_large")


# --- what vendors do wrong


def with_rows(change: Callable[[list[Any]], Any]) -> Handler:
    """A vendor whose rows have been changed."""

    def answer(request: httpx.Request) -> httpx.Response:
        response = numbered()(request)
        assert isinstance(response, httpx.Response)
        body = response.json()
        return httpx.Response(200, json={**body, "data": change(body["data"])})

    return answer


@on_each_route
@pytest.mark.parametrize(
    "answer",
    [
        with_rows(lambda rows: rows[1:]),
        with_rows(lambda rows: [*rows, rows[0]]),
        with_rows(lambda rows: [rows[0], {**rows[1], "embedding": "AAAA"}]),
        with_rows(lambda rows: [rows[0], {**rows[1], "embedding": encoded([1.0], "base64")}]),
        with_rows(lambda rows: [{**row, "embedding": None} for row in rows]),
        answering(200, b"<html>"),
        answering(200, b"{}"),
        answering(500, b'{"error":{"message":"at 10.1.2.3"}}'),
        answering(401, b'{"error":{"message":"Incorrect API key provided: vendor-secret-key"}}'),
    ],
    ids=["too-few", "too-many", "no-floats", "lengths-differ", "no-vector", "no-json", "empty", "500", "401"],
)
async def test_what_a_vendor_does_wrong_is_its_failure(vendor: Vendor, path: str, answer: Handler) -> None:
    vendor.answer = answer
    message = assert_error(await vendor.client.post(path, json=asking(["1", "2"], SMALL)), "upstream")
    assert "10.1.2.3" not in message
    assert "secret" not in message


@on_each_route
async def test_what_a_vendor_refuses_is_told_in_its_words(vendor: Vendor, path: str) -> None:
    vendor.answer = answering(400, b'{"error":{"message":"The input holds 8192 tokens of no kind"}}')
    assert "8192 tokens" in assert_error(await vendor.client.post(path, json=asking("1", SMALL)), "rejected")


@on_each_route
@pytest.mark.parametrize(("model", "kind"), [("sandbox/fail-500", "upstream"), ("sandbox/fail-400", "rejected")])
async def test_failures_keep_their_dialect(client: httpx.AsyncClient, path: str, model: str, kind: str) -> None:
    assert_error(await client.post(path, json=asking(model=model)), kind)


@on_each_route
async def test_a_rate_limit_says_how_long_to_wait(client: httpx.AsyncClient, path: str) -> None:
    response = await client.post(path, json=asking(model="sandbox/fail-429"))
    assert_error(response, "rate_limited", retry_after=7)


async def test_a_vendor_that_takes_too_long_is_given_up(keys: KeyStore) -> None:
    async with gateway_client(keys, {"GATEWAY_SANDBOX": "on", "GATEWAY_UPSTREAM_TIMEOUT": "0.01"}) as client:
        for path in ROUTES:
            assert_error(await client.post(path, json=asking(model="sandbox/fail-timeout")), "timeout")


async def test_only_the_operators_environment_makes_a_model_known(keys: KeyStore) -> None:
    environment = {name: value for name, value in ENVIRONMENT.items() if not name.startswith("OPENAI")}
    async with gateway_client(keys, environment) as client:
        assert_error(await client.post(OPENAI, json=asking(model=SMALL)), "model_not_found")


async def test_long_inputs_go_in_calls_that_the_vendor_takes(keys: KeyStore) -> None:
    """OpenAI refuses more than 300,000 tokens a call, however few inputs they are."""
    sent: list[int] = []

    async def vendor(request: httpx.Request) -> httpx.Response:
        inputs = json.loads(await request.aread())["input"]
        sent.append(sum(map(len, inputs)))
        rows = [{"object": "embedding", "index": at, "embedding": [float(len(text))]} for at, text in enumerate(inputs)]
        return httpx.Response(200, json={"object": "list", "data": rows, "model": "m", "usage": {"prompt_tokens": 1}})

    texts = [letter * 200_000 for letter in "abcdefg"]
    async with gateway_client(keys, {"OPENAI_API_KEY": "sk-vendor"}, vendor) as client:
        answer = await client.post("/v1/embeddings", json={"model": "text-embedding-3-small", "input": texts})
    assert answer.status_code == 200
    assert len(answer.json()["data"]) == 7
    assert max(sent) <= 600_000
    assert sum(sent) == 1_400_000
