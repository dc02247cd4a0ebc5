"""The shape of a provider's test data for everything but chat: what goes over its wire, and what that means."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, TypeAlias

from tests.providers.wire import Failure

Operation: TypeAlias = Literal["images", "content", "embeddings", "transcription", "speech"]


@dataclass(frozen=True)
class FormFile:
    """A file in a multipart body."""

    filename: str
    media_type: str
    content: bytes


@dataclass(frozen=True)
class Sent:
    """A canonical request, and the call that the vendor must get for it: JSON, or a form's fields in their order."""

    request: Any  # `model` is a catalog id
    path: str  # the URL's path and query
    json: Any = None
    form: Sequence[tuple[str, str | FormFile]] | None = None


@dataclass(frozen=True)
class Answer:
    """A vendor's body for a request, and the canonical response that it means: bytes for speech."""

    request: Any
    body: bytes
    means: Any
    content_type: str = "application/json"


@dataclass(frozen=True)
class OperationWire:
    """One operation of one vendor.

    `failures` holds at least bad_request, bad_key, rate_limited (with Retry-After), server_error and html (a body that
    is not JSON); for images also moderated, a refusal by the vendor's content filter.
    """

    operation: Operation
    adapter: str
    env: Mapping[str, str]  # the variables that configure the provider, its base URL at https://vendor.test
    auth: tuple[str, str]  # header and value that carry the key
    sent: Mapping[str, Sent]
    answers: Mapping[str, Answer]
    failures: Mapping[str, Failure]
    validate_request: Callable[[Sent], object]  # raises when the call is not what the vendor's SDK types say
    validate_answer: Callable[[Answer], object]  # the same for a body, so that the test data itself is true
    # Requests that the vendor cannot express, and a word of the message that says so.
    refused: Mapping[str, tuple[Any, str]] = field(default_factory=dict)
