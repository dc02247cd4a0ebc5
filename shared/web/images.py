"""The routes that make images, whatever their dialect: parse, call the gateway once, answer."""

from collections.abc import Callable

from fastapi import FastAPI, Request, Response

from shared.dialects.base import ImageOperation
from shared.gateway.services import Services
from shared.schemas.context import RequestContext
from shared.web.app import context_of
from shared.web.body import json_body
from shared.web.caller import ProcessServices
from shared.web.events import cancel_on_disconnect
from shared.web.form import form_body
from shared.web.large_json import LargeJson
from shared.web.routes import parser as load
from shared.web.routes import post


def image_route(path: str, name: str) -> Callable[[FastAPI], None]:
    """POST `path`, its JSON body read by a dialect's parser."""

    async def endpoint(request: Request, services: ProcessServices) -> Response:
        operation: ImageOperation = await json_body(request, services.settings.max_body, load(name))
        return await _answer(operation, services, context_of(request), request)

    return post(path, endpoint)


def image_form_route(path: str, name: str) -> Callable[[FastAPI], None]:
    """POST `path` with a multipart body."""

    async def endpoint(request: Request, services: ProcessServices) -> Response:
        async with form_body(request, services.settings.max_body, "Send smaller images, or fewer.") as form:
            operation: ImageOperation = load(name)(form)
            return await _answer(operation, services, context_of(request), request)

    return post(path, endpoint)


def content_route(path: str) -> Callable[[FastAPI], None]:
    """POST `path`, answered with the provider's own response."""

    async def endpoint(request: Request, services: ProcessServices) -> Response:
        from shared.dialects.stable.images import content_request
        from shared.gateway.content import generate

        content = await json_body(request, services.settings.max_body, content_request)
        response = await cancel_on_disconnect(generate(services, content, context_of(request)), request.receive)
        return LargeJson(response.body)

    return post(path, endpoint)


async def _answer(operation: ImageOperation, services: Services, context: RequestContext, request: Request) -> Response:
    from shared.gateway.images import generate

    work = generate(services, operation.request, context, stored=operation.stored)
    response = await cancel_on_disconnect(work, request.receive)
    return LargeJson(operation.body(response, context))
