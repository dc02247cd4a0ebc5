"""Subtitle files, made of a transcript's segments.

SubRip: https://www.matroska.org/technical/subtitles.html#srt-subtitles. WebVTT: https://www.w3.org/TR/webvtt1/.
"""

import re
from collections.abc import Iterator

from shared.schemas.transcription import Segment, Transcript

_WORDS_IN_A_CUE = 12


def srt(transcript: Transcript) -> str:
    """The transcript as SubRip, one numbered cue for each segment."""
    cues = [
        f"{number}\n{_time(cue.start, ',')} --> {_time(cue.end, ',')}\n{_one_line(cue.text)}\n"
        for number, cue in enumerate(_cues(transcript), 1)
    ]
    return "\n".join(cues)


def vtt(transcript: Transcript) -> str:
    """The transcript as WebVTT."""
    cues = [
        f"{_time(cue.start, '.')} --> {_time(cue.end, '.')}\n{_escaped(_one_line(cue.text))}\n"
        for cue in _cues(transcript)
    ]
    return "\n".join(["WEBVTT\n", *cues])


def _cues(transcript: Transcript) -> Iterator[Segment]:
    """The segments or, where the vendor gives words only, a dozen words at a time."""
    if transcript.segments:
        yield from transcript.segments
        return
    words = transcript.words
    for start in range(0, len(words), _WORDS_IN_A_CUE):
        said = words[start : start + _WORDS_IN_A_CUE]
        yield Segment(said[0].start, said[-1].end, " ".join(word.word.strip() for word in said))


def _time(seconds: float, point: str) -> str:
    milliseconds = max(0, round(seconds * 1000))
    minutes, milliseconds = divmod(milliseconds, 60_000)
    hours, minutes = divmod(minutes, 60)
    return f"{hours:02}:{minutes:02}:{milliseconds // 1000:02}{point}{milliseconds % 1000:03}"


def _one_line(text: str) -> str:
    """A blank line would end the cue, and an arrow would make a line its timing."""
    return re.sub("-{2,}>", "->", " ".join(text.split()))


def _escaped(text: str) -> str:
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
