"""The exceptions of OpenAI's SDK for the errors of each vendor: class, code, param, and whether the SDK retries.

The bodies are the vendors', from their documentation, SDKs and issue trackers.
"""

import json
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import httpx
import openai
import pytest

from shared.stores.keys import KeyStore
from tests.client import TOKEN, gateway_client
from tests.contract.vendor import HOST, KEY, Vendor, answering, chunk
from tests.contract.wire import CHATS, asking

pytestmark = pytest.mark.anyio

VENDORS = (
    *("OPENAI", "ANTHROPIC", "GEMINI", "STABILITY", "DEEPINFRA", "GROQ", "TOGETHER", "MISTRAL", "XAI", "DEEPSEEK"),
    *("FIREWORKS", "CEREBRAS", "OPENROUTER", "OLLAMA"),
)
ENVIRONMENT = {f"{name}_API_KEY": KEY for name in VENDORS} | {f"{name}_BASE_URL": f"https://{HOST}" for name in VENDORS}
OPENAI, CLAUDE, GEMINI, STABILITY = (
    "openai/gpt-5.6-luna",
    "claude-haiku-4-5",
    "gemini-2.5-flash",
    "stable-image-core-1.1",
)


@asynccontextmanager
async def sdk(keys: KeyStore, vendor: Vendor, **options: Any) -> AsyncIterator[openai.AsyncOpenAI]:
    """OpenAI's client, with the gateway and the vendor behind it."""
    async with gateway_client(keys, ENVIRONMENT, vendor) as door:
        client: Any = door  # the SDK takes a client of httpx as well as of httpx2, which its types do not say
        yield openai.AsyncOpenAI(api_key=TOKEN, base_url="http://gateway/v1", http_client=client, **options)


async def ask(client: openai.AsyncOpenAI, model: str) -> object:
    if model == STABILITY:
        return await client.images.generate(model=model, prompt="A cat.")
    return await client.chat.completions.create(model=model, messages=[{"role": "user", "content": "Hello"}])


@dataclass(frozen=True)
class Case:
    """An error of a vendor, and the attributes of the exception."""

    model: str
    status: int
    body: Any
    raises: type[openai.APIStatusError]
    code: str | None
    param: str | None = None
    headers: dict[str, str] = field(default_factory=dict)
    retry_after: str | None = None
    says: str = ""  # what the message contains


def of_openai(message: str, kind: str = "invalid_request_error", code: Any = None, param: str | None = None) -> Any:
    return {"error": {"message": message, "type": kind, "param": param, "code": code}}


def of_anthropic(kind: str, message: str, **more: Any) -> Any:
    return {"type": "error", "error": {"type": kind, "message": message, **more}, "request_id": "req_1"}


def of_gemini(code: int, status: str, message: str) -> Any:
    return {"error": {"code": code, "message": message, "status": status}}


def of_stability(name: str, message: str) -> Any:
    return {"id": "1", "name": name, "errors": [message]}


