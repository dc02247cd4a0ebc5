"""What stands before the functions of the local server, where API Gateway stands in a stack: hosts and preflights."""

import re
from functools import lru_cache
from ipaddress import AddressValueError, IPv4Address, IPv6Address

from shared.errors import PermissionDenied
from shared.web.app import ContextMiddleware
from shared.web.cors import preflight_headers
from shared.web.http import ASGIApp, Receive, Response, Scope, Send

_PORT = re.compile(r":[0-9]{1,5}\Z")


@lru_cache(maxsize=64)
def is_loopback(host: str) -> bool:
    """Whether a Host header names this machine itself.

    A page of a foreign site, whose name is made to lead here (DNS rebinding), sends that name.
    """
    name = _PORT.sub("", host).lower().removesuffix(".")
    try:
        if name.startswith("["):
            return name.endswith("]") and IPv6Address(name[1:-1]).is_loopback
        return name == "localhost" or name.endswith(".localhost") or IPv4Address(name).is_loopback
    except AddressValueError:
        return False


class LocalServer:
    """Refuses requests to hosts that are not loopback, and answers preflights."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app
        self._refusal = ContextMiddleware(_refuse)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            hosts = [value.decode("latin-1") for name, value in scope["headers"] if name == b"host"]
            if len(hosts) != 1 or not is_loopback(hosts[0]):
                await self._refusal(scope, receive, send)
                return
            if _is_preflight(scope) and (headers := preflight_headers(scope["headers"])):
                await Response(b"", 204, headers)(scope, receive, send)
                return
        await self._app(scope, receive, send)


def _is_preflight(scope: Scope) -> bool:
    names = {name for name, _ in scope["headers"]}
    return scope["method"] == "OPTIONS" and {b"origin", b"access-control-request-method"} <= names


async def _refuse(scope: Scope, receive: Receive, send: Send) -> None:
    raise PermissionDenied("This server answers to loopback hosts only, such as 127.0.0.1 and localhost.")
