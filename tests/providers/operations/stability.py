"""What goes over Stability AI's wire: its forms and bodies as its OpenAPI document describes them.

There is no SDK to hold them against: the tables below are the facts of the OpenAPI document (as of 2026) behind
https://platform.stability.ai/docs/api-reference.
"""

import base64
import io
import json
from collections.abc import Callable, Mapping
from typing import Any

from PIL import Image as Picture

from shared.errors import (
    ContentFiltered,
    CredentialsRefused,
    InsufficientQuota,
    ModelNotFound,
    PayloadTooLarge,
    UpstreamError,
    UpstreamRateLimited,
    UpstreamRejected,
)
from shared.media import sniff
from shared.schemas.content import Inline
from shared.schemas.image import GeneratedImage, ImageRequest, ImageResponse, Size
from shared.schemas.upload import Upload
from shared.schemas.usage import Usage
from tests.providers.operation_wire import Answer, FormFile, OperationWire, Sent
from tests.providers.wire import Failure

CORE, ULTRA, LARGE = "stable-image-core-1.1", "stable-image-ultra", "sd3.5-large"
GENERATE_CORE = "/v2beta/stable-image/generate/core"
GENERATE_ULTRA = "/v2beta/stable-image/generate/ultra"
GENERATE_SD3 = "/v2beta/stable-image/generate/sd3"
INPAINT = "/v2beta/stable-image/edit/inpaint"

ERROR_ID = "2a1b2d4eafe2bc6ab4cd4d5c6133f513"


# --- the vendor's document

Check = Callable[[str | FormFile], bool]


def text(least: int, most: int) -> Check:
    return lambda value: isinstance(value, str) and least <= len(value) <= most


def one_of(*values: str) -> Check:
    return lambda value: value in values


def number(least: float, most: float) -> Check:
    return lambda value: isinstance(value, str) and least <= float(value) <= most


def picture(value: str | FormFile) -> bool:
    return (
        isinstance(value, FormFile)
        and value.media_type in ("image/jpeg", "image/png", "image/webp")
        and sniff(value.content) == value.media_type
    )


COMMON: Mapping[str, Check] = {
    "prompt": text(1, 10000),
    "negative_prompt": text(0, 10000),
    "seed": number(0, 4294967294),
    "output_format": one_of("png", "jpeg", "webp"),
    "style_preset": text(1, 100),
}
RATIO = one_of("21:9", "16:9", "3:2", "5:4", "1:1", "4:5", "2:3", "9:16", "9:21")
FIELDS: Mapping[str, Mapping[str, Check]] = {
    GENERATE_CORE: {**COMMON, "aspect_ratio": RATIO},
    GENERATE_ULTRA: {**COMMON, "aspect_ratio": RATIO, "image": picture, "strength": number(0, 1)},
    GENERATE_SD3: {
        **COMMON,
        "aspect_ratio": RATIO,
        "image": picture,
        "strength": number(0, 1),
        "mode": one_of("text-to-image", "image-to-image"),
        "model": one_of("sd3.5-large", "sd3.5-large-turbo", "sd3.5-medium"),
        "cfg_scale": number(1, 10),
    },
    INPAINT: {**COMMON, "image": picture, "mask": picture, "grow_mask": number(0, 100)},
}
REQUIRED = {
    GENERATE_CORE: {"prompt"},
    GENERATE_ULTRA: {"prompt"},
    GENERATE_SD3: {"prompt"},
    INPAINT: {"prompt", "image"},
}


def validate_request(sent: Sent) -> None:
    assert sent.json is None
    assert sent.form is not None
    fields = dict(sent.form)
    assert len(fields) == len(sent.form), "a field occurs twice"
    assert REQUIRED[sent.path] <= fields.keys()
    for name, value in fields.items():
        assert FIELDS[sent.path][name](value), f"{name}: {value!r}"
    if sent.path in (GENERATE_ULTRA, GENERATE_SD3):
        assert ("image" in fields) == ("strength" in fields), "strength goes with image"
    if sent.path == GENERATE_SD3:
        from_image = fields.get("mode") == "image-to-image"
        assert from_image == ("image" in fields)
        assert not (from_image and "aspect_ratio" in fields), "aspect_ratio is for text-to-image only"


