"""The protocols of a dialect, and what all dialects use to parse requests and build responses."""

import os
from collections.abc import Mapping, Sequence
from dataclasses import field
from typing import TYPE_CHECKING, Annotated, Any, Protocol, TypeAlias, TypeVar

from pydantic import BaseModel, BeforeValidator, ConfigDict, ValidationError, model_validator
from pydantic_core import to_json

from shared import json_text
from shared.dataclass import dataclass
from shared.errors import FieldError, GatewayError, InvalidRequest, MalformedRequest, ValidationFailed
from shared.framing import sse_frame
from shared.json_text import TooComplex
from shared.schemas.context import Meter, RequestContext, RequestInfo
from shared.schemas.model import Model

if TYPE_CHECKING:  # a function loads the schemas of its own requests only
    from shared.schemas.batch import Batch, BatchOrder, BatchQuery, ResultUrls
    from shared.schemas.chat import ChatRequest, ChatResponse
    from shared.schemas.embedding import EmbeddingRequest, EmbeddingResponse
    from shared.schemas.events import ChatEvent
    from shared.schemas.image import Delivery, ImageRequest, ImageResponse
    from shared.schemas.transcription import Transcript, TranscriptEvent, TranscriptionRequest
    from shared.schemas.upload import Upload

JsonObject: TypeAlias = dict[str, Any]
_MAX_DETAILS = 20
_MAX_MODELS = 32
# Replacements for pydantic messages that would name one of our classes.
_WORDS = {"model_type": "Input should be an object", "missing": "is required"}


class Seal(Protocol):
    """Seals texts for the tenant of a request, who can neither read nor alter them."""

    def seal(self, text: str) -> str:
        """The text as a token."""
        ...

    def open(self, token: str) -> str | None:
        """The text of a token; None for one that is not the tenant's, or has been altered."""
        ...


@dataclass(frozen=True, slots=True)
class Defaults:
    """The operator's defaults for fields that a caller leaves out, and the seal of the caller's tenant.

    `seal` is None for dialects that seal nothing. `headers` are the request's, with names in lower case.
    """

    max_tokens: int
    thinking_tokens: int
    seal: Seal | None = None
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)


class Dialect(Protocol):
    """The format of errors and common headers on a dialect's routes."""

    keep_alive: bytes
    """What is sent in long silences of a stream."""

    def status(self, error: GatewayError) -> int:
        """The HTTP status of an error."""
        ...

    def error(self, error: GatewayError, request_id: str) -> JsonObject:
        """The body of an error."""
        ...

    def headers(self, request: RequestInfo, meter: Meter) -> Mapping[str, str]:
        """The dialect's own headers for every response."""
        ...


EventT = TypeVar("EventT", contravariant=True)


class Encoder(Protocol[EventT]):
    """Encodes one response's events as server-sent events."""

    def event(self, event: EventT) -> bytes:
        """The frames of an event; empty if the dialect does not show it."""
        ...

    def error(self, error: GatewayError) -> bytes:
        """The frames that end a stream which has failed after its first byte."""
        ...

    def end(self) -> bytes:
        """The frames that end a stream which is complete."""
        ...


StreamEncoder: TypeAlias = "Encoder[ChatEvent]"


class Operation(Protocol):
    """One parsed request: what to ask the gateway, and how to build the response."""

    @property
    def requests(self) -> "Sequence[ChatRequest]": ...

    def body(self, response: "ChatResponse", context: RequestContext) -> JsonObject:
        """The response in one piece."""
        ...

    def encoder(self, context: RequestContext) -> StreamEncoder:
        """The answer as a stream."""
        ...


class CountOperation(Protocol):
    """One parsed request whose input tokens are to be counted."""

    @property
    def request(self) -> "ChatRequest": ...

    def body(self, input_tokens: int) -> Mapping[str, Any]:
        """The answer."""
        ...


@dataclass(frozen=True, slots=True)
class Form:
    """A multipart body: the values of each field and the files of each name, in the order in which they came."""

    fields: dict[str, list[str]] = field(default_factory=dict)
    files: "dict[str, list[Upload]]" = field(default_factory=dict)

    def only(self, name: str) -> "Upload":
        """The one file of a name. Raises InvalidRequest where there is none, or more."""
        files = self.files.get(name, [])
        if name in self.fields:
            raise InvalidRequest.field(name, "must be a file, with a filename")
        if len(files) != 1:
            raise InvalidRequest.field(name, "is required" if not files else "must be one file")
        return files[0]


class ImageOperation(Protocol):
    """One parsed request for images; `delivery` is how they are returned, None for what is usual for the model."""

    @property
    def request(self) -> "ImageRequest": ...

    @property
    def delivery(self) -> "Delivery | None": ...

    def body(self, response: "ImageResponse", context: RequestContext) -> JsonObject:
        """The answer."""
        ...


class EmbeddingOperation(Protocol):
    """One parsed request for embeddings."""

    @property
    def request(self) -> "EmbeddingRequest": ...

    def body(self, response: "EmbeddingResponse", context: RequestContext) -> JsonObject:
        """The answer."""
        ...


class TranscriptionOperation(Protocol):
    """One parsed request for a transcript."""

    @property
    def request(self) -> "TranscriptionRequest": ...

    def body(self, transcript: "Transcript", context: RequestContext) -> JsonObject | tuple[str, str]:
        """The response body, or its media type and text if it is not JSON."""
        ...

    def encoder(self, context: RequestContext) -> "Encoder[TranscriptEvent]":
        """The answer as a stream."""
        ...


