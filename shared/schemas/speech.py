"""The canonical speech request; the response is audio."""

from typing import Literal, TypeAlias

from shared.dataclass import dataclass

SpeechFormat: TypeAlias = Literal["mp3", "opus", "aac", "flac", "wav", "pcm"]


@dataclass(frozen=True, slots=True)
class SpeechRequest:
    """Text to be spoken. `pcm` is 24 kHz, 16 bits, little-endian, mono. `speed` is from 0.25 to 4, `instructions` say
    how to speak; `voice` None leaves the choice to the vendor.
    """

    model: str
    input: str
    voice: str | None = None
    format: SpeechFormat = "mp3"
    speed: float | None = None
    instructions: str | None = None
