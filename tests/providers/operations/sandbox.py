"""What goes over the sandbox's wire for everything but chat: canonical types as JSON, and speech as a WAV file.

There is no vendor whose types could judge it: the canonical ones do, and Google's for raw content.
"""

import base64
import io
import json
import struct
import wave
from array import array
from typing import Any

from google.genai.types import GenerateContentResponse
from pydantic import TypeAdapter

from shared.errors import ContentFiltered, UpstreamError, UpstreamRateLimited, UpstreamRejected
from shared.providers.sandbox.images import Order
from shared.providers.sandbox.transcriptions import Recording
from shared.schemas.content import Inline
from shared.schemas.embedding import EmbeddingRequest, EmbeddingResponse
from shared.schemas.generated_content import ContentRequest, ContentResponse, SafetySetting
from shared.schemas.image import GeneratedImage, ImageRequest, ImageResponse, Size
from shared.schemas.speech import SpeechRequest
from shared.schemas.transcription import Segment, Transcript, TranscriptionRequest, Word
from shared.schemas.usage import Usage
from tests.providers.operation_wire import Answer, Operation, OperationWire, Sent
from tests.providers.sandbox_calls import upload
from tests.providers.wire import Failure
from tests.providers.wires.sandbox import PNG, error

GIF = base64.b64encode(b"GIF89a\1\0\1\0\0\0\0;").decode()
MP3 = base64.b64encode(b"ID3 a recording").decode()


def file_of(data: str) -> Any:
    return upload(base64.b64decode(data))


def inline(media_type: str, data: str) -> dict[str, str]:
    return {"kind": "inline", "media_type": media_type, "data": data}


# --- images -----------------------------------------------------------------------------------------------------------

FOX = ImageRequest(model="sandbox/image", prompt="A fox")

IMAGES_SENT = {
    "minimal": Sent(FOX, "/images", {"model": "image", "prompt": "A fox", "images": [], "n": 1}),
    "everything": Sent(
        ImageRequest(
            model="sandbox/image",
            prompt="A fox",
            n=3,
            size=Size(1536, 1024),
            quality="high",
            style="vivid",
            background="transparent",
            output_format="png",
            output_compression=50,
            moderation="low",
            seed=7,
            user="u-1",
        ),
        "/images",
        {
            "model": "image",
            "prompt": "A fox",
            "images": [],
            "n": 3,
            "size": {"width": 1536, "height": 1024},
            "style": "vivid",
            "seed": 7,
        },
    ),
    "edit": Sent(
        ImageRequest(
            model="sandbox/image",
            prompt="Add a hat",
            images=(file_of(PNG), file_of(GIF)),
            mask=file_of(PNG),
            input_fidelity="high",
        ),
        "/images",
        {
            "model": "image",
            "prompt": "Add a hat",
            "images": [inline("image/png", PNG), inline("image/gif", GIF)],
            "mask": inline("image/png", PNG),
            "n": 1,
        },
    ),
}

IMAGES_ANSWERS = {
    "one": Answer(
        FOX,
        b'{"images":[{"source":{"kind":"inline","media_type":"image/png","data":"%b"}}],'
        b'"usage":{"input_tokens":2,"output_tokens":256,"output_image_tokens":256,"images":1}}' % PNG.encode(),
        ImageResponse(
            (GeneratedImage(Inline(media_type="image/png", data=PNG)),),
            Usage(input_tokens=2, output_tokens=256, output_image_tokens=256, images=1),
        ),
    ),
    "several": Answer(
        FOX,
        b'{"images":[{"source":{"kind":"inline","media_type":"image/png","data":"%b"},"revised_prompt":"A red fox"},'
        b'{"source":{"kind":"inline","media_type":"image/gif","data":"%b"}}],"usage":{}}'
        % (PNG.encode(), GIF.encode()),
        ImageResponse(
            (
                GeneratedImage(Inline(media_type="image/png", data=PNG), "A red fox"),
                GeneratedImage(Inline(media_type="image/gif", data=GIF)),
            )
        ),
    ),
}

