"""What goes over OpenAI's wire and over those of compatible vendors, for images, embeddings, transcripts and speech."""

import base64
import io
import json
import struct
from array import array
from collections.abc import Mapping
from typing import Any, Required, get_args, get_origin, get_type_hints

from openai.types import CreateEmbeddingResponse, EmbeddingCreateParams, ImagesResponse
from openai.types.audio import Transcription, TranscriptionVerbose
from openai.types.audio.speech_create_params import SpeechCreateParams
from openai.types.audio.transcription_create_params import (
    TranscriptionCreateParamsNonStreaming,
    TranscriptionCreateParamsStreaming,
)
from openai.types.image_edit_params import ImageEditParamsNonStreaming
from openai.types.image_generate_params import ImageGenerateParamsNonStreaming
from PIL import Image as Picture
from pydantic import TypeAdapter

from shared.errors import (
    ContentFiltered,
    CredentialsRefused,
    UpstreamError,
    UpstreamRateLimited,
    UpstreamRejected,
)
from shared.media import sniff
from shared.schemas.content import Inline
from shared.schemas.embedding import EmbeddingRequest, EmbeddingResponse
from shared.schemas.image import GeneratedImage, ImageRequest, ImageResponse, Size
from shared.schemas.speech import SpeechRequest
from shared.schemas.transcription import Segment, Transcript, TranscriptionRequest, Word
from shared.schemas.upload import Upload
from shared.schemas.usage import Usage
from tests.providers.operation_wire import Answer, FormFile, OperationWire, Sent
from tests.providers.wire import Failure

IMAGE_MODEL, IMAGE_UPSTREAM = "gpt-image-1", "gpt-image-2.5-flare"
DEEPINFRA_IMAGE, DEEPINFRA_IMAGE_UPSTREAM = "deepinfra/black-forest-labs/FLUX-2-max", "black-forest-labs/FLUX-2-max"
TOGETHER_IMAGE, TOGETHER_IMAGE_UPSTREAM = "together/black-forest-labs/FLUX.2-pro", "black-forest-labs/FLUX.2-pro"
XAI_IMAGE = "grok-imagine-image-2.0"
EMBEDDING_MODEL = "text-embedding-3-small"
TRANSCRIBER = "whisper-1"
TEXT_TRANSCRIBER, TEXT_TRANSCRIBER_UPSTREAM = "gpt-4o-mini-transcribe", "gpt-transcribe"
SPEAKER = "gpt-4o-mini-tts"
KEY = "test-key"

GENERATIONS, EDITS = "/images/generations", "/images/edits"

ENV = {
    name: value
    for vendor in ("OPENAI", "DEEPINFRA", "TOGETHER", "XAI", "GROQ", "MISTRAL")
    for name, value in ((f"{vendor}_API_KEY", KEY), (f"{vendor}_BASE_URL", "https://vendor.test"))
}
AUTH = ("authorization", f"Bearer {KEY}")


# --- files


def drawn(file_format: str, mode: str = "RGB") -> bytes:
    file = io.BytesIO()
    Picture.new(mode, (8, 8)).save(file, file_format)
    return file.getvalue()


def upload(content: bytes, filename: str) -> Upload:
    media_type = sniff(content)
    assert media_type is not None
    return Upload(file=io.BytesIO(content), filename=filename, media_type=media_type, size=len(content))


def in_base64(content: bytes) -> str:
    return base64.b64encode(content).decode("ascii")


PNG, JPEG, WEBP, MASK = drawn("PNG"), drawn("JPEG"), drawn("WEBP"), drawn("PNG", "RGBA")
PNG_FILE, JPEG_FILE = FormFile("cat.png", "image/png", PNG), FormFile("dog.jpg", "image/jpeg", JPEG)
MP3 = b"ID3\x04\x00\x00\x00\x00\x00\x00" + bytes(64)
MP3_FILE = FormFile("talk.mp3", "audio/mpeg", MP3)


# --- what OpenAI's own types say


FILES = frozenset({"file", "image", "mask"})


