"""What an adapter is: protocols that say what a vendor can do, and the pieces that most adapters share."""

import json
import re
from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import field
from typing import TYPE_CHECKING, Any, Protocol, TypeAlias, TypeVar, runtime_checkable

from shared.dataclass import dataclass
from shared.errors import (
    ContextTooLong,
    CredentialsRefused,
    FieldError,
    GatewayError,
    InsufficientQuota,
    ModelNotFound,
    PayloadTooLarge,
    UnsupportedFeature,
    UpstreamError,
    UpstreamIncomplete,
    UpstreamOverloaded,
    UpstreamRateLimited,
    UpstreamRejected,
    UpstreamTimeout,
)
from shared.framing import Frame
from shared.media import IMAGE_TYPES, head_bytes, sniff, standard_base64
from shared.schemas.content import Inline
from shared.schemas.model import Model
from shared.schemas.usage import Usage

if TYPE_CHECKING:  # a function loads the schemas of its own requests only
    import httpx

    from shared.schemas.chat import ChatRequest
    from shared.schemas.compaction import Compaction
    from shared.schemas.embedding import EmbeddingRequest, EmbeddingResponse
    from shared.schemas.events import ChatEvent
    from shared.schemas.generated_content import ContentRequest, ContentResponse
    from shared.schemas.image import ImageRequest, ImageResponse
    from shared.schemas.original import WireFormat
    from shared.schemas.speech import SpeechRequest
    from shared.schemas.token_count import TokenCount
    from shared.schemas.transcription import TranscriptEvent, TranscriptionRequest
    from shared.schemas.upload import Upload
    from shared.sigv4 import Signer

DEFAULT_RETRY_AFTER = 5

SignerSource: TypeAlias = "Callable[[str], Awaitable[Signer]]"
"""Gives what signs a call of an AWS service that is made now. Raises CredentialsRefused where there are none."""

RequestT_contra = TypeVar("RequestT_contra", contravariant=True)
ResponseT_co = TypeVar("ResponseT_co", covariant=True)
EventT_co = TypeVar("EventT_co", covariant=True)


@dataclass(frozen=True, slots=True)
class Call:
    """One HTTP request to a vendor: `path` is appended to the provider's base URL.

    The body is `json`, or multipart/form-data of the fields and files in `form` where there is one. A field may occur
    several times. `streamed` says that a successful answer comes in frames.
    """

    path: str
    json: Any = field(default=None, repr=False)
    form: "Sequence[tuple[str, str | Upload]] | None" = field(default=None, repr=False)
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    method: str = "POST"
    streamed: bool = False


class FrameDecoder(Protocol):
    """Cuts one streamed body into frames, however its bytes are split."""

    def feed(self, chunk: bytes) -> Iterable[Frame]:
        """The frames that `chunk` completes. Raises UpstreamError for a body that is not framed as it should be."""
        ...


class Vendor(Protocol):
    """What the operations of one vendor share: `vendor` in `shared/providers/<name>/vendor.py`."""

    @property
    def name(self) -> str:
        """The folder's name; also the `issuer` of the signatures that the vendor's models give out."""
        ...

    def auth(self, api_key: str | None) -> "httpx.Auth | None":
        """Authenticates each request: sets headers, or signs. A key never goes into a URL."""
        ...

    def frames(self) -> FrameDecoder:
        """A decoder for one streamed body."""
        ...

    def error(self, status: int, headers: Mapping[str, str], body: bytes) -> GatewayError:
        """What a response with a status of 400 or more means to our caller."""
        ...


@runtime_checkable
class SigningVendor(Protocol):
    """A vendor whose requests are signed with AWS credentials where no key is configured."""

    def signature(self, signer: SignerSource) -> "httpx.Auth":
        """Signs each request."""
        ...


class Adapter(Protocol[RequestT_contra]):
    """One operation of one vendor: `adapter` in `shared/providers/<name>/<operation>.py`."""

    @property
    def vendor(self) -> Vendor: ...

    def call(self, request: RequestT_contra, model: Model) -> Call:
        """The vendor's request.

        Raises UnsupportedFeature or InvalidRequest, naming the field, for what the vendor cannot express.
        """
        ...


