"""Decodes server-sent events from a byte stream, however it is split, and encodes them.

Follows https://html.spec.whatwg.org/multipage/server-sent-events.html#event-stream-interpretation.
"""

from typing import NamedTuple

from shared.errors import UpstreamError

# A frame may hold a whole generated image (8 MB and more in base64); beyond this the provider is considered broken.
MAX_FRAME_BYTES = 96 * 1024 * 1024

DONE = b"data: [DONE]\n\n"
KEEP_ALIVE = b": keep-alive\n\n"


class Frame(NamedTuple):
    """One server-sent event; `event` is empty where the stream names none."""

    data: bytes
    event: str = ""


class SseDecoder:
    """Splits a byte stream into frames. A frame that is incomplete at the end is dropped, as the standard requires."""

    def __init__(self) -> None:
        self._buffer = bytearray()
        self._searched = 0
        self._data: list[bytes] = []
        self._event = ""
        self._size = 0

    def feed(self, chunk: bytes) -> list[Frame]:
        """The frames that `chunk` completes."""
        if not (self._buffer or self._data or self._event) and (frames := _whole_frames(chunk)) is not None:
            return frames
        self._buffer += chunk
        if len(self._buffer) + self._size > MAX_FRAME_BYTES:
            raise UpstreamError("The provider sent an event that is too large.")
        frames = []
        start = 0
        while (line_end := self._line_end(start)) is not None:
            end, following = line_end
            self._line(bytes(self._buffer[start:end]), frames)
            start = self._searched = following
        del self._buffer[:start]
        self._searched = len(self._buffer)
        return frames

    def _line_end(self, start: int) -> tuple[int, int] | None:
        """Where the line from `start` ends and the next one starts. Scans no byte twice."""
        search = max(start, self._searched)
        newline = self._buffer.find(b"\n", search)
        if newline < 0:
            return None
        end = newline - 1 if newline > start and self._buffer[newline - 1] == 0x0D else newline
        return end, newline + 1

    def _line(self, line: bytes, frames: list[Frame]) -> None:
        if not line:
            if self._data:
                frames.append(Frame(b"\n".join(self._data), self._event))
            self._data, self._event, self._size = [], "", 0
            return
        name, _, value = line.partition(b":")
        value = value.removeprefix(b" ")
        if name == b"data":
            self._data.append(value)
            self._size += len(value)
        elif name == b"event":
            self._event = value.decode("utf-8", "replace")


def _whole_frames(chunk: bytes) -> list[Frame] | None:
    """The frames of a chunk that holds only complete frames of one `data` line each; None for any other chunk.

    A fast path: nearly every token arrives like this.
    """
    if not chunk.endswith(b"\n\n") or b"\r" in chunk:
        return None
    frames = []
    for lines in chunk[:-2].split(b"\n\n"):
        if not lines.startswith(b"data: ") or b"\n" in lines:
            return None
        frames.append(Frame(lines[6:]))
    return frames


class ChunkDecoder:
    """The "frames" of a body without framing: each chunk as it arrives."""

    def feed(self, chunk: bytes) -> list[Frame]:
        """The chunk itself."""
        return [Frame(chunk)] if chunk else []


def sse_frame(data: bytes, event: str = "") -> bytes:
    """One frame on the wire. `data` holds no line break, as compact JSON never does."""
    head = f"event: {event}\n".encode() if event else b""
    return b"%bdata: %b\n\n" % (head, data)
