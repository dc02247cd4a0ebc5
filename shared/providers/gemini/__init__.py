"""Google's Gemini Developer API: chat, images, raw content, embeddings, transcripts and speech.

Wire format: https://ai.google.dev/api/generate-content, and https://ai.google.dev/api/embeddings.

One file a concern. Each is imported by the first call that needs it, so that a function loads those of its own
endpoint only.
"""

from collections.abc import AsyncGenerator, AsyncIterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from shared.errors import GatewayError
from shared.providers.base import Call, error_body
from shared.providers.gemini.wire import NAME

if TYPE_CHECKING:
    from shared.framing import Frame
    from shared.schemas.chat import ChatRequest, ChatResponse
    from shared.schemas.embedding import EmbeddingRequest, EmbeddingResponse
    from shared.schemas.events import ChatEvent
    from shared.schemas.generated_content import ContentRequest, ContentResponse
    from shared.schemas.image import ImageRequest, ImageResponse
    from shared.schemas.model import Model
    from shared.schemas.speech import SpeechRequest
    from shared.schemas.transcription import Transcript, TranscriptEvent, TranscriptionRequest


@dataclass(frozen=True, slots=True)
class Gemini:
    """The adapter. Chat's knobs that the API lacks or that every model refuses are ignored: penalties ("Penalty is not
    enabled for this model", https://github.com/google-gemini/cookbook/issues/1290), logit_bias, verbosity, user,
    metadata, parallel_tool_calls.
    """

    name: str = NAME

    def auth(self, api_key: str) -> dict[str, str]:
        return {"x-goog-api-key": api_key}

    def error(self, status: int, headers: Mapping[str, str], body: bytes) -> GatewayError:
        from shared.providers.gemini.errors import error_object, error_of

        return error_of(status, headers, error_object(error_body(body)) or {})

    def chat(self, request: "ChatRequest", model: "Model") -> Call:
        """See https://ai.google.dev/api/generate-content#method:-models.generatecontent.

        Raises UnsupportedFeature for images by URL, for JSON output together with tools and images in tool results
        before Gemini 3, and InvalidRequest for arguments of an earlier tool call that are not a JSON object.
        """
        from shared.providers.gemini import chat_request

        return chat_request.call(request, model)

    def chat_response(self, body: Any) -> "ChatResponse":
        """The response of a GenerateContentResponse."""
        from shared.providers.gemini import chat_answer

        return chat_answer.response(body)

    def chat_events(self, frames: "AsyncIterator[Frame]") -> "AsyncGenerator[ChatEvent, None]":
        """Each frame is a GenerateContentResponse with the next parts; its finish reasons mark the end."""
        from shared.providers.gemini import chat_answer

        return chat_answer.events(frames)

    def image(self, request: "ImageRequest", model: "Model") -> Call:
        """See https://ai.google.dev/gemini-api/docs/image-generation. A size becomes the nearest pair of aspect ratio
        and resolution; the knobs but `seed` are ignored.

        Raises InvalidRequest for a size that is near none, UnsupportedFeature for a mask or an output format.
        """
        from shared.providers.gemini import images

        return images.call(request, model)

    def image_response(self, body: Any) -> "ImageResponse":
        """The images of a GenerateContentResponse, without the drafts among its thoughts."""
        from shared.providers.gemini import images

        return images.response(body)

    def content(self, request: "ContentRequest", model: "Model") -> Call:
        """See https://ai.google.dev/api/generate-content#method:-models.generatecontent."""
        from shared.providers.gemini import content

        return content.call(request, model)

    def content_response(self, body: Any) -> "ContentResponse":
        """The GenerateContentResponse whole. A blocked prompt has one candidate without parts, which ends as blocked.

        Raises UpstreamError where there is neither a candidate nor a reason for the want of one.
        """
        from shared.providers.gemini import content

        return content.response(body)

    def embedding_batch(self, model: "Model") -> int:
        """A hundred, whatever the model."""
        from shared.providers.gemini import embeddings

        return embeddings.BATCH

    def embedding(self, request: "EmbeddingRequest", model: "Model") -> Call:
        """See https://ai.google.dev/api/embeddings#method:-models.batchembedcontents. No task type is given.

        Raises UnsupportedFeature for token ids.
        """
        from shared.providers.gemini import embeddings

        return embeddings.call(request, model)

    def embedding_response(self, body: Any) -> "EmbeddingResponse":
        """The vectors, each of length 1."""
        from shared.providers.gemini import embeddings

        return embeddings.response(body)

    def transcription(self, request: "TranscriptionRequest", model: "Model") -> Call:
        """See https://ai.google.dev/gemini-api/docs/generate-content/transcribe, which is for models with the rule
        `audio_transcription_config`; others are told in words what to do.

        Raises UnsupportedFeature for subtitles, and for timestamps but those of words from a model with that rule.
        """
        from shared.providers.gemini import transcription

        return transcription.call(request, model)

    def transcription_response(self, body: bytes, request: "TranscriptionRequest") -> "Transcript":
        """The transcript of a GenerateContentResponse.

        Raises ContentFiltered, and UpstreamRejected for a transcript that the model could not write to its end.
        """
        from shared.providers.gemini import transcription

        return transcription.response(body)

    def transcription_events(self, frames: "AsyncIterator[Frame]") -> "AsyncGenerator[TranscriptEvent, None]":
        """Each frame is a GenerateContentResponse with the next words; its finish reason marks the end."""
        from shared.providers.gemini import transcription

        return transcription.events(frames)

    def speech(self, request: "SpeechRequest", model: "Model") -> Call:
        """See https://ai.google.dev/gemini-api/docs/generate-content/speech-generation. Takes Gemini's voices in any
        case, and OpenAI's, for each of which one of Gemini's speaks; `speed` is ignored.

        Raises UnsupportedFeature for formats but wav and pcm, InvalidRequest for another voice.
        """
        from shared.providers.gemini import speech

        return speech.call(request, model)

    def speech_audio(self, chunks: "AsyncIterator[bytes]", request: "SpeechRequest") -> "AsyncGenerator[bytes, None]":
        """The audio as it arrives, which as wav says of its length only that it is not known.

        Raises ContentFiltered, and UpstreamError where the stream breaks off or holds no audio.
        """
        from shared.providers.gemini import speech

        return speech.audio(chunks, request)


adapter = Gemini()
