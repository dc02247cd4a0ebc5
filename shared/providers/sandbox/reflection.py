"""The sandbox's own words: a text that shows what of the request has arrived."""

from collections.abc import Sequence

from shared.providers.sandbox import conversation, reasoning
from shared.providers.sandbox.media import describe
from shared.schemas.chat import ChatRequest
from shared.schemas.content import Text, ToolResult

_LONGEST_QUOTE = 1000

_OPENINGS = (
    "You said",
    "You wrote",
    "Your message reads",
    "I have read",
    "What you sent me is",
    "I received",
    "Your words were",
    "The prompt is",
)
_CLOSINGS = (
    "How may I help you further?",
    "Is there anything else?",
    "Tell me more if you like.",
    "I am glad to go on.",
    "That is all I can tell.",
)


def variant(request: ChatRequest, index: int) -> int:
    """The number that chooses the wording. Neighbouring seeds and the candidates of one request all differ."""
    return (request.seed or 0) + index


def reflect(request: ChatRequest, index: int, findings: Sequence[str]) -> str:
    """The answer of one candidate: the prompt, then the `findings`, whatever else came with it."""
    wording = variant(request, index)
    opening = _OPENINGS[wording % len(_OPENINGS)]
    closing = _CLOSINGS[wording // len(_OPENINGS) % len(_CLOSINGS)]
    prompt = conversation.prompt(request)
    said = f"{opening}: {_quote(prompt)}." if prompt else "You sent no text."
    sentences = [f"Alternative {index + 1}:" if index else "", said, *findings, closing]
    return " ".join(filter(None, sentences))


def findings(request: ChatRequest) -> list[str]:
    """What there is to tell of a request besides its prompt, the same for all its candidates."""
    found = [_result(result) for result in conversation.tool_results(request)]
    if system := conversation.system_text(request):
        found.append(f"My system text has {len(system)} characters.")
    if (turns := conversation.turns(request)) > 1:
        found.append(f"This is turn {turns} of our conversation.")
    if media := conversation.media(request):
        found.append(f"I was shown {_listed([describe(part) for part in media])}.")
    if verdict := reasoning.verdict(request):
        found.append(verdict)
    return found


def _result(result: ToolResult) -> str:
    text = " ".join(part.text for part in result.content if isinstance(part, Text))
    return f"The tool {result.name} returned {_quote(text) if text else 'no text'}."


def _quote(text: str) -> str:
    shown = text if len(text) <= _LONGEST_QUOTE else text[:_LONGEST_QUOTE] + "…"
    return f'"{shown}"'


def _listed(phrases: list[str]) -> str:
    return " and ".join(filter(None, (", ".join(phrases[:-1]), phrases[-1])))
