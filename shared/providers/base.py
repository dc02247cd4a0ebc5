"""What an adapter is: protocols that say what a vendor can do, and the pieces that most adapters share."""

import json
import re
from collections.abc import AsyncGenerator, AsyncIterator, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

from shared.errors import (
    GatewayError,
    ModelNotFound,
    PayloadTooLarge,
    UpstreamError,
    UpstreamRateLimited,
    UpstreamRejected,
    UpstreamTimeout,
)
from shared.framing import Frame
from shared.media import IMAGE_TYPES, head_bytes, sniff, standard_base64
from shared.schemas.content import Inline
from shared.schemas.model import Model

if TYPE_CHECKING:  # a function loads the schemas of its own requests only
    from shared.schemas.chat import ChatRequest, ChatResponse
    from shared.schemas.embedding import EmbeddingRequest, EmbeddingResponse
    from shared.schemas.events import ChatEvent
    from shared.schemas.generated_content import ContentRequest, ContentResponse
    from shared.schemas.image import ImageRequest, ImageResponse
    from shared.schemas.speech import SpeechRequest
    from shared.schemas.transcription import Transcript, TranscriptEvent, TranscriptionRequest
    from shared.schemas.upload import Upload

DEFAULT_RETRY_AFTER = 5


@dataclass(frozen=True, slots=True)
class Call:
    """One HTTP request to a vendor: `path` is appended to the provider's base URL.

    The body is `json`, or multipart/form-data of the fields and files in `form` where there is one. A field may occur
    several times.
    """

    path: str
    json: Any = field(default=None, repr=False)
    form: "Sequence[tuple[str, str | Upload]] | None" = field(default=None, repr=False)
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    method: str = "POST"


class Adapter(Protocol):
    """What every adapter has."""

    @property
    def name(self) -> str:
        """The adapter's module; also the `issuer` of the signatures that it hands out."""
        ...

    def auth(self, api_key: str) -> dict[str, str]:
        """The headers that carry the provider's key. A key never goes into a URL."""
        ...

    def error(self, status: int, headers: Mapping[str, str], body: bytes) -> GatewayError:
        """What a response with a status of 400 or more means to our caller."""
        ...


@runtime_checkable
class ChatAdapter(Adapter, Protocol):
    """A vendor with chat models."""

    def chat(self, request: "ChatRequest", model: Model) -> Call:
        """The vendor's request; streamed when `request.stream`.

        Raises UnsupportedFeature or InvalidRequest for what the vendor cannot express.
        """
        ...

    def chat_response(self, body: Any) -> "ChatResponse":
        """The canonical response of a decoded JSON body.

        May raise any of KeyError, TypeError, ValueError, IndexError or AttributeError on a body that is not the
        vendor's format: the gateway answers 502.
        """
        ...

    def chat_events(self, frames: AsyncIterator[Frame]) -> "AsyncGenerator[ChatEvent, None]":
        """The canonical events of a streamed body, each as soon as it is known.

        Raises a GatewayError for an error inside the stream, and UpstreamError when the stream ends before the
        vendor has said that it is complete. May raise what `chat_response` may.
        """
        ...


@runtime_checkable
class ImageAdapter(Adapter, Protocol):
    """A vendor with models that make images."""

    def image(self, request: "ImageRequest", model: Model) -> Call:
        """The vendor's request, for generation or, with images, for editing. Never streamed.

        `request.n` is 1 where the model has the rule `single_candidate`. Asks for base64 wherever the vendor lets it.
        Raises UnsupportedFeature or InvalidRequest, naming `size` and the like, for what the vendor cannot express.
        """
        ...

    def image_response(self, body: Any) -> "ImageResponse":
        """The canonical response of a decoded JSON body.

        Raises ContentFiltered where the vendor refused, UpstreamRejected with the model's words where it answered
        without an image. May raise what `chat_response` may.
        """
        ...


@runtime_checkable
class ContentAdapter(Adapter, Protocol):
    """A vendor that speaks Gemini's generateContent."""

    def content(self, request: "ContentRequest", model: Model) -> Call:
        """The vendor's request. `candidate_count` is 1 where the model has the rule `single_candidate`."""
        ...

    def content_response(self, body: Any) -> "ContentResponse":
        """The response whole, blocked or not. May raise what `chat_response` may. `body` may be changed in place."""
        ...


@runtime_checkable
class EmbeddingAdapter(Adapter, Protocol):
    """A vendor with embedding models."""

    def embedding_batch(self, model: Model) -> int:
        """How many inputs one call may have."""
        ...

    def embedding(self, request: "EmbeddingRequest", model: Model) -> Call:
        """The vendor's request. Raises UnsupportedFeature, for token ids where only text is understood."""
        ...

    def embedding_response(self, body: Any) -> "EmbeddingResponse":
        """The canonical response of a decoded JSON body. May raise what `chat_response` may."""
        ...


