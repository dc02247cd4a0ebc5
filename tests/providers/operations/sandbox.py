"""What goes over the sandbox's wire for everything but chat.

There is no vendor whose types could judge it: the canonical ones do, and Google's for raw content.
"""

import base64
import hashlib
import json
import struct
from array import array
from typing import Any

from google.genai.types import GenerateContentResponse
from pydantic import TypeAdapter
from pydantic_core import to_json

from shared.errors import ContentFiltered, CredentialsRefused, UpstreamError, UpstreamRateLimited, UpstreamRejected
from shared.schemas.content import Inline
from shared.schemas.embedding import EmbeddingRequest, EmbeddingResponse
from shared.schemas.generated_content import ContentRequest, ContentResponse, SafetySetting
from shared.schemas.image import GeneratedImage, ImageRequest, ImageResponse, Size
from shared.schemas.speech import SpeechRequest
from shared.schemas.transcription import Segment, Transcript, TranscriptDone, TranscriptionRequest, Word
from shared.schemas.usage import Usage
from tests.providers.operation_wire import Answer, Operation, OperationWire, Sent
from tests.providers.sandbox_calls import upload
from tests.providers.wire import Failure
from tests.providers.wires.sandbox import PNG, error, sse

GIF = base64.b64encode(b"GIF89a\1\0\1\0\0\0\0;").decode()
MP3 = base64.b64encode(b"ID3 a recording").decode()


def file_of(data: str) -> Any:
    return upload(base64.b64decode(data))


def hash_of(data: str) -> str:
    return hashlib.sha256(base64.b64decode(data)).hexdigest()


def sent(request: Any, path: str, model: str) -> Sent:
    """The request as its canonical type writes it, with the name of the upstream model."""
    return Sent(request, path, {**json.loads(to_json(request)), "model": model})


# --- images -----------------------------------------------------------------------------------------------------------

FOX = ImageRequest(model="sandbox/image", prompt="A fox")

IMAGES_SENT = {
    "minimal": Sent(
        FOX,
        "/images",
        {
            "model": "image",
            "prompt": "A fox",
            "n": 1,
            "size": [1024, 1024],
            "files": 0,
            "motif": ["A fox", None, None, False],
        },
    ),
    "everything": Sent(
        ImageRequest(
            model="sandbox/image",
            prompt="A fox",
            images=(file_of(PNG), file_of(GIF)),
            mask=file_of(PNG),
            n=3,
            size=Size(1536, 1024),
            quality="high",
            style="vivid",
            background="transparent",
            output_format="png",
            output_compression=50,
            moderation="low",
            input_fidelity="high",
            seed=7,
            user="u-1",
        ),
        "/images",
        {
            "model": "image",
            "prompt": "A fox",
            "n": 3,
            "size": [1536, 1024],
            "files": 3,
            "motif": ["A fox", 7, "vivid", True, hash_of(PNG), hash_of(GIF), hash_of(PNG)],
        },
    ),
}

