"""A request as endpoints get it: authenticated, with its route and the process's services."""

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
    """An authorized request."""

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
        """The body as parsed by the route's parser. Raises InvalidRequest."""
        return parser(self.route.dialect, self.route.parser)(*body)

    async def cancel_on_disconnect(self, work: Coroutine[Any, Any, T]) -> T:
        """The work's result. If the client disconnects first, cancels the work and raises ClientDisconnect."""
        return await cancel_on_disconnect(work, self.http.receive)
