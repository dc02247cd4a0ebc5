"""Decodes `application/vnd.amazon.eventstream`, the binary framing of AWS's streams.

A message is, in big-endian order: total length (4 bytes), length of the headers (4), CRC-32 of these two (4), headers,
payload, and CRC-32 of everything before (4). A header is the length of its name (1), its name, its type (1) and its
value. See https://smithy.io/2.0/aws/amazon-eventstream.html.
"""

from binascii import crc32
from collections.abc import Iterator

from shared.errors import UpstreamIncomplete
from shared.framing import MAX_FRAME_BYTES, Frame

EXCEPTION = "!"
"""Begins the event of a frame that is an exception or an error; the exception's type follows."""

_PRELUDE_BYTES = 12
_CRC_BYTES = 4
_MIN_BYTES = _PRELUDE_BYTES + _CRC_BYTES
# The sizes of header values by type; those of bytes and strings are in front of the value.
_SIZES = {0: 0, 1: 0, 2: 1, 3: 2, 4: 4, 5: 8, 8: 8, 9: 16}
_BYTES, _STRING = 6, 7


class EventStreamDecoder:
    """See shared.providers.base.FrameDecoder. A frame's event is the message's type, see also EXCEPTION."""

    def __init__(self) -> None:
        self._buffer = bytearray()

    def feed(self, chunk: bytes) -> Iterator[Frame]:
        """The frames that `chunk` completes, those before a corrupt message included. Raises UpstreamIncomplete."""
        self._buffer += chunk
        start = 0
        try:
            while (end := self._end(start)) is not None:
                message = bytes(self._buffer[start:end])
                start = end
                if (frame := _frame(message)) is not None:
                    yield frame
        finally:
            del self._buffer[:start]

    def _end(self, start: int) -> int | None:
        """Where the message from `start` ends; None while it is incomplete."""
        if len(self._buffer) - start < _PRELUDE_BYTES:
            return None
        prelude = self._buffer[start : start + _PRELUDE_BYTES]
        _check(prelude[:8], prelude[8:])
        total = _integer(prelude[:4])
        if not _MIN_BYTES + _integer(prelude[4:8]) <= total <= MAX_FRAME_BYTES:
            raise _corrupt()
        return start + total if len(self._buffer) - start >= total else None


def _frame(message: bytes) -> Frame | None:
    """The frame of a whole message; None for a message of a kind that nothing is known about."""
    _check(message[:-_CRC_BYTES], message[-_CRC_BYTES:])
    payload_start = _PRELUDE_BYTES + _integer(message[4:8])
    headers = _headers(message[_PRELUDE_BYTES:payload_start])
    payload = message[payload_start:-_CRC_BYTES]
    match headers.get(":message-type"):
        case "event":
            return Frame(payload, headers.get(":event-type", ""))
        case "exception":
            return Frame(payload, EXCEPTION + headers.get(":exception-type", ""))
        case "error":  # has no payload: its message is a header
            return Frame(headers.get(":error-message", "").encode(), EXCEPTION + headers.get(":error-code", ""))
        case _:
            return None


def _headers(data: bytes) -> dict[str, str]:
    """The headers that are strings."""
    headers: dict[str, str] = {}
    at = 0
    try:
        while at < len(data):
            name_end = at + 1 + data[at]
            kind = data[name_end]
            value_start = name_end + 1
            if kind in (_BYTES, _STRING):
                value_start += 2
                value_end = value_start + _integer(data[name_end + 1 : value_start])
            else:
                value_end = value_start + _SIZES[kind]
            if value_end > len(data):
                raise _corrupt()
            if kind == _STRING:
                headers[data[at + 1 : name_end].decode()] = data[value_start:value_end].decode()
            at = value_end
    except (IndexError, KeyError, UnicodeDecodeError):
        raise _corrupt() from None
    return headers


def _check(data: bytes | bytearray, crc: bytes | bytearray) -> None:
    if crc32(data) != _integer(crc):
        raise _corrupt()


def _integer(data: bytes | bytearray) -> int:
    return int.from_bytes(data, "big")


def _corrupt() -> UpstreamIncomplete:
    return UpstreamIncomplete("The provider's stream is corrupt.")