# The request does not fit into the context.
OPENAI_OVERFLOW = "Input tokens exceed the configured limit of 922000 tokens. Your messages resulted in 950000 tokens."
TOO_LONG: dict[str, tuple[str, int, Any]] = {
    "openai": (OPENAI, 400, of_openai(OPENAI_OVERFLOW, code="context_length_exceeded", param="messages")),
    "anthropic": (
        CLAUDE,
        400,
        of_anthropic("invalid_request_error", "prompt is too long: 208310 tokens > 200000 maximum"),
    ),
    "anthropic-with-answer": (
        CLAUDE,
        400,
        of_anthropic(
            "invalid_request_error",
            "input length and `max_tokens` exceed context limit: 143653 + 64000 > 200000, decrease input length or "
            "`max_tokens` and try again",
        ),
    ),
    "gemini": (
        GEMINI,
        400,
        of_gemini(
            400,
            "INVALID_ARGUMENT",
            "The input token count (1196265) exceeds the maximum number of tokens allowed (1048576).",
        ),
    ),
    "mistral": (
        "mistral/mistral-small-latest",
        400,
        {
            "object": "error",
            "message": "Prompt contains 65673 tokens and 0 draft tokens, too large for model with 32768 maximum "
            "context length",
            "type": "invalid_request_prompt",
            "param": None,
            "code": "3051",
        },
    ),
    "groq": (
        "groq/llama-3.3-70b-versatile",
        400,
        of_openai("Please reduce the length of the messages or completion.", code="context_length_exceeded"),
    ),
    "cerebras": (
        "cerebras/gpt-oss-120b",
        400,
        {
            "message": "Please reduce the length of the messages or completion. Current length is 9000 while limit is "
            "8192",
            "type": "invalid_request_error",
            "param": "messages",
            "code": "context_length_exceeded",
        },
    ),
    "deepseek": (
        "deepseek-chat",
        400,
        of_openai(
            "This model's maximum context length is 131072 tokens. However, you requested 140000 tokens (136000 in the "
            "messages, 4000 in the completion). Please reduce the length of the messages or completion.",
            code="invalid_request_error",
        ),
    ),
    "xai": (
        "grok-4.7",
        400,
        {
            "code": "Client specified an invalid argument",
            "error": "This model's maximum prompt length is 131072 but the request contains 537812 tokens.",
        },
    ),
    "together": (
        "together/meta-llama/Llama-3.3-70B",
        422,
        of_openai(
            "Input validation error: `inputs` tokens + `max_new_tokens` must be <= 8193. Given: 9000 `inputs` tokens"
        ),
    ),
    "together-403": (
        "together/meta-llama/Llama-3.3-70B",
        403,
        of_openai("This model's maximum context length is 8192 tokens."),
    ),
    "fireworks": (
        "fireworks/kimi",
        400,
        of_openai("The prompt is too long: 140000, model maximum context length: 131071"),
    ),
    "openrouter": (
        "openrouter/z-ai/glm-5.3",
        400,
        {
            "error": {
                "code": 400,
                "message": "This endpoint's maximum context length is 131072 tokens. However, you requested about "
                "150000 tokens.",
            }
        },
    ),
    "ollama": (
        "ollama/llama3.2",
        400,
        of_openai("prompt too long; exceeded max context length by 812 tokens", "api_error"),
    ),
    "llama.cpp": (
        "ollama/llama3.2",
        400,
        of_openai("the request exceeds the available context size, try increasing it", "exceed_context_size_error"),
    ),
    "vllm": (
        "deepinfra/some/model",
        400,
        {
            "object": "error",
            "type": "BadRequestError",
            "code": 400,
            "message": "'max_tokens' is too large: 9000. This model's maximum context length is 8192 tokens.",
        },
    ),
}
# The operator has not paid.
NO_CREDIT: dict[str, tuple[str, int, Any]] = {
    "openai": (OPENAI, 429, of_openai("You exceeded your current quota.", "insufficient_quota", "insufficient_quota")),
    "openai-credit": (OPENAI, 429, of_openai("Out of credit.", "insufficient_quota", "credit_balance_exhausted")),
    "openai-spend": (OPENAI, 429, of_openai("Limit.", "insufficient_quota", "project_spend_limit_exceeded")),
    "openai-images": (OPENAI, 400, of_openai("Billing hard limit has been reached", code="billing_hard_limit_reached")),
    "anthropic": (
        CLAUDE,
        400,
        of_anthropic("invalid_request_error", "Your credit balance is too low to access the Anthropic API."),
    ),
    "anthropic-billing": (CLAUDE, 402, of_anthropic("billing_error", "Check your payment details.")),
    "anthropic-spend": (
        CLAUDE,
        429,
        of_anthropic("rate_limit_error", "Cap.", details={"error_code": "enforced_spend_limit_reached"}),
    ),
    "gemini": (GEMINI, 402, of_gemini(402, "RESOURCE_EXHAUSTED", "Your prepayment credits are depleted.")),
    "gemini-before-2026": (GEMINI, 429, of_gemini(429, "RESOURCE_EXHAUSTED", "Your prepayment credits are depleted.")),
    "stability": (STABILITY, 402, of_stability("payment_required", "You lack sufficient credits.")),
    "deepseek": ("deepseek-chat", 402, of_openai("Insufficient Balance", "unknown_error")),
    "openrouter": ("openrouter/z-ai/glm-5.3", 402, {"error": {"code": 402, "message": "Insufficient credits."}}),
    "xai": (
        "grok-4.7",
        403,
        {
            "code": "The caller does not have permission to execute the specified operation",
            "error": "Your team 16f2 has either used all available credits or reached its monthly spending limit.",
        },
    ),
    "groq": ("groq/llama", 400, of_openai("Access is blocked.", code="blocked_api_access")),
    "fireworks": (
        "fireworks/kimi",
        412,
        of_openai("Account a is suspended, possibly due to reaching the monthly spending limit", "error"),
    ),
}
# The vendor has no capacity: the status, and the Retry-After that the caller gets.
OVERLOADED: dict[str, tuple[str, int, Any, dict[str, str], str]] = {
    "openai": (OPENAI, 503, of_openai("Busy.", "service_unavailable_error", "server_is_overloaded"), {}, "5"),
    "openai-words": (
        OPENAI,
        503,
        of_openai("The engine is currently overloaded.", "server_error"),
        {"retry-after": "4"},
        "4",
    ),
    "anthropic": (CLAUDE, 529, of_anthropic("overloaded_error", "Overloaded"), {}, "5"),
    "anthropic-wait": (CLAUDE, 529, of_anthropic("overloaded_error", "Overloaded"), {"retry-after": "30"}, "30"),
    "gemini": (GEMINI, 503, of_gemini(503, "UNAVAILABLE", "The model is overloaded. Please try again later."), {}, "5"),
    "gemini-demand": (GEMINI, 503, of_gemini(503, "UNAVAILABLE", "This model is in high demand."), {}, "5"),
    "deepseek": ("deepseek-chat", 503, of_openai("Service is too busy.", "service_unavailable_error"), {}, "5"),
    "groq": ("groq/llama", 498, of_openai("Flex tier.", "capacity_exceeded", "capacity_exceeded"), {}, "5"),
    "together": ("together/meta-llama/Llama", 503, of_openai("The server is overloaded.", "overloaded"), {}, "5"),
    "stability": (STABILITY, 529, of_stability("overloaded", "Try again."), {"retry-after": "9"}, "9"),
}
# The key is the operator's.
BAD_KEY: dict[str, tuple[str, int, Any]] = {
    "openai": (OPENAI, 401, of_openai(f"Incorrect API key provided: {KEY}.", code="invalid_api_key")),
    "openai-400": (OPENAI, 400, of_openai("Bad.", code="invalid_api_key")),
    "xai": ("grok-4.7", 400, {"code": "Client specified an invalid argument", "error": "Incorrect API key provided."}),
    "anthropic": (CLAUDE, 401, of_anthropic("authentication_error", "invalid x-api-key")),
    "anthropic-disabled": (
        CLAUDE,
        400,
        of_anthropic("invalid_request_error", "This organization has been disabled."),
    ),
    "gemini": (GEMINI, 403, of_gemini(403, "PERMISSION_DENIED", "Your API key was reported as leaked.")),
    "stability": (STABILITY, 401, of_stability("unauthorized", "invalid authorization")),
}