IMAGES_ANSWERS = {
    "several": Answer(
        FOX,
        b'{"images":[{"source":{"kind":"inline","media_type":"image/png","data":"%b"},"revised_prompt":null},'
        b'{"source":{"kind":"inline","media_type":"image/gif","data":"%b"},"revised_prompt":null}],'
        b'"usage":{"input_tokens":2,"output_tokens":512,"output_image_tokens":512,"images":2}}'
        % (PNG.encode(), GIF.encode()),
        ImageResponse(
            (
                GeneratedImage(Inline(media_type="image/png", data=PNG)),
                GeneratedImage(Inline(media_type="image/gif", data=GIF)),
            ),
            Usage(input_tokens=2, output_tokens=512, output_image_tokens=512, images=2),
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
    "minimal": sent(SCENE, "/content", "image"),
    "everything": sent(
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
        "image",
    ),
}

_PARTS = [{"text": "Here."}, {"inline_data": {"data": PNG, "mime_type": "image/png"}}]
_BODY = {
    "candidates": [{"content": {"role": "model", "parts": _PARTS}, "finish_reason": "STOP", "index": 0}],
    "usage_metadata": {"prompt_token_count": 258, "candidates_token_count": 259, "total_token_count": 517},
    "model_version": "sandbox-image-1",
}

CONTENT_ANSWERS = {
    "text_and_image": Answer(
        SCENE,
        json.dumps({"body": _BODY, "usage": {"input_tokens": 258, "output_tokens": 259, "images": 1}}).encode(),
        ContentResponse(_BODY, Usage(input_tokens=258, output_tokens=259, images=1)),
    ),
}


# --- embeddings -------------------------------------------------------------------------------------------------------

TEXTS = EmbeddingRequest(model="sandbox/embedding", inputs=("Hello", "Welt"))

EMBEDDINGS_SENT = {
    "minimal": sent(TEXTS, "/embeddings", "embedding"),
    "everything": sent(
        EmbeddingRequest(model="sandbox/embedding", inputs=("Hello", (1, 2, 3)), dimensions=256, user="u-1"),
        "/embeddings",
        "embedding",
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
_SENT = {"model": "transcription", "audio": MP3, "language": "en", "prompt": "", "words": False, "stream": False}

TRANSCRIPTION_SENT = {
    "minimal": Sent(SPOKEN, "/transcription", _SENT),
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
        "/transcription",
        {**_SENT, "language": "de", "prompt": "Nürnberg", "words": True},
    ),
}

TRANSCRIPTION_ANSWERS = {
    "everything": Answer(
        SPOKEN,
        b'[{"type":"TranscriptDelta","text":"Hello there."},{"type":"TranscriptDone","transcript":'
        b'{"text":"Hello there.","language":"en","duration":1.5,'
        b'"segments":[{"start":0.0,"end":1.5,"text":"Hello there.","details":{"no_speech_prob":0.01}}],'
        b'"words":[{"word":"Hello","start":0.0,"end":0.75},{"word":"there.","start":0.75,"end":1.5}],'
        b'"usage":{"input_tokens":15,"input_audio_tokens":15,"output_tokens":4,"audio_seconds":1.5}}},{"type":"done"}]',
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

SPEAKING = SpeechRequest(model="sandbox/speech", input="Hello", format="wav")

SPEECH_SENT = {
    "minimal": sent(SPEAKING, "/speech", "speech"),
    "everything": sent(
        SpeechRequest(
            model="sandbox/speech", input="Hello", voice="echo", format="pcm", speed=2, instructions="Whisper."
        ),
        "/speech",
        "speech",
    ),
}

SPEECH_ANSWERS = {
    "pieces": Answer(
        SPEAKING,
        sse(
            '{"type":"Inline","kind":"inline","media_type":"audio/wav","data":"UklGRg=="}',
            '{"type":"Inline","kind":"inline","media_type":"audio/wav","data":"AAEC"}',
            '{"type":"done"}',
        ),
        b"RIFF\0\1\2",
        "text/event-stream",
    )
}

SPEECH_REFUSED: dict[str, tuple[Any, str]] = {
    name: (SpeechRequest(model="sandbox/speech", input="Hello", format=name), "response_format")
    for name in ("mp3", "opus", "aac", "flac")
}


# --- failures and judges ----------------------------------------------------------------------------------------------

FAILURES = {
    "bad_request": Failure(400, error("The size is out of range."), UpstreamRejected, message="out of range"),
    "bad_key": Failure(
        401, error("Incorrect API key provided: sk-sandbox-0000."), CredentialsRefused, secret="sk-sandbox-0000"
    ),
    "rate_limited": Failure(429, error("Busy."), UpstreamRateLimited, headers={"retry-after": "7"}, retry_after=7),
    "server_error": Failure(500, error("Failed at 10.1.2.3."), UpstreamError, secret="10.1.2.3"),
    "html": Failure(502, b"<html><body>Bad gateway</body></html>", UpstreamError, secret="html"),
}

MODERATED = Failure(
    451, error("The content filter refused this prompt."), ContentFiltered, message="content filter refused"
)


def _canonical(request: type[Any]) -> Any:
    """A judge of calls by the canonical type of their operation's requests."""
    return lambda call: TypeAdapter(request).validate_json(json.dumps(call.json), strict=True)


def _judge_embeddings(answer: Answer) -> None:
    vectors, usage = json.loads(answer.body).values()
    assert {len(base64.b64decode(vector)) % 4 for vector in vectors} == {0}
    Usage.model_validate(usage)


def _wire(operation: Operation, **data: Any) -> OperationWire:
    """Calls and answers that are not canonical types have no judge but the code that reads them."""
    unjudged = {"validate_request": lambda call: None, "validate_answer": lambda answer: None}
    env = {"GATEWAY_SANDBOX": "on"}
    given = {"failures": FAILURES, **unjudged, **data}
    return OperationWire(operation=operation, adapter="sandbox", env=env, auth=("", ""), **given)


wires: list[OperationWire] = [
    _wire(
        "images",
        sent=IMAGES_SENT,
        answers=IMAGES_ANSWERS,
        refused=IMAGES_REFUSED,
        failures={**FAILURES, "moderated": MODERATED},
        validate_answer=lambda answer: TypeAdapter(ImageResponse).validate_json(answer.body, strict=True),
    ),
    _wire(
        "content",
        sent=CONTENT_SENT,
        answers=CONTENT_ANSWERS,
        validate_request=_canonical(ContentRequest),
        validate_answer=lambda answer: GenerateContentResponse.model_validate(json.loads(answer.body)["body"]),
    ),
    _wire(
        "embeddings",
        sent=EMBEDDINGS_SENT,
        answers=EMBEDDINGS_ANSWERS,
        refused=EMBEDDINGS_REFUSED,
        validate_request=_canonical(EmbeddingRequest),
        validate_answer=_judge_embeddings,
    ),
    _wire(
        "transcription",
        sent=TRANSCRIPTION_SENT,
        answers=TRANSCRIPTION_ANSWERS,
        validate_answer=lambda answer: TypeAdapter(TranscriptDone).validate_python(
            {"transcript": json.loads(answer.body)[-2]["transcript"]}
        ),
    ),
    _wire(
        "speech",
        sent=SPEECH_SENT,
        answers=SPEECH_ANSWERS,
        refused=SPEECH_REFUSED,
        validate_request=_canonical(SpeechRequest),
    ),
]
