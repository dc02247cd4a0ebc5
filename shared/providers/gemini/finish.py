"""How Gemini's answers end, and the errors of those that are none."""

from collections.abc import Iterator

from shared.errors import ContentFiltered, UpstreamError
from shared.providers.base import clean
from shared.schemas.chat import JsonObject
from shared.schemas.usage import FinishReason

# https://ai.google.dev/api/generate-content#FinishReason. A reason in neither table, such as OTHER or one yet to come,
# is a plain end where the model said something and a failure where it did not.
FINISH_REASONS = {
    "STOP": FinishReason.STOP,
    "MAX_TOKENS": FinishReason.LENGTH,
    # More could be had by a second request with the answer's continuationToken; for our caller the answer is cut short.
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
# The candidate is no answer, whatever it holds: a tool call that nobody can make, or an internal fault.
FAILURES = {
    "MALFORMED_FUNCTION_CALL": "The model wrote a tool call that cannot be read.",
    "UNEXPECTED_TOOL_CALL": "The model called a tool that it was not given.",
    "TOO_MANY_TOOL_CALLS": "The model made too many tool calls.",
    "MALFORMED_RESPONSE": "The model wrote an answer that cannot be read.",
    "MISSING_THOUGHT_SIGNATURE": "The provider misses the signature of an earlier thought.",
}


def no_answer() -> UpstreamError:
    return UpstreamError("The model gave no answer.")


def parts(body: JsonObject) -> Iterator[JsonObject]:
    """The parts of every candidate, thoughts left out."""
    for candidate in body.get("candidates", ()):
        for part in candidate.get("content", {}).get("parts", ()):
            if not part.get("thought"):
                yield part


def refuse_filtered(body: JsonObject) -> None:
    """Raises ContentFiltered for a GenerateContentResponse whose prompt, or what was made of it, was blocked."""
    if "blockReason" in body.get("promptFeedback", {}):
        raise ContentFiltered("The provider's content filter refused the request.")
    for candidate in body.get("candidates", ()):
        if FINISH_REASONS.get(candidate.get("finishReason")) is FinishReason.CONTENT_FILTER:
            told = clean(candidate.get("finishMessage"))
            raise ContentFiltered(told or "The provider's content filter refused the answer.")