def _cases() -> Iterator[tuple[str, Case]]:
    for name, (model, status, body) in TOO_LONG.items():
        param = "messages" if name in ("openai", "cerebras") else None
        yield (
            f"too-long-{name}",
            Case(model, status, body, openai.BadRequestError, "context_length_exceeded", param),
        )
    for name, (model, status, body) in NO_CREDIT.items():
        yield f"no-credit-{name}", Case(model, status, body, openai.RateLimitError, "insufficient_quota")
    for name, (model, status, body, headers, wait) in OVERLOADED.items():
        yield (
            f"overloaded-{name}",
            Case(model, status, body, openai.InternalServerError, "overloaded", headers=headers, retry_after=wait),
        )
    for name, (model, status, body) in BAD_KEY.items():
        yield f"bad-key-{name}", Case(model, status, body, openai.InternalServerError, "upstream_error")


CASES = {
    **dict(_cases()),
    "unsupported-parameter": Case(
        OPENAI,
        400,
        of_openai("Unsupported parameter: 'top_k'.", code="unsupported_parameter", param="top_k"),
        openai.BadRequestError,
        "unsupported_parameter",
        "top_k",
        says="Unsupported parameter",
    ),
    "field-of-a-compatible-vendor": Case(
        "mistral/mistral-small-latest",
        422,
        {"detail": [{"type": "less_than_equal", "loc": ["body", "temperature"], "msg": "Input should be at most 1.5"}]},
        openai.BadRequestError,
        None,
        "temperature",
        says="at most 1.5",
    ),
    "vague-code": Case(
        OPENAI, 400, of_openai("No.", code="invalid_request_error"), openai.BadRequestError, None, says="No."
    ),
    "code-in-words": Case(
        "grok-4.7",
        400,
        {"code": "Client specified an invalid argument", "error": "Bad image."},
        openai.BadRequestError,
        None,
        says="Bad image.",
    ),
    "anthropic-rejects": Case(
        CLAUDE,
        400,
        of_anthropic("invalid_request_error", "messages: at least one message is required"),
        openai.BadRequestError,
        None,
        says="at least one message",
    ),
    "stability-rejects": Case(
        STABILITY, 400, of_stability("bad_request", "seed: too large"), openai.BadRequestError, None, says="seed"
    ),
    "rate-limit": Case(
        OPENAI,
        429,
        of_openai("Rate limit reached.", "requests", "rate_limit_exceeded"),
        openai.RateLimitError,
        "rate_limit_exceeded",
        headers={"retry-after": "7"},
        retry_after="7",
    ),
    "rate-limit-in-the-words-of-a-quota": Case(
        GEMINI,
        429,
        of_gemini(429, "RESOURCE_EXHAUSTED", "You exceeded your current quota, please check your plan and billing."),
        openai.RateLimitError,
        "rate_limit_exceeded",
        headers={"retry-after": "7"},
        retry_after="7",
    ),
    "credit-that-comes-back": Case(
        "openrouter/z-ai/glm-5.3",
        402,
        {"error": {"code": 402, "message": "In-flight budget exhausted.", "metadata": {}}},
        openai.RateLimitError,
        "rate_limit_exceeded",
        headers={"retry-after": "3"},
        retry_after="3",
    ),
    "unknown-model": Case(OPENAI, 404, of_openai("No such model."), openai.NotFoundError, "model_not_found"),
    "failure": Case(OPENAI, 500, of_openai("Oops."), openai.InternalServerError, "upstream_error"),
    "time-out": Case(
        CLAUDE, 504, of_anthropic("timeout_error", "Slow."), openai.InternalServerError, "upstream_timeout"
    ),
}
RETRIED = {"rate-limit", "rate-limit-in-the-words-of-a-quota", "credit-that-comes-back", "failure", "time-out"}


