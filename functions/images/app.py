"""Image generation and editing in three dialects."""

from shared.web.app import create_app
from shared.web.images import content_route, image_form_route, image_route

app = create_app(
    image_route("/v1/images/generations", "openai.images.generation"),
    image_form_route("/v1/images/edits", "openai.images.edit"),
    content_route("/v1/image/generation/stable"),
    image_route("/v1/inference/images/generate", "envelope.images.generation"),
)
