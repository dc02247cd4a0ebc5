"""What the HTTP servers of scripts and tests share: they read bodies, send whole answers, and log nothing."""

from collections.abc import Mapping
from http.server import BaseHTTPRequestHandler
from typing import Any


class LoopbackHandler(BaseHTTPRequestHandler):
    """Handles requests on connections that stay open."""

    protocol_version = "HTTP/1.1"

    def body(self) -> bytes:
        """The request's body, also where it comes in chunks."""
        if "content-length" in self.headers:
            return self.rfile.read(int(self.headers["content-length"]))
        chunks = []
        while size := int(self.rfile.readline(), 16):
            chunks.append(self.rfile.read(size))
            self.rfile.readline()
        while self.rfile.readline().strip():  # trailers
            pass
        return b"".join(chunks)

    def answer(self, body: bytes, headers: Mapping[str, str] | None = None, status: int = 200) -> None:
        """Sends a whole answer."""
        self.send_response(status)
        for name, value in {**(headers or {}), "content-length": str(len(body))}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the base class names it so
        pass
