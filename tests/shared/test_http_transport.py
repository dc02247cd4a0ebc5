"""The HTTP transport of calls to providers, against servers on loopback."""

import asyncio
import datetime
import ipaddress
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import httpcore
import httpx
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from shared.http_transport import StreamTransport

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
    transport = StreamTransport(retries=0, keepalive_expiry=60, tls=tls)
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


async def test_a_server_that_does_not_listen_is_a_failed_connection() -> None:
    async with serving(whole) as server:
        pass
    async with client() as asking:
        with pytest.raises(httpcore.ConnectError):
            await asking.get(f"http://127.0.0.1:{server.port}/")


async def test_a_response_that_breaks_off_is_an_error() -> None:
    async def answer(writer: asyncio.StreamWriter) -> bool:
        writer.write(ANSWER[:-2])
        return True

    async with serving(answer) as server, client() as asking:
        with pytest.raises(httpcore.RemoteProtocolError):
            await asking.get(f"http://127.0.0.1:{server.port}/")


async def test_a_silent_server_is_a_time_out() -> None:
    async def answer(writer: asyncio.StreamWriter) -> bool:
        await asyncio.Event().wait()
        return True

    async with serving(answer) as server, client() as asking:
        with pytest.raises(httpcore.ReadTimeout):
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
        with pytest.raises(httpcore.ConnectError):
            await asking.get(f"https://127.0.0.1:{server.port}/")


async def test_a_certificate_for_another_name_is_a_failed_connection(certificate: Path) -> None:
    trusting = ssl.create_default_context(cafile=certificate)
    async with serving(whole, server_tls(certificate)) as server, client(trusting) as asking:
        with pytest.raises(httpcore.ConnectError):
            await asking.get(f"https://localhost:{server.port}/")
