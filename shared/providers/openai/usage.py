"""Usage as OpenAI and compatible vendors report it, and the cost that some of them report."""

from decimal import ROUND_CEILING, Decimal, InvalidOperation
from typing import Any, TypeAlias

from shared.schemas.usage import Usage

JsonObject: TypeAlias = dict[str, Any]

_MICRO = Decimal(1_000_000)
# 10^10 ticks are a US dollar: https://docs.x.ai/developers/cost-tracking
_TICKS_PER_MICRO = Decimal(10_000)
# In micro-dollars; a higher cost of one call is taken for an error of the vendor and ignored.
_MAX_COST = 1_000_000_000


def chat_usage(usage: JsonObject) -> Usage:
    """The `usage` of a chat completion.

    Some vendors leave tokens out of the parts that are in the total: Mistral those of audio (it counts the audio's
    seconds beside them), xAI and Google's compatible endpoint those of reasoning.
    """
    prompt = usage.get("prompt_tokens_details") or {}
    completion = usage.get("completion_tokens_details") or {}
    input_tokens = usage.get("prompt_tokens") or 0
    output_tokens = usage.get("completion_tokens") or 0
    reasoning_tokens = completion.get("reasoning_tokens") or 0
    input_audio_tokens = prompt.get("audio_tokens") or 0
    audio_seconds = usage.get("prompt_audio_seconds") or 0
    left_out = max(0, (usage.get("total_tokens") or 0) - input_tokens - output_tokens)
    if audio_seconds:
        input_tokens += left_out
        input_audio_tokens = max(input_audio_tokens, left_out)
    else:
        output_tokens += left_out
        reasoning_tokens = max(reasoning_tokens, left_out)
    return Usage(
        input_tokens=input_tokens,
        output_tokens=output_tokens,
        # DeepSeek, Moonshot
        cached_read_tokens=prompt.get("cached_tokens")
        or usage.get("prompt_cache_hit_tokens")
        or usage.get("cached_tokens")
        or 0,
        cache_write_tokens=prompt.get("cache_write_tokens") or 0,
        reasoning_tokens=reasoning_tokens,
        input_image_tokens=prompt.get("image_tokens") or 0,
        output_image_tokens=completion.get("image_tokens") or 0,
        input_audio_tokens=input_audio_tokens,
        output_audio_tokens=completion.get("audio_tokens") or 0,
        audio_seconds=float(audio_seconds),
        cost=reported_cost(usage),
    )


def responses_usage(usage: JsonObject, tool_usage: JsonObject, searches: int) -> Usage:
    """The `usage` and `tool_usage` of a response in whose output `searches` of the web were seen.

    OpenAI charges by its own count of searches, which is lower; it may be absent.
    """
    inputs = usage.get("input_tokens_details") or {}
    outputs = usage.get("output_tokens_details") or {}
    charged = (tool_usage.get("web_search") or {}).get("num_requests")
    return Usage(
        input_tokens=usage.get("input_tokens") or 0,
        output_tokens=usage.get("output_tokens") or 0,
        cached_read_tokens=inputs.get("cached_tokens") or 0,
        cache_write_tokens=inputs.get("cache_write_tokens") or 0,
        reasoning_tokens=outputs.get("reasoning_tokens") or 0,
        searches=searches if charged is None else charged,
        cost=reported_cost(usage),
    )


def reported_cost(usage: JsonObject) -> int | None:
    """The cost that the vendor reports, in micro-dollars, rounded up; None without one, or for an implausible one.

    xAI: `cost_in_usd_ticks`. OpenRouter: `cost` in dollars, which with the operator's own key at the upstream vendor
    (`is_byok`) is the fee alone, beside what that vendor charges:
    https://openrouter.ai/docs/use-cases/usage-accounting. Perplexity: `cost.total_cost` in dollars.
    """
    cost = usage.get("cost")
    if "cost_in_usd_ticks" in usage:
        return _micro_dollars(usage["cost_in_usd_ticks"], 1 / _TICKS_PER_MICRO)
    if isinstance(cost, dict):
        return _micro_dollars(cost.get("total_cost"), _MICRO)
    fee = _micro_dollars(cost, _MICRO)
    if fee is None or usage.get("is_byok") is not True:
        return fee
    upstream = _micro_dollars((usage.get("cost_details") or {}).get("upstream_inference_cost"), _MICRO)
    return None if upstream is None else fee + upstream


def _micro_dollars(amount: Any, unit: Decimal) -> int | None:
    """An amount in units of so many micro-dollars."""
    if isinstance(amount, bool) or not isinstance(amount, int | float) or amount < 0:
        return None
    try:
        # A float's shortest notation is what the vendor wrote.
        cost = int((Decimal(str(amount)) * unit).to_integral_value(ROUND_CEILING))
    except (InvalidOperation, OverflowError, ValueError):  # no number
        return None
    return cost if cost <= _MAX_COST else None
