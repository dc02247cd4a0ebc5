"""The sandbox: a provider inside the gateway that answers deterministically, without network or key.

Its wire format is its own: canonical types as JSON, streams as in `frames.py`, speech as a WAV file. What its models do
is in one module an operation, how they can fail in `behaviour.py`. A prompt that holds `[sandbox:refuse]` is refused,
and one with `[sandbox:filter]` runs into a content filter.
"""

from collections.abc import AsyncGenerator, AsyncIterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from shared.errors import ContentFiltered, GatewayError, UnsupportedFeature
from shared.framing import Frame
from shared.providers.base import Call, LocalAnswer, clean, error_body, error_for_status, truncated
from shared.schemas.chat import ChatRequest, ChatResponse
from shared.schemas.events import ChatEvent, Finished, Started
from shared.schemas.model import Capability, Model

if TYPE_CHECKING:
    from shared.schemas.embedding import EmbeddingRequest, EmbeddingResponse
    from shared.schemas.generated_content import ContentRequest, ContentResponse
    from shared.schemas.image import ImageRequest, ImageResponse
    from shared.schemas.speech import SpeechRequest
    from shared.schemas.transcription import Transcript, TranscriptEvent, TranscriptionRequest


@dataclass(frozen=True, slots=True)
class SandboxAdapter:
    """Translates to and from the sandbox's own format, and answers in the sandbox's place.

    Each operation's module is imported when it is needed: a function only ever calls one of them.
    """

    name: str = "sandbox"

    def auth(self, api_key: str) -> dict[str, str]:
        """No headers: there is no key."""
        return {}

    def chat(self, request: ChatRequest, model: Model) -> Call:
        """The request as it is, addressed to the model's upstream name.

        Raises UnsupportedFeature for image output of a model that has none.
        """
        if request.image_output and Capability.IMAGE_OUTPUT not in model.capabilities:
            raise UnsupportedFeature(f"The model '{model.id}' does not generate images.")
        addressed = request.model_copy(update={"model": model.upstream})
        return Call(path="/chat", json=addressed.model_dump(mode="json", exclude_none=True))

    def chat_response(self, body: Any) -> ChatResponse:
        """The response as it is."""
        return ChatResponse.model_validate(body)

    async def chat_events(self, frames: AsyncIterator[Frame]) -> AsyncGenerator[ChatEvent, None]:
        """The events as they are. Raises UpstreamError where a candidate that has begun does not finish."""
        from shared.providers.sandbox.wire import read_event

        begun: set[int] = set()
        finished: set[int] = set()
        async for frame in frames:
            event = read_event(frame.data)
            if event is None:
                continue
            if isinstance(event, Finished):
                finished.add(event.index)
            elif not isinstance(event, Started):
                begun.add(event.index)
            yield event
        if not finished or begun - finished:
            raise truncated()

    def image(self, request: "ImageRequest", model: Model) -> Call:
        """See `images.py`. Raises InvalidRequest for a size, UnsupportedFeature for a format that it does not draw."""
        from shared.providers.sandbox import images

        return images.call(request, model.upstream)

    def image_response(self, body: Any) -> "ImageResponse":
        """The response as it is. Raises UpstreamRejected with the words that came instead of images."""
        from shared.providers.sandbox import images

        return images.response(body)

    def content(self, request: "ContentRequest", model: Model) -> Call:
        """See `content.py`."""
        from shared.providers.sandbox import content

        return content.call(request, model.upstream)

    def content_response(self, body: Any) -> "ContentResponse":
        """The body as it is."""
        from shared.providers.sandbox import content

        return content.response(body)

    def embedding_batch(self, model: Model) -> int:
        """How many inputs one call may have."""
        from shared.providers.sandbox import embeddings

        return embeddings.MAX_INPUTS

    def embedding(self, request: "EmbeddingRequest", model: Model) -> Call:
        """See `embeddings.py`. Raises InvalidRequest for a number of dimensions that it does not have."""
        from shared.providers.sandbox import embeddings

        return embeddings.call(request, model.upstream)

    def embedding_response(self, body: Any) -> "EmbeddingResponse":
        """The vectors as they are."""
        from shared.providers.sandbox import embeddings

        return embeddings.response(body)

    def transcription(self, request: "TranscriptionRequest", model: Model) -> Call:
        """See `transcriptions.py`."""
        from shared.providers.sandbox import transcriptions

        return transcriptions.call(request, model.upstream)

    def transcription_response(self, body: bytes, request: "TranscriptionRequest") -> "Transcript":
        """The transcript as it is."""
        from shared.providers.sandbox import transcriptions

        return transcriptions.response(body)

    def transcription_events(self, frames: AsyncIterator[Frame]) -> "AsyncGenerator[TranscriptEvent, None]":
        """The events as they are. Raises UpstreamError where the last one is missing."""
        from shared.providers.sandbox import transcriptions

        return transcriptions.events(frames)

    def speech(self, request: "SpeechRequest", model: Model) -> Call:
        """See `speech.py`. Raises UnsupportedFeature for a format that it does not speak."""
        from shared.providers.sandbox import speech

        return speech.call(request, model.upstream)

    def speech_audio(self, chunks: AsyncIterator[bytes], request: "SpeechRequest") -> AsyncGenerator[bytes, None]:
        """The WAV file as it is, or the samples in it. Raises UpstreamError where it breaks off."""
        from shared.providers.sandbox import speech

        return speech.audio(chunks, request)

    def error(self, status: int, headers: Mapping[str, str], body: bytes) -> GatewayError:
        """What `{"error":{"message","code"}}` with that status means; the code is left out or `content_filter`."""
        match error_body(body):
            case {"error": {"message": str(message), "code": "content_filter"}}:
                return ContentFiltered(clean(message))
            case {"error": {"message": str(message)}}:
                return error_for_status(status, headers, message)
            case _:
                return error_for_status(status, headers, None)

    def answer(self, path: str, body: bytes) -> LocalAnswer:
        """The sandbox's answer to one of its own calls."""
        from shared.providers.sandbox import answers

        return answers.answer(path, body)


adapter = SandboxAdapter()