@pytest.mark.parametrize("name", CASES)
async def test_sdk_raises_the_exception_of_the_vendors_error(keys: KeyStore, name: str) -> None:
    case = CASES[name]
    vendor = Vendor(answering(case.status, json.dumps(case.body).encode(), case.headers))
    is_retried = name in RETRIED or name.startswith("overloaded-")
    # Where the SDK must not try again, it is free to: it would after half a second, twice.
    async with sdk(keys, vendor, max_retries=0 if is_retried else 2) as client:
        with pytest.raises(case.raises) as raised:
            await ask(client, case.model)
    error = raised.value
    assert (error.code, error.param) == (case.code, case.param)
    assert error.response.headers.get("retry-after") == case.retry_after
    assert error.response.headers.get("x-should-retry") == (None if is_retried else "false")
    # The gateway itself tries once more where the vendor has no capacity at the moment.
    assert len(vendor.requests) == (2 if case.status in (502, 503, 529) else 1)
    assert case.says in error.message
    assert KEY not in error.response.text
    assert "invalid_api_key" not in error.response.text


@pytest.mark.parametrize(
    ("model", "stream", "code"),
    [
        (
            OPENAI,
            chunk({"content": "Hello"}) + b'data: {"error": {"code": "insufficient_quota"}}\n\n',
            "insufficient_quota",
        ),
        (OPENAI, chunk({"content": "Hello"}) + b'data: {"error": {"type": "overloaded_error"}}\n\n', "overloaded"),
        (OPENAI, chunk({"content": "Hello"}, "insufficient_system_resource"), "overloaded"),
        (
            OPENAI,
            chunk({"content": "Hello"})
            + b'data: {"error": {"message": "Too long.", "code": "context_length_exceeded"}}\n\n',
            "context_length_exceeded",
        ),
        (
            CLAUDE,
            (
                b'event: message_start\ndata: {"type":"message_start","message":{"usage":{"input_tokens":1}}}\n\n'
                b'event: content_block_start\ndata: {"type":"content_block_start","index":0,"content_block":'
                b'{"type":"text","text":"Hello"}}\n\n'
                b'event: error\ndata: {"type":"error","error":{"type":"overloaded_error","message":"Overloaded"}}\n\n'
            ),
            "overloaded",
        ),
        (
            GEMINI,
            (
                b'data: {"candidates":[{"content":{"parts":[{"text":"Hello"}]}}]}\n\n'
                b'data: {"error":{"code":503,"status":"UNAVAILABLE","message":"The model is overloaded."}}\n\n'
            ),
            "overloaded",
        ),
    ],
    ids=["openai-quota", "openai-overloaded", "deepseek-overloaded", "openai-too-long", "anthropic", "gemini"],
)
async def test_error_inside_a_stream_keeps_its_code(keys: KeyStore, model: str, stream: bytes, code: str) -> None:
    async with sdk(keys, Vendor(answering(200, stream)), max_retries=0) as client:
        answer = await client.chat.completions.create(
            model=model, messages=[{"role": "user", "content": "Hello"}], stream=True
        )
        with pytest.raises(openai.APIError) as raised:
            _ = [chunk async for chunk in answer]
    assert raised.value.code == code


