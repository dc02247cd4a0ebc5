"""The guarded fetch of media behind a caller's URL: public addresses only, bounded in size and time.

The host is resolved here, its addresses are checked here, and the connection goes to the address that was checked,
so that a name which answers differently the second time (DNS rebinding) gains nothing. A name and a certificate are
still checked against the host. No environment proxy, credential or cookie is ever used.

What may be reached follows the IANA special-purpose address registries,
https://www.iana.org/assignments/iana-ipv4-special-registry and .../iana-ipv6-special-registry.
"""

import asyncio
import io
import re
import ssl
from collections.abc import Awaitable, Callable, Iterable, Sequence
from contextlib import suppress
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address
from socket import SOCK_STREAM
from typing import TypeAlias
from urllib.parse import quote, urljoin, urlsplit

import httpcore

from shared.errors import InvalidRequest
from shared.media import MAX_MEDIA_BYTES, SNIFF_BYTES, sniff
from shared.tls import tls_context

USER_AGENT = "inference-gateway"
ANY_TYPE = "application/octet-stream"
MAX_REDIRECTS = 3

# An async function from host and port to the host's addresses as text, one or more.
Resolver: TypeAlias = Callable[[str, int], Awaitable[Sequence[str]]]

_NOT_FETCHED = "could not be fetched"
_MAX_URL_LENGTH = 8192
_MAX_HOST_LENGTH = 253
_MAX_ADDRESSES_TRIED = 3
_REDIRECTS = frozenset({301, 302, 303, 307, 308})
_DEFAULT_PORTS = {"https": 443, "http": 80}

# Below this, only a scheme's own port: nothing else down there speaks HTTP, and much of it is easily confused by it.
_FIRST_FREE_PORT = 1024

# urlsplit removes or accepts these in places where other parsers do not.
_FORBIDDEN = re.compile(r"[\x00-\x20\x7f\\]")
_HOST_NAME = re.compile(r"[a-z0-9_-]+(?:\.[a-z0-9_-]+)*\.?")
# By which every reader of URLs tells an IPv4 address, in whatever spelling, from a name:
# https://url.spec.whatwg.org/#ends-in-a-number-checker
_ENDS_IN_NUMBER = re.compile(r"(?:^|\.)(?:[0-9]+|0x[0-9a-f]*)\.?\Z")
# Names that never lead to the public internet: special-use domains, and those that RFC 6762 (appendix G) finds in
# private use. A name without a dot is one of a private network too.
_PRIVATE_NAME = re.compile(
    r"[^.]+|(?:.*\.)?(?:localhost|localdomain|local|internal|intranet|private|corp|home|lan|home\.arpa)"
)
_VISIBLE_ASCII = "".join(map(chr, range(0x21, 0x7F)))

# Listed in full although `is_global` knows most of them: what it knows depends on Python's patch release.
_REFUSED_V4 = tuple(
    map(
        IPv4Network,
        (
            "0.0.0.0/8",  # this network
            "10.0.0.0/8",  # private
            "100.64.0.0/10",  # shared by carriers
            "127.0.0.0/8",  # loopback
            "168.63.129.16/32",  # Azure's platform services, public in form only
            "169.254.0.0/16",  # link-local, cloud metadata
            "172.16.0.0/12",  # private
            "192.0.0.0/24",  # protocol assignments
            "192.0.2.0/24",  # documentation
            "192.88.99.0/24",  # 6to4 relays
            "192.168.0.0/16",  # private
            "198.18.0.0/15",  # benchmarking
            "198.51.100.0/24",  # documentation
            "203.0.113.0/24",  # documentation
            "224.0.0.0/4",  # multicast
            "240.0.0.0/4",  # reserved, broadcast
        ),
    )
)

