"""Stored responses in the private bucket: what is still to be answered in the background, and what has been.

    responses/<folder of the tenant>/<response id>/request.json    of a response in the background
    responses/<folder of the tenant>/<response id>/outcome.json    of any response that has ended

An outcome is written once: whoever writes the first, the worker or a cancellation, decides. That of a deleted response
that was still to be answered is empty. The bucket's lifecycle rule for `responses/` deletes both after KEPT_DAYS.
"""

import json
from typing import Any

from shared.schemas.stored_response import BackgroundRequest, StoredResponse, is_response_id
from shared.stores.objects import ObjectExists, ObjectNotFound, ObjectStore, StoredObject
from shared.stores.tenants import TenantFolders

KEPT_DAYS = 30
_JSON = "application/json"
_STATUS = "status"


class ResponseStore:
    """One tenant never sees another's responses: the tenant is part of every key. Every method raises AwsError."""

    def __init__(self, objects: ObjectStore, folders: TenantFolders) -> None:
        self._objects = objects
        self._folders = folders

    async def put(self, tenant: str, response: StoredResponse) -> bool:
        """Stores a response that has ended; False, and nothing is stored, if it had ended before."""
        body = {"body": response.body, "context": response.context, "input": response.input}
        return await self._end(tenant, response.id, body)

    async def find(self, tenant: str, response_id: str) -> StoredResponse | None:
        """A response that has ended; None if unknown or deleted."""
        stored = await self._read(tenant, response_id, "outcome")
        if stored is None:
            return None
        outcome = json.loads(stored.content)
        if not outcome:
            return None
        return StoredResponse(outcome["body"], tuple(outcome["context"]), tuple(outcome["input"]), stored.size)

    async def queue(self, tenant: str, request: BackgroundRequest) -> None:
        """Stores a request that will be answered in the background."""
        await self._put_request(tenant, request, "queued")

    async def begin(self, tenant: str, request: BackgroundRequest) -> None:
        """Records that the request is being answered."""
        await self._put_request(tenant, request, "in_progress")

    async def find_request(self, tenant: str, response_id: str) -> tuple[BackgroundRequest, str] | None:
        """A request in the background and its status, `queued` or `in_progress`; None if unknown or deleted."""
        stored = await self._read(tenant, response_id, "request")
        if stored is None:
            return None
        return BackgroundRequest.model_validate_json(stored.content), stored.metadata.get(_STATUS, "queued")

    async def has_ended(self, tenant: str, response_id: str) -> bool:
        """Whether a response has ended, has been cancelled or deleted."""
        return await self._objects.head(await self._key(tenant, response_id, "outcome")) is not None

    async def delete(self, tenant: str, response_id: str) -> bool:
        """Deletes a response; False if unknown. One that is still to be answered will not be stored."""
        if await self.find_request(tenant, response_id) is not None:
            ended_now = await self._end(tenant, response_id, {})
            await self._objects.delete(await self._key(tenant, response_id, "request"))
            if ended_now:
                return True
        if await self.find(tenant, response_id) is None:
            return False
        await self._objects.delete(await self._key(tenant, response_id, "outcome"))
        return True

    async def _put_request(self, tenant: str, request: BackgroundRequest, status: str) -> None:
        key = await self._key(tenant, request.id, "request")
        await self._objects.put(key, request.model_dump_json().encode(), _JSON, metadata={_STATUS: status})

    async def _end(self, tenant: str, response_id: str, body: Any) -> bool:
        content = json.dumps(body, ensure_ascii=False, separators=(",", ":")).encode()
        try:
            await self._objects.put(await self._key(tenant, response_id, "outcome"), content, _JSON, new=True)
        except ObjectExists:
            return False
        return True

    async def _read(self, tenant: str, response_id: str, name: str) -> StoredObject | None:
        if not is_response_id(response_id):
            return None
        try:
            return await self._objects.get(await self._key(tenant, response_id, name))
        except ObjectNotFound:
            return None

    async def _key(self, tenant: str, response_id: str, name: str) -> str:
        return f"responses/{await self._folders.of(tenant)}/{response_id}/{name}.json"
