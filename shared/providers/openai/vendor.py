"""What the operations of OpenAI and of compatible vendors share: authentication, framing and errors.

Wire format: https://developers.openai.com/api/reference/overview. Where a compatible vendor accepts something else, its
catalog rows have a quirk (see the top of `catalog.toml`). Where it answers something else, no quirk is needed: every
known form of an answer is read, whichever vendor it comes from.
"""

import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from shared.errors import ContentFiltered, GatewayError
from shared.framing import SseDecoder
from shared.providers.base import FrameDecoder, Vendor, clean, error_body, error_for_status

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
# The HTTP status of an error that is sent inside a stream, by its code or type.
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
    if status in (400, 422) and (codes & _BAD_KEY_CODES or _BAD_KEY_MESSAGES.search(message)):
        status = 401
    return error_for_status(status, headers, message)


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


def _was_moderated(body: Any) -> bool:
    """OpenRouter's moderation errors: https://openrouter.ai/docs/api/reference/errors-and-debugging."""
    error = body.get("error") if isinstance(body, dict) else None
    metadata = error.get("metadata") if isinstance(error, dict) else None
    return isinstance(metadata, dict) and ("reasons" in metadata or "flagged_input" in metadata)


vendor: Vendor = OpenAI()