# All of today's global unicast. Loopback, unique local (with AWS's metadata at fd00:ec2::254), link-local, multicast
# and IPv4-mapped addresses lie outside.
_GLOBAL_V6 = IPv6Network("2000::/3")
_REFUSED_V6 = tuple(
    map(
        IPv6Network,
        (
            "2001::/23",  # protocol assignments: Teredo, benchmarking, ORCHID
            "2001:db8::/32",  # documentation
            "2002::/16",  # 6to4
            "3fff::/20",  # documentation
        ),
    )
)

# Where a network without IPv4 reaches IPv4: the last 32 bits are the address that counts.
_NAT64 = IPv6Network("64:ff9b::/96")
# The upper half of an interface identifier by which ISATAP (RFC 5214) tunnels to the IPv4 address in the lower half,
# without the two bits that may be set or not.
_ISATAP = 0x00005EFE
_ISATAP_MASK = 0xFCFFFFFF


def is_public(address: IPv4Address | IPv6Address) -> bool:
    """Whether an address is unicast and reachable over the public internet, whatever it wraps included."""
    if isinstance(address, IPv4Address):
        return address.is_global and not any(address in network for network in _REFUSED_V4)
    if address in _NAT64:
        return is_public(IPv4Address(int(address) & 0xFFFFFFFF))
    if int(address) >> 32 & _ISATAP_MASK == _ISATAP:
        return False
    return address in _GLOBAL_V6 and address.is_global and not any(address in network for network in _REFUSED_V6)


