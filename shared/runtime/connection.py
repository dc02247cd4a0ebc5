"""One HTTP/1.1 connection to a server that is near: as much of a client as Lambda's Runtime API asks for."""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass

# Parts of this size or more are written one by one: a system call costs less than a copy of them.
_LARGE = 64 * 1024


@dataclass(frozen=True, slots=True)
class Response:
    """A whole answer; the headers' names are in lower case."""

    status: int
    headers: Mapping[str, str]
    body: bytes


class Connection:
    """Opened when it is needed, kept for as long as the server keeps it. Carries one exchange at a time.

    There are no time-outs: the next invocation may be hours away, and the sandbox is frozen meanwhile.
    """

    def __init__(self, address: str) -> None:
        """`address` is `host:port`."""
        self._address = address
        self._host, _, self._port = address.rpartition(":")
        self._streams: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None

    async def request(self, method: str, path: str, headers: Mapping[str, str], body: bytes = b"") -> Response:
        """One exchange, started anew when a kept connection turns out to be dead.

        Raises OSError or EOFError when the server cannot be reached or breaks off, ValueError when it speaks no HTTP.
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
        """The bytes that come before a body."""
        lines = [f"{method} {path} HTTP/1.1", f"Host: {self._address}"]
        lines += [f"{name}: {value}" for name, value in headers.items()]
        return ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1")

    async def open(self) -> bool:
        """Makes sure of a connection; whether there was one already."""
        if self._streams is not None:
            reader, writer = self._streams
            if not reader.at_eof() and not writer.is_closing():
                return True
            self.close()
        self._streams = await asyncio.open_connection(self._host, int(self._port))
        return False

    async def write(self, *parts: bytes) -> None:
        """Sends parts at once (asyncio sets TCP_NODELAY); waits while the server is behind in taking them.

        `StreamWriter.writelines` would do this, but does not hold its caller back in Python before 3.12.9 and 3.13.2
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
        """The answer to what was written. Raises ConnectionError when the server closed instead of answering."""
        reader, _ = self._open_streams()
        status_line = await reader.readline()
        if not status_line:
            raise ConnectionResetError("The connection was closed before an answer came.")
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
