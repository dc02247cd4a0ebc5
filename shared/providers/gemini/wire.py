"""What the calls of Gemini's API share: where they go, how media is sent, and what sets its model generations apart."""

from urllib.parse import quote

from shared.errors import FieldError, UnsupportedFeature
from shared.providers.base import Call
from shared.schemas.chat import JsonObject
from shared.schemas.model import Model

# The adapter's name, which its signatures carry as their issuer.
NAME = "gemini"


def generate(body: JsonObject, model: Model, *, stream: bool = False) -> Call:
    """A call of https://ai.google.dev/api/generate-content, which answers everything but embeddings."""
    return call(body, model, "streamGenerateContent?alt=sse" if stream else "generateContent")


def call(body: JsonObject, model: Model, method: str) -> Call:
    return Call(f"/v1beta/models/{quote(model.upstream, safe='')}:{method}", body)


def given(config: JsonObject) -> JsonObject:
    """The settings that have a value."""
    return {name: value for name, value in config.items() if value is not None}


def int32(seed: int | None) -> int | None:
    """The seed in the 32 bits that the field has; one that fits is not changed, equal ones stay equal."""
    return None if seed is None else (seed + 2**31) % 2**32 - 2**31


def inline(media_type: str, data: str) -> JsonObject:
    """A part of media; `data` is standard base64."""
    return {"inlineData": {"mimeType": media_type, "data": data}}


def is_gemini_3(model: Model) -> bool:
    """The generation that thinks by levels also checks signatures and takes media in tool results, JSON with tools."""
    return "thinking_level" in model.quirks


def unsupported(field: str, message: str) -> UnsupportedFeature:
    return UnsupportedFeature(f"{field}: {message}", details=[FieldError(field, message)])
