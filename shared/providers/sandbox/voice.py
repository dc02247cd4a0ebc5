"""The sandbox's voice: a tone for each character, silence for spaces and punctuation."""

import math
import struct
from array import array
from collections.abc import Iterator
from zlib import crc32

from shared.providers.sandbox.wav import RATE

_SECONDS_PER_CHARACTER = 0.06
_DEFAULT_VOICE = "alloy"
# A pentatonic scale, in which all neighbours sound well.
_SCALE = (1, 9 / 8, 5 / 4, 3 / 2, 5 / 3, 2, 9 / 4)
_VOWELS = frozenset("aeiouyäöüáàâéèêíìîóòôúùû")
# How loud the overtones are beside the tone itself, which is a third of full scale.
_OF_VOWELS = (1.0, 0.5, 0.25)
_OF_CONSONANTS = (1.0, 0.15)
_AMPLITUDE = 10_000
# Characters in each piece of sound; there are never more than so many pieces.
_SHORTEST_PIECE = 16
_MOST_PIECES = 50


class Voice:
    """A voice by name, each with a pitch of its own, at a speed from 0.25 to 4."""

    def __init__(self, name: str | None, speed: float) -> None:
        self._base = 100 + crc32((name or _DEFAULT_VOICE).encode()) % 2000 / 10
        self._samples = round(_SECONDS_PER_CHARACTER * RATE / speed)
        self._tones: dict[tuple[int, bool], bytes] = {}

    def data_bytes(self, text: str) -> int:
        """How much sound a text takes."""
        return 2 * self._samples * len(text)

    def speak(self, text: str) -> Iterator[bytes]:
        """The sound in pieces: 24 kHz, 16 bits, little-endian, mono."""
        length = max(_SHORTEST_PIECE, -(-len(text) // _MOST_PIECES))
        for start in range(0, len(text), length):
            yield b"".join(map(self._sound, text[start : start + length]))

    def _sound(self, character: str) -> bytes:
        if not character.isalnum():
            return bytes(2 * self._samples)
        key = ord(character) % len(_SCALE), character.lower() in _VOWELS
        if key not in self._tones:
            step, is_vowel = key
            self._tones[key] = _tone(
                self._base * _SCALE[step], _OF_VOWELS if is_vowel else _OF_CONSONANTS, self._samples
            )
        return self._tones[key]


def _tone(hertz: float, overtones: tuple[float, ...], samples: int) -> bytes:
    """A tone that swells and fades."""
    turn = 2 * math.pi * hertz / RATE
    loudness = _AMPLITUDE / sum(overtones)
    wave = array("h")
    for at in range(samples):
        swell = loudness * math.sqrt(math.sin(math.pi * (at + 0.5) / samples))
        value = math.fsum(part * math.sin(turn * at * number) for number, part in enumerate(overtones, 1))
        wave.append(round(swell * value))
    return struct.pack(f"<{samples}h", *wave)
