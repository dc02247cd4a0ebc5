"""Takes a custom domain's base path off a request's path, so that the routes are the same at every address."""

import re
from functools import cache

from shared.web.http import Scope


def without_base_path(scope: Scope) -> Scope:
    """The scope of a request as it would be without a base path mapping.

    Through one, API Gateway puts the base path before the path of the event, but not before its `resource`, which is
    the route that it has matched: `/gateway/v1/models/gpt-5` and `/v1/models/{model_id+}`. A setting would not do: the
    same functions are reached at the API's own address too, and a base path may be called as a route begins.
    """
    resource = (scope.get("aws.event") or {}).get("resource")
    if not isinstance(resource, str):
        return scope
    found = _with_base_path(resource).fullmatch(scope["path"])
    if found is None or not found["base"]:
        return scope
    raw = scope.get("raw_path") or b""
    base = found["base"].encode("latin-1", errors="replace")
    return {**scope, "path": scope["path"][len(found["base"]) :], "raw_path": raw.removeprefix(base)}


@cache
def _with_base_path(resource: str) -> re.Pattern[str]:
    """Matches the paths of a route, with `base` as what stands before it: nothing where that is possible."""
    parts = re.split(r"(\{\w+\+?\})", resource)
    route = "".join(
        (".+" if part.endswith("+}") else "[^/]+") if part.startswith("{") else re.escape(part) for part in parts
    )
    return re.compile(f"(?P<base>|/[^/]+){route}")