def validate_answer(answer: Answer) -> None:
    body = json.loads(answer.body)
    assert body.keys() <= {"image", "seed", "finish_reason"}
    assert body["finish_reason"] in ("SUCCESS", "CONTENT_FILTERED")
    assert base64.b64decode(body["image"], validate=True)
    assert 0 <= body["seed"] <= 4294967294


# --- pictures


def drawn(mode: str, file_format: str, colour: Any = 0, **options: Any) -> bytes:
    """A picture of 64 by 64 pixels, the least that the vendor takes."""
    file = io.BytesIO()
    Picture.new(mode, (64, 64), colour).save(file, file_format, **options)
    return file.getvalue()


def upload(content: bytes, filename: str = "photo.png") -> Upload:
    media_type = sniff(content)
    assert media_type is not None
    return Upload(file=io.BytesIO(content), filename=filename, media_type=media_type, size=len(content))


PHOTO = drawn("RGB", "PNG", (200, 30, 30))
MASK = drawn("L", "PNG", 255)
OPENAI_MASK = drawn("RGBA", "PNG", (0, 0, 0, 0))
PHOTO_FILE = FormFile("photo.png", "image/png", PHOTO)


# --- bodies


def body(image: bytes, finish_reason: str = "SUCCESS") -> bytes:
    encoded = base64.b64encode(image).decode("ascii")
    return json.dumps({"image": encoded, "seed": 343940597, "finish_reason": finish_reason}).encode()


def error(name: str, *errors: str) -> bytes:
    return json.dumps({"id": ERROR_ID, "name": name, "errors": errors}).encode()


def means(image: bytes, media_type: str) -> ImageResponse:
    source = Inline(media_type=media_type, data=base64.b64encode(image).decode("ascii"))
    return ImageResponse(images=(GeneratedImage(source),), usage=Usage(images=1))


JPEG = drawn("RGB", "JPEG")
WEBP = drawn("RGB", "WEBP")
CAT = ImageRequest(model=CORE, prompt="cat")

