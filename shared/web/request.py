"""A request as endpoints get it: authenticated, with its route and the process's services."""

from collections.abc import Callable, Coroutine
from contextlib import AbstractAsyncContextManager
from typing import Any, TypeVar

from shared.dataclass import dataclass
from shared.dialects import parser
from shared.dialects.base import Form, JsonObject, take_form_models, take_models
from shared.errors import InvalidRequest
from shared.gateway.services import Services
from shared.routes import Route
from shared.schemas.caller import Caller
from shared.schemas.context import RequestContext
from shared.schemas.model import LEAST_HEDGE_MS, MOST_HEDGE_MS
from shared.web.body import json_body
from shared.web.disconnect import cancel_on_disconnect
from shared.web.http import Request

T = TypeVar("T")
HEDGE = "x-gateway-hedge"
_WAY_AROUND = "Send a smaller one, and images by URL instead of inline."


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

    async def json(self, parse: Callable[[JsonObject], T], *, way_around: str = _WAY_AROUND) -> T:
        """What `parse` makes of the body, a JSON object; a heavy one is read and parsed in a thread.

        Raises MalformedRequest, PayloadTooLarge that ends with `way_around`, and what `parse` raises.
        """
        return await json_body(self.http, self.services.settings.max_body, parse, way_around)

    async def parsed(self, *more: Any) -> Any:
        """The JSON body as parsed by the route's parser, which is also given `more`. Raises as `json` does.

        The models that it names as alternatives are noted for the gateway.
        """
        parse = parser(self.route.dialect, self.route.parser)

        def read(body: JsonObject) -> Any:
            self.note_alternatives(take_models(body, with_fallbacks=self.route.path == "/v1/messages"))
            return parse(body, *more)

        return await self.json(read)

    def form(self, way_around: str = _WAY_AROUND) -> AbstractAsyncContextManager[Form]:
        """The fields and files of a multipart body, which stay open in the context.

        Raises MalformedRequest, InvalidRequest, and PayloadTooLarge that ends with `way_around`.
        """
        from shared.web.form import form_body  # only forms pay for the parser

        return form_body(self.http, self.services.settings.max_body, way_around)

    def parse(self, form: Form) -> Any:
        """A form as parsed by the route's parser; for the rest as `parsed`. Raises InvalidRequest."""
        self.note_alternatives(take_form_models(form))
        return parser(self.route.dialect, self.route.parser)(form)

    def note_alternatives(self, models: tuple[str, ...]) -> None:
        """Notes for the gateway which other models may answer, and when one is asked beside another. Raises
        InvalidRequest.
        """
        meter = self.context.meter
        meter.models = models
        if (text := self.http.headers.get(HEDGE)) is not None:
            meter.hedge_after_ms = _hedge_after_ms(text)

    async def cancel_on_disconnect(self, work: Coroutine[Any, Any, T]) -> T:
        """The work's result. If the client disconnects first, cancels the work and raises ClientDisconnect."""
        return await cancel_on_disconnect(work, self.http.receive)


def _hedge_after_ms(text: str) -> int:
    """Raises InvalidRequest."""
    if text.isascii() and text.isdecimal() and LEAST_HEDGE_MS <= int(text[:9]) <= MOST_HEDGE_MS:
        return int(text)
    raise InvalidRequest.field(
        HEDGE, f"must be a number of milliseconds from {LEAST_HEDGE_MS} to {MOST_HEDGE_MS}, in which a model is silent"
    )
