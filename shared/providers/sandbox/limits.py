"""Where an answer ends early: at `max_tokens`, or before a stop sequence."""

from collections.abc import Sequence
from typing import TypeAlias, assert_never

from shared.providers.sandbox import tokens
from shared.schemas.content import Reasoning, Refusal, Text, ToolCall
from shared.schemas.usage import FinishReason

# The parts that the engine makes; the others only occur in requests.
Produced: TypeAlias = Text | Refusal | Reasoning | ToolCall


def limited(
    parts: Sequence[Produced], natural: FinishReason, max_tokens: int | None, stop: Sequence[str]
) -> tuple[tuple[Produced, ...], FinishReason]:
    """The parts that one candidate gets out, and how it ends; `natural` where nothing cuts it short.

    As with a real model, a stop sequence that lies beyond `max_tokens` is never reached. Thinking and calls count as
    tokens too, and stop sequences only end text.
    """
    kept: list[Produced] = []
    left = max_tokens
    for part in parts:
        within = part if left is None or tokens.of_part(part) <= left else _shortened(part, left)
        if isinstance(within, Text) and (stopped := _stopped(within, stop)):
            return (*kept, *_unless_empty(stopped)), FinishReason.STOP
        if within is not part:
            return (*kept, *_unless_empty(within)), FinishReason.LENGTH
        kept.append(part)
        left = None if left is None else left - tokens.of_part(part)
    return tuple(kept), natural


def _shortened(part: Produced, limit: int) -> Produced | None:
    """The first `limit` tokens of a longer part; None for a tool call cut within its name."""
    match part:
        case Text():
            return Text(text=tokens.first(part.text, limit))
        case Refusal():
            return Refusal(text=tokens.first(part.text, limit))
        case Reasoning():  # unfinished, hence unsigned
            return Reasoning(text=tokens.first(part.text, limit), issuer=part.issuer)
        case ToolCall():
            limit -= tokens.count(part.name)
            return None if limit < 0 else part.model_copy(update={"arguments": tokens.first(part.arguments, limit)})
        case _:
            assert_never(part)


def _stopped(part: Text, stop: Sequence[str]) -> Text | None:
    """The text before the first stop sequence in it, or None where there is none."""
    found = [start for sequence in stop if sequence and (start := part.text.find(sequence)) >= 0]
    return Text(text=part.text[: min(found)]) if found else None


def _unless_empty(part: Produced | None) -> list[Produced]:
    """A stream knows no empty text, so a response has none either. A call without arguments yet is still a call."""
    return [part] if part and (isinstance(part, ToolCall) or part.text) else []
