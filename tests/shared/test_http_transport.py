"""The HTTP transport of calls to providers, against servers on loopback."""

import asyncio
import datetime
import gc
import ipaddress
import ssl
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

import httpx
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from shared.http_transport import HttpTransport

pytestmark = pytest.mark.anyio
BODY = b"hello"
ANSWER = b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\n" + BODY


@dataclass
class Server:
    """Answers each request by `answer`; closes a connection when that says so."""

    answer: Callable[[asyncio.StreamWriter], Awaitable[bool]]
    connections: int = 0
    port: int = 0
    ended: asyncio.Event = field(default_factory=asyncio.Event)
    tasks: set[asyncio.Task[None]] = field(default_factory=set)

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        task = asyncio.current_task()
        assert task is not None
        self.tasks.add(task)
        try:
            while await reader.readuntil(b"\r\n\r\n"):
                if await self.answer(writer):
                    break
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.transport.abort()
            self.ended.set()


@asynccontextmanager
async def serving(
    answer: Callable[[asyncio.StreamWriter], Awaitable[bool]], tls: ssl.SSLContext | None = None
) -> AsyncIterator[Server]:
    server = Server(answer)
    listening = await asyncio.start_server(server.serve, "127.0.0.1", 0, ssl=tls)
    server.port = listening.sockets[0].getsockname()[1]
    yield server
    listening.close()
    for task in server.tasks:
        task.cancel()
    await asyncio.gather(*server.tasks, return_exceptions=True)


async def whole(writer: asyncio.StreamWriter) -> bool:
    writer.write(ANSWER)
    return False


@asynccontextmanager
async def client(tls: ssl.SSLContext | None = None) -> AsyncIterator[httpx.AsyncClient]:
    transport = HttpTransport(retries=0, keepalive_expiry=60, tls=tls)
    async with httpx.AsyncClient(transport=transport, trust_env=False) as asking:
        yield asking


async def test_requests_share_a_connection() -> None:
    async with serving(whole) as server, client() as asking:
        for _ in range(3):
            response = await asking.get(f"http://127.0.0.1:{server.port}/")
            assert (response.status_code, response.content) == (200, BODY)
        assert server.connections == 1


async def test_a_connection_that_the_server_has_closed_since_is_not_used_again() -> None:
    closed = asyncio.Event()

    async def answer(writer: asyncio.StreamWriter) -> bool:
        writer.write(ANSWER)
        asyncio.get_running_loop().call_soon(closed.set)
        return True

    async with serving(answer) as server, client() as asking:
        for number in range(1, 4):
            assert (await asking.get(f"http://127.0.0.1:{server.port}/")).content == BODY
            await closed.wait()
            closed.clear()
            assert server.connections == number


