"""The routes for callers' own files: upload, list, look at, read, delete."""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack

from fastapi import FastAPI, Request, Response
from starlette.types import Send

from shared.dialects.base import JsonObject
from shared.dialects.openai import files as wire
from shared.gateway.services import Services
from shared.schemas.stored_file import StoredFile
from shared.web.app import context_of, json_response
from shared.web.body import json_body
from shared.web.caller import InferenceCaller, ProcessServices
from shared.web.events import LiveResponse
from shared.web.form import form_body
from shared.web.routes import post

_WAY_AROUND = "Send its filename, purpose and bytes as JSON instead: the answer says where to upload it."
_ROUTES = "/v1/files"


def file_routes(app: FastAPI) -> None:
    """POST and GET /v1/files; GET and DELETE /v1/files/{file_id}; GET its content."""
    post(_ROUTES, _upload)(app)
    app.add_api_route(_ROUTES, _list, methods=["GET"], response_model=None)
    app.add_api_route(f"{_ROUTES}/{{file_id}}", _retrieve, methods=["GET"], response_model=None)
    app.add_api_route(f"{_ROUTES}/{{file_id}}", _delete, methods=["DELETE"], response_model=None)
    app.add_api_route(f"{_ROUTES}/{{file_id}}/content", _content, methods=["GET"], response_model=None)


async def _upload(request: Request, services: ProcessServices) -> Response:
    caller = context_of(request).caller
    assert caller is not None, "post() authenticates"
    if request.headers.get("content-type", "").lower().startswith("application/json"):
        return json_response(await _announced(request, services, caller.tenant))
    async with form_body(request, services.settings.max_body, _WAY_AROUND) as form:
        purpose, upload = wire.upload(form)
        stored = await services.files.put(caller.tenant, purpose, upload.filename, upload.read())
    return json_response(wire.file_body(stored))


async def _announced(request: Request, services: Services, tenant: str) -> JsonObject:
    wanted = await json_body(request, services.settings.max_body, wire.announced)
    file, url, expires = await services.files.begin(tenant, wanted.purpose, wanted.filename, wanted.bytes)
    return wire.announced_body(file, url, expires)


async def _list(request: Request, caller: InferenceCaller, services: ProcessServices) -> Response:
    query = wire.query(request.query_params)
    found = await services.files.list(
        caller.tenant,
        purpose=query.purpose,
        after=query.after,
        limit=query.limit + 1,  # one more than asked for shows whether there are more
        oldest_first=query.order == "asc",
    )
    return json_response(wire.list_body(found[: query.limit], has_more=len(found) > query.limit))


async def _retrieve(file_id: str, caller: InferenceCaller, services: ProcessServices) -> Response:
    return json_response(wire.file_body(await services.files.find(caller.tenant, file_id)))


async def _delete(file_id: str, caller: InferenceCaller, services: ProcessServices) -> Response:
    await services.files.delete(caller.tenant, file_id)
    return json_response(wire.deleted_body(file_id))


async def _content(file_id: str, caller: InferenceCaller, services: ProcessServices) -> Response:
    file = await services.files.find(caller.tenant, file_id)
    async with AsyncExitStack() as stack:
        chunks = await stack.enter_async_context(services.files.content(file))
        return _FileStream(file, chunks, stack.pop_all())
    raise AssertionError("the context swallows no error")


class _FileStream(LiveResponse):
    """A stored file, in chunks as they come."""

    media_type = "application/octet-stream"

    def __init__(self, file: StoredFile, chunks: AsyncIterator[bytes], resources: AsyncExitStack) -> None:
        super().__init__()
        self.headers["content-length"] = str(file.size)
        self.headers["x-content-type-options"] = "nosniff"
        self._chunks = chunks
        self._resources = resources

    async def write(self, send: Send) -> None:
        async for chunk in self._chunks:
            await send({"type": "http.response.body", "body": chunk, "more_body": True})
        await send({"type": "http.response.body", "body": b"", "more_body": False})

    async def close(self) -> None:
        await self._resources.aclose()