IMAGES_REFUSED: dict[str, tuple[Any, str]] = {
    "too_small": (ImageRequest(model="sandbox/image", prompt="A fox", size=Size(32, 1024)), "size"),
    "too_large": (ImageRequest(model="sandbox/image", prompt="A fox", size=Size(1024, 8192)), "4096x4096"),
    "too_many": (ImageRequest(model="sandbox/image", prompt="A fox", n=11), "n:"),
    "jpeg": (ImageRequest(model="sandbox/image", prompt="A fox", output_format="jpeg"), "PNG"),
}


# --- content ----------------------------------------------------------------------------------------------------------

SCENE = ContentRequest(model="sandbox/image", prompt="A fox")

CONTENT_SENT = {
    "minimal": Sent(
        SCENE,
        "/content",
        {
            "model": "image",
            "prompt": "A fox",
            "images": [],
            "modalities": ["IMAGE", "TEXT"],
            "safety_settings": [],
            "candidate_count": 1,
            "stop_sequences": [],
        },
    ),
    "everything": Sent(
        ContentRequest(
            model="sandbox/image",
            prompt="A fox",
            images=(Inline(media_type="image/png", data=PNG),),
            modalities=("IMAGE",),
            temperature=0.5,
            top_p=0.9,
            top_k=40,
            seed=7,
            max_output_tokens=100,
            safety_settings=(SafetySetting("HARM_CATEGORY_HARASSMENT", "BLOCK_NONE"),),
            system_instruction="Be brief.",
            candidate_count=2,
            stop_sequences=("END",),
            aspect_ratio="16:9",
            image_size="2K",
        ),
        "/content",
        {
            "model": "image",
            "prompt": "A fox",
            "images": [inline("image/png", PNG)],
            "modalities": ["IMAGE"],
            "temperature": 0.5,
            "top_p": 0.9,
            "top_k": 40,
            "seed": 7,
            "max_output_tokens": 100,
            "safety_settings": [{"category": "HARM_CATEGORY_HARASSMENT", "threshold": "BLOCK_NONE"}],
            "system_instruction": "Be brief.",
            "candidate_count": 2,
            "stop_sequences": ["END"],
            "aspect_ratio": "16:9",
            "image_size": "2K",
        },
    ),
}

_ONE_BODY = {
    "candidates": [
        {
            "content": {
                "role": "model",
                "parts": [{"text": "Here."}, {"inline_data": {"data": PNG, "mime_type": "image/png"}}],
            },
            "finish_reason": "STOP",
            "index": 0,
        }
    ],
    "usage_metadata": {
        "prompt_token_count": 258,
        "candidates_token_count": 259,
        "total_token_count": 517,
        "prompt_tokens_details": [
            {"modality": "TEXT", "token_count": 2},
            {"modality": "IMAGE", "token_count": 256},
        ],
        "candidates_tokens_details": [
            {"modality": "TEXT", "token_count": 3},
            {"modality": "IMAGE", "token_count": 256},
        ],
    },
    "model_version": "sandbox-image-1",
    "response_id": "6a09e667f3bcc908bb67ae85",
}

_BLOCKED_BODY = {
    "candidates": [{"content": {"role": "model", "parts": []}, "finish_reason": "IMAGE_SAFETY", "index": 0}],
    "prompt_feedback": {"block_reason": "IMAGE_SAFETY"},
    "usage_metadata": {
        "prompt_token_count": 2,
        "candidates_token_count": 0,
        "total_token_count": 2,
        "prompt_tokens_details": [{"modality": "TEXT", "token_count": 2}],
        "candidates_tokens_details": [],
    },
    "model_version": "sandbox-image-1",
}

CONTENT_ANSWERS = {
    "text_and_image": Answer(
        SCENE,
        json.dumps(_ONE_BODY).encode(),
        ContentResponse(
            _ONE_BODY,
            Usage(input_tokens=258, input_image_tokens=256, output_tokens=259, output_image_tokens=256, images=1),
        ),
    ),
    "blocked": Answer(SCENE, json.dumps(_BLOCKED_BODY).encode(), ContentResponse(_BLOCKED_BODY, Usage(input_tokens=2))),
}


# --- embeddings -------------------------------------------------------------------------------------------------------

