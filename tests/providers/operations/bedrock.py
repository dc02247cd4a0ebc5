"""What goes over Bedrock's wire by InvokeModel, whose bodies are the models' own.

There is no SDK to hold them against: the tables below are the facts of AWS's documentation, as of 2026:
https://docs.aws.amazon.com/bedrock/latest/userguide/model-parameters-titan-embed-text.html, …/model-parameters-embed-v4
(and -v3), …/model-parameters-stability-diffusion, …/stable-image-services and
https://docs.aws.amazon.com/nova/latest/userguide/embeddings-schema.html.
"""

import json
from array import array
from base64 import b64decode, b64encode
from collections.abc import Callable, Mapping
from typing import Any

from shared.errors import (
    ContentFiltered,
    UpstreamError,
)
from shared.media import sniff
from shared.schemas.content import Inline
from shared.schemas.embedding import EmbeddingRequest, EmbeddingResponse
from shared.schemas.image import GeneratedImage, ImageRequest, ImageResponse, Size
from shared.schemas.usage import Usage
from tests.providers.operation_wire import Answer, OperationWire, Sent
from tests.providers.operations.stability import MASK, OPENAI_MASK, PHOTO, drawn, upload
from tests.providers.wire import Failure
from tests.providers.wires.bedrock import ENVIRONMENT, FAILURES

TITAN, NOVA = "amazon.titan-embed-text-v2:0", "amazon.nova-2-multimodal-embeddings-v1:0"
COHERE, COHERE_3 = "cohere.embed-v4:0", "cohere.embed-multilingual-v3"
CORE, ULTRA = "stability.stable-image-core-v1:1", "stability.stable-image-ultra-v1:1"
LARGE, INPAINT = "stability.sd3-5-large-v1:0", "stability.stable-image-inpaint-v1:0"


def path(upstream: str) -> str:
    return f"/model/{upstream.replace(':', '%3A')}/invoke"


# --- the documentation ------------------------------------------------------------------------------------------------

Check = Callable[[Any], bool]


def text(value: Any) -> bool:
    return isinstance(value, str) and value != ""


def one_of(*values: Any) -> Check:
    return lambda value: value in values


def number(least: float, most: float) -> Check:
    return lambda value: isinstance(value, int | float) and least <= value <= most


def picture(value: Any) -> bool:
    return sniff(b64decode(value, validate=True)) in ("image/jpeg", "image/png", "image/webp")


def texts(value: Any) -> bool:
    return isinstance(value, list) and 1 <= len(value) <= 96 and all(map(text, value))


def nova(value: Any) -> bool:
    return (
        value.keys() <= {"embeddingPurpose", "embeddingDimension", "text"}
        and value["embeddingPurpose"] == "GENERIC_INDEX"
        and value["embeddingDimension"] in (256, 384, 1024, 3072)
        and value["text"].keys() == {"truncationMode", "value"}
        and value["text"]["truncationMode"] in ("START", "END", "NONE")
    )


RATIO = one_of("16:9", "1:1", "21:9", "2:3", "3:2", "4:5", "5:4", "9:16", "9:21")
DRAWN: Mapping[str, Check] = {
    "prompt": text,
    "seed": number(0, 4294967294),
    "output_format": one_of("png", "jpeg", "webp"),
}
FIELDS: Mapping[str, Mapping[str, Check]] = {
    path(TITAN): {"inputText": text, "dimensions": one_of(256, 512, 1024), "normalize": one_of(True, False)},
    path(NOVA): {"taskType": one_of("SINGLE_EMBEDDING"), "singleEmbeddingParams": nova},
    path("global.cohere.embed-v4:0"): {
        "texts": texts,
        "input_type": one_of("search_document", "search_query", "classification", "clustering"),
        "embedding_types": one_of(["float"]),
        "output_dimension": one_of(256, 512, 1024, 1536),
    },
    path(COHERE_3): {
        "texts": texts,
        "input_type": one_of("search_document", "search_query", "classification", "clustering"),
        "embedding_types": one_of(["float"]),
    },
    path(CORE): {**DRAWN, "aspect_ratio": RATIO},
    path(ULTRA): {**DRAWN, "aspect_ratio": RATIO, "image": picture, "strength": number(0, 1)},
    path(LARGE): {
        **DRAWN,
        "aspect_ratio": RATIO,
        "image": picture,
        "strength": number(0, 1),
        "mode": one_of("image-to-image", "text-to-image"),
    },
    path("us." + INPAINT): {**DRAWN, "image": picture, "mask": picture, "grow_mask": number(0, 20)},
}
REQUIRED = {
    path(TITAN): {"inputText"},
    path(NOVA): {"taskType", "singleEmbeddingParams"},
    path("global.cohere.embed-v4:0"): {"texts", "input_type"},
    path(COHERE_3): {"texts", "input_type"},
    path(CORE): {"prompt"},
    path(ULTRA): {"prompt"},
    path(LARGE): {"prompt"},
    path("us." + INPAINT): {"prompt", "image"},
}


