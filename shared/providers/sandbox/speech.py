"""Speech: `POST /speech` takes a SpeechRequest and answers with the events of the audio.

A WAV file tells in a chunk of its own, `said`, what is said in it, by which the sandbox can write it down again.
"""

import math
import struct
from array import array
from base64 import b64decode, b64encode
from functools import lru_cache
from typing import Any
from zlib import crc32

from pydantic_core import to_jsonable_python

from shared.errors import FieldError, UnsupportedFeature
from shared.providers.base import Call, LocalAnswer, SpeechAdapter
from shared.providers.sandbox import wire
from shared.schemas.content import Inline
from shared.schemas.model import Model
from shared.schemas.speech import SpeechRequest

_RATE = 24_000  # 16 bits, mono
_SECONDS_A_CHARACTER = 0.06
_AMPLITUDE = 10_000
_SCALE = (1, 9 / 8, 5 / 4, 3 / 2, 5 / 3, 2, 9 / 4)  # pentatonic: all neighbours sound well
_CHARACTERS_A_PIECE = 16


class SandboxSpeech(wire.EventOperation[bytes]):
    def call(self, request: SpeechRequest, model: Model) -> Call:
        if request.format not in ("wav", "pcm"):
            message = f"The sandbox speaks WAV and PCM only: set response_format to wav or pcm, not {request.format}."
            raise UnsupportedFeature(message, details=[FieldError("response_format", message)])
        return Call("/speech", {**to_jsonable_python(request), "model": model.upstream}, streamed=True)

    def reader(self, request: object) -> wire.EventReader[bytes]:
        return wire.EventReader({"Inline": lambda fields: b64decode(fields["data"])})


adapter: SpeechAdapter = SandboxSpeech()


def answer(body: dict[str, Any]) -> LocalAnswer:
    text, samples = body["input"], round(_SECONDS_A_CHARACTER * _RATE / (body["speed"] or 1))
    voice = 100 + crc32((body["voice"] or "alloy").encode()) % 200
    tones = [_tone(voice * _SCALE[ord(sign) % 7], samples) if sign.isalnum() else bytes(2 * samples) for sign in text]
    pieces = [b"".join(tones[at : at + _CHARACTERS_A_PIECE]) for at in range(0, len(tones), _CHARACTERS_A_PIECE)]
    if body["format"] == "wav":
        pieces.insert(0, _head(2 * samples * len(text), text.encode()))
    audio = (Inline(media_type=f"audio/{body['format']}", data=b64encode(piece).decode("ascii")) for piece in pieces)
    return wire.answer(body["model"], audio, stream=True)


@lru_cache(64)
def _tone(pitch: float, samples: int) -> bytes:
    """A sine that swells and fades."""
    swells = (math.sin(math.pi * at / samples) for at in range(samples))
    tone = (_AMPLITUDE * swell * math.sin(2 * math.pi * pitch * at / _RATE) for at, swell in enumerate(swells))
    return array("h", map(round, tone)).tobytes()


def _head(size: int, said: bytes) -> bytes:
    """What goes before that many bytes of sound."""
    padded = said + b"\0" * (len(said) % 2)
    form = struct.pack("<4sIHHIIHH4sI", b"fmt ", 16, 1, 1, _RATE, 2 * _RATE, 2, 16, b"said", len(said))
    riff = struct.pack("<4sI4s", b"RIFF", 44 + len(padded) + size, b"WAVE")
    return riff + form + padded + struct.pack("<4sI", b"data", size)