TEXTS = EmbeddingRequest(model="sandbox/embedding", inputs=("Hello", "Welt"))

EMBEDDINGS_SENT = {
    "minimal": Sent(TEXTS, "/embeddings", {"model": "embedding", "inputs": ["Hello", "Welt"]}),
    "everything": Sent(
        EmbeddingRequest(model="sandbox/embedding", inputs=("Hello", (1, 2, 3)), dimensions=256, user="u-1"),
        "/embeddings",
        {"model": "embedding", "inputs": ["Hello", [1, 2, 3]], "dimensions": 256, "user": "u-1"},
    ),
}

EMBEDDINGS_ANSWERS = {
    "vectors": Answer(
        TEXTS,
        b'{"vectors":["%b","%b"],"usage":{"input_tokens":3}}'
        % (base64.b64encode(struct.pack("=2f", 0.5, -1.0)), base64.b64encode(struct.pack("=2f", 0.0, 1.5))),
        EmbeddingResponse((array("f", [0.5, -1.0]), array("f", [0.0, 1.5])), Usage(input_tokens=3)),
    ),
}

EMBEDDINGS_REFUSED: dict[str, tuple[Any, str]] = {
    "dimensions": (EmbeddingRequest(model="sandbox/embedding", inputs=("Hello",), dimensions=4000), "dimensions")
}


# --- transcription ----------------------------------------------------------------------------------------------------

SPOKEN = TranscriptionRequest(model="sandbox/transcription", file=file_of(MP3))

TRANSCRIPTION_SENT = {
    "minimal": Sent(
        SPOKEN,
        "/transcriptions",
        {"model": "transcription", "audio": MP3, "granularities": [], "stream": False},
    ),
    "everything": Sent(
        TranscriptionRequest(
            model="sandbox/transcription",
            file=file_of(MP3),
            language="de",
            prompt="Nürnberg",
            temperature=0.5,
            format="verbose_json",
            granularities=frozenset({"word", "segment"}),
        ),
        "/transcriptions",
        {
            "model": "transcription",
            "audio": MP3,
            "language": "de",
            "prompt": "Nürnberg",
            "granularities": ["segment", "word"],
            "stream": False,
        },
    ),
}

TRANSCRIPTION_ANSWERS = {
    "text": Answer(SPOKEN, '{"text":"Grüße, Welt."}'.encode(), Transcript("Grüße, Welt.")),
    "everything": Answer(
        SPOKEN,
        b'{"text":"Hello there.","language":"en","duration":1.5,'
        b'"segments":[{"start":0.0,"end":1.5,"text":"Hello there.","details":{"no_speech_prob":0.01}}],'
        b'"words":[{"word":"Hello","start":0.0,"end":0.75},{"word":"there.","start":0.75,"end":1.5}],'
        b'"usage":{"input_tokens":15,"input_audio_tokens":15,"output_tokens":4,"audio_seconds":1.5}}',
        Transcript(
            "Hello there.",
            language="en",
            duration=1.5,
            segments=(Segment(0.0, 1.5, "Hello there.", {"no_speech_prob": 0.01}),),
            words=(Word("Hello", 0.0, 0.75), Word("there.", 0.75, 1.5)),
            usage=Usage(input_tokens=15, input_audio_tokens=15, output_tokens=4, audio_seconds=1.5),
        ),
    ),
}


# --- speech -----------------------------------------------------------------------------------------------------------

SAMPLES = struct.pack("<4h", 0, 1000, -1000, 0)
WAV = (
    b"RIFF"
    + struct.pack("<I", 36 + len(SAMPLES))
    + b"WAVEfmt "
    + struct.pack("<IHHIIHH", 16, 1, 1, 24_000, 48_000, 2, 16)
    + b"data"
    + struct.pack("<I", len(SAMPLES))
    + SAMPLES
)
SPEAKING = SpeechRequest(model="sandbox/speech", input="Hello", format="wav")

SPEECH_SENT = {
    "minimal": Sent(SPEAKING, "/speech", {"model": "speech", "input": "Hello", "format": "wav"}),
    "everything": Sent(
        SpeechRequest(
            model="sandbox/speech", input="Hello", voice="echo", format="pcm", speed=2, instructions="Whisper."
        ),
        "/speech",
        {
            "model": "speech",
            "input": "Hello",
            "voice": "echo",
            "format": "pcm",
            "speed": 2,
            "instructions": "Whisper.",
        },
    ),
}

