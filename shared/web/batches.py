"""Batches, whatever their dialect: submit, list, get, cancel."""

from shared.authentication import token_of
from shared.batches.batch_service import BatchService
from shared.dialects import wire_module
from shared.dialects.base import BatchWire
from shared.schemas.batch import Batch, ResultUrls
from shared.web.http import Response
from shared.web.json_response import json_response
from shared.web.request import ApiRequest


async def submit_batch(request: ApiRequest) -> Response:
    wire = _wire(request)
    order = await request.json(wire.order, way_around=wire.WAY_AROUND)
    token = token_of(request.http.headers, request.services.settings.key_header)
    batch = await BatchService(request.services).submit(order, request.caller, token)
    return await _answer(request, batch)


async def list_batches(request: ApiRequest) -> Response:
    wire, batches = _wire(request), BatchService(request.services)
    query = wire.query(request.http.query_params)
    found, has_more = await batches.list(request.caller, status=query.status, after=query.after, limit=query.limit)
    rows = [(batch, await _result_urls(request, batch)) for batch in found]
    return json_response(wire.list_body(rows, has_more=has_more, context=request.context))


async def get_batch(request: ApiRequest) -> Response:
    return await _answer(request, await BatchService(request.services).find(request.caller, _batch_id(request)))


async def cancel_batch(request: ApiRequest) -> Response:
    return await _answer(request, await BatchService(request.services).cancel(request.caller, _batch_id(request)))


async def _answer(request: ApiRequest, batch: Batch) -> Response:
    urls = await _result_urls(request, batch)
    return json_response(_wire(request).batch_body(batch, urls, request.context))


async def _result_urls(request: ApiRequest, batch: Batch) -> ResultUrls:
    if not _wire(request).SHOWS_RESULT_URLS:
        return None, None
    return await BatchService(request.services).result_urls(batch)


def _wire(request: ApiRequest) -> BatchWire:
    wire: BatchWire = wire_module(request.route.dialect, "batches")
    return wire


def _batch_id(request: ApiRequest) -> str:
    batch_id: str = request.http.path_params["batch_id"]
    return batch_id