def checked(params: Any, fields: Mapping[str, Any]) -> None:
    """Raises where the SDK has no such field, or not with such a value, or where one is missing."""
    hints = get_type_hints(params, include_extras=True)
    unknown = fields.keys() - hints.keys()
    assert not unknown, f"the SDK has no {unknown}"
    for name, hint in hints.items():
        if get_origin(hint) is Required:
            assert name in fields, f"{name} is missing"
            (hint,) = get_args(hint)
        if name in fields and name not in FILES:
            TypeAdapter[Any](hint).validate_python(fields[name])


def form_fields(sent: Sent, lists: frozenset[str], numbers: Mapping[str, type]) -> dict[str, Any]:
    """A form as the SDK's parameters that it stands for: `lists` are what brackets, or several files, make one."""
    fields: dict[str, Any] = {}
    for name, value in sent.form or ():
        key = name.removesuffix("[]")
        content = value.content if isinstance(value, FormFile) else numbers.get(key, str)(value)
        if name.endswith("[]"):
            assert key in lists, f"{key} is no list"
            fields.setdefault(key, []).append(content)
        else:
            assert key not in fields, f"{key} occurs twice"
            fields[key] = content
    return fields


# --- failures


def failure(message: str, kind: str = "invalid_request_error", code: str | None = None) -> bytes:
    return json.dumps({"error": {"message": message, "type": kind, "param": None, "code": code}}).encode()


FAILURES = {
    "bad_request": Failure(400, failure("Unknown parameter: 'seed'."), UpstreamRejected, message="Unknown parameter"),
    "bad_key": Failure(
        401,
        failure("Incorrect API key provided: test-key.", code="invalid_api_key"),
        CredentialsRefused,
        secret="test-key",
    ),
    "rate_limited": Failure(
        429,
        failure("Rate limit reached.", "requests", "rate_limit_exceeded"),
        UpstreamRateLimited,
        headers={"retry-after": "7"},
        retry_after=7,
    ),
    "server_error": Failure(
        500, failure("The server had an error at 10.0.0.7.", "server_error"), UpstreamError, secret="10.0.0.7"
    ),
    "html": Failure(502, b"<html><body>cloudflare</body></html>", UpstreamError, secret="cloudflare"),
}
MODERATIONS = {
    "moderated": Failure(
        400,
        failure(
            "Your request was rejected by the safety system. safety_violations=[violence].",
            "image_generation_user_error",
            "moderation_blocked",
        ),
        ContentFiltered,
        message="safety system",
    ),
    "against_the_policy": Failure(
        400,
        failure("This request has been blocked by our content filters.", code="content_policy_violation"),
        ContentFiltered,
        message="blocked",
    ),
}


# --- images

CAT = ImageRequest(model=IMAGE_MODEL, prompt="a cat")


def images_body(*pictures: bytes, **more: Any) -> bytes:
    data = [{"b64_json": in_base64(picture)} for picture in pictures]
    return json.dumps({"created": 1795219200, "data": data, **more}).encode()


def given(content: bytes, media_type: str, revised_prompt: str | None = None) -> GeneratedImage:
    return GeneratedImage(Inline(media_type=media_type, data=in_base64(content)), revised_prompt)


def validate_image_request(sent: Sent) -> None:
    model = sent.json["model"] if sent.form is None else dict(sent.form)["model"]
    if model != IMAGE_UPSTREAM:
        return  # other vendors' own fields; there is no SDK to hold them against
    if sent.form is None:
        checked(ImageGenerateParamsNonStreaming, sent.json)
        assert not {"response_format", "style"} & set(sent.json), "GPT Image models refuse these"
    else:
        numbers = {"n": int, "output_compression": int}
        checked(ImageEditParamsNonStreaming, form_fields(sent, frozenset({"image"}), numbers))


