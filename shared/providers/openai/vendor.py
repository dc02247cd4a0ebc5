"""What the operations of OpenAI and of compatible vendors share: authentication, framing and errors.

Wire format: https://developers.openai.com/api/reference/overview. Where a compatible vendor accepts something else, its
catalog rows have a quirk (`shared/schemas/quirk.py`). Where it answers something else, no quirk is needed: every
known form of an answer is read, whichever vendor it comes from.
"""

import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from shared.errors import ContentFiltered, GatewayError
from shared.framing import SseDecoder
from shared.providers.base import (
    FrameDecoder,
    Vendor,
    clean,
    error_body,
    error_for_status,
    no_credit,
    overloaded,
    retry_after_seconds,
)

if TYPE_CHECKING:
    import httpx

NAME = "openai"

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
# DeepSeek and xAI have no code for it.
_FILTER_MESSAGES = re.compile(r"content exists risk|content violates usage guidelines", re.IGNORECASE)
_BAD_KEY_CODES = frozenset({"authentication_error", "invalid_api_key"})
# xAI answers a bad key with a 400.
_BAD_KEY_MESSAGES = re.compile(r"(incorrect|invalid) api key|api key not valid", re.IGNORECASE)
# https://developers.openai.com/api/docs/guides/error-codes; the last are Moonshot's and Groq's (with status 400).
_NO_CREDIT_CODES = frozenset(
    {
        "billing_hard_limit_reached",
        "billing_not_active",
        "credit_balance_exhausted",
        "insufficient_quota",
        "organization_spend_limit_exceeded",
        "organization_usage_limit_exceeded",
        "project_spend_limit_exceeded",
        "exceeded_current_quota_error",
        "blocked_api_access",
    }
)
# OpenAI, Moonshot (with status 429), Groq, and Anthropic behind a proxy.
_OVERLOADED_CODES = frozenset(
    {"server_is_overloaded", "engine_overloaded_error", "capacity_exceeded", "overloaded", "overloaded_error"}
)
# The HTTP status of an error that is sent inside a stream, by its code or type.
_STATUS_OF_CODE = {
    "authentication_error": 401,
    "context_length_exceeded": 400,
    "invalid_api_key": 401,
    "invalid_request_error": 400,
    "rate_limit_error": 429,
    "rate_limit_exceeded": 429,
    "timeout": 504,
    "vector_store_timeout": 504,
    # Errors of a response that has begun: what is wrong with an image is found out late.
    **dict.fromkeys(
        (
            "invalid_image",
            "invalid_image_format",
            "invalid_base64_image",
            "invalid_image_url",
            "image_too_large",
            "image_too_small",
            "image_parse_error",
            "invalid_image_mode",
            "image_file_too_large",
            "unsupported_image_media_type",
            "empty_image_file",
            "failed_to_download_image",
            "image_file_not_found",
        ),
        400,
    ),
}


class OpenAI:
    """OpenAI and compatible vendors. A vendor without keys, such as a local Ollama, gets no header."""

    name = NAME

    def auth(self, api_key: str | None) -> "httpx.Auth | None":
        if not api_key:
            return None
        from shared.providers.auth import HeaderAuth

        return HeaderAuth("authorization", f"Bearer {api_key}")

    def frames(self) -> FrameDecoder:
        return SseDecoder()

    def error(self, status: int, headers: Mapping[str, str], body: bytes) -> GatewayError:
        """An error of https://developers.openai.com/api/docs/guides/error-codes, or of a compatible vendor."""
        return _error(status, headers, error_body(body))


def raise_error(body: Any, *, named_error: bool = False) -> None:
    """Raises the error in a decoded body or chunk of a response with status 200, if there is one.

    A body that is not a JSON object is an error, and so is one that the stream names an error (`named_error`).
    """
    if isinstance(body, dict) and not (named_error or body.get("error") or body.get("object") == "error"):
        return
    codes = _codes(body)
    numbers = [int(code) for code in codes if code.isdigit() and 400 <= int(code) < 600]
    known = [_STATUS_OF_CODE[code] for code in codes if code in _STATUS_OF_CODE]
    raise _error(next(iter([*numbers, *known]), 500), {}, body)


def _error(status: int, headers: Mapping[str, str], body: Any) -> GatewayError:
    message = _message(body) or ""
    codes = set(_codes(body))
    if codes & _FILTER_CODES or _FILTER_MESSAGES.search(message) or _was_moderated(body):
        return ContentFiltered(clean(message) or "The provider's content filter refused the request.")
    if codes & _NO_CREDIT_CODES:
        return no_credit()
    if codes & _OVERLOADED_CODES:
        return overloaded(retry_after_seconds(headers))
    if status in (400, 422) and (codes & _BAD_KEY_CODES or _BAD_KEY_MESSAGES.search(message)):
        status = 401
    return error_for_status(status, headers, message, code=_text(body, "code"), param=_param(body))


def _message(body: Any) -> str | None:
    """The text of an error body, in whichever field the vendor puts it.

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
    """The codes and types of an error body, codes first."""
    inner = body.get("error") if isinstance(body, dict) else None
    objects = [item for item in (inner, body) if isinstance(item, dict)]
    return [str(item[key]).lower() for key in ("code", "type") for item in objects if item.get(key) is not None]


def _text(body: Any, key: str) -> str | None:
    """A text of the error in an error body."""
    inner = body.get("error") if isinstance(body, dict) else None
    value = (inner if isinstance(inner, dict) else body if isinstance(body, dict) else {}).get(key)
    return value if isinstance(value, str) else None


def _param(body: Any) -> str | None:
    """The field at fault: OpenAI's `param`, or the path in the first of the errors that FastAPI lists (Mistral)."""
    if (param := _text(body, "param")) is not None:
        return param
    details = body.get("detail") if isinstance(body, dict) else None
    first = details[0] if isinstance(details, list) and details else None
    path = first.get("loc") if isinstance(first, dict) else None
    if not isinstance(path, list):
        return None
    return ".".join(str(step) for step in path if step != "body") or None


def _was_moderated(body: Any) -> bool:
    """OpenRouter's moderation errors: https://openrouter.ai/docs/api/reference/errors-and-debugging."""
    error = body.get("error") if isinstance(body, dict) else None
    metadata = error.get("metadata") if isinstance(error, dict) else None
    return isinstance(metadata, dict) and ("reasons" in metadata or "flagged_input" in metadata)


vendor: Vendor = OpenAI()
