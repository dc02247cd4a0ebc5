"""Chat and text generation in the compact dialect."""

from shared.dialects.base import Defaults, JsonObject, Operation, StreamEncoder, data_frame, new_id, read
from shared.dialects.compact import dialect, usage_body
from shared.dialects.openai.chat import ChatFields, DetailNumbering, TopP, delta_body
from shared.dialects.openai.completions import CompletionFields, text_finish_reason, text_of
from shared.dialects.openai.messages import annotation_body, image_body, message_body
from shared.errors import GatewayError
from shared.framing import DONE
from shared.schemas.chat import ChatRequest, ChatResponse
from shared.schemas.context import RequestContext
from shared.schemas.events import (
    ChatEvent,
    CitationDelta,
    Finished,
    ImageDelta,
    LogprobsDelta,
    OriginalEvent,
    Started,
    TextDelta,
)


def chat(body: JsonObject, defaults: Defaults) -> Operation:
    """/ai/chat."""
    return _ChatOperation(read(ChatFields, body).canonical())


class _ChatOperation:
    def __init__(self, request: ChatRequest) -> None:
        self.requests = (request,)

    def body(self, response: ChatResponse, context: RequestContext) -> JsonObject:
        candidate = response.candidates[0]
        message = message_body(candidate.parts, candidate.citations)
        return {
            "id": new_id("chat_"),
            "model": context.meter.answered_as,
            "message": {name: value for name, value in message.items() if name == "content" or value is not None},
            "usage": usage_body(response.usage),
            "finish_reason": candidate.finish_reason,
        }

    def encoder(self, context: RequestContext) -> StreamEncoder:
        return _ChatEncoder(context)


class _Encoder:
    """The end of a stream, in success or error; shared by chat and text generation."""

    def __init__(self, context: RequestContext) -> None:
        self._context = context

    def error(self, error: GatewayError) -> bytes:
        return data_frame(dialect.error(error, self._context.request.id))

    def end(self) -> bytes:
        return DONE


class _ChatEncoder(_Encoder):
    def __init__(self, context: RequestContext) -> None:
        super().__init__(context)
        self._thoughts = DetailNumbering()
        self._images = self._citations = 0

    def event(self, event: ChatEvent) -> bytes:
        match event:
            case Started() | OriginalEvent() | LogprobsDelta():
                return b""
            case Finished():
                return data_frame({"delta": {}, "finish_reason": event.reason})
            case ImageDelta():
                image = image_body(event.media_type, event.data, self._images)
                self._images += 1
                return data_frame({"delta": {"images": [image]}})
            case CitationDelta():
                annotation = {"index": self._citations, **annotation_body(event.citation)}
                self._citations += 1
                return data_frame({"delta": {"annotations": [annotation]}})
            case _:
                return data_frame({"delta": delta_body(event, self._thoughts)})


class CompactCompletion(CompletionFields):
    """The body of /ai/generate."""

    top_p: TopP | None = None

    def canonical(self) -> ChatRequest:
        return super().canonical().model_copy(update={"top_p": self.top_p})


def generate(body: JsonObject, defaults: Defaults) -> Operation:
    """/ai/generate."""
    return _GenerateOperation(read(CompactCompletion, body).canonical())


class _GenerateOperation:
    def __init__(self, request: ChatRequest) -> None:
        self.requests = (request,)

    def body(self, response: ChatResponse, context: RequestContext) -> JsonObject:
        candidate = response.candidates[0]
        return {
            "id": new_id("gen_"),
            "text": text_of(candidate),
            "usage": usage_body(response.usage),
            "model": context.meter.answered_as,
            "finish_reason": text_finish_reason(candidate.finish_reason),
        }

    def encoder(self, context: RequestContext) -> StreamEncoder:
        return _GenerateEncoder(context)


class _GenerateEncoder(_Encoder):
    def event(self, event: ChatEvent) -> bytes:
        match event:
            case TextDelta():
                return data_frame({"delta": {"content": event.text}})
            case Finished():
                return data_frame({"delta": {}, "finish_reason": text_finish_reason(event.reason)})
            case _:
                return b""