class ResponseAdapter(Adapter[RequestT_contra], Protocol[RequestT_contra, ResponseT_co]):
    """An operation that is answered in one piece of JSON."""

    def response(self, body: Any) -> ResponseT_co:
        """The canonical response of a decoded JSON body, which may be changed in place.

        Raises ContentFiltered where the vendor refused, UpstreamRejected with the model's words where it answered
        something else than was asked for, and the GatewayError of an error sent with status 200. May raise any of
        KeyError, TypeError, ValueError, IndexError or AttributeError on a body that is not in the vendor's format:
        the gateway answers 502.
        """
        ...


@runtime_checkable
class HeaderMetered(Protocol):
    """An operation whose vendor tells what a call has used in the headers of the answer, where the body does not."""

    def usage_in(self, headers: Mapping[str, str]) -> Usage:
        """The usage in the headers; zero where they do not tell."""
        ...


class Reader(Protocol[EventT_co]):
    """Reads one answer, whole or frame by frame, into the same events. Raises what `ResponseAdapter.response` may."""

    @property
    def done(self) -> bool:
        """Whether the vendor has said that the stream is complete, so that nothing more needs to be read."""
        ...

    def body(self, body: bytes) -> Iterable[EventT_co]:
        """All events of a whole body."""
        ...

    def frame(self, frame: Frame) -> Iterable[EventT_co]:
        """The events of the next frame of a streamed body, each as soon as it is known."""
        ...

    def end(self) -> Iterable[EventT_co]:
        """The last events, when the streamed body has ended. Raises UpstreamError when it is incomplete."""
        ...


class EventAdapter(Adapter[RequestT_contra], Protocol[RequestT_contra, EventT_co]):
    """An operation that is answered in events. Its calls say by `Call.streamed` in which form the answer comes."""

    def frames(self) -> FrameDecoder:
        """A decoder for one streamed body of this operation: usually the vendor's."""
        ...

    def reader(self, request: RequestT_contra) -> Reader[EventT_co]:
        """A reader for the answer to one request."""
        ...


class WireAdapter(EventAdapter[RequestT_contra, EventT_co], Protocol[RequestT_contra, EventT_co]):
    """An operation whose requests may have an `original`.

    An adapter of the same wire format sends it as it came, as far as the gateway has not changed the request, and emits
    an OriginalEvent for each event of the response.
    """

    def wire(self, model: Model) -> "WireFormat | None":
        """The dialect's wire format that the model's API has; None for any other."""
        ...


class BatchingAdapter(ResponseAdapter[RequestT_contra, ResponseT_co], Protocol[RequestT_contra, ResponseT_co]):
    """An operation of which one call takes several inputs."""

    def batch_size(self, model: Model) -> int:
        """How many inputs one call may have."""
        ...


class CountingAdapter(ResponseAdapter[RequestT_contra, ResponseT_co], Protocol[RequestT_contra, ResponseT_co]):
    """The count of what a request would send."""

    def counts(self, model: Model) -> bool:
        """Whether the vendor counts for this model."""
        ...


TranscriptionAdapter: TypeAlias = "EventAdapter[TranscriptionRequest, TranscriptEvent]"
SpeechAdapter: TypeAlias = "EventAdapter[SpeechRequest, bytes]"
ChatAdapter: TypeAlias = "WireAdapter[ChatRequest, ChatEvent]"
ImageAdapter: TypeAlias = "ResponseAdapter[ImageRequest, ImageResponse]"
TokenCountAdapter: TypeAlias = "CountingAdapter[ChatRequest, TokenCount]"
CompactionAdapter: TypeAlias = "ResponseAdapter[ChatRequest, Compaction]"
ContentAdapter: TypeAlias = "ResponseAdapter[ContentRequest, ContentResponse]"
EmbeddingAdapter: TypeAlias = "BatchingAdapter[EmbeddingRequest, EmbeddingResponse]"


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


def unsupported(field: str, message: str) -> UnsupportedFeature:
    """The error for a request field that the model does not support."""
    return UnsupportedFeature(f"{field}: {message}", details=[FieldError(field, message)])


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