async def test_envelope_has_the_vendors_param_in_its_details(keys: KeyStore) -> None:
    body = json.dumps(of_openai(f"Unsupported: see {HOST} and {KEY}.", code="unsupported_parameter", param="top_k"))
    async with gateway_client(keys, ENVIRONMENT, Vendor(answering(400, body.encode()))) as client:
        path = "/v1/inference/chat"
        error = (await client.post(path, json=asking(path, OPENAI))).json()["error"]
    assert error["code"] == "VALIDATION_ERROR"
    assert [detail["field"] for detail in error["details"]] == ["top_k"]
    assert HOST not in json.dumps(error)
    assert KEY not in json.dumps(error)


@pytest.mark.parametrize("path", CHATS)
async def test_error_that_a_retry_cannot_solve_forbids_it_on_every_route(keys: KeyStore, path: str) -> None:
    paths: dict[int, str | None] = {400: "false", 402: "false", 401: "false", 500: None, 529: None}
    for status, said in paths.items():
        async with gateway_client(keys, ENVIRONMENT, Vendor(answering(status, b"{}"))) as client:
            response = await client.post(path, json=asking(path, OPENAI))
        assert response.headers.get("x-should-retry") == said, status


async def test_retry_after_longer_than_sdks_wait_forbids_a_retry(keys: KeyStore) -> None:
    for seconds, said in (("60", None), ("61", "false")):
        vendor = Vendor(answering(429, b"{}", {"retry-after": seconds}))
        async with gateway_client(keys, ENVIRONMENT, vendor) as client:
            response = await client.post(CHATS[0], json=asking(CHATS[0], OPENAI))
        assert response.headers["retry-after"] == seconds
        assert response.headers.get("x-should-retry") == said


async def test_internal_error_may_be_retried(keys: KeyStore) -> None:
    def crash(request: httpx.Request) -> httpx.Response:
        raise RuntimeError

    async with gateway_client(keys, ENVIRONMENT, crash) as client:
        response = await client.post(CHATS[0], json=asking(CHATS[0], OPENAI))
    assert response.status_code == 500
    assert "x-should-retry" not in response.headers
