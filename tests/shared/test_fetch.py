"""The guarded fetch: what it gets, what it refuses, and how little it says about it.

The network is played by `Network`, which speaks HTTP/1.1 in bytes; only the last tests open sockets, on the loopback.
"""

# ruff: noqa: ASYNC109, RUF001  (httpcore's interface; look-alike characters are what is tested)

import asyncio
import ssl
from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import cache
from ipaddress import IPv4Address, IPv6Address, ip_address
from pathlib import Path
from typing import Any

import httpcore
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from hypothesis import given
from hypothesis import strategies as st

from shared.errors import FieldError, InvalidRequest
from shared.fetch import MAX_REDIRECTS, RemoteFetcher, Resolver, is_public

pytestmark = pytest.mark.anyio

PUBLIC = "93.184.215.14"
PNG = b"\x89PNG\r\n\x1a\n" + bytes(range(200))
IMAGES = frozenset({"image/png", "image/jpeg"})
URL = "https://pictures.example/cat.png"
NOT_FETCHED = "could not be fetched"


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


def answer(body: bytes = b"", *headers: str, status: str = "200 OK", sized: bool = True) -> bytes:
    size = [f"Content-Length: {len(body)}"] if sized else []
    return "\r\n".join((f"HTTP/1.1 {status}", *size, *headers, "", "")).encode() + body


def redirect(location: str, status: str = "302 Found") -> bytes:
    return answer(b"", f"Location: {location}", status=status)


NEVER = None  # stands for bytes that do not come


@dataclass
class Connection(httpcore.AsyncNetworkStream):
    """One connection: what it was opened to, what was sent on it, and what it has yet to answer."""

    address: str
    port: int
    to_come: list[bytes | None]
    sent: bytes = b""
    server_name: str | None = None
    closed: bool = False

    async def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        if not self.to_come:
            return b""
        chunk = self.to_come.pop(0)
        if chunk is NEVER:
            await asyncio.Event().wait()
        assert chunk is not None
        if len(chunk) > max_bytes:
            self.to_come.insert(0, chunk[max_bytes:])
        return chunk[:max_bytes]

    async def write(self, buffer: bytes, timeout: float | None = None) -> None:
        self.sent += buffer

    async def start_tls(
        self, ssl_context: ssl.SSLContext, server_hostname: str | None = None, timeout: float | None = None
    ) -> "Connection":
        assert ssl_context.check_hostname
        assert ssl_context.verify_mode is ssl.CERT_REQUIRED
        self.server_name = server_hostname
        return self

    async def aclose(self) -> None:
        self.closed = True


@dataclass
class Network(httpcore.AsyncNetworkBackend):
    """Answers the n-th connection with the n-th of `answers`: bytes, a list of chunks, or an error to raise."""

    answers: list[bytes | list[bytes | None] | Exception]
    connections: list[Connection] = field(default_factory=list)
    attempts: list[str] = field(default_factory=list)

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[httpcore.SOCKET_OPTION] | None = None,
    ) -> Connection:
        self.attempts.append(host)
        reply = self.answers.pop(0)
        if isinstance(reply, Exception):
            raise reply
        self.connections.append(Connection(host, port, [reply] if isinstance(reply, bytes) else reply))
        return self.connections[-1]


def resolver(*answers: Sequence[str] | Exception, log: list[tuple[str, int]] | None = None) -> Resolver:
    """Gives each of `answers` once, the last one ever after."""
    left = list(answers)

    async def resolve(host: str, port: int) -> Sequence[str]:
        if log is not None:
            log.append((host, port))
        reply = left.pop(0) if len(left) > 1 else left[0]
        if isinstance(reply, Exception):
            raise reply
        return reply

    return resolve


@cache
def trust() -> ssl.SSLContext:
    """Made once, since that takes longer than the shortest time limits here."""
    return ssl.create_default_context()


def fetcher(network: Network, resolve: Resolver | None = None, **options: Any) -> RemoteFetcher:
    return RemoteFetcher(network=network, resolve=resolve or resolver([PUBLIC]), ssl_context=trust(), **options)