def validate_request(sent: Sent) -> None:
    assert sent.form is None
    assert REQUIRED[sent.path] <= sent.json.keys()
    for name, value in sent.json.items():
        assert FIELDS[sent.path][name](value), f"{name}: {value!r}"
    if sent.path == path(LARGE):
        assert ("image" in sent.json) == ("strength" in sent.json) == (sent.json.get("mode") == "image-to-image")


# --- embeddings -------------------------------------------------------------------------------------------------------

HELLO, WORLD = [0.5, -0.25, 0.125], [1.0, 0.0, -1.0]


def asked(model: str, *inputs: Any, dimensions: int | None = None) -> EmbeddingRequest:
    return EmbeddingRequest(model, inputs or ("hello",), dimensions=dimensions)


def means(*vectors: list[float], tokens: int) -> EmbeddingResponse:
    return EmbeddingResponse(tuple(array("f", vector) for vector in vectors), Usage(input_tokens=tokens))


def validate_vectors(answer: Answer) -> None:
    body = json.loads(answer.body)
    assert body.keys() in (
        {"embedding", "inputTextTokenCount", "embeddingsByType"},
        {"embeddings", "inputTokenCount"},
        {"id", "embeddings", "response_type", "texts"},
    )


TITAN_BODY = {"embedding": HELLO, "inputTextTokenCount": 3, "embeddingsByType": {"float": HELLO}}
COHERE_BODY = {
    "id": "0eb0d6e4-2b8a-4d5c-8b4a-1f6f5c1c7a1b",
    "embeddings": {"float": [HELLO, WORLD]},
    "response_type": "embeddings_by_type",
    "texts": ["hello", "world"],
}
NOVA_BODY = {"embeddings": [{"embeddingType": "TEXT", "embedding": HELLO}], "inputTokenCount": 4}

embeddings = OperationWire(
    operation="embeddings",
    adapter="bedrock",
    env=ENVIRONMENT,
    auth=("", ""),
    sent={
        "titan": Sent(asked(TITAN), path(TITAN), json={"inputText": "hello"}),
        "titan_dimensions": Sent(
            asked(TITAN, dimensions=256), path(TITAN), json={"inputText": "hello", "dimensions": 256}
        ),
        "nova": Sent(
            asked(NOVA),
            path(NOVA),
            json={
                "taskType": "SINGLE_EMBEDDING",
                "singleEmbeddingParams": {
                    "embeddingPurpose": "GENERIC_INDEX",
                    "embeddingDimension": 3072,
                    "text": {"truncationMode": "NONE", "value": "hello"},
                },
            },
        ),
        "cohere": Sent(
            asked(COHERE, "hello", "world", dimensions=512),
            path("global.cohere.embed-v4:0"),
            json={
                "texts": ["hello", "world"],
                "input_type": "search_document",
                "embedding_types": ["float"],
                "output_dimension": 512,
            },
        ),
        "cohere_3": Sent(
            asked(COHERE_3, "hello"),
            path(COHERE_3),
            json={"texts": ["hello"], "input_type": "search_document", "embedding_types": ["float"]},
        ),
    },
    answers={
        "titan": Answer(asked(TITAN), json.dumps(TITAN_BODY).encode(), means(HELLO, tokens=3)),
        "nova": Answer(asked(NOVA), json.dumps(NOVA_BODY).encode(), means(HELLO, tokens=4)),
        # Without the header that tells its tokens, they are estimated.
        "cohere": Answer(
            asked(COHERE, "hello", "world"), json.dumps(COHERE_BODY).encode(), means(HELLO, WORLD, tokens=4)
        ),
    },
    failures=FAILURES,
    validate_request=validate_request,
    validate_answer=validate_vectors,
    refused={
        "token_ids": (asked(TITAN, (1, 2, 3)), "token ids"),
        "dimensions": (asked(COHERE_3, "hello", dimensions=256), "fixed length"),
    },
)


# --- images -----------------------------------------------------------------------------------------------------------


def body(*images: bytes, reason: str | None = None) -> bytes:
    encoded = [b64encode(image).decode("ascii") for image in images]
    return json.dumps({"seeds": [2130420379], "finish_reasons": [reason], "images": encoded}).encode()


