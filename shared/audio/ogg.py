"""Ogg with Opus or Vorbis: every page lists the lengths of its packets.

https://www.rfc-editor.org/rfc/rfc3533#section-6
"""

from collections.abc import Iterator

from shared.audio import opus, vorbis
from shared.audio.bounds import MAX_STEPS, Recording, Unbounded
from shared.audio.headers import find

_HEAD = 27
_STREAM = 14


def longest_seconds(recording: Recording, most: float) -> float:
    """The sum of all packets of all pages, up to `most`. Raises Unbounded for other codecs, and for too many parts."""
    seconds, of_vorbis, has_opus, left = 0.0, 0.0, False, MAX_STEPS
    streams: set[bytes] = set()
    for page, packets in _pages(recording):
        stream = recording[page + _STREAM : page + _STREAM + 4]
        for begin, end in packets:
            start = recording[begin : min(end, begin + 32)]
            if start.startswith(b"OpusHead"):
                has_opus = True
                streams.add(stream)
            elif start.startswith(vorbis.MAGIC):
                of_vorbis = max(of_vorbis, vorbis.packet_seconds(start))
                streams.add(stream)
            elif stream not in streams:
                raise Unbounded
            seconds += max(of_vorbis, opus.packet_seconds(start[:2]) if has_opus else 0.0)
        left -= 1 + len(packets)
        if left < 0:
            raise Unbounded
        if seconds >= most:
            break
    return seconds


def _pages(recording: Recording) -> Iterator[tuple[int, list[tuple[int, int]]]]:
    """Where each page begins, and where its packets begin and end. Looks for pages everywhere, also inside others."""
    at = find(recording, b"OggS")
    while at >= 0:
        table_end = at + _HEAD + recording[at + _HEAD - 1] if at + _HEAD <= len(recording) else at
        begin = end = table_end
        packets = []
        for length in recording[at + _HEAD : table_end]:
            end += length
            if length < 255:
                packets.append((begin, end))
                begin = end
        if end > begin:  # goes on on the next page
            packets.append((begin, end))
        yield at, packets
        at = find(recording, b"OggS", at + 4)
