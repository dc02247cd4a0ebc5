"""Request ids from callers: only ids that are safe in headers, logs and requests to providers."""

import re
from collections.abc import Iterable

_VALID = re.compile(r"[A-Za-z0-9._:-]{1,128}")


def given_request_id(headers: Iterable[tuple[bytes, bytes]]) -> str | None:
    """The caller's request id in ASGI headers; None if there is no valid one."""
    given = next((value.decode("latin-1") for name, value in headers if name == b"x-request-id"), "")
    return given if _VALID.fullmatch(given) else None
