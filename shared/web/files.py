"""Callers' own files: upload, list, get, download, delete."""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack

from shared.dialects.openai import files as wire
from shared.gateway.unmetered import stored_no_longer, stored_until
from shared.schemas.stored_file import StoredFile
from shared.web.events import LiveResponse
from shared.web.http import Response, Send
from shared.web.json_response import json_response
from shared.web.request import ApiRequest

_WAY_AROUND = "Send its filename, purpose and bytes as JSON instead: the response has an upload URL."


async def upload_file(request: ApiRequest) -> Response:
    """A multipart body with the file, or a JSON body with its name and size for a presigned upload."""
    services, tenant = request.services, request.caller.tenant
    if request.http.headers.get("content-type", "").lower().startswith("application/json"):
        wanted = await request.json(wire.announced)
        async with stored_until(services, tenant, wanted.bytes, services.files.expires()):
            file, url, expires = await services.files.begin(tenant, wanted.purpose, wanted.filename, wanted.bytes)
        return json_response(wire.announced_body(file, url, expires))
    async with request.form(_WAY_AROUND) as form:
        purpose, upload = wire.upload(form)
        async with stored_until(services, tenant, upload.size, services.files.expires()):
            stored = await services.files.put(tenant, purpose, upload.filename, upload.read())
    return json_response(wire.file_body(stored))


async def list_files(request: ApiRequest) -> Response:
    query = wire.query(request.http.query_params)
    found = await request.services.files.list(
        request.caller.tenant,
        purpose=query.purpose,
        after=query.after,
        limit=query.limit + 1,  # one more than asked for shows whether there are more
        oldest_first=query.order == "asc",
    )
    return json_response(wire.list_body(found[: query.limit], has_more=len(found) > query.limit))


async def get_file(request: ApiRequest) -> Response:
    return json_response(wire.file_body(await _find(request)))


async def delete_file(request: ApiRequest) -> Response:
    services, tenant, file_id = request.services, request.caller.tenant, _file_id(request)
    file = await services.files.delete(tenant, file_id)
    if file is not None:
        await stored_no_longer(services, tenant, file.size, file.expires)
    return json_response(wire.deleted_body(file_id))


async def get_content(request: ApiRequest) -> Response:
    file = await _find(request)
    async with AsyncExitStack() as stack:
        chunks = await stack.enter_async_context(request.services.files.content(file))
        return _FileStream(file, chunks, stack.pop_all())
    raise AssertionError("the context swallows no error")


async def _find(request: ApiRequest) -> StoredFile:
    return await request.services.files.find(request.caller.tenant, _file_id(request))


def _file_id(request: ApiRequest) -> str:
    file_id: str = request.http.path_params["file_id"]
    return file_id


class _FileStream(LiveResponse):
    """A stored file, in chunks as they arrive."""

    def __init__(self, file: StoredFile, chunks: AsyncIterator[bytes], resources: AsyncExitStack) -> None:
        super().__init__("application/octet-stream")
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
