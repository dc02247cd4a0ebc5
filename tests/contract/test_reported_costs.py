"""A call's cost is what the vendor reports, if it does; tokens that only the vendor's total includes are counted."""

import json
from typing import Any

import httpx
import pytest

from shared.schemas.limits import Limits
from shared.stores.keys import KeyStore
from tests.client import frames
from tests.contract.accounts import CHAT, account
from tests.contract.image_vendors import PNG, b64
from tests.contract.vendor import HEAD, HOST, KEY, Handler, chunk, frame
from tests.contract.wire import asking

pytestmark = pytest.mark.anyio

ENVIRONMENT = {f"{name}_API_KEY": KEY for name in ("OPENROUTER", "XAI", "MISTRAL", "FIREWORKS")} | {
    f"{name}_BASE_URL": f"https://{HOST}/v1" for name in ("OPENROUTER", "XAI", "MISTRAL", "FIREWORKS")
}
COST = "x-gateway-cost"
TOKENS = {"prompt_tokens": 194, "completion_tokens": 2, "total_tokens": 196}
UNPRICED = "openrouter/some/model-without-a-price"

CASES: dict[str, tuple[str, dict[str, Any], str]] = {
    "openrouter": (UNPRICED, {"cost": 0.0009056, "is_byok": False}, "0.000906"),
    "openrouter-free": (UNPRICED, {"cost": 0, "is_byok": False}, "0.000000"),
    # The fee, and what the operator's own account at the upstream vendor is charged.
    "openrouter-own-key": (
        UNPRICED,
        {"cost": 0.0012, "is_byok": True, "cost_details": {"upstream_inference_cost": 0.0345}},
        "0.035700",
    ),
    "openrouter-not-own-key": (
        UNPRICED,
        {"cost": 0.0012, "is_byok": False, "cost_details": {"upstream_inference_cost": 0.0012}},
        "0.001200",
    ),
    "xai": ("xai/some-new-model", {"cost_in_usd_ticks": 37756000}, "0.003776"),
    # xAI's table has a price for it: what was charged counts, not that.
    "xai-priced": ("grok-4.7", {"cost_in_usd_ticks": 10_000}, "0.000001"),
    "perplexity": (UNPRICED, {"cost": {"input_tokens_cost": 0.1, "total_cost": 0.0050001}}, "0.005001"),
}


def answering(usage: dict[str, Any]) -> Handler:
    """A chat completion with this usage, streamed where that is asked for."""

    def answer(request: httpx.Request) -> httpx.Response:
        if json.loads(request.content).get("stream"):
            last = frame({**HEAD, "object": "chat.completion.chunk", "choices": [], "usage": usage})
            return httpx.Response(200, content=chunk({"content": "Hi"}, "stop") + last + b"data: [DONE]\n\n")
        choice = {"index": 0, "message": {"role": "assistant", "content": "Hi"}, "finish_reason": "stop"}
        return httpx.Response(200, json={**HEAD, "object": "chat.completion", "choices": [choice], "usage": usage})

    return answer


@pytest.mark.parametrize("name", CASES)
@pytest.mark.parametrize("stream", [False, True], ids=["whole", "streamed"])
async def test_reported_cost_is_charged(keys: KeyStore, name: str, stream: bool) -> None:
    model, costs, dollars = CASES[name]
    vendor = answering({**TOKENS, **costs})
    async with account(keys, environment=ENVIRONMENT, vendor=vendor) as caller:
        response = await caller.ask(CHAT, model, stream=stream)
        assert response.status_code == 200, response.text
        row = await caller.row()
    assert f"{row.cost / 1_000_000:.6f}" == dollars
    assert stream or response.headers[COST] == dollars
    assert row.usage.input_tokens == 194


async def test_reported_cost_is_charged_to_a_budget(keys: KeyStore) -> None:
    environment = {**ENVIRONMENT, "GATEWAY_ALLOW_UNPRICED": "on"}
    vendor = answering({**TOKENS, "cost": 0.0009056})
    async with account(keys, Limits(budget_day=2000), environment=environment, vendor=vendor) as caller:
        statuses = [(await caller.ask(CHAT, UNPRICED)).status_code for _ in range(4)]
        assert (await caller.row()).cost == 3 * 906
    assert statuses == [200, 200, 200, 429]


@pytest.mark.parametrize(
    "usage",
    [
        {"cost": -1},
        {"cost": 1e300},
        {"cost": "free"},
        {"cost": True},
        {"cost": None},
        {"cost": {"total_cost": None}},
        {"cost": 0.1, "is_byok": True},
        {"cost_in_usd_ticks": -5},
        {"cost_in_usd_ticks": "1"},
    ],
)
async def test_implausible_cost_is_ignored(keys: KeyStore, usage: dict[str, Any]) -> None:
    vendor = answering({**TOKENS, **usage})
    async with account(keys, environment=ENVIRONMENT, vendor=vendor) as caller:
        assert COST not in (await caller.ask(CHAT, UNPRICED)).headers
        priced = await caller.ask(CHAT, "grok-4.7")
    assert float(priced.headers[COST]) > 0


