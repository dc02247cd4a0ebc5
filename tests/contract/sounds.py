"""Recordings, a vendor that writes them down and speaks, and multipart bodies that no client library would make."""

import io
import wave
from collections.abc import Iterator, Sequence
from functools import cache
from typing import Any

import httpx

from tests.contract.vendor import ENVIRONMENT as COMPATIBLE
from tests.contract.vendor import HOST, KEY, frame

ENVIRONMENT = {
    **COMPATIBLE,
    "GROQ_API_KEY": KEY,
    "GROQ_BASE_URL": f"https://{HOST}/openai/v1",
    "GATEWAY_SANDBOX": "on",
}
WHISPER = "whisper-1"
HOSTED_WHISPER = "openai/whisper-large-v3"  # on DeepInfra
GROQ_WHISPER = "groq/whisper-large-v3"
STREAMING = "gpt-transcribe"  # text without times
SPEAKER = "gpt-4o-mini-tts"


# --- recordings


@cache
def wav(seconds: float = 0.5) -> bytes:
    """A real WAV file of silence."""
    file = io.BytesIO()
    with wave.open(file, "wb") as out:
        out.setparams((1, 2, 8000, 0, "NONE", ""))
        out.writeframes(bytes(2 * round(8000 * seconds)))
    return file.getvalue()


def _box(kind: bytes, content: bytes) -> bytes:
    return (8 + len(content)).to_bytes(4) + kind + content


WAV = wav()
# As iPhones and ffmpeg begin theirs: https://developer.apple.com/documentation/quicktime-file-format/file_type_compatibility_atom
M4A = _box(b"ftyp", b"M4A " + bytes(4) + b"M4A mp42isom" + bytes(4)) + _box(b"free", b"") + _box(b"mdat", bytes(64))
AUDIO = {
    "audio/wav": WAV,
    "audio/mp4": M4A,
    "audio/mpeg": b"ID3\x04\x00\x00" + bytes(64),
    "audio/flac": b"fLaC" + bytes(64),
    "audio/ogg": b"OggS" + bytes(64),
    "audio/webm": bytes.fromhex("1a45dfa39f4286810142f7810142f2810442f381084282847765626d") + bytes(64),
    "audio/aac": bytes.fromhex("fff15080") + bytes(64),
}
FILM = _box(b"ftyp", b"isom" + bytes(4) + b"isomiso2avc1mp41")
BARE_MP3 = bytes.fromhex("fffb9064") + bytes(64)
PNG = b"\x89PNG\r\n\x1a\n" + bytes(64)
NO_AUDIO = {
    "text": b"Meeting notes, to be transcribed",
    "png": PNG,
    "pdf": b"%PDF-1.7" + bytes(64),
    "html": b"<html></html>",
    "heic": _box(b"ftyp", b"heic" + bytes(4) + b"mif1heic"),
    "webp": b"RIFF\x24\x00\x00\x00WEBPVP8 " + bytes(64),
    "utf-16": "Text".encode("utf-16"),
    "one-byte": b"R",
}


# --- what the vendors answer

TEXT = "Hello there. How are you?"
SEGMENTS = [
    {
        "id": 0,
        "seek": 0,
        "start": 0.0,
        "end": 1.5,
        "text": " Hello there.",
        "tokens": [50364, 2425],
        "temperature": 0.0,
        "avg_logprob": -0.28,
        "compression_ratio": 1.23,
        "no_speech_prob": 0.009,
    },
    {
        "id": 1,
        "seek": 0,
        "start": 1.5,
        "end": 59.9996,
        "text": " How are <you> & me?",
        "tokens": [50414],
        "temperature": 0.0,
        "avg_logprob": -0.3,
        "compression_ratio": 1.2,
        "no_speech_prob": 0.01,
    },
]
WORDS = [{"word": "Hello", "start": 0.0, "end": 0.5}, {"word": "there", "start": 0.5, "end": 1.5}]
VERBOSE = {"task": "transcribe", "language": "english", "duration": 60.0, "text": TEXT, "segments": SEGMENTS}
SRT = """1
00:00:00,000 --> 00:00:01,500
Hello there.

2
00:00:01,500 --> 00:01:00,000
How are <you> & me?
"""
VTT = """WEBVTT

00:00:00.000 --> 00:00:01.500
Hello there.

00:00:01.500 --> 00:01:00.000
How are &lt;you&gt; &amp; me?
"""


def listen(request: httpx.Request) -> httpx.Response:
    """Writes down what OpenAI would, in the format and with the times that are asked for."""
    asked = plain_fields(request)
    if asked.get("stream") == ["true"]:
        return httpx.Response(200, content=b"".join(STREAM), headers={"content-type": "text/event-stream"})
    if asked["response_format"] == ["verbose_json"]:
        words = {"words": WORDS} if "word" in asked.get("timestamp_granularities[]", ()) else {}
        return httpx.Response(200, json={**VERBOSE, **words, "usage": {"type": "duration", "seconds": 60}})
    return httpx.Response(200, json={"text": TEXT, "usage": TOKENS})


TOKENS = {
    "type": "tokens",
    "input_tokens": 14,
    "input_token_details": {"text_tokens": 10, "audio_tokens": 4},
    "output_tokens": 7,
    "total_tokens": 21,
}
STREAM = [
    frame({"type": "transcript.text.delta", "delta": "Hello there."}),
    frame({"type": "transcript.text.delta", "delta": " How are you?"}),
    frame({"type": "transcript.text.done", "text": TEXT, "usage": TOKENS}),
]


def plain_fields(request: httpx.Request) -> dict[str, list[str]]:
    """The fields of a form that are no files."""
    from tests.contract.image_vendors import form_of

    form = form_of(request)
    return {name: texts for name, values in form.items() if (texts := [v for v in values if isinstance(v, str)])}


# --- bodies

BOUNDARY = "a1b2"


def part(name: str, content: bytes | str, filename: str | None = None, *headers: str) -> bytes:
    """A part as it is written down, nothing in it escaped."""
    told = "" if filename is None else f'; filename="{filename}"'
    head = "\r\n".join([f'Content-Disposition: form-data; name="{name}"{told}', *headers]).encode()
    return b"--%b\r\n%b\r\n\r\n%b\r\n" % (BOUNDARY.encode(), head, _bytes(content))


def body(parts: Sequence[bytes]) -> bytes:
    return b"".join(parts) + f"--{BOUNDARY}--\r\n".encode()


def multipart(*parts: bytes, boundary: str = BOUNDARY, more: str = "") -> dict[str, Any]:
    """The arguments of a request with these parts."""
    content_type = f"multipart/form-data; boundary={boundary}{more}"
    return {"content": body(parts), "headers": {"content-type": content_type}}


def in_pieces(content: bytes, size: int = 1 << 16) -> Iterator[bytes]:
    for start in range(0, len(content), size):
        yield content[start : start + size]


def _bytes(content: bytes | str) -> bytes:
    return content.encode() if isinstance(content, str) else content