images = OperationWire(
    operation="images",
    adapter="openai",
    env=ENV,
    auth=AUTH,
    sent={
        "minimal": Sent(CAT, GENERATIONS, {"model": IMAGE_UPSTREAM, "prompt": "a cat"}),
        "everything": Sent(
            ImageRequest(
                model=IMAGE_MODEL,
                prompt="a cat",
                n=3,
                size=Size(1536, 1024),
                quality="high",
                style="vivid",
                background="transparent",
                output_format="webp",
                output_compression=80,
                moderation="low",
                input_fidelity="high",
                seed=7,
                user="user-1",
            ),
            GENERATIONS,
            {
                "model": IMAGE_UPSTREAM,
                "prompt": "a cat",
                "n": 3,
                "size": "1536x1024",
                "quality": "high",
                "background": "transparent",
                "output_format": "webp",
                "output_compression": 80,
                "user": "user-1",
                "moderation": "low",
            },
        ),
        "a_size_of_its_own": Sent(
            ImageRequest(model="gpt-image-2.6-flare", prompt="a cat", size=Size(3840, 2160)),
            GENERATIONS,
            {"model": "gpt-image-2.6-flare", "prompt": "a cat", "size": "3840x2160"},
        ),
        "quality_of_a_retired_model": Sent(
            ImageRequest(model=IMAGE_MODEL, prompt="a cat", quality="hd"),
            GENERATIONS,
            {"model": IMAGE_UPSTREAM, "prompt": "a cat", "quality": "high"},
        ),
        "default_quality_of_a_retired_model": Sent(
            ImageRequest(model=IMAGE_MODEL, prompt="a cat", quality="standard"),
            GENERATIONS,
            {"model": IMAGE_UPSTREAM, "prompt": "a cat"},
        ),
        "edit": Sent(
            ImageRequest(model=IMAGE_MODEL, prompt="add a hat", images=(upload(PNG, "cat.png"),)),
            EDITS,
            form=[("model", IMAGE_UPSTREAM), ("prompt", "add a hat"), ("image", PNG_FILE)],
        ),
        "edit_with_everything": Sent(
            ImageRequest(
                model=IMAGE_MODEL,
                prompt="add a hat",
                images=(upload(PNG, "cat.png"), upload(JPEG, "dog.jpg")),
                mask=upload(MASK, "mask.png"),
                n=2,
                size=Size(1024, 1024),
                quality="low",
                style="natural",
                background="opaque",
                output_format="jpeg",
                output_compression=50,
                moderation="low",
                input_fidelity="high",
                seed=7,
                user="user-1",
            ),
            EDITS,
            form=[
                ("model", IMAGE_UPSTREAM),
                ("prompt", "add a hat"),
                ("n", "2"),
                ("size", "1024x1024"),
                ("quality", "low"),
                ("background", "opaque"),
                ("output_format", "jpeg"),
                ("output_compression", "50"),
                ("user", "user-1"),
                ("image[]", PNG_FILE),
                ("image[]", JPEG_FILE),
                ("mask", FormFile("mask.png", "image/png", MASK)),
            ],
        ),
        "deepinfra": Sent(
            ImageRequest(
                model=DEEPINFRA_IMAGE, prompt="a cat", n=2, size=Size(1024, 768), style="vivid", quality="hd", seed=7
            ),
            GENERATIONS,
            {
                "model": DEEPINFRA_IMAGE_UPSTREAM,
                "prompt": "a cat",
                "n": 2,
                "size": "1024x768",
                "quality": "hd",
                "style": "vivid",
                "response_format": "b64_json",
            },
        ),
        "together": Sent(
            ImageRequest(
                model=TOGETHER_IMAGE,
                prompt="a cat",
                n=2,
                size=Size(1024, 768),
                quality="high",
                style="vivid",
                background="opaque",
                output_format="png",
                seed=7,
                user="user-1",
            ),
            GENERATIONS,
            {
                "model": TOGETHER_IMAGE_UPSTREAM,
                "prompt": "a cat",
                "n": 2,
                "width": 1024,
                "height": 768,
                "seed": 7,
                "output_format": "png",
                "response_format": "base64",
            },
        ),
        "xai": Sent(
            ImageRequest(
                model=XAI_IMAGE, prompt="a cat", n=2, size=Size(1024, 1536), quality="low", style="vivid", user="user-1"
            ),
            GENERATIONS,
            {
                "model": XAI_IMAGE,
                "prompt": "a cat",
                "n": 2,
                "aspect_ratio": "2:3",
                "resolution": "1k",
                "quality": "low",
                "response_format": "b64_json",
                "user": "user-1",
            },
        ),
        "xai_large": Sent(
            ImageRequest(model=XAI_IMAGE, prompt="a cat", size=Size(2048, 2048), quality="hd"),
            GENERATIONS,
            {
                "model": XAI_IMAGE,
                "prompt": "a cat",
                "aspect_ratio": "1:1",
                "resolution": "2k",
                "quality": "medium",
                "response_format": "b64_json",
            },
        ),
        "xai_edit": Sent(
            ImageRequest(model=XAI_IMAGE, prompt="add a hat", images=(upload(PNG, "cat.png"),)),
            EDITS,
            {
                "model": XAI_IMAGE,
                "prompt": "add a hat",
                "response_format": "b64_json",
                "image": {"type": "image_url", "url": f"data:image/png;base64,{in_base64(PNG)}"},
            },
        ),
        "xai_edit_of_several": Sent(
            ImageRequest(
                model=XAI_IMAGE,
                prompt="put both together",
                images=(upload(PNG, "cat.png"), upload(JPEG, "dog.jpg")),
                size=Size(1920, 1080),
            ),
            EDITS,
            {
                "model": XAI_IMAGE,
                "prompt": "put both together",
                "aspect_ratio": "16:9",
                "resolution": "1k",
                "response_format": "b64_json",
                "images": [
                    {"type": "image_url", "url": f"data:image/png;base64,{in_base64(PNG)}"},
                    {"type": "image_url", "url": f"data:image/jpeg;base64,{in_base64(JPEG)}"},
                ],
            },
        ),
    },
    answers={
        "tokens": Answer(
            CAT,
            images_body(
                PNG,
                size="1024x1024",
                quality="high",
                output_format="png",
                background="opaque",
                usage={
                    "input_tokens": 50,
                    "input_tokens_details": {"image_tokens": 40, "text_tokens": 10},
                    "output_tokens": 1700,
                    "output_tokens_details": {"image_tokens": 1600, "text_tokens": 100},
                    "total_tokens": 1750,
                },
            ),
            ImageResponse(
                (given(PNG, "image/png"),),
                Usage(input_tokens=50, input_image_tokens=40, output_tokens=1700, output_image_tokens=1600, images=1),
            ),
        ),
        "output_not_told_apart": Answer(
            CAT,
            images_body(
                WEBP,
                usage={
                    "input_tokens": 10,
                    "input_tokens_details": {"image_tokens": 0, "text_tokens": 10},
                    "output_tokens": 1600,
                    "total_tokens": 1610,
                },
            ),
            ImageResponse(
                (given(WEBP, "image/webp"),),
                Usage(input_tokens=10, output_tokens=1600, output_image_tokens=1600, images=1),
            ),
        ),
        "several_without_usage": Answer(
            CAT,
            images_body(PNG, JPEG),
            ImageResponse((given(PNG, "image/png"), given(JPEG, "image/jpeg")), Usage(images=2)),
        ),
        "revised_prompt": Answer(
            ImageRequest(model=DEEPINFRA_IMAGE, prompt="a cat"),
            json.dumps(
                {"created": 1707000000, "data": [{"revised_prompt": "a tabby cat", "b64_json": in_base64(JPEG)}]}
            ).encode(),
            ImageResponse((given(JPEG, "image/jpeg", "a tabby cat"),), Usage(images=1)),
        ),
    },
    failures={**FAILURES, **MODERATIONS},
    validate_request=validate_image_request,
    validate_answer=lambda answer: ImagesResponse.model_validate_json(answer.body),
    refused={
        "too_small": (ImageRequest(model=IMAGE_MODEL, prompt="a cat", size=Size(512, 512)), "1024x1024"),
        "too_large": (ImageRequest(model=IMAGE_MODEL, prompt="a cat", size=Size(3856, 2160)), "size"),
        "too_many_pixels": (ImageRequest(model=IMAGE_MODEL, prompt="a cat", size=Size(3072, 3072)), "size"),
        "too_long": (ImageRequest(model=IMAGE_MODEL, prompt="a cat", size=Size(3200, 1024)), "size"),
        "uneven": (ImageRequest(model=IMAGE_MODEL, prompt="a cat", size=Size(1000, 1000)), "size"),
        "xai_shape": (ImageRequest(model=XAI_IMAGE, prompt="a cat", size=Size(1792, 1024)), "16:9"),
        "xai_resolution": (ImageRequest(model=XAI_IMAGE, prompt="a cat", size=Size(4096, 4096)), "size"),
        "xai_size_of_one_edited": (
            ImageRequest(model=XAI_IMAGE, prompt="a hat", images=(upload(PNG, "cat.png"),), size=Size(1024, 1024)),
            "size",
        ),
        "xai_mask": (
            ImageRequest(
                model=XAI_IMAGE, prompt="a hat", images=(upload(PNG, "cat.png"),), mask=upload(MASK, "mask.png")
            ),
            "mask",
        ),
        "xai_output_format": (ImageRequest(model=XAI_IMAGE, prompt="a cat", output_format="png"), "output_format"),
        "deepinfra_output_format": (
            ImageRequest(model=DEEPINFRA_IMAGE, prompt="a cat", output_format="png"),
            "output_format",
        ),
        "together_output_format": (
            ImageRequest(model=TOGETHER_IMAGE, prompt="a cat", output_format="webp"),
            "output_format",
        ),
        "together_edit": (
            ImageRequest(model=TOGETHER_IMAGE, prompt="a hat", images=(upload(PNG, "cat.png"),)),
            "image",
        ),
    },
)