def validate_picture(answer: Answer) -> None:
    assert json.loads(answer.body).keys() == {"seeds", "finish_reasons", "images"}


def shows(image: bytes, media_type: str) -> ImageResponse:
    source = Inline(media_type=media_type, data=b64encode(image).decode("ascii"))
    return ImageResponse(images=(GeneratedImage(source),), usage=Usage(images=1))


PHOTO_SENT, MASK_SENT = b64encode(PHOTO).decode(), b64encode(MASK).decode()
CAT = ImageRequest(model=CORE, prompt="cat")
JPEG = drawn("RGB", "JPEG")
FILTERED = json.dumps({"finish_reasons": ["Filter reason: prompt"]}).encode()

images = OperationWire(
    operation="images",
    adapter="bedrock",
    env=ENVIRONMENT,
    auth=("", ""),
    sent={
        "minimal": Sent(CAT, path(CORE), json={"prompt": "cat"}),
        "everything": Sent(
            ImageRequest(
                model=CORE,
                prompt="a café at dusk",
                size=Size(1792, 1024),
                quality="hd",
                style="natural",
                background="transparent",
                output_format="jpeg",
                output_compression=80,
                moderation="low",
                seed=7,
                user="user-1",
            ),
            path(CORE),
            json={"prompt": "a café at dusk", "aspect_ratio": "16:9", "seed": 7, "output_format": "jpeg"},
        ),
        "sd3": Sent(ImageRequest(model=LARGE, prompt="cat"), path(LARGE), json={"prompt": "cat"}),
        "edit_ultra": Sent(
            ImageRequest(model=ULTRA, prompt="make it blue", images=(upload(PHOTO),)),
            path(ULTRA),
            json={"prompt": "make it blue", "image": PHOTO_SENT, "strength": 0.7},
        ),
        "edit_sd3": Sent(
            ImageRequest(model=LARGE, prompt="make it blue", images=(upload(PHOTO),), seed=0),
            path(LARGE),
            json={
                "prompt": "make it blue",
                "image": PHOTO_SENT,
                "strength": 0.7,
                "mode": "image-to-image",
                "seed": 4294967294,
            },
        ),
        "inpaint": Sent(
            ImageRequest(
                model=INPAINT, prompt="glasses", images=(upload(PHOTO),), mask=upload(MASK), output_format="png"
            ),
            path("us." + INPAINT),
            json={"prompt": "glasses", "image": PHOTO_SENT, "mask": MASK_SENT, "output_format": "png"},
        ),
        "inpaint_where_it_is_transparent": Sent(
            ImageRequest(model=INPAINT, prompt="glasses", images=(upload(OPENAI_MASK),)),
            path("us." + INPAINT),
            json={"prompt": "glasses", "image": b64encode(OPENAI_MASK).decode()},
        ),
    },
    answers={
        "png": Answer(CAT, body(PHOTO), shows(PHOTO, "image/png")),
        "jpeg": Answer(CAT, body(JPEG), shows(JPEG, "image/jpeg")),
    },
    failures={
        **FAILURES,
        "moderated": Failure(200, FILTERED, ContentFiltered, secret="Filter reason"),
        "output_moderated": Failure(200, body(PHOTO, reason="Filter reason: output image"), ContentFiltered),
        "inference_error": Failure(200, body(reason="Inference error"), UpstreamError),
    },
    validate_request=validate_request,
    validate_answer=validate_picture,
    refused={
        "size": (ImageRequest(model=CORE, prompt="cat", size=Size(1000, 750)), "size"),
        "size_of_an_edit": (
            ImageRequest(model=ULTRA, prompt="cat", images=(upload(PHOTO),), size=Size(1024, 1024)),
            "size",
        ),
        "core_edits_nothing": (ImageRequest(model=CORE, prompt="cat", images=(upload(PHOTO),)), "image"),
        "mask": (ImageRequest(model=ULTRA, prompt="cat", images=(upload(PHOTO),), mask=upload(MASK)), "inpaint"),
        "several_images": (ImageRequest(model=LARGE, prompt="cat", images=(upload(PHOTO), upload(PHOTO))), "image"),
        "nothing_to_inpaint": (ImageRequest(model=INPAINT, prompt="cat"), "image"),
        "transparent_webp_mask": (
            ImageRequest(model=INPAINT, prompt="cat", images=(upload(PHOTO),), mask=upload(drawn("RGBA", "WEBP"))),
            "mask",
        ),
    },
)

wires: list[OperationWire] = [embeddings, images]
