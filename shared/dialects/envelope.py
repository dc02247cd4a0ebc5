"""The envelope dialect of /v1/inference: OpenAI's objects inside `{"status", "data", "meta"}`."""

from collections.abc import Mapping
from typing import Any

from shared.dialects.base import Defaults, JsonObject, Operation, StreamEncoder, data_frame, read
from shared.dialects.openai.chat import ChatFields, ChatOperation, Seed, WireStop, stop_sequences
from shared.dialects.openai.completions import CompletionFields, CompletionOperation
from shared.errors import GatewayError, ValidationFailed
from shared.framing import DONE
from shared.schemas.chat import ChatRequest, ChatResponse
from shared.schemas.context import RequestContext
from shared.schemas.events import ChatEvent

_CODES = {
    "token_missing": "AUTH_TOKEN_MISSING",
    "token_invalid": "AUTH_TOKEN_INVALID",
    "permission_denied": "AUTHZ_PERMISSION_DENIED",
    "upstream_rate_limited": "BACKEND_RATE_LIMITED",
    "upstream_error": "BACKEND_ERROR",
    "upstream_timeout": "BACKEND_TIMEOUT",
}


class EnvelopeDialect:
    """Errors as `{"status": "error", "error": {code, message, retry_after?, details?}, "meta"}`."""

    def status(self, error: GatewayError) -> int:
        return 422 if isinstance(error, ValidationFailed) else error.status

    def error(self, error: GatewayError, request_id: str) -> JsonObject:
        body = self.error_object(error)
        if error.retry_after is not None:
            body["retry_after"] = error.retry_after
        if error.details:
            body["details"] = [{"field": detail.field, "message": detail.message} for detail in error.details]
        return {"status": "error", "error": body, "meta": {"request_id": request_id}}

    def error_object(self, error: GatewayError) -> JsonObject:
        """The code and message alone, as a stream carries them."""
        code = "VALIDATION_ERROR" if error.status == 400 else _CODES.get(error.code, error.code.upper())
        return {"code": code, "message": error.message}

    def headers(self, context: RequestContext) -> Mapping[str, str]:
        headers = {"x-scaigrid-request-id": context.request_id}
        if context.model is not None:
            headers["x-scaigrid-model"] = context.model.id
            headers["x-scaigrid-backend"] = context.backend or ""
        return headers


dialect = EnvelopeDialect()


def enveloped(data: JsonObject, context: RequestContext) -> JsonObject:
    """A success around its data."""
    return {"status": "ok", "data": data, "meta": {"request_id": context.request_id}}


class _Enveloped:
    """An OpenAI operation whose answer goes into the envelope and whose stream always ends with [DONE]."""

    def __init__(self, inner: Operation) -> None:
        self._inner = inner
        self.requests = inner.requests

    def body(self, response: ChatResponse, context: RequestContext) -> JsonObject:
        return enveloped(self._inner.body(response, context), context)

    def encoder(self, context: RequestContext) -> StreamEncoder:
        return _Encoder(self._inner.encoder(context))


class _Encoder:
    def __init__(self, inner: StreamEncoder) -> None:
        self._inner = inner

    def event(self, event: ChatEvent) -> bytes:
        return self._inner.event(event)

    def error(self, error: GatewayError) -> bytes:
        return data_frame(dialect.error_object(error), "error") + DONE

    def end(self) -> bytes:
        return self._inner.end()


class EnvelopeChat(ChatFields):
    """The body of /v1/inference/chat."""

    stop: WireStop | None = None
    seed: Seed | None = None
    metadata: dict[str, Any] | None = None

    def canonical(self) -> ChatRequest:
        metadata = None if self.metadata is None else {name: str(value) for name, value in self.metadata.items()}
        update = {"stop": stop_sequences(self.stop), "seed": self.seed, "metadata": metadata}
        return super().canonical().model_copy(update=update)


def chat(body: JsonObject, defaults: Defaults) -> Operation:
    """/v1/inference/chat."""
    return _Enveloped(ChatOperation(read(EnvelopeChat, body).canonical()))


class EnvelopeCompletion(CompletionFields):
    """The body of /v1/inference/generate."""

    stop: WireStop | None = None
    seed: Seed | None = None

    def canonical(self) -> ChatRequest:
        return super().canonical().model_copy(update={"stop": stop_sequences(self.stop), "seed": self.seed})


def generate(body: JsonObject, defaults: Defaults) -> Operation:
    """/v1/inference/generate."""
    return _Enveloped(CompletionOperation([read(EnvelopeCompletion, body).canonical()]))
