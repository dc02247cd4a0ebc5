"""Cross-origin headers for the web origins that GATEWAY_CORS_ORIGIN names: a comma list of origins, or `*`.

https://fetch.spec.whatwg.org/#http-cors-protocol
"""

import os
from collections.abc import Iterable, Mapping

# What template.yaml has for API Gateway, which answers preflights in a stack.
_PREFLIGHT = {
    "access-control-allow-methods": "GET,POST,DELETE,OPTIONS",
    "access-control-allow-headers": "*,Authorization",
    "access-control-max-age": "600",
}


def cors_headers(headers: Iterable[tuple[bytes, bytes]]) -> Mapping[str, str]:
    """The headers of the answer to a request with the given ones, as ASGI has them; none where no origin is named."""
    allowed = _allowed(headers)
    return {"access-control-expose-headers": "*", **allowed} if _ALLOW in allowed else allowed


def preflight_headers(headers: Iterable[tuple[bytes, bytes]]) -> Mapping[str, str]:
    """The headers of the answer to a preflight; none where no origin is named."""
    allowed = _allowed(headers)
    return {**_PREFLIGHT, **allowed} if _ALLOW in allowed else allowed


_ALLOW = "access-control-allow-origin"


def _allowed(headers: Iterable[tuple[bytes, bytes]]) -> dict[str, str]:
    setting = os.environ.get("GATEWAY_CORS_ORIGIN", "")
    named = {origin.strip().rstrip("/") for origin in setting.split(",")} - {""}
    if not named:
        return {}
    if "*" in named:
        return {_ALLOW: "*"}
    origins = [value.decode("latin-1") for name, value in headers if name == b"origin"]
    # A cache must not give one origin the answer to another, nor one without the header.
    varying = {"vary": "Origin"}
    return {_ALLOW: origins[0], **varying} if len(origins) == 1 and origins[0] in named else varying