async def test_a_body_arrives_chunk_by_chunk() -> None:
    go_on = asyncio.Event()

    async def answer(writer: asyncio.StreamWriter) -> bool:
        writer.write(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n3\r\none\r\n")
        await writer.drain()
        await go_on.wait()
        writer.write(b"3\r\ntwo\r\n0\r\n\r\n")
        return False

    async with (
        serving(answer) as server,
        client() as asking,
        asking.stream("GET", f"http://127.0.0.1:{server.port}/") as response,
    ):
        chunks = response.aiter_bytes()
        assert await anext(chunks) == b"one"
        go_on.set()
        assert await anext(chunks) == b"two"


async def test_a_response_that_is_abandoned_closes_its_connection() -> None:
    async def answer(writer: asyncio.StreamWriter) -> bool:
        writer.write(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n3\r\none\r\n")
        return False

    async with serving(answer) as server, client() as asking:
        async with asking.stream("GET", f"http://127.0.0.1:{server.port}/") as response:
            assert await anext(response.aiter_bytes()) == b"one"
        await server.ended.wait()


@pytest.mark.filterwarnings("error::ResourceWarning")
async def test_a_request_that_is_cancelled_while_it_connects_leaves_no_socket_open() -> None:
    unraised: list[object] = []
    shown, sys.unraisablehook = sys.unraisablehook, lambda given: unraised.append(given.exc_value)
    try:
        async with serving(whole) as server:
            for turns in range(20):
                async with client() as asking:
                    request = asyncio.create_task(asking.get(f"http://127.0.0.1:{server.port}/"))
                    for _ in range(turns):
                        await asyncio.sleep(0)
                    request.cancel()
                    await asyncio.wait([request])
        gc.collect()
    finally:
        sys.unraisablehook = shown
    assert unraised == []


async def test_a_server_that_does_not_listen_is_a_failed_connection() -> None:
    async with serving(whole) as server:
        pass
    async with client() as asking:
        with pytest.raises(httpx.ConnectError):
            await asking.get(f"http://127.0.0.1:{server.port}/")


async def test_a_response_that_breaks_off_is_an_error() -> None:
    async def answer(writer: asyncio.StreamWriter) -> bool:
        writer.write(ANSWER[:-2])
        return True

    async with serving(answer) as server, client() as asking:
        with pytest.raises(httpx.RemoteProtocolError):
            await asking.get(f"http://127.0.0.1:{server.port}/")


async def test_a_silent_server_is_a_time_out() -> None:
    async def answer(writer: asyncio.StreamWriter) -> bool:
        await asyncio.Event().wait()
        return True

    async with serving(answer) as server, client() as asking:
        with pytest.raises(httpx.ReadTimeout):
            await asking.get(f"http://127.0.0.1:{server.port}/", timeout=httpx.Timeout(5, read=0.01))


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A self-signed certificate for 127.0.0.1 with its key."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "loopback")])
    now = datetime.datetime.now(datetime.UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    path = tmp_path_factory.mktemp("tls") / "certificate.pem"
    path.write_bytes(private + certificate.public_bytes(serialization.Encoding.PEM))
    return path


def server_tls(certificate: Path) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    return context


async def test_a_trusted_server_is_called_over_tls(certificate: Path) -> None:
    trusting = ssl.create_default_context(cafile=certificate)
    async with serving(whole, server_tls(certificate)) as server, client(trusting) as asking:
        for _ in range(2):
            assert (await asking.get(f"https://127.0.0.1:{server.port}/")).content == BODY
        assert server.connections == 1


async def test_a_certificate_that_is_not_trusted_is_a_failed_connection(certificate: Path) -> None:
    async with serving(whole, server_tls(certificate)) as server, client() as asking:
        with pytest.raises(httpx.ConnectError):
            await asking.get(f"https://127.0.0.1:{server.port}/")


async def test_a_certificate_for_another_name_is_a_failed_connection(certificate: Path) -> None:
    trusting = ssl.create_default_context(cafile=certificate)
    async with serving(whole, server_tls(certificate)) as server, client(trusting) as asking:
        with pytest.raises(httpx.ConnectError):
            await asking.get(f"https://localhost:{server.port}/")


def answering(*pieces: bytes, ends: bool = False) -> Callable[[asyncio.StreamWriter], Awaitable[bool]]:
    """Writes the pieces, one after the other; `ends` closes the connection after them."""

    async def answer(writer: asyncio.StreamWriter) -> bool:
        for piece in pieces:
            writer.write(piece)
            await writer.drain()
            await asyncio.sleep(0)
        if ends:
            writer.write_eof()
        return ends

    return answer


WHOLE = b"HTTP/1.1 200 OK\r\nx-a: 1\r\nx-a: 2\r\ncontent-length: 5\r\n\r\nhello"
CHUNKED = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2\r\nhe\r\n3;x=y\r\nllo\r\n0\r\nx-trailer: 1\r\n\r\n"


@pytest.mark.parametrize("response", [WHOLE, CHUNKED], ids=["length", "chunked"])
async def test_a_response_may_be_split_anywhere(response: bytes) -> None:
    for at in range(1, len(response)):
        async with serving(answering(response[:at], response[at:])) as server, client() as asking:
            for _ in range(2):
                assert (await asking.get(f"http://127.0.0.1:{server.port}/")).content == BODY
            assert server.connections == 1


async def test_headers_of_one_name_are_kept_apart() -> None:
    async with serving(answering(WHOLE)) as server, client() as asking:
        response = await asking.get(f"http://127.0.0.1:{server.port}/")
        assert response.headers.get_list("x-a") == ["1", "2"]


async def test_an_interim_response_is_not_the_response() -> None:
    early = b"HTTP/1.1 103 Early Hints\r\nlink: </a>\r\n\r\n"
    async with serving(answering(early + WHOLE)) as server, client() as asking:
        for _ in range(2):
            response = await asking.get(f"http://127.0.0.1:{server.port}/")
            assert (response.status_code, response.content) == (200, BODY)
            assert "link" not in response.headers
        assert server.connections == 1


@pytest.mark.parametrize("head", [b"HTTP/1.1 200 OK\r\n\r\n", b"HTTP/1.0 200 OK\r\n\r\n"])
async def test_a_body_without_a_length_ends_with_its_connection(head: bytes) -> None:
    async with serving(answering(head, BODY[:2], BODY[2:], ends=True)) as server, client() as asking:
        for number in (1, 2):
            assert (await asking.get(f"http://127.0.0.1:{server.port}/")).content == BODY
            assert server.connections == number


@pytest.mark.parametrize("status", [b"204 No Content", b"304 Not Modified"])
async def test_a_response_without_a_body_ends_with_its_head(status: bytes) -> None:
    response = b"HTTP/1.1 " + status + b"\r\n\r\n"
    async with serving(answering(response)) as server, client() as asking:
        for _ in range(2):
            assert (await asking.get(f"http://127.0.0.1:{server.port}/")).content == b""
        assert server.connections == 1


async def test_the_response_to_a_head_request_has_no_body() -> None:
    response = b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\n"
    async with serving(answering(response)) as server, client() as asking:
        for _ in range(2):
            answer = await asking.head(f"http://127.0.0.1:{server.port}/")
            assert (answer.content, answer.headers["content-length"]) == (b"", "5")
        assert server.connections == 1


async def test_a_server_may_close_the_connection_after_its_response() -> None:
    response = b"HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: 5\r\n\r\nhello"
    async with serving(answering(response)) as server, client() as asking:
        for number in (1, 2):
            assert (await asking.get(f"http://127.0.0.1:{server.port}/")).content == BODY
            assert server.connections == number


@pytest.mark.parametrize(
    "more",
    [b"garbage", WHOLE, b"HTTP/1.1 500 No\r\n\r\n", b"HTTP/1.1 204 No\r\n\r\n"],
    ids=["garbage", "response", "error", "empty"],
)
async def test_what_a_server_sends_unasked_answers_no_request(more: bytes) -> None:
    async with serving(answering(WHOLE + more)) as server, client() as asking:
        for number in (1, 2):
            response = await asking.get(f"http://127.0.0.1:{server.port}/")
            assert (response.status_code, response.content) == (200, BODY)
            assert server.connections == number


@pytest.mark.parametrize(
    "response",
    [
        b"SSH-2.0-OpenSSH\r\n",
        b"HTTP/1.1 200 OK\r\ncontent-length: x\r\n\r\n",
        b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\ncontent-length: 6\r\n\r\nhello",
        b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nx\r\n",
        b"HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: h2c\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nx: " + b"y" * 70_000 + b"\r\n\r\n",
    ],
    ids=["banner", "length", "both", "lengths", "chunk", "upgrade", "large"],
)
async def test_what_is_not_http_is_an_error(response: bytes) -> None:
    async with serving(answering(response)) as server, client() as asking:
        with pytest.raises(httpx.RemoteProtocolError):
            await asking.get(f"http://127.0.0.1:{server.port}/")


async def test_a_connection_is_not_used_after_its_expiry() -> None:
    transport = HttpTransport(retries=0, keepalive_expiry=0)
    async with serving(whole) as server, httpx.AsyncClient(transport=transport, trust_env=False) as asking:
        for number in (1, 2):
            assert (await asking.get(f"http://127.0.0.1:{server.port}/")).content == BODY
            assert server.connections == number


async def test_a_slow_reader_holds_up_the_server() -> None:
    size = 64 * 2**20
    sent = 0

    async def answer(writer: asyncio.StreamWriter) -> bool:
        nonlocal sent
        writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n" % size)
        while sent < size:
            writer.write(bytes(2**20))
            sent += 2**20
            await writer.drain()
        return False

    async with (
        serving(answer) as server,
        client() as asking,
        asking.stream("GET", f"http://127.0.0.1:{server.port}/") as response,
    ):
        for _ in range(1000):
            await asyncio.sleep(0)
        assert sent < size // 2
        assert sum([len(chunk) async for chunk in response.aiter_bytes()]) == size


@asynccontextmanager
async def echoing(most: int | None = None) -> AsyncIterator[Server]:
    """A server that answers with the request as it came; after `most` bytes of it at once, and without reading more."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        body = b""
        if most is not None:
            body = await reader.readexactly(most)
        elif b"chunked" in head:
            while not body.endswith(b"0\r\n\r\n"):
                body += await reader.read(2**20)
        elif length := httpx.Headers(dict(line.split(": ", 1) for line in head.decode().splitlines()[1:-1])).get(
            "content-length"
        ):
            body = await reader.readexactly(int(length))
        text = head + body[:1_000_000]
        writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n" % len(text) + text)
        with suppress(ConnectionError):
            await writer.drain()
            await reader.read(1)
        writer.transport.abort()

    listening = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with listening:
        yield Server(whole, port=listening.sockets[0].getsockname()[1])


async def pieces(number: int, size: int) -> AsyncIterator[bytes]:
    for _ in range(number):
        yield b"x" * size
        yield b""


async def test_a_request_has_its_head_and_body() -> None:
    async with echoing() as server, client() as asking:
        response = await asking.post(f"http://127.0.0.1:{server.port}/a%20b?c=d", content=BODY, headers={"X-E": "f"})
    head, body = response.content.split(b"\r\n\r\n")
    assert head.startswith(b"POST /a%20b?c=d HTTP/1.1\r\n")
    assert b"\r\nX-E: f" in head
    assert body == BODY


async def test_a_large_body_arrives_whole() -> None:
    async with echoing() as server, client() as asking:
        response = await asking.post(f"http://127.0.0.1:{server.port}/", content=b"x" * 999_000)
    assert response.content.endswith(b"\r\n\r\n" + b"x" * 999_000)


async def test_a_body_of_unknown_length_is_sent_in_chunks() -> None:
    async with echoing() as server, client() as asking:
        response = await asking.post(f"http://127.0.0.1:{server.port}/", content=pieces(2, 3))
    assert response.content.endswith(b"\r\n\r\n3\r\nxxx\r\n3\r\nxxx\r\n0\r\n\r\n")


async def test_a_response_that_comes_before_the_request_has_been_sent_is_read() -> None:
    async with echoing(most=1000) as server, client() as asking:
        response = await asking.post(f"http://127.0.0.1:{server.port}/", content=pieces(100, 2**20))
    assert response.status_code == 200


async def test_a_connection_that_breaks_while_a_request_is_sent_is_a_write_error() -> None:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readexactly(1000)
        writer.transport.abort()

    listening = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with listening, client() as asking:
        with pytest.raises(httpx.WriteError):
            await asking.post(f"http://127.0.0.1:{listening.sockets[0].getsockname()[1]}/", content=pieces(100, 2**20))


async def test_a_header_with_a_line_break_is_not_sent() -> None:
    async with serving(whole) as server, client() as asking:
        for value in (b"a\r\nb: c", b"a\nb", b"a\rb", b"a\0b"):
            with pytest.raises(httpx.LocalProtocolError):
                await asking.get(f"http://127.0.0.1:{server.port}/", headers=[(b"x", value)])


async def test_a_large_body_arrives_whole_over_tls(certificate: Path) -> None:
    size = 5_000_000

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(asyncio.IncompleteReadError, ConnectionError):
            while await reader.readuntil(b"\r\n\r\n"):
                body = await reader.readexactly(size)
                answer = b"%d %d" % (len(body), body.count(b"x"))
                writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n" % len(answer) + answer)
        writer.transport.abort()

    listening = await asyncio.start_server(serve, "127.0.0.1", 0, ssl=server_tls(certificate))
    trusting = ssl.create_default_context(cafile=certificate)
    async with listening, client(trusting) as asking:
        for _ in range(2):
            port = listening.sockets[0].getsockname()[1]
            response = await asking.post(f"https://127.0.0.1:{port}/", content=b"x" * size)
            assert response.content == b"%d %d" % (size, size)