class RemoteFetcher:
    """Gets what callers only give the URL of; one instance serves any number of concurrent fetches.

    `allow_http` and `allow_private` are for local development. `max_bytes` counts the body as received; `total_seconds`
    covers resolving, redirects and body, `connect_seconds` resolving and connecting of one hop. `resolve`, `network`
    and `ssl_context` replace the system's resolver, sockets and trusted certificates. Nothing is made before first use.
    """

    def __init__(
        self,
        *,
        allow_http: bool = False,
        allow_private: bool = False,
        max_bytes: int = MAX_MEDIA_BYTES,
        total_seconds: float = 10.0,
        connect_seconds: float = 5.0,
        resolve: Resolver | None = None,
        network: httpcore.AsyncNetworkBackend | None = None,
        ssl_context: ssl.SSLContext | None = None,
    ) -> None:
        self._schemes = ("https", "http") if allow_http else ("https",)
        self._allow_private = allow_private
        self._max_bytes = max_bytes
        self._total_seconds = total_seconds
        self._connect_seconds = connect_seconds
        self._resolve = resolve or _system_addresses
        self._network = network
        self._ssl_context = ssl_context
        self._pool: httpcore.AsyncConnectionPool | None = None

    def check(self, url: str, *, field: str) -> None:
        """Raises InvalidRequest naming `field` for a URL that `get` would refuse by its form alone.

        For what a vendor is to fetch. A name that resolves to a private address is the vendor's to refuse.
        """
        try:
            self._parse(url)
        except _Refused as refused:
            raise InvalidRequest.field(field, str(refused)) from None

    async def get(self, url: str, *, field: str, accept: frozenset[str]) -> tuple[str, bytes]:
        """The media type, told by the bytes and one of `accept`, and the body behind `url`.

        Where `accept` holds ANY_TYPE, a body that shows no type is of that one, and for the caller to look into. Ports
        are the scheme's own or any from 1024 up. Raises InvalidRequest naming `field` in every other case; its message
        tells nothing of the network: refused, unreachable, slow and broken all read the same.
        """
        try:
            target = self._parse(url)
            async with asyncio.timeout(self._total_seconds):
                body = await self._follow(url, target, accept)
            return _media_type(body, accept), body
        except _Refused as refused:
            raise InvalidRequest.field(field, str(refused)) from None
        except (
            httpcore.NetworkError,
            httpcore.ProtocolError,
            httpcore.TimeoutException,
            OSError,  # TimeoutError and ssl.SSLError among them
            ValueError,  # a host name that the resolver cannot encode
        ) as failure:
            raise InvalidRequest.field(field, _NOT_FETCHED) from failure

    async def aclose(self) -> None:
        """Closes what is open; a later `get` opens it anew."""
        pool, self._pool = self._pool, None
        if pool is not None:
            await pool.aclose()

    def _parse(self, url: str) -> httpcore.URL:
        """The URL in the parts that go over the wire. Raises _Refused with a message about the URL's form."""
        scheme_rule = f"must be an {' or '.join(self._schemes)} URL"
        if len(url) > _MAX_URL_LENGTH or _FORBIDDEN.search(url):
            raise _Refused(scheme_rule)
        try:
            parts = urlsplit(url)
            host, port = _ascii_host(parts.hostname or "", "[" in parts.netloc), parts.port
            is_private = not self._allow_private and _is_private(host)
            # Only what is not ASCII is escaped: signatures in a query hold for its exact spelling.
            target = quote((parts.path or "/") + (f"?{parts.query}" if parts.query else ""), safe=_VISIBLE_ASCII)
        except ValueError:
            raise _Refused(scheme_rule) from None
        if parts.scheme not in self._schemes:
            raise _Refused(scheme_rule)
        if "@" in parts.netloc:
            raise _Refused("must not contain a user name or password")
        default_port = _DEFAULT_PORTS[parts.scheme]
        if port is not None and port != default_port and port < _FIRST_FREE_PORT:
            raise _Refused(f"must use port {default_port} or one from {_FIRST_FREE_PORT} up")
        if is_private:
            raise _Refused(_NOT_FETCHED)
        return httpcore.URL(scheme=parts.scheme, host=host, port=port or default_port, target=target)

    async def _follow(self, url: str, target: httpcore.URL, accept: frozenset[str]) -> bytes:
        """The body at the end of at most `MAX_REDIRECTS` redirects, each checked as the first URL was."""
        for _ in range(1 + MAX_REDIRECTS):
            answer = await self._request(target, accept)
            if isinstance(answer, bytes):
                return answer
            url = urljoin(url, answer)
            try:
                target = self._parse(url)
            except _Refused:  # which would say what is wrong with a URL that the caller has not written
                break
        raise _Refused(_NOT_FETCHED)

    async def _request(self, target: httpcore.URL, accept: frozenset[str]) -> bytes | str:
        """The body of one answer, or as text where it redirects to. Raises _Refused and what httpcore raises."""
        async with self._connections().stream(
            "GET",
            target,
            headers=_request_headers(target, accept),
            extensions={"timeout": {"connect": self._connect_seconds}},
        ) as response:
            headers = {name.lower(): value for name, value in response.headers}
            if response.status in _REDIRECTS and b"location" in headers:
                return headers[b"location"].decode()
            if response.status != 200 or headers.get(b"content-encoding", b"identity").lower() != b"identity":
                raise _Refused(_NOT_FETCHED)
            if int(headers.get(b"content-length", 0)) > self._max_bytes:
                raise self._too_large()
            body = io.BytesIO()
            async for chunk in response.aiter_stream():
                body.write(chunk)
                if body.tell() > self._max_bytes:
                    raise self._too_large()
            return body.getvalue()

    def _too_large(self) -> "_Refused":
        return _Refused(f"is larger than {self._max_bytes // 2**20} MB")

    def _connections(self) -> httpcore.AsyncConnectionPool:
        if self._pool is None:
            network = self._network or httpcore.AnyIOBackend()
            self._pool = httpcore.AsyncConnectionPool(
                ssl_context=self._ssl_context or tls_context(),
                max_connections=None,
                # A host is rarely asked twice, and a kept connection does not outlive a frozen sandbox.
                max_keepalive_connections=0,
                network_backend=_GuardedNetwork(network, self._resolve, self._allow_private),
            )
        return self._pool


class _Refused(Exception):
    """A fetch that is not made or given up; the message is for the caller."""