# --- embeddings

# Numbers that 32 bits hold exactly, so that both forms of a vector mean the same.
VECTORS = ([0.5, -0.25, 1.0], [0.125, 2.0, -3.5])


def embeddings_body(*embeddings: Any, model: str = EMBEDDING_MODEL) -> bytes:
    data = [{"object": "embedding", "index": index, "embedding": vector} for index, vector in enumerate(embeddings)]
    usage = {"prompt_tokens": 8, "total_tokens": 8}
    return json.dumps({"object": "list", "data": data, "model": model, "usage": usage}).encode()


def little_endian(numbers: list[float]) -> str:
    return in_base64(struct.pack(f"<{len(numbers)}f", *numbers))


def validate_embedding_answer(answer: Answer) -> None:
    """The type has numbers only; the SDK makes these of base64 by itself."""
    body = json.loads(answer.body)
    for item in body["data"]:
        if isinstance(item["embedding"], str):
            item["embedding"] = array("f", base64.b64decode(item["embedding"])).tolist()
    CreateEmbeddingResponse.model_validate(body)


def validate_embedding_request(sent: Sent) -> None:
    if sent.json["model"] == EMBEDDING_MODEL:
        checked(EmbeddingCreateParams, sent.json)


TWO = EmbeddingRequest(model=EMBEDDING_MODEL, inputs=("red", "blue"))
TWO_MEAN = EmbeddingResponse(tuple(array("f", vector) for vector in VECTORS), Usage(input_tokens=8))