@runtime_checkable
class TranscriptionAdapter(Adapter, Protocol):
    """A vendor with models that write speech down."""

    def transcription(self, request: "TranscriptionRequest", model: Model) -> Call:
        """The vendor's request; streamed when `request.stream`.

        Raises UnsupportedFeature for a format or a granularity that the vendor cannot give, naming the field.
        """
        ...

    def transcription_response(self, body: bytes, request: "TranscriptionRequest") -> "Transcript":
        """The transcript of a whole body, which need not be JSON. May raise what `chat_response` may."""
        ...

    def transcription_events(self, frames: AsyncIterator[Frame]) -> "AsyncGenerator[TranscriptEvent, None]":
        """The events of a streamed body; raises what `chat_events` may."""
        ...


@runtime_checkable
class SpeechAdapter(Adapter, Protocol):
    """A vendor with models that speak."""

    def speech(self, request: "SpeechRequest", model: Model) -> Call:
        """The vendor's request. Raises UnsupportedFeature for a format or a speed that the vendor cannot give."""
        ...

    def speech_audio(self, chunks: AsyncIterator[bytes], request: "SpeechRequest") -> AsyncGenerator[bytes, None]:
        """The audio in the format asked for, as it can be made from the chunks of the vendor's body.

        Raises a GatewayError for an error inside the body. May raise what `chat_response` may.
        """
        ...


@dataclass(frozen=True, slots=True)
class LocalAnswer:
    """What an in-process provider answers: `chunks` are body bytes, or pauses in seconds as floats."""

    chunks: Iterator[bytes | float]
    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)


@runtime_checkable
class InProcess(Protocol):
    """A provider that runs inside the gateway: the same bytes, but no network between."""

    def answer(self, path: str, body: bytes) -> LocalAnswer:
        """The answer to one request, deterministic in its arguments."""
        ...


def drawn_image(encoded: str) -> Inline:
    """An image that a vendor has made: in standard base64, of the type that its bytes show, whatever the vendor says.

    Raises ValueError for what is no image.
    """
    data = standard_base64(encoded)
    media_type = sniff(head_bytes(data))
    if media_type not in IMAGE_TYPES:
        raise ValueError("not an image")
    return Inline(media_type=media_type, data=data)


def retry_after_seconds(headers: Mapping[str, str]) -> int | None:
    """The Retry-After header in whole seconds, rounded up; None where it is missing or a date.

    OpenAI-style `retry-after-ms` is honoured too.
    """
    for name, per_second in (("retry-after-ms", 1000), ("retry-after", 1)):
        try:
            value = float(headers[name]) / per_second
        except (KeyError, ValueError):
            continue
        if 0 <= value < 86400:
            return max(1, int(-(-value // 1)))
    return None


def error_for_status(status: int, headers: Mapping[str, str], message: str | None) -> GatewayError:
    """The error that a vendor's status stands for; `message` is the vendor's, used only for the caller's own faults.

    401 and 403 are the operator's fault and say nothing to a caller.
    """
    retry_after = retry_after_seconds(headers)
    match status:
        case 429:
            return UpstreamRateLimited(
                "The provider's rate limit was reached.",
                retry_after=retry_after or DEFAULT_RETRY_AFTER,
            )
        case 408 | 504:
            return UpstreamTimeout("The provider timed out.")
        case 400 | 422:
            return UpstreamRejected(clean(message) or "The provider refused the request.")
        case 413:
            return PayloadTooLarge("The request is larger than the provider allows. Send images by URL, or fewer.")
        case 401 | 403:
            return UpstreamError("The provider refused the gateway's credentials.")
        case 404:
            return ModelNotFound("The provider does not know this model.")
        case _:
            return UpstreamError("The provider failed.", retry_after=retry_after)


def clean(message: str | None) -> str:
    """A vendor's message fit for a caller: one line, bounded, without URLs, addresses and what looks like a key."""
    return _PRIVATE.sub(REMOVED, " ".join((message or "")[:4000].split()))[:1000]


REMOVED = "[removed]"
_PRIVATE = re.compile(
    r"[a-z][a-z0-9+.-]{0,20}://\S*"
    r"|\b[\w-]+(\.[\w-]+){0,8}\.(internal|local|corp|lan)\b(:\d+)?"
    r"|\b\d{1,3}(\.\d{1,3}){3}\b(:\d+)?"
    r"|\b[0-9a-f]{1,4}(:[0-9a-f]{1,4})*::[0-9a-f:]*|\b([0-9a-f]{1,4}:){5,7}[0-9a-f]{1,4}\b"
    r"|\b(sk-|AIza|gsk_|xai-|hf_|AKIA|eyJ|Bearer )\S*",
    re.IGNORECASE,
)


def error_body(body: bytes) -> Any:
    """A vendor's error body as JSON, or None where it is something else."""
    try:
        return json.loads(body)
    except (ValueError, RecursionError):
        return None


def truncated() -> UpstreamError:
    """A stream that ended before it was complete."""
    return UpstreamError("The provider's stream ended before it was complete.")
