"""The id of a request: the caller's own where it sent a usable one, else API Gateway's, which its access log has."""

import re
from collections.abc import Mapping
from typing import Any

_USABLE = re.compile(r"[A-Za-z0-9._:-]{1,128}")


def request_id_of(scope: Mapping[str, Any], otherwise: str) -> str:
    """What `X-Request-Id` answers a request, given by its ASGI scope. `otherwise` is for one that has no id yet."""
    given = next((value.decode("latin-1") for name, value in scope["headers"] if name == b"x-request-id"), "")
    if _USABLE.fullmatch(given):
        return given
    return api_request_id_of(scope) or otherwise


def api_request_id_of(scope: Mapping[str, Any]) -> str | None:
    """API Gateway's own id of a request (`$context.requestId`), None for one that came another way."""
    context = (scope.get("aws.event") or {}).get("requestContext") or {}
    found = context.get("requestId")
    return found if isinstance(found, str) and _USABLE.fullmatch(found) else None