embeddings = OperationWire(
    operation="embeddings",
    adapter="openai",
    env=ENV,
    auth=AUTH,
    sent={
        "minimal": Sent(
            EmbeddingRequest(model=EMBEDDING_MODEL, inputs=("red",)),
            "/embeddings",
            {"model": EMBEDDING_MODEL, "input": ["red"], "encoding_format": "base64"},
        ),
        "everything": Sent(
            EmbeddingRequest(model=EMBEDDING_MODEL, inputs=("red", "blue"), dimensions=256, user="user-1"),
            "/embeddings",
            {
                "model": EMBEDDING_MODEL,
                "input": ["red", "blue"],
                "dimensions": 256,
                "encoding_format": "base64",
                "user": "user-1",
            },
        ),
        "token_ids": Sent(
            EmbeddingRequest(model=EMBEDDING_MODEL, inputs=((1, 2), (3,))),
            "/embeddings",
            {"model": EMBEDDING_MODEL, "input": [[1, 2], [3]], "encoding_format": "base64"},
        ),
        "numbers_only": Sent(
            EmbeddingRequest(model="deepinfra/Qwen/Qwen3-Embedding-8B", inputs=("red",)),
            "/embeddings",
            {"model": "Qwen/Qwen3-Embedding-8B", "input": ["red"]},
        ),
        "mistral": Sent(
            EmbeddingRequest(model="mistral/codestral-embed", inputs=("red",), dimensions=512, user="user-1"),
            "/embeddings",
            {"model": "codestral-embed", "input": ["red"], "output_dimension": 512, "encoding_format": "base64"},
        ),
    },
    answers={
        "base64": Answer(TWO, embeddings_body(*map(little_endian, VECTORS)), TWO_MEAN),
        "numbers": Answer(TWO, embeddings_body(*VECTORS), TWO_MEAN),
        "out_of_order": Answer(
            TWO,
            json.dumps(
                {
                    "object": "list",
                    "model": EMBEDDING_MODEL,
                    "data": [
                        {"object": "embedding", "index": 1, "embedding": VECTORS[1]},
                        {"object": "embedding", "index": 0, "embedding": VECTORS[0]},
                    ],
                    "usage": {"prompt_tokens": 8, "total_tokens": 8},
                }
            ).encode(),
            TWO_MEAN,
        ),
    },
    failures=FAILURES,
    validate_request=validate_embedding_request,
    validate_answer=validate_embedding_answer,
    refused={
        "token_ids": (EmbeddingRequest(model="mistral/mistral-embed", inputs=((1, 2),)), "token ids"),
        "dimensions": (
            EmbeddingRequest(model="deepinfra/Qwen/Qwen3-Embedding-8B", inputs=("red",), dimensions=64),
            "dimensions",
        ),
    },
)