class _GuardedNetwork(httpcore.AsyncNetworkBackend):
    """Connects to addresses that it has resolved and checked itself, and to nothing else."""

    def __init__(self, network: httpcore.AsyncNetworkBackend, resolve: Resolver, allow_private: bool) -> None:
        self._network = network
        self._resolve = resolve
        self._allow_private = allow_private

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,  # noqa: ASYNC109  (httpcore's interface)
        local_address: str | None = None,
        socket_options: Iterable[httpcore.SOCKET_OPTION] | None = None,
    ) -> httpcore.AsyncNetworkStream:
        """A connection to the first of the host's addresses that answers. One that is not public damns them all."""
        async with asyncio.timeout(timeout):
            addresses = [ip_address(text) for text in await self._resolve(host, port)]
            if not self._allow_private and not all(map(is_public, addresses)):
                raise httpcore.ConnectError("not a public address")
            addresses = addresses[:_MAX_ADDRESSES_TRIED]
            # So that a first address which swallows packets leaves time for the next.
            share = timeout and timeout / max(1, len(addresses))
            for address in addresses:
                with suppress(httpcore.ConnectError, httpcore.ConnectTimeout):
                    return await self._network.connect_tcp(str(address), port, share, local_address, socket_options)
        raise httpcore.ConnectError("no address answers")

    async def connect_unix_socket(
        self,
        path: str,
        timeout: float | None = None,  # noqa: ASYNC109  (httpcore's interface)
        socket_options: Iterable[httpcore.SOCKET_OPTION] | None = None,
    ) -> httpcore.AsyncNetworkStream:
        raise httpcore.ConnectError("no sockets of this machine")

    async def sleep(self, seconds: float) -> None:
        await self._network.sleep(seconds)


async def _system_addresses(host: str, port: int) -> list[str]:
    found = await asyncio.get_running_loop().getaddrinfo(host, port, type=SOCK_STREAM)
    return [str(socket_address[0]) for *_, socket_address in found]


def _ascii_host(host: str, is_bracketed: bool) -> str:
    """A URL's host as it goes over the wire: an IPv6 address without its brackets, or a name in ASCII.

    Raises ValueError on anything else.
    """
    if is_bracketed:
        address = IPv6Address(host)
        if address.scope_id is not None:
            raise ValueError("an address of one link")
        return str(address)
    if not host.isascii():
        # Comes with httpx; its tables are only loaded for the few who need them.
        import idna

        host = idna.encode(host, uts46=True).decode("ascii")
    if len(host) > _MAX_HOST_LENGTH or not _HOST_NAME.fullmatch(host):
        raise ValueError("not a host")
    return host


def _is_private(host: str) -> bool:
    """Whether a host as `_ascii_host` spells it is an address or a name that does not lead to the public internet.

    An IPv4 address in another spelling than four decimal numbers (0x7f.1, 2130706433, 0177.0.0.1) counts as private:
    its readers do not agree on what it means.
    """
    if ":" in host:
        return not is_public(IPv6Address(host))
    if _ENDS_IN_NUMBER.search(host):
        try:
            return not is_public(IPv4Address(host.removesuffix(".")))
        except ValueError:
            return True
    return _PRIVATE_NAME.fullmatch(host.removesuffix(".")) is not None


def _request_headers(target: httpcore.URL, accept: frozenset[str]) -> dict[bytes | str, bytes | str]:
    host = target.host.decode("ascii")
    authority = f"[{host}]" if ":" in host else host
    if target.port != _DEFAULT_PORTS[target.scheme.decode("ascii")]:
        authority += f":{target.port}"
    return {
        "Host": authority,
        "User-Agent": USER_AGENT,
        "Accept": ", ".join([*sorted(accept), "*/*;q=0.1"]),
        "Accept-Encoding": "identity",
        "Connection": "close",
    }


def _media_type(body: bytes, accept: frozenset[str]) -> str:
    media_type = sniff(body[:SNIFF_BYTES]) or ANY_TYPE
    if media_type not in accept:
        raise _Refused(f"is not of a supported type ({', '.join(sorted(accept))})")
    return media_type
