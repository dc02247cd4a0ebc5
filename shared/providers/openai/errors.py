"""What the error bodies of OpenAI and of compatible vendors mean."""

import re
from collections.abc import Mapping
from typing import Any

from shared.errors import ContentFiltered, GatewayError
from shared.providers.base import clean, error_for_status

_FILTER_CODES = frozenset(
    {
        "bio_policy",
        "content_filter",
        "content_policy_violation",
        "cyber_policy",
        "image_content_policy_violation",
        "invalid_prompt",
        "misalignment_policy_violation",
        "moderation_blocked",
    }
)
# DeepSeek and xAI have no code of their own for it.
_FILTER_MESSAGES = re.compile(r"content exists risk|content violates usage guidelines", re.IGNORECASE)
_BAD_KEY_CODES = frozenset({"authentication_error", "invalid_api_key"})
_BAD_KEY_MESSAGES = re.compile(r"(incorrect|invalid) api key|api key not valid", re.IGNORECASE)  # xAI: a 400
# The status that an error inside a stream would have had.
_STATUS_OF_CODE = {
    "authentication_error": 401,
    "context_length_exceeded": 400,
    "insufficient_quota": 429,
    "invalid_api_key": 401,
    "invalid_request_error": 400,
    "rate_limit_error": 429,
    "rate_limit_exceeded": 429,
    "timeout": 504,
}


def raise_error(body: Any, *, named_error: bool = False) -> None:
    """Raises the error that came in the place of an answer or of a chunk, if it is one."""
    if isinstance(body, dict) and not (named_error or body.get("error") or body.get("object") == "error"):
        return
    codes = _codes(body)
    numbers = [int(code) for code in codes if code.isdigit() and 400 <= int(code) < 600]
    known = [_STATUS_OF_CODE[code] for code in codes if code in _STATUS_OF_CODE]
    raise error_of(next(iter([*numbers, *known]), 500), {}, body)


def error_of(status: int, headers: Mapping[str, str], body: Any) -> GatewayError:
    message = _message(body) or ""
    codes = set(_codes(body))
    if codes & _FILTER_CODES or _FILTER_MESSAGES.search(message) or _was_moderated(body):
        return ContentFiltered(clean(message) or "The provider's content filter refused the request.")
    if status in (400, 422) and (codes & _BAD_KEY_CODES or _BAD_KEY_MESSAGES.search(message)):
        status = 401
    return error_for_status(status, headers, message)


def _message(body: Any) -> str | None:
    """The text of an error body, wherever the vendor keeps it.

    OpenAI: {"error": {"message"}}; xAI, Ollama: {"error": text}; FastAPI: {"detail": text or [{"msg"}]};
    DeepInfra: {"detail": {"error": text}}; Mistral: {"message": text or {"detail"}}.
    """
    match body:
        case str():
            return body
        case list():
            return "; ".join(text for item in body if (text := _message(item))) or None
        case dict():
            return next(
                (text for key in ("error", "message", "detail", "msg") if (text := _message(body.get(key)))), None
            )
        case _:
            return None


def _codes(body: Any) -> list[str]:
    """The codes and types of an error body, code before type."""
    inner = body.get("error") if isinstance(body, dict) else None
    objects = [item for item in (inner, body) if isinstance(item, dict)]
    return [str(item[key]).lower() for key in ("code", "type") for item in objects if item.get(key) is not None]


def _was_moderated(body: Any) -> bool:
    """OpenRouter's moderation errors: https://openrouter.ai/docs/api/reference/errors-and-debugging."""
    error = body.get("error") if isinstance(body, dict) else None
    metadata = error.get("metadata") if isinstance(error, dict) else None
    return isinstance(metadata, dict) and ("reasons" in metadata or "flagged_input" in metadata)
