"""Fields of a chat completion that the gateway does not know: newer ones of OpenAI's, for OpenAI's own API."""

from collections.abc import Container

from shared.dialects.base import JsonObject
from shared.schemas.original import Original

# Fields of other vendors, proxies and chat interfaces, which their clients send everywhere. OpenAI refuses them.
_OTHERS = frozenset(
    {
        *("api_base", "api_key", "api_version", "base_url", "cache", "caching", "chat_id", "chat_template_kwargs"),
        *("custom_llm_provider", "drop_params", "enable_thinking", "extra_body", "extra_headers", "fallbacks"),
        *("features", "files", "format", "generation_config", "guided_json", "headers", "ignore_eos", "keep_alive"),
        *("max_retries", "min_p", "min_tokens", "model_item", "models", "num_ctx", "num_predict", "num_retries"),
        *("options", "params", "plugins", "provider", "repetition_penalty", "request_timeout", "route"),
        *("safe_prompt", "safety_settings", "session_id", "stop_token_ids", "system", "tags", "think"),
        *("thinking_budget", "timeout", "tool_ids", "top_a", "top_k", "trace_id", "transforms", "typical_p", "usage"),
        *("variables", "web_search"),
    }
)


def unknown_fields(body: JsonObject, known: Container[str]) -> Original | None:
    """The fields of a body that are not `known`, and that nobody else is known for; None if there are none."""
    names = [name for name, value in body.items() if value is not None and name not in known and name not in _OTHERS]
    found = {name: body[name] for name in names}
    return Original("chat", found) if found else None
