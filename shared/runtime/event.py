"""Converts an API Gateway event to an ASGI request, by Mangum's handlers."""

import json
from collections.abc import Mapping
from typing import Any

from mangum.adapter import DEFAULT_TEXT_MIME_TYPES
from mangum.handlers.api_gateway import APIGateway, HTTPGateway
from mangum.types import LambdaConfig, LambdaHandler, Scope

from shared.dataclass import dataclass
from shared.runtime.context import LambdaContext

# Payload format 2.0 (function URLs, HTTP APIs), then that of REST APIs.
_HANDLERS: tuple[type[LambdaHandler], ...] = (HTTPGateway, APIGateway)
_CONFIG: LambdaConfig = {
    "api_gateway_base_path": "/",
    "text_mime_types": DEFAULT_TEXT_MIME_TYPES,
    "exclude_headers": [],
}


class NotAnHttpEvent(Exception):
    """The function was invoked with an event that is not from API Gateway."""


@dataclass(slots=True)
class HttpEvent:
    """A request: its ASGI scope and body. `handler` converts a complete response to what API Gateway expects."""

    scope: Scope
    body: bytes
    handler: LambdaHandler

    def take_body(self) -> bytes:
        """The body, which is kept no longer."""
        body, self.body = self.body, b""
        return body


def http_event(event: bytes, context: LambdaContext) -> HttpEvent:
    """Reads an event. Raises NotAnHttpEvent."""
    try:
        content: Any = json.loads(event)
        for handler_class in _HANDLERS:
            if handler_class.infer(content, context, _CONFIG):
                handler = handler_class(content, context, _CONFIG)
                request = HttpEvent(handler.scope, handler.body, handler)
                content["body"] = None  # of which `request.body` is the only copy now
                return request
    except (ArithmeticError, AttributeError, LookupError, TypeError, ValueError) as error:
        raise NotAnHttpEvent(f"The event could not be read: {type(error).__name__}.") from error
    raise NotAnHttpEvent("The event is not a request of an API Gateway REST API, HTTP API or function URL.")


def streams(event: HttpEvent, environment: Mapping[str, str]) -> bool:
    """Whether to stream the response.

    Not under `sam local`, which passes a streamed response on undecoded; not if `RUNTIME_RESPONSE_MODE` is `buffered`;
    and not to an HTTP API, which does not support streams and differs from a function URL only by its host.
    """
    if environment.get("AWS_SAM_LOCAL") == "true" or environment.get("RUNTIME_RESPONSE_MODE") == "buffered":
        return False
    host: str = event.scope["aws.event"]["requestContext"].get("domainName") or ""
    return isinstance(event.handler, APIGateway) or ".lambda-url." in host