async def refusal(remote: RemoteFetcher, url: str = URL) -> str:
    """What the caller is told is wrong with the field."""
    with pytest.raises(InvalidRequest) as caught:
        await remote.get(url, field="messages.0.image_url", accept=IMAGES)
    [detail] = caught.value.details
    assert detail == FieldError("messages.0.image_url", detail.message)
    assert caught.value.message == f"messages.0.image_url: {detail.message}"
    await remote.aclose()
    return detail.message


async def test_a_public_file_is_fetched_and_typed_by_its_bytes() -> None:
    network = Network([answer(PNG, "Content-Type: text/html")])
    asked: list[tuple[str, int]] = []
    remote = fetcher(network, resolver([PUBLIC], log=asked))
    assert await remote.get(URL + "?v=1&s=%2f", field="image_url", accept=IMAGES) == ("image/png", PNG)
    [connection] = network.connections
    assert asked == [("pictures.example", 443)]
    assert (connection.address, connection.port, connection.server_name) == (PUBLIC, 443, "pictures.example")
    assert connection.closed


async def test_a_request_carries_nothing_but_what_it_must() -> None:
    network = Network([answer(PNG)])
    await fetcher(network).get(URL + "?v=1&s=%2f#part", field="image_url", accept=IMAGES)
    head, *headers = network.connections[0].sent.decode().rstrip("\r\n").split("\r\n")
    assert head == "GET /cat.png?v=1&s=%2f HTTP/1.1"
    assert headers == [
        "Host: pictures.example",
        "User-Agent: inference-gateway",
        "Accept: image/jpeg, image/png, */*;q=0.1",
        "Accept-Encoding: identity",
        "Connection: close",
    ]