class ModelLister(Protocol):
    """Builds the list of models."""

    def __call__(self, models: Sequence[Model]) -> JsonObject: ...


class BatchWire(Protocol):
    """How a dialect's clients submit and read batches: the dialect's module `batches`."""

    WAY_AROUND: str
    """The advice in the error for an order that is too large."""
    SHOWS_RESULT_URLS: bool

    def order(self, body: JsonObject) -> "BatchOrder":
        """Parses an order. Raises InvalidRequest, and PayloadTooLarge."""
        ...

    def query(self, parameters: Mapping[str, str]) -> "BatchQuery":
        """Parses the query of a list. Raises InvalidRequest."""
        ...

    def batch_body(self, batch: "Batch", urls: "ResultUrls", context: RequestContext) -> JsonObject:
        """One batch."""
        ...

    def list_body(
        self, rows: "Sequence[tuple[Batch, ResultUrls]]", *, has_more: bool, context: RequestContext
    ) -> JsonObject:
        """A page of batches."""
        ...


class Wire(BaseModel):
    """The base of request bodies: unknown fields are ignored, null means absent, `true` is not a number."""

    model_config = ConfigDict(strict=True, extra="ignore", frozen=True, defer_build=True, allow_inf_nan=False)

    @model_validator(mode="before")
    @classmethod
    def _without_nulls(cls, value: Any) -> Any:
        if isinstance(value, dict):
            return {name: item for name, item in value.items() if item is not None}
        return value


class FormWire(Wire):
    """The base of multipart bodies, where numbers are text. An empty field counts as absent."""

    model_config = ConfigDict(strict=False)


def _refuse(value: Any) -> None:
    raise ValueError("is not supported")


# Known fields of an API that are not passed on: a request with the first is refused, the second have no effect on the
# answer. Declared, so that a test can tell them from those that nobody has thought of.
Unsupported: TypeAlias = Annotated[None, BeforeValidator(_refuse)]
Ignored: TypeAlias = Any

WireT = TypeVar("WireT", bound=Wire)
FormWireT = TypeVar("FormWireT", bound=FormWire)


def read(wire: type[WireT], body: JsonObject) -> WireT:
    """The body as a wire type. Raises ValidationFailed naming each invalid field."""
    try:
        return wire.model_validate(body)
    except ValidationError as error:
        found = error.errors(include_url=False, include_context=False, include_input=False)
        details = [
            FieldError(_path(item["loc"]), _WORDS.get(item["type"], item["msg"].removeprefix("Value error, ")))
            for item in found[:_MAX_DETAILS]
        ]
        raise ValidationFailed(f"{details[0].field}: {details[0].message}", details=details) from None


def read_form(wire: type[FormWireT], form: Form) -> FormWireT:
    """The form's fields as a wire type; the last value of a repeated field counts. Raises ValidationFailed.

    Lists and objects come as `name[]` and `name[key]`; the dialects read those that they have.
    """
    return read(wire, {name.partition("[")[0]: values[-1] for name, values in form.fields.items() if values[-1] != ""})


def take_models(body: JsonObject, *, with_fallbacks: bool = False) -> tuple[str, ...]:
    """Takes the list `models` out of a body and returns those to try after `model`; the first stands in for a missing
    one.

    With `with_fallbacks`, models may also be named as Anthropic does: `fallbacks: [{"model": ...}]`. Raises
    ValidationFailed.
    """
    named = _model_names("models", body.pop("models", None))
    if with_fallbacks:
        given = body.pop("fallbacks", None)
        if isinstance(given, list):
            given = [item.get("model") if isinstance(item, dict) else None for item in given]
        named += _model_names("fallbacks", given)
    if named and body.get("model") is None:
        body["model"] = named.pop(0)
    return tuple(named)


def take_form_models(form: Form) -> tuple[str, ...]:
    """The same for a multipart body, in which `models` is repeated or a list with commas."""
    values = [value for name in ("models", "models[]") for value in form.fields.pop(name, ())]
    listed = [name for value in values for part in value.split(",") if (name := part.strip())]
    body: JsonObject = {"models": listed or None, "model": "".join(form.fields.get("model", [])) or None}
    named = take_models(body)
    if body["model"] is not None:
        form.fields.setdefault("model", [body["model"]])
    return named


def _model_names(field: str, value: Any) -> list[str]:
    if value is None:
        return []
    if not isinstance(value, list) or not all(isinstance(name, str) and name for name in value):
        raise InvalidRequest.field(field, "must be a list of model ids")
    if not 1 <= len(value) <= _MAX_MODELS:
        raise InvalidRequest.field(field, f"must have 1 to {_MAX_MODELS} items")
    return list(value)


def _path(location: Sequence[int | str]) -> str:
    """The location as `messages[0].content[1].text`, without the names of our unions' branches."""
    path = ""
    for step in location:
        if isinstance(step, int):
            path += f"[{step}]"
        elif not step.startswith("<"):
            path += f".{step}" if path else step
    return path or "body"


def read_request(data: bytes) -> JsonObject:
    """A request body as a JSON object.

    Raises TooComplex for one that would take many times its size, MalformedRequest for anything else and for too deep
    nesting.
    """
    try:
        body = json_text.read(data)
    except TooComplex:
        raise
    except ValueError:
        raise MalformedRequest("The request body is not valid JSON.") from None
    if not isinstance(body, dict):
        raise MalformedRequest("The request body must be a JSON object.")
    return body


def new_id(prefix: str) -> str:
    return prefix + os.urandom(16).hex()


def data_frame(value: Any, event: str = "") -> bytes:
    """One server-sent event whose data is JSON."""
    return sse_frame(to_json(value), event)