# --- transcription


def talk(model: str = TRANSCRIBER, **fields: Any) -> TranscriptionRequest:
    return TranscriptionRequest(model=model, file=upload(MP3, "talk.mp3"), **fields)


def validate_transcription_request(sent: Sent) -> None:
    fields = form_fields(sent, frozenset({"timestamp_granularities", "languages"}), {"temperature": float})
    if stream := fields.pop("stream", None):
        fields["stream"] = {"true": True}[stream]
    checked(TranscriptionCreateParamsStreaming if stream else TranscriptionCreateParamsNonStreaming, fields)


def validate_transcription_answer(answer: Answer) -> None:
    verbose = "segments" in json.loads(answer.body)
    (TranscriptionVerbose if verbose else Transcription).model_validate_json(answer.body)


SEGMENT_DETAILS = {
    "seek": 0,
    "tokens": [50364, 2425],
    "temperature": 0.0,
    "avg_logprob": -0.2,
    "compression_ratio": 0.8,
    "no_speech_prob": 0.01,
}
VERBOSE = {
    "task": "transcribe",
    "language": "english",
    "duration": 2.5,
    "text": "Hello there.",
    "segments": [{"id": 0, "start": 0, "end": 2.5, "text": " Hello there.", **SEGMENT_DETAILS}],
    "words": [{"word": "Hello", "start": 0.0, "end": 0.9}, {"word": "there", "start": 1.0, "end": 2.4}],
}
VERBOSE_MEANS = Transcript(
    text="Hello there.",
    language="english",
    duration=2.5,
    segments=(Segment(0.0, 2.5, " Hello there.", SEGMENT_DETAILS),),
    words=(Word("Hello", 0.0, 0.9), Word("there", 1.0, 2.4)),
    usage=Usage(audio_seconds=3),
)

