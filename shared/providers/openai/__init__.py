"""OpenAI's API, as OpenAI and every vendor that is compatible with it speak it.

Wire format: https://developers.openai.com/api/reference/overview. What a vendor does differently is either a rule on
its catalog row (see the top of `catalog.toml`) or, in answers, simply understood wherever it comes from.

One file a concern. Each is imported by the first call that needs it, so that a function loads those of its own
endpoint only.
"""

from collections.abc import AsyncGenerator, AsyncIterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from shared.errors import GatewayError
from shared.providers.base import Call, error_body

if TYPE_CHECKING:
    from shared.framing import Frame
    from shared.schemas.chat import ChatRequest, ChatResponse
    from shared.schemas.embedding import EmbeddingRequest, EmbeddingResponse
    from shared.schemas.events import ChatEvent
    from shared.schemas.image import ImageRequest, ImageResponse
    from shared.schemas.model import Model
    from shared.schemas.speech import SpeechRequest
    from shared.schemas.transcription import Transcript, TranscriptEvent, TranscriptionRequest

NAME = "openai"


@dataclass(frozen=True, slots=True)
class OpenAIAdapter:
    """OpenAI and compatible vendors; the base URL is what `/chat/completions` is appended to.

    Not sent: `metadata`, which OpenAI takes only together with `store`, that is, for conversations it shall keep.
    """

    name: str = NAME

    def auth(self, api_key: str) -> dict[str, str]:
        return {"authorization": f"Bearer {api_key}"} if api_key else {}

    def error(self, status: int, headers: Mapping[str, str], body: bytes) -> GatewayError:
        """The error of https://developers.openai.com/api/docs/guides/error-codes, or a compatible vendor's own."""
        from shared.providers.openai.errors import error_of

        return error_of(status, headers, error_body(body))

    def chat(self, request: "ChatRequest", model: "Model") -> Call:
        """The call of https://developers.openai.com/api/reference/resources/chat/subresources/completions.

        Raises UnsupportedFeature for log probabilities, image output or a forced tool call that the model lacks, and
        InvalidRequest for a schema that is too intricate.
        """
        import shared.providers.openai.chat_request as chat_request

        return Call("/chat/completions", chat_request.payload(request, model))

    def chat_response(self, body: Any) -> "ChatResponse":
        """The response of a chat completion object. Raises the GatewayError of an error sent with status 200."""
        import shared.providers.openai.chat_answer as chat_answer

        return chat_answer.response(body)

    def chat_events(self, frames: "AsyncIterator[Frame]") -> "AsyncGenerator[ChatEvent, None]":
        """The events of chat completion chunks.

        The stream is complete at `[DONE]`, or at its end when every candidate has a finish reason.
        """
        import shared.providers.openai.chat_answer as chat_answer

        return chat_answer.events(frames)

    def image(self, request: "ImageRequest", model: "Model") -> Call:
        """The call of https://developers.openai.com/api/reference/resources/images: generations, or edits of images.

        Raises InvalidRequest for a size that the model cannot give, UnsupportedFeature for an output format, a mask
        or input images that the vendor does not take.
        """
        import shared.providers.openai.images as images

        return images.call(request, model)

    def image_response(self, body: Any) -> "ImageResponse":
        """The images of an images object. Raises the GatewayError of an error sent with status 200."""
        import shared.providers.openai.images as images

        return images.response(body)

    def embedding_batch(self, model: "Model") -> int:
        import shared.providers.openai.embeddings as embeddings

        return embeddings.batch(model)

    def embedding(self, request: "EmbeddingRequest", model: "Model") -> Call:
        """The call of https://developers.openai.com/api/reference/resources/embeddings.

        Raises UnsupportedFeature for token ids or dimensions where the vendor takes none.
        """
        import shared.providers.openai.embeddings as embeddings

        return embeddings.call(request, model)

    def embedding_response(self, body: Any) -> "EmbeddingResponse":
        """The vectors of an embeddings object. Raises the GatewayError of an error sent with status 200."""
        import shared.providers.openai.embeddings as embeddings

        return embeddings.response(body)

    def transcription(self, request: "TranscriptionRequest", model: "Model") -> Call:
        """The call of https://developers.openai.com/api/reference/resources/audio/subresources/transcriptions.

        Subtitles are never asked for: they can be written from the segments of verbose_json, which hold more. Raises
        UnsupportedFeature for segments, words or a stream that the model does not give.
        """
        import shared.providers.openai.transcription as transcription

        return transcription.call(request, model)

    def transcription_response(self, body: bytes, request: "TranscriptionRequest") -> "Transcript":
        """The transcript of a JSON body. Raises the GatewayError of an error sent with status 200."""
        import shared.providers.openai.transcription as transcription

        return transcription.response(body)

    def transcription_events(self, frames: "AsyncIterator[Frame]") -> "AsyncGenerator[TranscriptEvent, None]":
        """The events of a streamed transcript, complete at `transcript.text.done`."""
        import shared.providers.openai.transcription as transcription

        return transcription.events(frames)

    def speech(self, request: "SpeechRequest", model: "Model") -> Call:
        """The call of https://developers.openai.com/api/reference/resources/audio/subresources/speech.

        Raises UnsupportedFeature for an audio format that the vendor lacks.
        """
        import shared.providers.openai.speech as speech

        return speech.call(request, model)

    def speech_audio(self, chunks: AsyncIterator[bytes], request: "SpeechRequest") -> AsyncGenerator[bytes, None]:
        """The vendor's body as it comes: it is the audio."""
        import shared.providers.openai.speech as speech

        return speech.audio(chunks)


adapter = OpenAIAdapter()
