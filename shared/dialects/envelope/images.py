"""Images in the envelope dialect: OpenAI's response inside `{"status", "data", "meta"}`."""

from typing import Any

from shared.dialects.base import JsonObject, read
from shared.dialects.envelope import enveloped
from shared.dialects.openai.images import ImageFields, ImagesOperation
from shared.schemas.context import RequestContext
from shared.schemas.image import ImageResponse


class EnvelopeImages(ImageFields):
    """The body of /v1/inference/images/generate."""

    metadata: dict[str, Any] | None = None


def generation(body: JsonObject) -> "_Enveloped":
    """/v1/inference/images/generate."""
    fields = read(EnvelopeImages, body)
    return _Enveloped(fields.canonical(), fields.response_format or "url")


class _Enveloped(ImagesOperation):
    def body(self, response: ImageResponse, context: RequestContext) -> JsonObject:
        return enveloped(super().body(response, context), context)