@pytest.mark.parametrize(
    "chunks",
    [
        [answer(PNG, sized=False), b""],
        [answer(b"", "Transfer-Encoding: chunked", sized=False), b"d0\r\n" + PNG[:8], PNG[8:] + b"\r\n", b"0\r\n\r\n"],
        [bytes((byte,)) for byte in answer(PNG)],
        [b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n" + answer(PNG, "Content-Encoding: identity")],
    ],
    ids=["until closed", "chunked", "byte by byte", "after hints"],
)
async def test_every_framing_of_a_body_is_read(chunks: list[bytes | None]) -> None:
    assert await fetcher(Network([chunks])).get(URL, field="image_url", accept=IMAGES) == ("image/png", PNG)


@pytest.mark.parametrize(
    ("url", "host", "port", "target", "authority"),
    [
        ("HTTPS://Pictures.Example", "pictures.example", 443, "/", "pictures.example"),
        ("https://pictures.example:443?q", "pictures.example", 443, "/?q", "pictures.example"),
        ("https://pictures.example:8443/a", "pictures.example", 8443, "/a", "pictures.example:8443"),
        ("https://pictures.example/é/%C3%A9?ü", "pictures.example", 443, "/%C3%A9/%C3%A9?%C3%BC", "pictures.example"),
        ("https://bücher.example/", "xn--bcher-kva.example", 443, "/", "xn--bcher-kva.example"),
        ("https://ＰＩＣＴＵＲＥＳ.example/", "pictures.example", 443, "/", "pictures.example"),
        ("https://a_b.example/", "a_b.example", 443, "/", "a_b.example"),
        ("https://[2606:4700::6810:0001]/", "2606:4700::6810:1", 443, "/", "[2606:4700::6810:1]"),
    ],
)
async def test_urls_are_spelled_out_for_the_wire(url: str, host: str, port: int, target: str, authority: str) -> None:
    network = Network([answer(PNG)])
    asked: list[tuple[str, int]] = []
    await fetcher(network, resolver([PUBLIC], log=asked)).get(url, field="image_url", accept=IMAGES)
    [connection] = network.connections
    lines = connection.sent.decode().split("\r\n")
    assert asked == [(host, port)]
    assert connection.server_name == host
    assert lines[:2] == [f"GET {target} HTTP/1.1", f"Host: {authority}"]


@pytest.mark.parametrize(
    "url",
    [
        "",
        "cat.png",
        "//pictures.example/cat.png",
        "http://pictures.example/cat.png",
        "ftp://pictures.example/cat.png",
        "file:///etc/passwd",
        "gopher://pictures.example/",
        "unix:///var/run/docker.sock",
        "https+unix://%2Fvar%2Frun/",
        "data:image/png;base64,AAAA",
        "https:pictures.example",
        "https:///cat.png",
        "https://",
        "https://?",
        "https://:443/",
        " https://pictures.example/",
        "https://pictures.example/a b",
        "https://pictures.example/\r\nX-Injected: 1",
        "https://pictures.example/\t",
        "https://pictures.example\\@intranet.example/",
        "https://pictures.example\x00.intranet.example/",
        "https://pictures..example/",
        "https://.pictures.example/",
        "https://pictures.example,intranet.example/",
        "https://%31%32%37.0.0.1/",
        "https://pictures.example:99999/",
        "https://pictures.example:-1/",
        "https://pictures.example:4 43/",
        "https://pictures.example:٤٤٣/",
        "https://[::1/",
        "https://[::1%25eth0]/",
        "https://[fe80::1%eth0]/",
        "https://[v1.x]/",
        "https://[pictures.example]/",
        "https://pictures.example／@intranet.example/",
        "https://-ü-.example/",
        "https://\ud800.example/",
        "https://pictures.example/\ud800",
        "https://" + "a." * 200 + "example/",
        "https://pictures.example/" + "a" * 9000,
    ],
)
async def test_anything_but_a_clean_https_url_is_refused_unasked(url: str) -> None:
    network, asked = Network([]), list[tuple[str, int]]()
    remote = fetcher(network, resolver([PUBLIC], log=asked))
    assert await refusal(remote, url) == "must be an https URL"
    assert not network.attempts
    assert not asked


@pytest.mark.parametrize("url", ["https://me:secret@pictures.example/", "https://me@pictures.example/", "https://@a/"])
async def test_a_url_with_a_user_name_is_refused(url: str) -> None:
    assert await refusal(fetcher(Network([])), url) == "must not contain a user name or password"


@pytest.mark.parametrize("port", [0, 1, 22, 25, 80, 444, 465, 993, 1023])
async def test_a_port_of_another_protocol_is_refused(port: int) -> None:
    url = f"https://pictures.example:{port}/"
    assert await refusal(fetcher(Network([])), url) == "must use port 443 or one from 1024 up"


async def test_http_is_fetched_where_it_is_allowed() -> None:
    network = Network([answer(PNG)])
    remote = fetcher(network, allow_http=True)
    assert await remote.get("http://pictures.example/", field="image_url", accept=IMAGES) == ("image/png", PNG)
    assert (network.connections[0].port, network.connections[0].server_name) == (80, None)
    assert await refusal(remote, "ftp://pictures.example/") == "must be an https or http URL"


NOT_PUBLIC = [
    "0.0.0.0",
    "0.1.2.3",
    "10.0.0.1",
    "10.255.255.255",
    "100.64.0.1",
    "100.100.100.200",
    "100.127.255.255",
    "127.0.0.1",
    "127.0.0.53",
    "127.255.255.254",
    "168.63.129.16",
    "169.254.0.1",
    "169.254.169.123",
    "169.254.169.253",
    "169.254.169.254",
    "169.254.170.2",
    "172.16.0.1",
    "172.31.255.255",
    "192.0.0.1",
    "192.0.0.170",
    "192.0.0.192",
    "192.0.2.1",
    "192.88.99.1",
    "192.168.0.1",
    "192.168.255.255",
    "198.18.0.1",
    "198.19.255.255",
    "198.51.100.1",
    "203.0.113.1",
    "224.0.0.1",
    "239.255.255.250",
    "240.0.0.1",
    "255.255.255.255",
    "::",
    "::1",
    "::127.0.0.1",
    "::93.184.215.14",
    "::ffff:0.0.0.0",
    "::ffff:10.0.0.1",
    "::ffff:127.0.0.1",
    "::ffff:169.254.169.254",
    "::ffff:93.184.215.14",
    "::ffff:0:127.0.0.1",
    "2606:4700::5efe:127.0.0.1",
    "2606:4700::200:5efe:10.0.0.1",
    "2606:4700::100:5efe:93.184.215.14",
    "64:ff9b::10.0.0.1",
    "64:ff9b::127.0.0.1",
    "64:ff9b::169.254.169.254",
    "64:ff9b::224.0.0.1",
    "64:ff9b::1:5db8:d70e",
    "64:ff9b:1::93.184.215.14",
    "64:ff9b:1::10.0.0.1",
    "100::1",
    "100:0:0:1::1",
    "2001::1",
    "2001:0:4136:e378:8000:63bf:3fff:fdd2",
    "2001:2::1",
    "2001:10::1",
    "2001:20::1",
    "2001:db8::1",
    "2002:7f00:1::",
    "2002:a00:1::1",
    "2002:a9fe:a9fe::1",
    "2002:5db8:d70e::1",
    "3fff::1",
    "3fff:fff::1",
    "4000::1",
    "5f00::1",
    "fc00::1",
    "fd00::1",
    "fd00:ec2::23",
    "fd00:ec2::254",
    "fd20:ce::254",
    "fe80::1",
    "fe80::1%eth0",
    "fe80::a9fe:a9fe%1",
    "febf::1",
    "fec0::1",
    "ff02::1",
    "ff0e::1",
]


@pytest.mark.parametrize("address", NOT_PUBLIC)
async def test_an_address_that_is_not_public_is_never_connected_to(address: str) -> None:
    network = Network([])
    assert await refusal(fetcher(network, resolver([address]))) == NOT_FETCHED
    assert not network.attempts


@pytest.mark.parametrize("address", NOT_PUBLIC[:60:7])
async def test_one_address_that_is_not_public_spoils_the_public_ones(address: str) -> None:
    network = Network([])
    assert await refusal(fetcher(network, resolver([PUBLIC, address]))) == NOT_FETCHED
    assert not network.attempts


@pytest.mark.parametrize(
    "host",
    [
        "127.0.0.1",
        "127.1",
        "127.0.1",
        "2130706433",
        "017700000001",
        "0x7f000001",
        "0x7f.1",
        "0177.0.0.1",
        "0x7f.0x0.0x0.0x1",
        "0",
        "0x0",
        "2852039166",
        "0xa9fea9fe",
        "0251.0376.0251.0376",
        "169.254.43518",
        "10.0.1",
        "127.0.0.1.",
        "１２７.0.0.1",
        "127。0。0。1",
        "[::1]",
        "[::]",
        "[::ffff:127.0.0.1]",
        "[::ffff:7f00:1]",
        "[0:0:0:0:0:ffff:a9fe:a9fe]",
        "[64:ff9b::7f00:1]",
        "[2002:7f00:1::]",
        "[fd00:ec2::254]",
        "[fe80::1]",
        "[2001:0:7f00:1::]",
        "[::127.0.0.1]",
        "[2606:4700::5efe:169.254.169.254]",
        "[2606:4700::200:5efe:10.0.0.1]",
        "0127.0.0.01",
        "0x7f.0.0.0x1",
        "0x",
        "127.0.0.0x",
        "4294967296",
        "1.2.3.4.5",
        "1.1.1.09",
        "example.1",
        "1.1.257",
        "localhost",
        "LOCALHOST",
        "localhost.",
        "a.localhost",
        "ip6-loopback",
        "metadata",
        "metadata.google.internal",
        "printer.local",
        "nas.home.arpa",
        "ｌｏｃａｌｈｏｓｔ",
    ],
)
async def test_private_hosts_in_every_spelling_are_refused_before_anybody_resolves_them(host: str) -> None:
    network = Network([])
    url = f"https://{host}/latest/meta-data/"
    remote = RemoteFetcher(network=network, resolve=resolver(AssertionError("resolved")))
    assert await refusal(remote, url) == NOT_FETCHED
    assert not network.attempts
    with pytest.raises(InvalidRequest, match=f"image_url: {NOT_FETCHED}"):
        remote.check(url, field="image_url")


@pytest.mark.parametrize("host", ["93.184.215.14", "1.1.1.1.", "[2606:4700::6810:1]", "1e100.net", "0x7f.example"])
def test_what_a_vendor_may_fetch_passes(host: str) -> None:
    fetcher(Network([])).check(f"https://{host}/a.png", field="image_url")


async def test_a_redirect_to_a_private_host_says_nothing_of_it() -> None:
    network = Network([redirect("https://127.0.0.1/")])
    assert await refusal(fetcher(network)) == NOT_FETCHED
    assert network.attempts == [PUBLIC]


@pytest.mark.parametrize(
    "address",
    [
        PUBLIC,
        "1.1.1.1",
        "100.63.255.255",
        "172.32.0.1",
        "192.0.1.1",
        "198.20.0.1",
        "223.255.255.254",
        "2606:4700::6810:1",
        "2a00:1450:4001:81b::200e",
        "2001:200::1",
        "2001:4860:4860::8888",
        "64:ff9b::1.1.1.1",
    ],
)
async def test_a_public_address_is_connected_to_as_it_was_checked(address: str) -> None:
    network = Network([answer(PNG)])
    await fetcher(network, resolver([address])).get(URL, field="image_url", accept=IMAGES)
    assert [ip_address(tried) for tried in network.attempts] == [ip_address(address)]


@given(st.ip_addresses())
def test_nothing_is_public_that_the_standard_library_knows_better(address: IPv4Address | IPv6Address) -> None:
    if is_public(address):
        assert address.is_global
        assert not address.is_multicast
        assert not address.is_private


async def test_private_addresses_are_fetched_from_where_they_are_allowed() -> None:
    network = Network([answer(PNG)])
    remote = fetcher(network, resolver(["127.0.0.1"]), allow_private=True, allow_http=True)
    assert await remote.get("http://localhost:8080/", field="image_url", accept=IMAGES) == ("image/png", PNG)
    assert network.attempts == ["127.0.0.1"]


async def test_a_name_that_changes_its_address_is_checked_each_time() -> None:
    network = Network([answer(PNG), answer(PNG)])
    remote = fetcher(network, resolver([PUBLIC], ["127.0.0.1"]))
    await remote.get(URL, field="image_url", accept=IMAGES)
    assert await refusal(remote) == NOT_FETCHED
    assert network.attempts == [PUBLIC]


async def test_a_name_is_resolved_once_for_each_connection() -> None:
    asked: list[tuple[str, int]] = []
    network = Network([redirect("/there"), answer(PNG)])
    remote = fetcher(network, resolver([PUBLIC], ["93.184.215.15"], ["127.0.0.1"], log=asked))
    await remote.get(URL, field="image_url", accept=IMAGES)
    assert network.attempts == [PUBLIC, "93.184.215.15"]
    assert len(asked) == len(network.attempts)


@pytest.mark.parametrize(
    "failure",
    [
        httpcore.ConnectError("[Errno 111] Connect call failed ('93.184.215.14', 443)"),
        httpcore.ConnectTimeout(),
    ],
)
async def test_the_next_address_is_tried_when_one_does_not_answer(failure: Exception) -> None:
    network = Network([failure, answer(PNG)])
    remote = fetcher(network, resolver(["2606:4700::1", PUBLIC]))
    assert await remote.get(URL, field="image_url", accept=IMAGES) == ("image/png", PNG)
    assert network.attempts == ["2606:4700::1", PUBLIC]


async def test_only_the_first_few_addresses_are_tried() -> None:
    network = Network([httpcore.ConnectError() for _ in range(20)])
    addresses = [f"93.184.215.{last}" for last in range(20)]
    assert await refusal(fetcher(network, resolver(addresses))) == NOT_FETCHED
    assert network.attempts == addresses[:3]


@pytest.mark.parametrize("status", ["301 Moved", "302 Found", "303 See Other", "307 Temporary", "308 Permanent"])
async def test_redirects_are_followed(status: str) -> None:
    network = Network([redirect("//cdn.example:8443/b?c#d", status), redirect("../e"), answer(PNG)])
    remote = fetcher(network)
    assert await remote.get("https://pictures.example/a/", field="image_url", accept=IMAGES) == ("image/png", PNG)
    lines = [connection.sent.split(b"\r\n")[:2] for connection in network.connections]
    assert lines == [
        [b"GET /a/ HTTP/1.1", b"Host: pictures.example"],
        [b"GET /b?c HTTP/1.1", b"Host: cdn.example:8443"],
        [b"GET /e HTTP/1.1", b"Host: cdn.example:8443"],
    ]
    assert [connection.server_name for connection in network.connections][1:] == ["cdn.example"] * 2
    assert all(connection.closed for connection in network.connections)


async def test_cookies_are_not_kept() -> None:
    network = Network([answer(b"", "Location: /b", "Set-Cookie: a=b", status="302 Found"), answer(PNG)])
    await fetcher(network).get(URL, field="image_url", accept=IMAGES)
    assert b"ookie" not in network.connections[1].sent


@pytest.mark.parametrize("redirects", [MAX_REDIRECTS, MAX_REDIRECTS + 1])
async def test_redirects_are_followed_three_times_at_most(redirects: int) -> None:
    network = Network([*[redirect(f"/{count}") for count in range(redirects)], answer(PNG)])
    remote = fetcher(network)
    if redirects == MAX_REDIRECTS:
        assert await remote.get(URL, field="image_url", accept=IMAGES) == ("image/png", PNG)
    else:
        assert await refusal(remote) == NOT_FETCHED
        assert len(network.attempts) == 1 + MAX_REDIRECTS


async def test_a_redirect_loop_ends() -> None:
    network = Network([redirect(URL) for _ in range(100)])
    assert await refusal(fetcher(network)) == NOT_FETCHED
    assert len(network.attempts) == 1 + MAX_REDIRECTS


async def test_a_redirect_to_an_address_that_is_not_public_is_refused() -> None:
    network = Network([redirect("https://metadata.example/"), answer(PNG)])
    assert await refusal(fetcher(network, resolver([PUBLIC], ["169.254.169.254"]))) == NOT_FETCHED
    assert network.attempts == [PUBLIC]


@pytest.mark.parametrize(
    "location",
    [
        "http://pictures.example/cat.png",
        "file:///etc/passwd",
        "https://me:secret@pictures.example/",
        "https://pictures.example:22/",
        "https://[::1/",
        "/a b",
        "\xff",
    ],
)
async def test_a_redirect_to_what_is_no_clean_https_url_is_refused(location: str) -> None:
    network = Network([redirect(location).replace(b"\xc3\xbf", b"\xff"), answer(PNG)])
    assert await refusal(fetcher(network)) == NOT_FETCHED
    assert len(network.attempts) == 1


@pytest.mark.parametrize(
    "reply",
    [
        answer(PNG, status="201 Created"),
        answer(PNG[:9], "Content-Range: bytes 0-8/208", status="206 Partial Content"),
        answer(b"", status="204 No Content", sized=False),
        answer(b"", status="302 Found"),
        answer(b"", status="304 Not Modified", sized=False),
        answer(PNG, "Location: /b", status="300 Multiple Choices"),
        answer(b"who are you", "WWW-Authenticate: Basic", status="401 Unauthorized"),
        answer(PNG, status="404 Not Found"),
        answer(PNG, status="500 Internal Server Error"),
        answer(PNG, "Content-Encoding: gzip"),
        answer(PNG, "content-encoding: br"),
        answer(PNG)[:-1],
        answer(PNG, "Content-Length: 7"),
        answer(PNG, "Content-Length: x", sized=False),
        answer(b"", "Upgrade: h2c", status="101 Switching Protocols", sized=False),
        b"",
        b"HTTP/1.1 200",
        b"SSH-2.0-OpenSSH_9.6\r\n",
        b"\x15\x03\x01\0\2\2\x46",
        b"HTTP/1.1 200 OK\r\nX: " + b"x" * 200_000,
        httpcore.ConnectError("[Errno 111] Connect call failed ('93.184.215.14', 443)"),
        httpcore.ConnectTimeout("timed out"),
        httpcore.ReadError("reset"),
        OSError(101, "Network is unreachable"),
        ssl.SSLCertVerificationError("hostname mismatch, certificate is not valid for 'intranet.example'"),
    ],
    ids=range(25),
)
async def test_every_failure_reads_the_same(reply: bytes | Exception) -> None:
    assert await refusal(fetcher(Network([reply]))) == NOT_FETCHED


@pytest.mark.parametrize(
    "failure",
    [
        OSError(-2, "Name or service not known"),
        UnicodeError("label empty or too long"),
        TimeoutError(),
    ],
)
async def test_a_name_that_does_not_resolve_reads_the_same(failure: Exception) -> None:
    assert await refusal(fetcher(Network([]), resolver(failure))) == NOT_FETCHED


@pytest.mark.parametrize("addresses", [[], ["not an address"]])
async def test_a_name_without_addresses_reads_the_same(addresses: list[str]) -> None:
    assert await refusal(fetcher(Network([]), resolver(addresses))) == NOT_FETCHED


async def never_resolves(host: str, port: int) -> Sequence[str]:
    await asyncio.Event().wait()
    return []


async def test_a_name_that_takes_too_long_to_resolve_reads_the_same() -> None:
    remote = fetcher(Network([]), never_resolves, connect_seconds=0.02)
    assert await refusal(remote) == NOT_FETCHED


@pytest.mark.parametrize(
    "reply",
    [
        [NEVER],
        [answer(PNG)[:30], NEVER],
        [answer(PNG)[:-1], NEVER],
        [answer(b"", "Transfer-Encoding: chunked", sized=False), b"8\r\n" + PNG[:8], NEVER],
    ],
    ids=["no answer", "half a head", "half a body", "half a chunked body"],
)
async def test_an_answer_that_takes_too_long_is_given_up(reply: list[bytes | None]) -> None:
    network = Network([reply])
    assert await refusal(fetcher(network, total_seconds=0.1)) == NOT_FETCHED
    assert network.connections[0].closed


async def test_redirects_share_one_time_limit() -> None:
    network = Network([redirect("/b"), redirect("/c"), [NEVER]])
    assert await refusal(fetcher(network, total_seconds=0.1)) == NOT_FETCHED
    assert len(network.attempts) == 3


async def test_a_cancelled_fetch_is_cancelled() -> None:
    network = Network([[NEVER]])
    remote = fetcher(network)
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(remote.get(URL, field="image_url", accept=IMAGES), 0.1)
    assert network.connections[0].closed


MEGABYTE = 2**20


async def test_a_body_of_the_largest_size_is_fetched() -> None:
    body = PNG.ljust(MEGABYTE, b"\0")
    remote = fetcher(Network([answer(body)]), max_bytes=MEGABYTE)
    assert await remote.get(URL, field="image_url", accept=IMAGES) == ("image/png", body)


async def test_a_body_announced_as_too_large_is_not_read() -> None:
    network = Network([[answer(b"", f"Content-Length: {20 * MEGABYTE + 1}", sized=False), NEVER]])
    assert await refusal(fetcher(network)) == "is larger than 20 MB"
    assert network.connections[0].closed


@pytest.mark.parametrize("headers", [["Transfer-Encoding: chunked"], []])
async def test_a_body_that_becomes_too_large_is_given_up(headers: list[str]) -> None:
    piece = b"\0" * 65536
    framed = b"10000\r\n" + piece + b"\r\n" if headers else piece
    network = Network([[answer(b"", *headers, sized=False), *[framed] * 100, NEVER]])
    assert await refusal(fetcher(network, max_bytes=MEGABYTE)) == "is larger than 1 MB"
    assert network.connections[0].closed
    assert len(network.connections[0].to_come) > 80


@pytest.mark.parametrize(
    "body",
    [b"<!doctype html><title>cat.png</title>", b"", b"GIF89a\1\0\1\0", b"%PDF-1.7", b"<svg/>", PNG[1:]],
)
async def test_what_is_not_of_an_accepted_type_is_refused_whatever_it_is_called(body: bytes) -> None:
    network = Network([answer(body, "Content-Type: image/png")])
    assert await refusal(fetcher(network)) == "is not of a supported type (image/jpeg, image/png)"


async def test_nothing_is_made_before_the_first_fetch() -> None:
    remote = RemoteFetcher()
    assert await refusal(remote, "ftp://pictures.example/") == "must be an https URL"
    await remote.aclose()
    await remote.aclose()


async def test_a_closed_fetcher_may_be_used_again() -> None:
    remote = fetcher(Network([answer(PNG), answer(PNG)]))
    await remote.get(URL, field="image_url", accept=IMAGES)
    await remote.aclose()
    assert await remote.get(URL, field="image_url", accept=IMAGES) == ("image/png", PNG)


async def test_fetches_may_run_side_by_side() -> None:
    network = Network([answer(PNG) for _ in range(30)])
    remote = fetcher(network)
    results = await asyncio.gather(*(remote.get(URL, field="image_url", accept=IMAGES) for _ in range(30)))
    assert results == [("image/png", PNG)] * 30


def certificate(host: str, folder: Path) -> tuple[Path, Path]:
    """A self-signed certificate for `host` and its key, as PEM files."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, host)])
    now = datetime.now(UTC)
    signed = (
        x509.CertificateBuilder(name, name, key.public_key(), 1, now - timedelta(days=1), now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(host)]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    pem = serialization.Encoding.PEM
    certificate_file, key_file = folder / "certificate.pem", folder / "key.pem"
    certificate_file.write_bytes(signed.public_bytes(pem))
    key_file.write_bytes(key.private_bytes(pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()))
    return certificate_file, key_file


@asynccontextmanager
async def tls_server(certificate_file: Path, key_file: Path) -> AsyncIterator[tuple[int, list[str]]]:
    """A server on the loopback that answers PNG; gives its port, and the server names that clients asked for."""
    names: list[str] = []
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(certificate_file, key_file)
    note: Callable[[ssl.SSLObject, str, ssl.SSLContext], None] = lambda _, name, __: names.append(name)  # noqa: E731
    context.sni_callback = note

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(answer(PNG))
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0, ssl=context)
    async with server:
        yield server.sockets[0].getsockname()[1], names


@pytest.mark.parametrize(("host", "is_fetched"), [("pictures.example", True), ("other.example", False)])
async def test_the_certificate_must_be_that_of_the_host(host: str, is_fetched: bool, tmp_path: Path) -> None:
    certificate_file, key_file = certificate("pictures.example", tmp_path)
    async with tls_server(certificate_file, key_file) as (port, names):
        remote = RemoteFetcher(
            allow_private=True,
            resolve=resolver(["127.0.0.1"]),
            ssl_context=ssl.create_default_context(cafile=certificate_file),
        )
        url = f"https://{host}:{port}/"
        if is_fetched:
            assert await remote.get(url, field="image_url", accept=IMAGES) == ("image/png", PNG)
        else:
            assert await refusal(remote, url) == NOT_FETCHED
        assert names == [host]


async def test_a_certificate_that_nobody_trusts_is_refused(tmp_path: Path) -> None:
    async with tls_server(*certificate("pictures.example", tmp_path)) as (port, _):
        remote = RemoteFetcher(allow_private=True, resolve=resolver(["127.0.0.1"]))
        assert await refusal(remote, f"https://pictures.example:{port}/") == NOT_FETCHED
