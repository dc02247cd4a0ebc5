"""Chat and text generation in the envelope dialect; streams are not enveloped."""

from typing import Annotated, Any

from pydantic import Field

from shared.dialects.base import Defaults, JsonObject, Operation, StreamEncoder, data_frame, read
from shared.dialects.envelope import dialect, enveloped
from shared.dialects.openai.chat import (
    MAX_METADATA,
    ChatFields,
    ChatOperation,
    Seed,
    WireStop,
    stop_sequences,
)
from shared.dialects.openai.completions import CompletionFields, CompletionOperation
from shared.errors import GatewayError
from shared.framing import DONE
from shared.schemas.chat import ChatRequest, ChatResponse
from shared.schemas.context import RequestContext
from shared.schemas.events import ChatEvent


class _Enveloped:
    """An OpenAI operation whose response is put into the envelope and whose stream always ends with [DONE]."""

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
    metadata: Annotated[dict[str, Any], Field(max_length=MAX_METADATA)] | None = None

    def canonical_fields(self) -> JsonObject:
        metadata = None if self.metadata is None else {name: str(value) for name, value in self.metadata.items()}
        own = {"stop": stop_sequences(self.stop), "seed": self.seed, "metadata": metadata}
        return super().canonical_fields() | own


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
