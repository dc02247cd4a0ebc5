"""What the sandbox hears in a recording: the very words that it spoke itself, or words made up from the bytes."""

import hashlib
from collections.abc import Iterator
from itertools import accumulate, cycle, pairwise
from zlib import crc32

from shared.providers.sandbox import tokens, wav
from shared.schemas.transcription import Segment, Transcript, Word
from shared.schemas.usage import Usage

_WHO = ("The captain", "My neighbour", "A young engineer", "The old gardener", "Our guide", "The night train")
_DOES = ("slowly crosses", "quietly watches", "has found", "remembers", "is looking for", "will soon leave")
_WHAT = ("the empty bridge", "a paper map", "the harbour lights", "an open window", "the last letter", "seven bells")
_WHERE = ("near the river", "before sunrise", "behind the station", "in the rain", "on a Sunday", "once again")

_WORDS_PER_SECOND = 2.5
_FEWEST_WORDS = 4
_MOST_WORDS = 5000
_LONGEST_SEGMENT = 12  # words
# What compressed speech weighs in a second, and what a second weighs in tokens.
_COMPRESSED_BYTES = 16_000
_TOKENS_PER_SECOND = 10
_DEFAULT_LANGUAGE = "en"


def transcribe(audio: bytes, language: str | None, prompt: str | None, *, words: bool) -> Transcript:
    """The transcript of a recording with its segments and, where asked for, `words`.

    A prompt stands before what is made up, for its words are those to expect. The times are in hundredths of a second.
    """
    seconds, spoken = _heard(audio)
    text = _made_up(audio, seconds, prompt) if spoken is None else spoken
    timed = _timed(text.split(), seconds)
    listened = round(seconds * _TOKENS_PER_SECOND)
    return Transcript(
        text=text,
        language=language or _DEFAULT_LANGUAGE,
        duration=seconds,
        segments=tuple(map(_segment, _grouped(timed))),
        words=tuple(timed) if words else (),
        usage=Usage(
            input_tokens=listened + tokens.count(prompt or ""),
            input_audio_tokens=listened,
            output_tokens=tokens.count(text),
            audio_seconds=seconds,
        ),
    )


def _heard(audio: bytes) -> tuple[float, str | None]:
    """How many seconds a recording has, and what it says where it is the sandbox's own."""
    try:
        found = wav.read(audio)
    except ValueError:
        found = None
    if found is None or not found.byte_rate:
        return round(max(1.0, len(audio) / _COMPRESSED_BYTES), 2), None
    there = len(audio) - found.start
    return round(min(found.size or there, there) / found.byte_rate, 2), found.spoken


def _made_up(audio: bytes, seconds: float, prompt: str | None) -> str:
    """About as many words as are spoken in that time, the same for the same recording."""
    wanted = min(_MOST_WORDS, max(_FEWEST_WORDS, round(seconds * _WORDS_PER_SECOND)))
    sentences = [f"{' '.join(prompt.split()).rstrip('.!?')}."] if prompt and prompt.strip() else []
    count = sum(len(sentence.split()) for sentence in sentences)
    numbers = cycle(hashlib.shake_256(hashlib.sha256(audio).digest()).digest(1021))
    while count < wanted:
        parts = [choices[next(numbers) % len(choices)] for choices in (_WHO, _DOES, _WHAT, _WHERE)]
        sentence = " ".join(parts)
        count += len(sentence.split())
        sentences.append(f"{sentence}.")
    return " ".join(sentences)


def _timed(words: list[str], seconds: float) -> list[Word]:
    """The words with their times, which cover the recording; longer words take longer."""
    ends = list(accumulate((len(word) + 1 for word in words), initial=0))
    times = [round(seconds * end / ends[-1], 2) for end in ends] if words else []
    return [Word(word, start, end) for word, (start, end) in zip(words, pairwise(times), strict=True)]


def _grouped(words: list[Word]) -> Iterator[list[Word]]:
    """The words by sentences, long ones in parts."""
    group: list[Word] = []
    for word in words:
        group.append(word)
        if word.word.endswith((".", "!", "?")) or len(group) == _LONGEST_SEGMENT:
            yield group
            group = []
    if group:
        yield group


def _segment(words: list[Word]) -> Segment:
    text = " ".join(word.word for word in words)
    start = words[0].start
    details = {
        "seek": round(start * 100),
        "tokens": [crc32(token.encode()) % 50_000 for token in tokens.split(text)],
        "temperature": 0.0,
        "avg_logprob": -(1 + crc32(text.encode()) % 400) / 1000,
        "compression_ratio": 1.2,
        "no_speech_prob": 0.01,
    }
    return Segment(start, words[-1].end, text, details)
