"""The toy vendor's chat: text only, in the layout of Bedrock's Converse and ConverseStream."""

from collections.abc import Iterator
from typing import Any

from pydantic_core import from_json

from shared.errors import UnsupportedFeature
from shared.framing import Frame
from shared.providers.base import Call, ChatAdapter, FrameDecoder, Reader, truncated
from shared.schemas.chat import ChatRequest
from shared.schemas.content import Message, Text
from shared.schemas.events import ChatEvent, Finished, Started, TextDelta
from shared.schemas.model import Model
from shared.schemas.usage import FinishReason, Usage

from .vendor import model_path, raise_exception
from .vendor import vendor as toy

_FINISH_REASONS = {"end_turn": FinishReason.STOP, "max_tokens": FinishReason.LENGTH}


class ToyChat:
    """Chat."""

    vendor = toy

    def call(self, request: ChatRequest, model: Model) -> Call:
        """Raises UnsupportedFeature for anything but text."""
        body = {
            "messages": [_message(message) for message in request.messages],
            "inferenceConfig": {"maxTokens": request.max_tokens},
        }
        action = "converse-stream" if request.stream else "converse"
        return Call(model_path(model, action), body, streamed=request.stream)

    def wire(self, model: Model) -> None:
        return None

    def frames(self) -> FrameDecoder:
        return toy.frames()

    def reader(self, request: ChatRequest) -> Reader[ChatEvent]:
        return _Reader()


def _message(message: Message) -> Any:
    texts = [part.text for part in message.parts if isinstance(part, Text)]
    if len(texts) < len(message.parts):
        raise UnsupportedFeature("This model supports text only.")
    return {"role": message.role, "content": [{"text": text} for text in texts]}


class _Reader:
    def __init__(self) -> None:
        self.done = False
        self._reason = FinishReason.STOP

    def body(self, body: bytes) -> Iterator[ChatEvent]:
        response = from_json(body)
        yield Started()
        for block in response["output"]["message"]["content"]:
            yield TextDelta(block["text"])
        yield Finished(_FINISH_REASONS[response["stopReason"]], _usage(response))

    def frame(self, frame: Frame) -> Iterator[ChatEvent]:
        raise_exception(frame)
        data = from_json(frame.data)
        match frame.event:
            case "messageStart":
                yield Started()
            case "contentBlockDelta":
                yield TextDelta(data["delta"]["text"])
            case "messageStop":
                self._reason = _FINISH_REASONS[data["stopReason"]]
            case "metadata":
                self.done = True
                yield Finished(self._reason, _usage(data))

    def end(self) -> tuple[()]:
        if not self.done:
            raise truncated()
        return ()


def _usage(response: Any) -> Usage:
    counts = response["usage"]
    return Usage(input_tokens=counts["inputTokens"], output_tokens=counts["outputTokens"])


adapter: ChatAdapter = ToyChat()
