"""What the responses of Gemini's generateContent have in common: parts, finish reasons and blocked content."""

from collections.abc import Iterator

from shared.errors import ContentFiltered, UpstreamError
from shared.providers.base import clean
from shared.schemas.chat import JsonObject
from shared.schemas.usage import FinishReason

# https://ai.google.dev/api/generate-content#FinishReason. A reason in neither table, such as OTHER or one added later,
# is a normal end if the candidate has content and a failure if it has none.
FINISH_REASONS = {
    "STOP": FinishReason.STOP,
    "MAX_TOKENS": FinishReason.LENGTH,
    # A second request with the response's continuationToken would return the rest; to our caller it is cut off.
    "CONTINUATION": FinishReason.LENGTH,
    "SAFETY": FinishReason.CONTENT_FILTER,
    "RECITATION": FinishReason.CONTENT_FILTER,
    "LANGUAGE": FinishReason.CONTENT_FILTER,
    "BLOCKLIST": FinishReason.CONTENT_FILTER,
    "PROHIBITED_CONTENT": FinishReason.CONTENT_FILTER,
    "SPII": FinishReason.CONTENT_FILTER,
    "IMAGE_SAFETY": FinishReason.CONTENT_FILTER,
    "IMAGE_PROHIBITED_CONTENT": FinishReason.CONTENT_FILTER,
    "IMAGE_RECITATION": FinishReason.CONTENT_FILTER,
    "ESCALATION": FinishReason.CONTENT_FILTER,
    "PUP_LIMITED_DISABLED": FinishReason.CONTENT_FILTER,
    "MODEL_ARMOR": FinishReason.CONTENT_FILTER,
}
# The candidate is unusable, whatever it holds: an invalid tool call, or an internal fault.
FAILURES = {
    "MALFORMED_FUNCTION_CALL": "The model produced a malformed tool call.",
    "UNEXPECTED_TOOL_CALL": "The model called a tool that the request does not define.",
    "TOO_MANY_TOOL_CALLS": "The model made too many tool calls.",
    "MALFORMED_RESPONSE": "The model produced a malformed response.",
    "MISSING_THOUGHT_SIGNATURE": "The signature of an earlier thought is missing from the request.",
}


def empty_response() -> UpstreamError:
    """The error for a response without a candidate, or with one that has no content."""
    return UpstreamError("The model returned an empty response.")


def parts(body: JsonObject) -> Iterator[JsonObject]:
    """The parts of every candidate, without thoughts."""
    for candidate in body.get("candidates", ()):
        for part in candidate.get("content", {}).get("parts", ()):
            if not part.get("thought"):
                yield part


def raise_if_blocked(body: JsonObject) -> None:
    """Raises ContentFiltered for a GenerateContentResponse whose prompt or content was blocked."""
    if "blockReason" in body.get("promptFeedback", {}):
        raise ContentFiltered("The provider's content filter blocked the request.")
    for candidate in body.get("candidates", ()):
        if FINISH_REASONS.get(candidate.get("finishReason")) is FinishReason.CONTENT_FILTER:
            message = clean(candidate.get("finishMessage"))
            raise ContentFiltered(message or "The provider's content filter blocked the response.")
