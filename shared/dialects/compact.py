"""The compact dialect of /ai: flat objects without choices, bare delta frames."""

from collections.abc import Mapping, Sequence

from shared.dialects.base import Defaults, JsonObject, Operation, StreamEncoder, data_frame, new_id, read
from shared.dialects.openai.chat import ChatFields, DetailNumbering, TopP, delta_body
from shared.dialects.openai.completions import CompletionFields, text_finish_reason, text_of
from shared.dialects.openai.messages import image_body, message_body
from shared.errors import GatewayError
from shared.framing import DONE
from shared.schemas.chat import ChatRequest, ChatResponse
from shared.schemas.context import RequestContext
from shared.schemas.events import ChatEvent, Finished, ImageDelta, LogprobsDelta, Started, TextDelta
from shared.schemas.model import Model
from shared.schemas.usage import Usage

_CODES = {
    400: "invalid_request",
    401: "unauthorized",
    403: "forbidden",
    404: "not_found",
    405: "method_not_allowed",
    413: "payload_too_large",
    429: "rate_limit_exceeded",
    500: "internal_error",
    502: "provider_error",
    503: "model_unavailable",
    504: "provider_timeout",
}


class CompactDialect:
    """Errors as `{"error": {code, message, status, retry_after?}}`."""

    def status(self, error: GatewayError) -> int:
        return error.status

    def error(self, error: GatewayError, request_id: str) -> JsonObject:
        body: JsonObject = {
            "code": "model_not_found" if error.code == "model_not_found" else _CODES[error.status],
            "message": error.message,
            "status": error.status,
        }
        if error.retry_after is not None:
            body["retry_after"] = error.retry_after
            body["message"] = f"{error.message} Retry after {error.retry_after} seconds."
        return {"error": body}

    def headers(self, context: RequestContext) -> Mapping[str, str]:
        return {}


dialect = CompactDialect()


def usage_body(usage: Usage) -> JsonObject:
    return {
        "prompt_tokens": usage.input_tokens,
        "completion_tokens": usage.output_tokens,
        "total_tokens": usage.total_tokens,
    }


def chat(body: JsonObject, defaults: Defaults) -> Operation:
    """/ai/chat."""
    return _ChatOperation(read(ChatFields, body).canonical())


class _ChatOperation:
    def __init__(self, request: ChatRequest) -> None:
        self.requests = (request,)

    def body(self, response: ChatResponse, context: RequestContext) -> JsonObject:
        candidate = response.candidates[0]
        message = message_body(candidate.parts)
        return {
            "id": new_id("chat_"),
            "model": context.answered_as,
            "message": {name: value for name, value in message.items() if name == "content" or value is not None},
            "usage": usage_body(response.usage),
            "finish_reason": candidate.finish_reason,
        }

    def encoder(self, context: RequestContext) -> StreamEncoder:
        return _ChatEncoder(context)


class _Encoder:
    """How a stream ends, well or not; both streams share it."""

    def __init__(self, context: RequestContext) -> None:
        self._context = context

    def error(self, error: GatewayError) -> bytes:
        return data_frame(dialect.error(error, self._context.request_id))

    def end(self) -> bytes:
        return DONE


class _ChatEncoder(_Encoder):
    def __init__(self, context: RequestContext) -> None:
        super().__init__(context)
        self._thoughts = DetailNumbering()
        self._images = 0

    def event(self, event: ChatEvent) -> bytes:
        match event:
            case Started() | LogprobsDelta():
                return b""
            case Finished():
                return data_frame({"delta": {}, "finish_reason": event.reason})
            case ImageDelta():
                image = image_body(event.media_type, event.data, self._images)
                self._images += 1
                return data_frame({"delta": {"images": [image]}})
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
            "model": context.answered_as,
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


def models_body(models: Sequence[Model]) -> JsonObject:
    """/ai/models, where some rows show the values that this dialect's clients know."""
    return {
        "models": [
            {
                "id": model.id,
                "provider": model.owned_by,
                "capabilities": list(model.listed.capabilities or sorted(model.capabilities)),
                "context_length": model.listed.context_length or model.context_length,
            }
            for model in models
        ]
    }
