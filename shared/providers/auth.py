"""Authentication by a header, as most vendors have it. Imported with the first call, since httpx is large."""

from collections.abc import Generator

import httpx


class HeaderAuth(httpx.Auth):
    """Sends a key in a header. The key is in no repr."""

    def __init__(self, name: str, value: str) -> None:
        self._name = name
        self._value = value

    def auth_flow(self, request: httpx.Request) -> Generator[httpx.Request, httpx.Response, None]:
        request.headers[self._name] = self._value
        yield request
