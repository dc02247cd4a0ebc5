"""What the requests of Gemini's operations have in common: paths, media parts and number ranges."""

from urllib.parse import quote

from shared.providers.base import Call
from shared.schemas.chat import JsonObject
from shared.schemas.model import Model


def generate_content(body: JsonObject, model: Model, *, stream: bool = False) -> Call:
    """A call of generateContent or its streaming form, which serve every operation but embeddings:
    https://ai.google.dev/api/generate-content.
    """
    method = "streamGenerateContent?alt=sse" if stream else "generateContent"
    return Call(method_path(model, method), body, streamed=stream)


def method_path(model: Model, method: str) -> str:
    """The path of a method of the upstream model."""
    return f"/v1beta/models/{quote(model.upstream, safe='')}:{method}"


def without_none(config: JsonObject) -> JsonObject:
    """The settings that have a value."""
    return {name: value for name, value in config.items() if value is not None}


def int32(seed: int | None) -> int | None:
    """The seed wrapped into the signed 32 bits of Gemini's field. A seed within that range is unchanged."""
    return None if seed is None else (seed + 2**31) % 2**32 - 2**31


def inline_data(media_type: str, data: str) -> JsonObject:
    """A media part; `data` is standard base64."""
    return {"inlineData": {"mimeType": media_type, "data": data}}


def is_gemini_3(model: Model) -> bool:
    """Whether the model is of the generation whose thinking is set by level.

    It also requires thought signatures, accepts media in tool results, and combines JSON output with tools.
    """
    return "thinking_level" in model.quirks
