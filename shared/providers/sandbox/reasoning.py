"""The sandbox's thinking, signed so that a later turn can tell whether it came back as it was."""

import hashlib

from shared.providers.sandbox import conversation
from shared.schemas.chat import ChatRequest, ReasoningEffort
from shared.schemas.content import Reasoning

ISSUER = "sandbox"

# How many of the sentences below each effort is worth.
_SENTENCES: dict[ReasoningEffort, int] = {
    "none": 0,
    "minimal": 0,
    "low": 1,
    "medium": 2,
    "high": 3,
    "xhigh": 4,
    "max": 5,
}


def think(request: ChatRequest) -> Reasoning | None:
    """The thinking before an answer, longer with more effort; None where none was asked for."""
    count = _SENTENCES[request.reasoning_effort or "none"]
    if not count:
        return None
    sentences = (
        f'The user wants an answer to "{conversation.prompt(request)[:100]}".',
        f"This is turn {conversation.turns(request)} and I have {len(request.tools)} tools to choose from.",
        f"{len(conversation.tool_results(request))} results of tools have come in.",
        "Reflecting the request is the most helpful answer.",
        "I have looked at it from every side and stay with that.",
    )
    text = " ".join(sentences[:count])
    return Reasoning(text=text, signature=sign(text), issuer=ISSUER)


def sign(text: str) -> str:
    """The signature of a piece of thinking. It proves that the text is unchanged, not who wrote it."""
    return hashlib.sha256(b"sandbox reasoning\0" + text.encode()).hexdigest()[:32]


def verdict(request: ChatRequest) -> str | None:
    """What to say of the sandbox's own thinking in earlier turns, or None where there is none."""
    own = [part for part in conversation.returned_reasoning(request) if part.issuer == ISSUER]
    if not own:
        return None
    intact = all(part.signature == sign(part.text) for part in own)
    return f"My earlier reasoning came back {'unchanged' if intact else 'changed'}."
