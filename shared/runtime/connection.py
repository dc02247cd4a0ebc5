"""One HTTP/1.1 connection: a minimal client, sufficient for Lambda's Runtime API."""

import asyncio
from collections.abc import Mapping

from shared.dataclass import dataclass

# Parts of this size or more are written separately: a system call costs less than copying them.
_LARGE = 64 * 1024


@dataclass(frozen=True, slots=True)
class Response:
    """A complete response; header names are in lower case."""

    status: int
    headers: Mapping[str, str]
    body: bytes


class Connection:
    """Opened on first use and kept as long as the server keeps it. Carries one request at a time.

    There are no time-outs: the next invocation may be hours away, and the process is frozen meanwhile.
    """

    def __init__(self, address: str) -> None:
        """`address` is `host:port`."""
        self._address = address
        self._host, _, self._port = address.rpartition(":")
        self._streams: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None

    async def request(self, method: str, path: str, headers: Mapping[str, str], body: bytes = b"") -> Response:
        """Sends a request and returns the response; retries once if a kept connection turns out to be closed.

        Raises OSError or EOFError if the server cannot be reached or disconnects, ValueError for invalid HTTP.
        """
        length = {"Content-Length": str(len(body))} if body else {}
        kept = await self.open()
        try:
            await self.write(self.head(method, path, {**headers, **length}), body)
            return await self.response()
        except ConnectionError:
            self.close()
            if not kept:
                raise
        return await self.request(method, path, headers, body)

    def head(self, method: str, path: str, headers: Mapping[str, str]) -> bytes:
        """A request's head: request line and headers."""
        lines = [f"{method} {path} HTTP/1.1", f"Host: {self._address}"]
        lines += [f"{name}: {value}" for name, value in headers.items()]
        return ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1")

    async def open(self) -> bool:
        """Opens a connection if there is none. Returns whether there was one."""
        if self._streams is not None:
            reader, writer = self._streams
            if not reader.at_eof() and not writer.is_closing():
                return True
            self.close()
        self._streams = await asyncio.open_connection(self._host, int(self._port))
        return False

    async def write(self, *parts: bytes) -> None:
        """Sends parts immediately (asyncio sets TCP_NODELAY). Waits while the server reads too slowly.

        `StreamWriter.writelines` is not used because it applies no back-pressure in Python before 3.12.9 and 3.13.2
        (CVE-2024-12254).
        """
        _, writer = self._open_streams()
        small: list[bytes] = []
        for part in parts:
            if len(part) < _LARGE:
                small.append(part)
            else:
                writer.write(b"".join(small))
                writer.write(part)
                small.clear()
        writer.write(b"".join(small))
        await writer.drain()

    async def response(self) -> Response:
        """The response to what was written. Raises ConnectionError if the server closed the connection instead."""
        reader, _ = self._open_streams()
        status_line = await reader.readline()
        if not status_line:
            raise ConnectionResetError("The connection was closed before a response arrived.")
        headers = {}
        while line := (await reader.readline()).strip():
            name, _, value = line.decode("latin-1").partition(":")
            headers[name.lower()] = value.strip()
        if headers.get("transfer-encoding", "").lower() == "chunked":
            body = await _chunked(reader)
        elif "content-length" in headers:
            body = await reader.readexactly(int(headers["content-length"]))
        else:
            body = await reader.read()
        if headers.get("connection", "").lower() == "close":
            self.close()
        return Response(int(status_line.split()[1]), headers, body)

    def close(self) -> None:
        if self._streams is not None:
            self._streams[1].close()
            self._streams = None

    def _open_streams(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        if self._streams is None:
            raise ConnectionResetError("The connection is closed.")
        return self._streams


async def _chunked(reader: asyncio.StreamReader) -> bytes:
    chunks = []
    while size := int((await reader.readline()).partition(b";")[0], 16):
        chunks.append(await reader.readexactly(size))
        await reader.readexactly(2)
    while (await reader.readline()).strip():
        pass  # a trailer
    return b"".join(chunks)
