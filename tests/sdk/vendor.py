"""A vendor on this machine that the gateway's process can call: it says the bytes that a test gives it."""

import json
import socket
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import ThreadingHTTPServer
from typing import Any

from scripts.loopback_handler import LoopbackHandler
from shared.framing import SseDecoder

KEY = "vendor-key-that-nobody-may-see"
_PATIENCE_SECONDS = 60.0


@dataclass(frozen=True)
class Seen:
    """A call that the vendor got."""

    path: str
    headers: Mapping[str, str]
    json: Any  # None for a form, which is in `body`
    body: bytes = field(default=b"", repr=False)


def _at_once(connection: socket.socket) -> None:
    pass


@dataclass
class Vendor:
    """What the vendor says next, and what it has been told.

    A streamed answer goes out piece by piece; `between` is called before each piece but the first, with the
    connection to the gateway.
    """

    url: str
    body: bytes = b"{}"
    pieces: Sequence[bytes] = ()
    between: Callable[[socket.socket], object] = _at_once
    seen: list[Seen] = field(default_factory=list)
    pieces_begun: int = 0

    def environment(self) -> dict[str, str]:
        """The settings that make a gateway call this vendor in place of all that have a key."""
        urls = {"OPENAI": f"{self.url}/v1", "DEEPINFRA": f"{self.url}/v1"}
        urls |= dict.fromkeys(("ANTHROPIC", "GEMINI", "STABILITY"), self.url)
        return {f"{name}_BASE_URL": url for name, url in urls.items()} | {f"{name}_API_KEY": KEY for name in urls}

    def say(
        self,
        body: bytes = b"{}",
        pieces: Sequence[bytes] = (),
        between: Callable[[socket.socket], object] = _at_once,
    ) -> None:
        """Sets the next answers: `body` where no stream is asked for, `pieces` where one is."""
        self.body, self.pieces, self.between = body, pieces, between
        self.seen.clear()
        self.pieces_begun = 0


class Gate:
    """Holds a stream until a test lets it go on."""

    def __init__(self) -> None:
        self._open = threading.Event()

    def __call__(self, connection: socket.socket) -> None:
        assert self._open.wait(_PATIENCE_SECONDS), "nobody let the stream go on"

    def open(self) -> None:
        self._open.set()


class Departure:
    """Holds a stream until the gateway hangs up."""

    def __init__(self) -> None:
        self._seen = threading.Event()

    def __call__(self, connection: socket.socket) -> None:
        connection.settimeout(_PATIENCE_SECONDS)
        if connection.recv(1) == b"":
            self._seen.set()

    def noticed(self) -> bool:
        """Waits for it."""
        return self._seen.wait(_PATIENCE_SECONDS)


def in_two(stream: bytes, text: str) -> tuple[bytes, bytes]:
    """A stream's bytes, cut after the first event whose data holds `text`."""
    decoder = SseDecoder()
    for at in range(len(stream)):
        for frame in decoder.feed(stream[at : at + 1]):
            if text in json.dumps(json.loads(frame.data), ensure_ascii=False):
                return stream[: at + 1], stream[at + 1 :]
    raise AssertionError(f"no event holds {text!r}")


class _Handler(LoopbackHandler):
    vendor: Vendor

    def do_POST(self) -> None:
        body = self.body()
        is_form = self.headers["content-type"].startswith("multipart/")
        asked = None if is_form else json.loads(body)
        self.vendor.seen.append(Seen(self.path, dict(self.headers.items()), asked, body))
        if (asked or {}).get("stream") or ":streamGenerateContent" in self.path:
            self._stream()
        else:
            self.answer(self.vendor.body, {"content-type": "application/json"})

    def _stream(self) -> None:
        self.send_response(200)
        self.send_header("content-type", "text/event-stream")
        self.send_header("transfer-encoding", "chunked")
        self.end_headers()
        try:
            for at, piece in enumerate(self.vendor.pieces):
                if at:
                    self.vendor.between(self.connection)
                self.vendor.pieces_begun += 1
                self.wfile.write(b"%x\r\n%b\r\n" % (len(piece), piece))
            self.wfile.write(b"0\r\n\r\n")
        except ConnectionError:  # the gateway left
            self.close_connection = True


@contextmanager
def serving() -> Iterator[Vendor]:
    """A vendor on a free port. Its gateways must be gone before it ends: it waits for their connections."""
    with ThreadingHTTPServer(("127.0.0.1", 0), _Handler) as server:
        server.daemon_threads = False
        vendor = Vendor("http://{}:{}".format(*server.server_address[:2]))
        server.RequestHandlerClass = type("Handler", (_Handler,), {"vendor": vendor})
        thread = threading.Thread(target=server.serve_forever, args=(0.05,))
        thread.start()
        try:
            yield vendor
        finally:
            server.shutdown()
            thread.join()