async def test_reported_costs_of_several_calls_are_added(keys: KeyStore) -> None:
    vendor = answering({**TOKENS, "cost": 0.001})
    async with account(keys, environment=ENVIRONMENT, vendor=vendor) as caller:
        response = await caller.ask(CHAT, UNPRICED, n=3)
        assert response.headers[COST] == "0.003000"


async def test_reported_cost_of_an_image_is_charged(keys: KeyStore) -> None:
    body = {"created": 1, "data": [{"b64_json": b64(PNG)}], "usage": {"cost_in_usd_ticks": 200_000_000}}
    vendor = lambda request: httpx.Response(200, json=body)  # noqa: E731
    async with account(keys, environment=ENVIRONMENT, vendor=vendor) as caller:
        asked = {"model": "xai/grok-imagine", "prompt": "A cat.", "response_format": "b64_json"}
        response = await caller.client.post("/v1/images/generations", json=asked)
    assert response.headers[COST] == "0.020000"


async def test_reported_cost_of_embeddings_is_charged(keys: KeyStore) -> None:
    data = [{"object": "embedding", "index": 0, "embedding": [0.5, 0.25]}]
    body = {"object": "list", "data": data, "usage": {"prompt_tokens": 3, "total_tokens": 3, "cost": 0.00000006}}
    vendor = lambda request: httpx.Response(200, json=body)  # noqa: E731
    async with account(keys, environment=ENVIRONMENT, vendor=vendor) as caller:
        response = await caller.client.post("/v1/embeddings", json={"model": UNPRICED, "input": "Hello"})
    assert response.headers[COST] == "0.000001"


LEFT_OUT: dict[str, tuple[str, dict[str, Any], dict[str, int]]] = {
    "mistral-audio": (
        "mistral/voxtral-small-latest",
        {
            "prompt_audio_seconds": 12,
            "prompt_tokens": 3,
            "total_tokens": 419,
            "completion_tokens": 41,
            "prompt_tokens_details": {"cached_tokens": 0, "audio_tokens": 375},
        },
        {"prompt_tokens": 378, "completion_tokens": 41, "total_tokens": 419, "audio_tokens": 375},
    ),
    "mistral-audio-without-details": (
        "mistral/voxtral-small-latest",
        {"prompt_audio_seconds": 5, "prompt_tokens": 5, "total_tokens": 404, "completion_tokens": 24},
        {"prompt_tokens": 380, "completion_tokens": 24, "total_tokens": 404, "audio_tokens": 375},
    ),
    "google-thinking": (
        "fireworks/any",
        {"prompt_tokens": 20, "completion_tokens": 198, "total_tokens": 623},
        {"prompt_tokens": 20, "completion_tokens": 603, "total_tokens": 623, "reasoning_tokens": 405},
    ),
    "moonshot-cache": (
        "fireworks/any",
        {"prompt_tokens": 100, "completion_tokens": 2, "total_tokens": 102, "cached_tokens": 64},
        {"prompt_tokens": 100, "completion_tokens": 2, "total_tokens": 102, "cached_tokens": 64},
    ),
    "total-too-small": (
        "fireworks/any",
        {"prompt_tokens": 100, "completion_tokens": 2, "total_tokens": 5},
        {"prompt_tokens": 100, "completion_tokens": 2, "total_tokens": 102},
    ),
}


@pytest.mark.parametrize("name", LEFT_OUT)
async def test_tokens_that_only_the_total_includes_are_counted(keys: KeyStore, name: str) -> None:
    model, told, means = LEFT_OUT[name]
    async with account(keys, environment=ENVIRONMENT, vendor=answering(told)) as caller:
        whole = (await caller.client.post(CHAT, json=asking(CHAT, model))).json()["usage"]
        options = {"include_usage": True}
        streamed = await caller.client.post(CHAT, json=asking(CHAT, model, stream=True, stream_options=options))
        rows = await caller.rows()
    for usage in (whole, frames(streamed.content)[-2]["usage"]):
        counts = {**usage.pop("prompt_tokens_details"), **usage.pop("completion_tokens_details"), **usage}
        if means.get("audio_tokens"):
            counts["audio_tokens"] = usage["prompt_tokens"] - told["prompt_tokens"]
        assert {field: counts[field] for field in means} == means
    assert rows[0].usage.input_tokens == 2 * means["prompt_tokens"]
    assert rows[0].usage.audio_seconds == 2 * told.get("prompt_audio_seconds", 0)
