"""A request as endpoints get it: authenticated, on its route, with the services that answer it."""

from collections.abc import Coroutine
from dataclasses import dataclass
from typing import Any, TypeVar

from fastapi import Request

from shared.dialects import parser
from shared.dialects.base import JsonObject
from shared.gateway.services import Services
from shared.routes import Route
from shared.schemas.caller import Caller
from shared.schemas.context import RequestContext
from shared.web.body import json_body
from shared.web.disconnect import cancel_on_disconnect

T = TypeVar("T")
_IMAGES_BY_URL = "Send images by URL instead of inline."


@dataclass(frozen=True, slots=True)
class ApiRequest:
    """A request whose caller may make it."""

    http: Request
    route: Route
    services: Services
    context: RequestContext

    @property
    def caller(self) -> Caller:
        return self.context.caller

    async def json(self, way_around: str = _IMAGES_BY_URL) -> JsonObject:
        """The body as a JSON object. Raises MalformedRequest, and PayloadTooLarge that ends with `way_around`."""
        return await json_body(self.http, self.services.settings.max_body, way_around)

    def parse(self, *body: Any) -> Any:
        """What the route's parser makes of a body. Raises InvalidRequest."""
        return parser(self.route.dialect, self.route.parser)(*body)

    async def cancel_on_disconnect(self, work: Coroutine[Any, Any, T]) -> T:
        """The work's result. Raises ClientDisconnect when the client leaves before, and ends the work."""
        return await cancel_on_disconnect(work, self.http.receive)