transcription = OperationWire(
    operation="transcription",
    adapter="openai",
    env=ENV,
    auth=AUTH,
    sent={
        "minimal": Sent(
            talk(),
            "/audio/transcriptions",
            form=[("file", MP3_FILE), ("model", TRANSCRIBER), ("response_format", "json")],
        ),
        "everything": Sent(
            talk(
                language="en",
                prompt="Names: Zoë.",
                temperature=0.2,
                format="verbose_json",
                granularities=frozenset({"word", "segment"}),
            ),
            "/audio/transcriptions",
            form=[
                ("file", MP3_FILE),
                ("model", TRANSCRIBER),
                ("language", "en"),
                ("prompt", "Names: Zoë."),
                ("temperature", "0.2"),
                ("response_format", "verbose_json"),
                ("timestamp_granularities[]", "segment"),
                ("timestamp_granularities[]", "word"),
            ],
        ),
        "text": Sent(
            talk(format="text"),
            "/audio/transcriptions",
            form=[("file", MP3_FILE), ("model", TRANSCRIBER), ("response_format", "json")],
        ),
        "subtitles": Sent(
            talk(format="srt"),
            "/audio/transcriptions",
            form=[("file", MP3_FILE), ("model", TRANSCRIBER), ("response_format", "verbose_json")],
        ),
        "subtitles_and_words": Sent(
            talk(format="vtt", granularities=frozenset({"word"})),
            "/audio/transcriptions",
            form=[
                ("file", MP3_FILE),
                ("model", TRANSCRIBER),
                ("response_format", "verbose_json"),
                ("timestamp_granularities[]", "segment"),
                ("timestamp_granularities[]", "word"),
            ],
        ),
        "a_list_of_languages": Sent(
            talk(TEXT_TRANSCRIBER, language="en"),
            "/audio/transcriptions",
            form=[
                ("file", MP3_FILE),
                ("model", TEXT_TRANSCRIBER_UPSTREAM),
                ("languages[]", "en"),
                ("response_format", "json"),
            ],
        ),
    },
    answers={
        "verbose": Answer(
            talk(format="verbose_json"),
            json.dumps({**VERBOSE, "usage": {"type": "duration", "seconds": 3}}).encode(),
            VERBOSE_MEANS,
        ),
        "seconds": Answer(
            talk(),
            json.dumps({"text": "Hello there.", "usage": {"type": "duration", "seconds": 3}}).encode(),
            Transcript(text="Hello there.", usage=Usage(audio_seconds=3)),
        ),
        "tokens": Answer(
            talk(TEXT_TRANSCRIBER),
            json.dumps(
                {
                    "text": "Hello there.",
                    "languages": [{"code": "en"}],
                    "usage": {
                        "type": "tokens",
                        "input_tokens": 30,
                        "input_token_details": {"text_tokens": 5, "audio_tokens": 25},
                        "output_tokens": 4,
                        "total_tokens": 34,
                    },
                }
            ).encode(),
            Transcript(
                text="Hello there.",
                language="en",
                usage=Usage(input_tokens=30, input_audio_tokens=25, output_tokens=4),
            ),
        ),
        "duration_without_usage": Answer(
            talk("groq/whisper-large-v3", format="verbose_json"),
            json.dumps({"text": "", "language": "English", "duration": 12, "segments": []}).encode(),
            Transcript(text="", language="English", duration=12.0, usage=Usage(audio_seconds=12)),
        ),
    },
    failures=FAILURES,
    validate_request=validate_transcription_request,
    validate_answer=validate_transcription_answer,
    refused={
        **{
            f"{wanted}_of_a_model_without_times": (talk(TEXT_TRANSCRIBER, format=wanted), "response_format")
            for wanted in ("srt", "vtt", "verbose_json")
        },
        "words_of_a_model_without_times": (
            talk(TEXT_TRANSCRIBER, granularities=frozenset({"word"})),
            "response_format",
        ),
    },
)


# --- speech

GROQ_SPEAKER, GROQ_SPEAKER_UPSTREAM = "groq/canopylabs/orpheus-v1-english", "canopylabs/orpheus-v1-english"
HELLO = SpeechRequest(model=SPEAKER, input="Hello.")

speech = OperationWire(
    operation="speech",
    adapter="openai",
    env=ENV,
    auth=AUTH,
    sent={
        "minimal": Sent(
            HELLO,
            "/audio/speech",
            {"model": SPEAKER, "input": "Hello.", "voice": "alloy", "response_format": "mp3"},
        ),
        "everything": Sent(
            SpeechRequest(
                model=SPEAKER, input="Hello.", voice="nova", format="opus", speed=1.5, instructions="Whisper."
            ),
            "/audio/speech",
            {
                "model": SPEAKER,
                "input": "Hello.",
                "voice": "nova",
                "response_format": "opus",
                "speed": 1.5,
                "instructions": "Whisper.",
            },
        ),
        "without_instructions": Sent(
            SpeechRequest(model="tts-1", input="Hello.", voice="nova", instructions="Whisper."),
            "/audio/speech",
            {"model": "tts-1", "input": "Hello.", "voice": "nova", "response_format": "mp3"},
        ),
        "a_voice_of_the_models_own": Sent(
            SpeechRequest(model=GROQ_SPEAKER, input="Hello.", format="wav"),
            "/audio/speech",
            {"model": GROQ_SPEAKER_UPSTREAM, "input": "Hello.", "voice": "autumn", "response_format": "wav"},
        ),
    },
    answers={"audio": Answer(HELLO, MP3, MP3, "audio/mpeg")},
    failures=FAILURES,
    validate_request=lambda sent: checked(SpeechCreateParams, sent.json),
    validate_answer=lambda answer: None,
    refused={
        wanted: (SpeechRequest(model=GROQ_SPEAKER, input="Hello.", format=wanted), "response_format")
        for wanted in ("mp3", "opus", "aac", "flac", "pcm")
    },
)

wires: list[OperationWire] = [images, embeddings, transcription, speech]
