"""The routes for batches, in the envelope dialect and in OpenAI's: submit, list, look, cancel."""

from typing import Annotated

from fastapi import Depends, FastAPI, Request, Response

from shared.authentication import token_of
from shared.batches.batch_service import BatchService
from shared.dialects.base import JsonObject
from shared.errors import InvalidRequest, PermissionDenied
from shared.schemas.batch import Batch, is_batch_id
from shared.schemas.caller import Caller, Permission
from shared.web.app import context_of, json_response
from shared.web.body import json_body
from shared.web.caller import InferenceCaller, ProcessServices


async def batch_caller(caller: InferenceCaller) -> Caller:
    """The caller of a route for batches. Raises PermissionDenied."""
    if Permission.BATCH_USE not in caller.permissions:
        raise PermissionDenied(f"This key lacks the permission {Permission.BATCH_USE}.")
    return caller


def intake(services: ProcessServices) -> BatchService:
    return BatchService(services)


BatchCaller = Annotated[Caller, Depends(batch_caller)]
ProcessIntake = Annotated[BatchService, Depends(intake)]


def envelope_batch_routes(app: FastAPI) -> None:
    """POST and GET /v1/inference/batch; GET one of them; POST its cancellation."""
    from shared.dialects.envelope import batches as wire

    path = "/v1/inference/batch"

    async def submit(
        request: Request, caller: BatchCaller, batches: ProcessIntake, services: ProcessServices
    ) -> Response:
        order = await json_body(request, services.settings.max_body, wire.order, way_around=wire.WAY_AROUND)
        batch = await batches.submit(order, caller, token_of(request.headers))
        return json_response(await shown(request, batch, batches))

    async def list_(request: Request, caller: BatchCaller, batches: ProcessIntake) -> Response:
        query = wire.query(request.query_params)
        found, has_more = await batches.list(caller, status=query.status, after=query.cursor, limit=query.limit)
        rows = [(batch, *await batches.result_urls(batch)) for batch in found]
        return json_response(wire.list_body(rows, has_more=has_more, context=context_of(request)))

    async def retrieve(request: Request, batch_id: str, caller: BatchCaller, batches: ProcessIntake) -> Response:
        return json_response(await shown(request, await batches.find(caller, batch_id), batches))

    async def cancel(request: Request, batch_id: str, caller: BatchCaller, batches: ProcessIntake) -> Response:
        return json_response(await shown(request, await batches.cancel(caller, batch_id), batches))

    async def shown(request: Request, batch: Batch, batches: BatchService) -> JsonObject:
        return wire.batch_body(batch, *await batches.result_urls(batch), context_of(request))

    app.add_api_route(path, submit, methods=["POST"], response_model=None)
    app.add_api_route(path, list_, methods=["GET"], response_model=None)
    app.add_api_route(f"{path}/{{batch_id}}", retrieve, methods=["GET"], response_model=None)
    app.add_api_route(f"{path}/{{batch_id}}/cancel", cancel, methods=["POST"], response_model=None)


def openai_batch_routes(app: FastAPI) -> None:
    """POST and GET /v1/batches; GET one of them; POST its cancellation."""
    from shared.dialects.openai import batches as wire

    path = "/v1/batches"

    async def submit(
        request: Request, caller: BatchCaller, batches: ProcessIntake, services: ProcessServices
    ) -> Response:
        order = await json_body(request, services.settings.max_body, wire.order)
        return json_response(wire.batch_body(await batches.submit(order, caller, token_of(request.headers))))

    async def list_(request: Request, caller: BatchCaller, batches: ProcessIntake) -> Response:
        query = wire.query(request.query_params)
        if query.after is not None and not is_batch_id(query.after):
            raise InvalidRequest.field("after", "is no id of a batch")
        found, has_more = await batches.list(caller, after=query.after, limit=query.limit)
        return json_response(wire.list_body(found, has_more=has_more))

    async def retrieve(batch_id: str, caller: BatchCaller, batches: ProcessIntake) -> Response:
        return json_response(wire.batch_body(await batches.find(caller, batch_id)))

    async def cancel(batch_id: str, caller: BatchCaller, batches: ProcessIntake) -> Response:
        return json_response(wire.batch_body(await batches.cancel(caller, batch_id)))

    app.add_api_route(path, submit, methods=["POST"], response_model=None)
    app.add_api_route(path, list_, methods=["GET"], response_model=None)
    app.add_api_route(f"{path}/{{batch_id}}", retrieve, methods=["GET"], response_model=None)
    app.add_api_route(f"{path}/{{batch_id}}/cancel", cancel, methods=["POST"], response_model=None)
