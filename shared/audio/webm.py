"""WebM with Opus or Vorbis: clusters of blocks, each with a packet or several.

https://www.rfc-editor.org/rfc/rfc9559
"""

import re
from collections.abc import Iterator

from shared.audio import opus, vorbis
from shared.audio.bounds import MAX_STEPS, Recording, Unbounded
from shared.audio.headers import find

_CLUSTER = b"\x1f\x43\xb6\x75"
_BLOCK_GROUP, _BLOCK, _SIMPLE_BLOCK = 0xA0, 0xA1, 0xA3
_LACED = 0x06
_MOST_HEAD = 1024 * 1024
_TRACKS = b"\x16\x54\xae\x6b"
# A track's codec, and what says that its packets are compressed or encrypted once more.
_CODEC = re.compile(rb"A_[A-Z][A-Z0-9_/]{0,30}")
_CONTENT_ENCODINGS = b"\x6d\x80"


def longest_seconds(recording: Recording, most: float) -> float:
    """The sum of all blocks of all clusters, up to `most`. Raises Unbounded for other codecs and too many parts."""
    first = recording.find(_CLUSTER, 0, _MOST_HEAD)
    if first < 0:
        raise Unbounded
    head = recording[:first]
    codecs = set(_CODEC.findall(head))
    if not codecs or not codecs <= {b"A_OPUS", b"A_VORBIS"} or _CONTENT_ENCODINGS in head:
        raise Unbounded
    if find(recording, _TRACKS, first) >= 0:  # other tracks, described at the end
        raise Unbounded
    of_vorbis = 0.0
    if b"A_VORBIS" in codecs:
        at = head.index(vorbis.MAGIC)
        of_vorbis = vorbis.packet_seconds(head[at : at + 32])
    has_opus = b"A_OPUS" in codecs
    seconds = 0.0
    for packet, count in _packets(recording, first):
        of_opus = opus.packet_seconds(packet) if count == 1 else opus.LONGEST_PACKET
        seconds += count * max(of_vorbis, of_opus if has_opus else 0.0)
        if seconds >= most:
            break
    return seconds


def _packets(recording: Recording, cluster: int) -> Iterator[tuple[bytes, int]]:
    """The first bytes of each block's first packet, and how many packets the block has.

    Looks for clusters everywhere, also inside of others.
    """
    left = MAX_STEPS
    while cluster >= 0:
        left -= 1
        following = find(recording, _CLUSTER, cluster + 4)
        end = following if following >= 0 else len(recording)
        at = _size(recording, cluster + 4)[1]
        while at < end and left >= 0:
            left -= 1
            kind, at = _id(recording, at)
            size, at = _size(recording, at)
            if kind in (_BLOCK, _SIMPLE_BLOCK):
                yield _block(recording[at : at + min(size, 16)])
            if kind != _BLOCK_GROUP:
                at += size
        if left < 0:
            raise Unbounded
        cluster = following


def _block(head: bytes) -> tuple[bytes, int]:
    flags = _size(head, 0)[1] + 2
    if head[flags] & _LACED:
        return b"", 1 + head[flags + 1]
    return head[flags + 1 : flags + 3], 1


def _id(data: Recording, at: int) -> tuple[int, int]:
    """An element's id, and where its size begins."""
    length = 9 - data[at].bit_length() if data[at] else 8
    return int.from_bytes(data[at : at + length], "big"), at + length


def _size(data: Recording, at: int) -> tuple[int, int]:
    """An element's size, and where its content begins."""
    length = 9 - data[at].bit_length() if data[at] else 8
    value = int.from_bytes(data[at : at + length], "big")
    return value & (1 << 7 * length) - 1, at + length
