"""What a request and its answer weigh in tokens."""

from collections.abc import Iterable

from shared.providers.sandbox import conversation, tokens
from shared.schemas.chat import ChatRequest
from shared.schemas.content import Audio, Image, Message, Part, Reasoning
from shared.schemas.usage import Usage


def input_usage(request: ChatRequest) -> Usage:
    """The tokens of a request; what was already sent on an earlier turn counts as read from a cache."""
    head = tokens.count(request.system or "") + sum(tokens.count(tool.model_dump_json()) for tool in request.tools)
    messages = [_message_tokens(message) for message in request.messages]
    answers = [index for index, message in enumerate(request.messages) if message.role == "assistant"]
    media = conversation.media(request)
    return Usage(
        input_tokens=head + sum(messages),
        cached_read_tokens=head + sum(messages[: answers[-1]]) if answers else 0,
        input_image_tokens=sum(tokens.of_part(part) for part in media if isinstance(part, Image)),
        input_audio_tokens=sum(tokens.of_part(part) for part in media if isinstance(part, Audio)),
    )


def _message_tokens(message: Message) -> int:
    return tokens.MESSAGE_TOKENS + sum(map(tokens.of_part, message.parts))


def output_usage(parts: Iterable[Part]) -> Usage:
    """The tokens of all candidates together."""
    weights = [(part, tokens.of_part(part)) for part in parts]
    return Usage(
        output_tokens=sum(weight for _, weight in weights),
        reasoning_tokens=sum(weight for part, weight in weights if isinstance(part, Reasoning)),
        output_image_tokens=sum(weight for part, weight in weights if isinstance(part, Image)),
        images=sum(isinstance(part, Image) for part, _ in weights),
    )