SPEECH_ANSWERS = {
    "wav": Answer(SPEAKING, WAV, WAV, "audio/wav"),
    "pcm": Answer(SpeechRequest(model="sandbox/speech", input="Hello", format="pcm"), WAV, SAMPLES, "audio/wav"),
}

SPEECH_REFUSED: dict[str, tuple[Any, str]] = {
    name: (SpeechRequest(model="sandbox/speech", input="Hello", format=name), "response_format")
    for name in ("mp3", "opus", "aac", "flac")
}


# --- failures and judges ----------------------------------------------------------------------------------------------

FAILURES = {
    "bad_request": Failure(400, error("The size is out of range."), UpstreamRejected, message="out of range"),
    "bad_key": Failure(
        401, error("Incorrect API key provided: sk-sandbox-0000."), UpstreamError, secret="sk-sandbox-0000"
    ),
    "rate_limited": Failure(429, error("Busy."), UpstreamRateLimited, headers={"retry-after": "7"}, retry_after=7),
    "server_error": Failure(500, error("Failed at 10.1.2.3."), UpstreamError, secret="10.1.2.3"),
    "html": Failure(502, b"<html><body>Bad gateway</body></html>", UpstreamError, secret="html"),
}

MODERATED = Failure(
    400,
    b'{"error":{"message":"The content filter refused this prompt.","code":"content_filter"}}',
    ContentFiltered,
    message="content filter",
)

_REQUESTS: dict[Operation, Any] = {
    "images": Order,
    "content": ContentRequest,
    "embeddings": EmbeddingRequest,
    "transcription": Recording,
    "speech": SpeechRequest,
}


def _judge_embeddings(answer: Answer) -> None:
    vectors, usage = json.loads(answer.body).values()
    assert {len(base64.b64decode(vector)) % 4 for vector in vectors} == {0}
    Usage.model_validate(usage)


def _judge_speech(answer: Answer) -> None:
    with wave.Wave_read(io.BytesIO(answer.body)) as file:
        assert (file.getframerate(), file.getsampwidth(), file.getnchannels()) == (24_000, 2, 1)
        assert file.readframes(file.getnframes()) == SAMPLES


def _wire(operation: Operation, **data: Any) -> OperationWire:
    request = TypeAdapter(_REQUESTS[operation])
    return OperationWire(
        operation=operation,
        adapter="sandbox",
        env={"GATEWAY_SANDBOX": "on"},
        auth=("", ""),
        validate_request=lambda sent: request.validate_json(json.dumps(sent.json), strict=True),
        **data,
    )


wires: list[OperationWire] = [
    _wire(
        "images",
        sent=IMAGES_SENT,
        answers=IMAGES_ANSWERS,
        refused=IMAGES_REFUSED,
        failures={**FAILURES, "moderated": MODERATED},
        validate_answer=lambda answer: TypeAdapter(ImageResponse).validate_json(answer.body),
    ),
    _wire(
        "content",
        sent=CONTENT_SENT,
        answers=CONTENT_ANSWERS,
        failures=FAILURES,
        validate_answer=lambda answer: GenerateContentResponse.model_validate_json(answer.body),
    ),
    _wire(
        "embeddings",
        sent=EMBEDDINGS_SENT,
        answers=EMBEDDINGS_ANSWERS,
        refused=EMBEDDINGS_REFUSED,
        failures=FAILURES,
        validate_answer=_judge_embeddings,
    ),
    _wire(
        "transcription",
        sent=TRANSCRIPTION_SENT,
        answers=TRANSCRIPTION_ANSWERS,
        failures=FAILURES,
        validate_answer=lambda answer: TypeAdapter(Transcript).validate_json(answer.body),
    ),
    _wire(
        "speech",
        sent=SPEECH_SENT,
        answers=SPEECH_ANSWERS,
        refused=SPEECH_REFUSED,
        failures=FAILURES,
        validate_answer=_judge_speech,
    ),
]