def error_for_status(
    status: int, headers: Mapping[str, str], message: str | None, *, code: str | None = None, param: str | None = None
) -> GatewayError:
    """The error that a vendor's status and words stand for.

    `message`, `code` and `param` are the vendor's, and reach a caller for faults of their own only: 401 and 403 are the
    operator's and say nothing.
    """
    from shared.providers.error_words import says_context_overflow, says_no_credit, says_overloaded

    retry_after = retry_after_seconds(headers)
    words = clean(message)
    # Together answers 403 to a request that is too long.
    if status in (400, 403, 413, 422) and (code == ContextTooLong.code or says_context_overflow(message)):
        return ContextTooLong(words or "The request is longer than the model's context.", param=_field_name(param))
    # OpenRouter sends Retry-After with a 402 for what its running requests have reserved.
    if (status == 402 and retry_after is None) or (status in (403, 412, 429) and says_no_credit(message)):
        return no_credit()
    if status in (498, 529) or (status >= 500 and says_overloaded(message)):  # 498: Groq
        return overloaded(retry_after)
    match status:
        case 402 | 429:
            return UpstreamRateLimited(
                "The provider's rate limit was reached.",
                retry_after=retry_after or DEFAULT_RETRY_AFTER,
            )
        case 408 | 504:
            return UpstreamTimeout("The provider timed out.")
        case 400 | 422:
            return UpstreamRejected(
                words or "The provider refused the request.", vendor_code=_public_code(code), param=_field_name(param)
            )
        case 413:
            return PayloadTooLarge("The request is larger than the provider allows. Send images by URL, or fewer.")
        case 401 | 403:
            return CredentialsRefused("The provider refused the gateway's credentials.")
        case 404:
            return ModelNotFound("The provider does not know this model.")
        case _:
            return UpstreamError("The provider failed.", retry_after=retry_after)


def no_credit() -> InsufficientQuota:
    """The operator's account with the vendor has no credit left."""
    return InsufficientQuota("The gateway's account with the provider has no credit or quota left.")


def overloaded(retry_after: int | None = None) -> UpstreamOverloaded:
    """The vendor has no capacity at the moment."""
    return UpstreamOverloaded("The provider is overloaded.", retry_after=retry_after or DEFAULT_RETRY_AFTER)


def _public_code(code: str | None) -> str | None:
    """A vendor's code if it is one of those that OpenAI's clients compare, and says more than its status."""
    return code if code is not None and _CODE.fullmatch(code) and code not in _VAGUE_CODES else None


def _field_name(param: str | None) -> str | None:
    return param if param is not None and _FIELD.fullmatch(param) and clean(param) == param else None


_CODE = re.compile(r"[a-z][a-z0-9_]{1,63}")
_VAGUE_CODES = frozenset({"bad_request", "error", "invalid_request", "invalid_request_error"})
_FIELD = re.compile(r"[A-Za-z0-9_.\[\]-]{1,200}")


def clean(message: str | None) -> str:
    """A vendor's message fit for a caller: one line, bounded, without URLs, addresses and what looks like a key."""
    return re.sub(_PRIVATE, REMOVED, " ".join((message or "")[:4000].split()), flags=re.IGNORECASE)[:1000]


REMOVED = "[removed]"
# Every repetition is bounded, or begins where nothing can have begun it before: a search takes time in proportion to
# the message, whatever a vendor puts into it.
_PRIVATE = (  # compiled when a message first needs it: that takes milliseconds
    r"[a-z][a-z0-9+.-]{0,20}://\S*"
    r"|(?<![\w-])(?:[\w-]++\.){1,9}(?:internal|local|corp|lan)\b(:\d+)?"
    r"|\b\d{1,3}(\.\d{1,3}){3}\b(:\d+)?"
    r"|\b[0-9a-f]{1,4}(:[0-9a-f]{1,4}){0,7}+::[0-9a-f:]*|\b([0-9a-f]{1,4}:){5,7}[0-9a-f]{1,4}\b"
    r"|\b(sk-|AIza|gsk_|xai-|hf_|AKIA|eyJ|Bearer )\S*"
)


def error_body(body: bytes) -> Any:
    """A vendor's error body as JSON, or None where it is something else."""
    try:
        return json.loads(body)
    except (ValueError, RecursionError):
        return None


def truncated() -> UpstreamIncomplete:
    """A stream that ended before it was complete."""
    return UpstreamIncomplete("The provider's stream ended before it was complete.")
