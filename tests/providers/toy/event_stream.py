"""A decoder of the toy vendor's binary framing, which is that of `application/vnd.amazon.eventstream`.

A message is, in big-endian order: total length (4 bytes), length of the headers (4), CRC-32 of these two (4), headers,
payload, and CRC-32 of everything before (4). A header is the length of its name (1), its name, its type (1), the length
of its value (2) and its value. See https://smithy.io/2.0/aws/amazon-eventstream.html.
"""

from binascii import crc32
from collections.abc import Iterator

from shared.errors import UpstreamError
from shared.framing import Frame

_PRELUDE_BYTES = 12
_CRC_BYTES = 4
_MIN_BYTES = _PRELUDE_BYTES + _CRC_BYTES
_MAX_BYTES = 24 * 1024 * 1024
_STRING = 7  # the only type that the toy vendor's headers have


class EventStreamDecoder:
    """See shared.providers.base.FrameDecoder. A frame's event is the message's event type or exception type."""

    def __init__(self) -> None:
        self._buffer = bytearray()

    def feed(self, chunk: bytes) -> Iterator[Frame]:
        """The frames that `chunk` completes, those before a corrupt message included. Raises UpstreamError for it."""
        self._buffer += chunk
        while (message := self._message()) is not None:
            yield _frame(message)

    def _message(self) -> bytes | None:
        """The next complete message, which leaves the buffer."""
        if len(self._buffer) < _PRELUDE_BYTES:
            return None
        _check(self._buffer[:8], self._buffer[8:_PRELUDE_BYTES])
        total = _integer(self._buffer[:4])
        if not _MIN_BYTES + _integer(self._buffer[4:8]) <= total <= _MAX_BYTES:
            raise _corrupt()
        if len(self._buffer) < total:
            return None
        message = bytes(self._buffer[:total])
        del self._buffer[:total]
        return message


def _frame(message: bytes) -> Frame:
    _check(message[:-_CRC_BYTES], message[-_CRC_BYTES:])
    payload = _PRELUDE_BYTES + _integer(message[4:8])
    headers = _headers(message[_PRELUDE_BYTES:payload])
    return Frame(message[payload:-_CRC_BYTES], headers.get(":exception-type") or headers[":event-type"])


def _headers(data: bytes) -> dict[str, str]:
    headers: dict[str, str] = {}
    at = 0
    while at < len(data):
        name_end = at + 1 + data[at]
        value_start = name_end + 3
        value_end = value_start + _integer(data[name_end + 1 : value_start])
        if data[name_end] != _STRING or value_end > len(data):
            raise _corrupt()
        headers[data[at + 1 : name_end].decode()] = data[value_start:value_end].decode()
        at = value_end
    return headers


def _check(data: bytes | bytearray, crc: bytes | bytearray) -> None:
    if crc32(data) != _integer(crc):
        raise _corrupt()


def _integer(data: bytes | bytearray) -> int:
    return int.from_bytes(data, "big")


def _corrupt() -> UpstreamError:
    return UpstreamError("The provider's stream is corrupt.")
