"""What the engine reads out of a chat request."""

from collections.abc import Iterator

from shared.schemas.chat import ChatRequest
from shared.schemas.content import Audio, File, Image, Message, Reasoning, Text, ToolResult


def text_of(message: Message) -> str:
    """The text parts of one message, joined by spaces."""
    return " ".join(part.text for part in message.parts if isinstance(part, Text))


def prompt(request: ChatRequest) -> str:
    """The last text that the user wrote, or nothing."""
    texts = (text_of(message) for message in reversed(request.messages) if message.role == "user")
    return next(filter(None, texts), "")


def system_text(request: ChatRequest) -> str:
    """All system text, that between the turns included."""
    later = (text_of(message) for message in request.messages if message.role == "system")
    return "\n".join(filter(None, (request.system, *later)))


def turns(request: ChatRequest) -> int:
    """How many messages the user has sent."""
    return sum(message.role == "user" for message in request.messages)


def media(request: ChatRequest) -> list[Image | Audio | File]:
    """Everything in the conversation that is neither text nor tool, in order; images in tool results included."""
    found: list[Image | Audio | File] = []
    for message in request.messages:
        for part in message.parts:
            if isinstance(part, Image | Audio | File):
                found.append(part)
            elif isinstance(part, ToolResult):
                found.extend(item for item in part.content if isinstance(item, Image))
    return found


def tool_results(request: ChatRequest) -> list[ToolResult]:
    """The results that came in since the model spoke last."""
    return [part for message in _since_last_answer(request) for part in message.parts if isinstance(part, ToolResult)]


def user_spoke_last(request: ChatRequest) -> bool:
    """Whether the model is to answer a user and not a tool."""
    since = _since_last_answer(request)
    return any(message.role == "user" for message in since) and not tool_results(request)


def _since_last_answer(request: ChatRequest) -> list[Message]:
    spoken = [index for index, message in enumerate(request.messages) if message.role == "assistant"]
    return list(request.messages[spoken[-1] + 1 :] if spoken else request.messages)


def returned_reasoning(request: ChatRequest) -> Iterator[Reasoning]:
    """The reasoning in earlier answers, whoever issued it."""
    for message in request.messages:
        yield from (part for part in message.parts if isinstance(part, Reasoning))