images = OperationWire(
    operation="images",
    adapter="stability",
    env={"STABILITY_API_KEY": "sk-stability", "STABILITY_BASE_URL": "https://vendor.test"},
    auth=("authorization", "Bearer sk-stability"),
    sent={
        "minimal": Sent(CAT, GENERATE_CORE, form=[("prompt", "cat")]),
        "seed_003": Sent(
            ImageRequest(model=CORE, prompt="cat", style="vivid"), GENERATE_CORE, form=[("prompt", "cat")]
        ),
        "everything": Sent(
            ImageRequest(
                model=CORE,
                prompt="a café at dusk",
                size=Size(1792, 1024),
                quality="hd",
                style="natural",
                background="transparent",
                output_format="webp",
                output_compression=80,
                moderation="low",
                input_fidelity="high",
                seed=7,
                user="user-1",
            ),
            GENERATE_CORE,
            form=[
                ("prompt", "a café at dusk"),
                ("aspect_ratio", "16:9"),
                ("seed", "7"),
                ("output_format", "webp"),
            ],
        ),
        "ultra": Sent(
            ImageRequest(model=ULTRA, prompt="cat", size=Size(1024, 1536), output_format="jpeg"),
            GENERATE_ULTRA,
            form=[("prompt", "cat"), ("aspect_ratio", "2:3"), ("output_format", "jpeg")],
        ),
        "sd3": Sent(
            ImageRequest(model=LARGE, prompt="cat", size=Size(1024, 1024)),
            GENERATE_SD3,
            form=[("prompt", "cat"), ("model", "sd3.5-large"), ("aspect_ratio", "1:1")],
        ),
        "edit_sd3": Sent(
            ImageRequest(model=LARGE, prompt="make it blue", images=(upload(PHOTO),), seed=7, output_format="png"),
            GENERATE_SD3,
            form=[
                ("prompt", "make it blue"),
                ("model", "sd3.5-large"),
                ("mode", "image-to-image"),
                ("image", PHOTO_FILE),
                ("strength", "0.7"),
                ("seed", "7"),
                ("output_format", "png"),
            ],
        ),
        "edit_ultra": Sent(
            ImageRequest(model=ULTRA, prompt="make it blue", images=(upload(PHOTO),), size=Size(1536, 1024)),
            GENERATE_ULTRA,
            form=[
                ("prompt", "make it blue"),
                ("image", PHOTO_FILE),
                ("strength", "0.7"),
                ("aspect_ratio", "3:2"),
            ],
        ),
        "inpaint": Sent(
            ImageRequest(
                model=ULTRA,
                prompt="black glasses",
                images=(upload(PHOTO),),
                mask=upload(MASK, "mask.png"),
                seed=7,
                output_format="webp",
            ),
            INPAINT,
            form=[
                ("prompt", "black glasses"),
                ("image", PHOTO_FILE),
                ("mask", FormFile("mask.png", "image/png", MASK)),
                ("seed", "7"),
                ("output_format", "webp"),
            ],
        ),
    },
    answers={
        "png": Answer(CAT, body(PHOTO), means(PHOTO, "image/png")),
        "jpeg": Answer(CAT, body(JPEG), means(JPEG, "image/jpeg"), "application/json; type=image/jpeg"),
        "webp": Answer(CAT, body(WEBP), means(WEBP, "image/webp"), "application/json; type=image/webp"),
    },
    failures={
        "bad_request": Failure(
            400, error("bad_request", "prompt: is required", "seed: too large"), UpstreamRejected, message="prompt: is"
        ),
        "bad_key": Failure(
            401,
            error("unauthorized", "authorization: invalid or missing header value"),
            CredentialsRefused,
            secret="header",
        ),
        "no_permission": Failure(
            403, error("permission_denied", "no access to it"), CredentialsRefused, secret="access"
        ),
        "no_credits": Failure(
            402,
            error("payment_required", "You lack sufficient credits. Buy more at https://platform.stability.ai/account"),
            InsufficientQuota,
            secret="credits",
        ),
        "moderated": Failure(
            403,
            error("content_moderation", "Your request was flagged by our content moderation system."),
            ContentFiltered,
            message="flagged",
        ),
        "public_figure": Failure(
            422,
            error("public_figure", "Our system detected the likeness of a public figure in your image."),
            ContentFiltered,
            message="public figure",
        ),
        "language": Failure(
            422,
            error("invalid_language", "English is the only supported language for this service."),
            UpstreamRejected,
            message="English",
        ),
        "unknown_model": Failure(404, error("not_found", "no such path"), ModelNotFound),
        "too_large": Failure(
            413,
            error("payload_too_large", "body: payloads cannot be larger than 10MiB in size"),
            PayloadTooLarge,
            message="10 MiB",
        ),
        "rate_limited": Failure(
            429,
            error("rate_limit_exceeded", "You have been timed out for 60 seconds."),
            UpstreamRateLimited,
            {"retry-after": "17"},
            retry_after=17,
        ),
        "rate_limited_without_retry_after": Failure(
            429, error("rate_limit_exceeded", "You have been timed out."), UpstreamRateLimited, retry_after=60
        ),
        "server_error": Failure(
            500,
            error("internal_error", "An unexpected server error has occurred, please try again later."),
            UpstreamError,
            secret="unexpected",
        ),
        "html": Failure(503, b"<html><body>Service Unavailable</body></html>", UpstreamError, secret="html"),
        "html_403": Failure(403, b"<html><body>Just a moment</body></html>", CredentialsRefused, secret="moment"),
    },
    validate_request=validate_request,
    validate_answer=validate_answer,
    refused={
        "size": (ImageRequest(model=CORE, prompt="cat", size=Size(1000, 750)), "size"),
        "size_of_an_edit": (
            ImageRequest(model=LARGE, prompt="cat", images=(upload(PHOTO),), size=Size(1024, 1024)),
            "size",
        ),
        "several_images": (ImageRequest(model=LARGE, prompt="cat", images=(upload(PHOTO), upload(PHOTO))), "image"),
        "transparent_webp_mask": (
            ImageRequest(model=LARGE, prompt="cat", images=(upload(PHOTO),), mask=upload(drawn("RGBA", "WEBP"))),
            "mask",
        ),
        "damaged_mask": (
            ImageRequest(model=LARGE, prompt="cat", images=(upload(PHOTO),), mask=upload(OPENAI_MASK[:-20])),
            "mask",
        ),
    },
)

wires: list[OperationWire] = [images]
