"""The conversation that a request continues: the items before it, and what its own items refer to."""

import base64
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import field
from typing import TYPE_CHECKING

from shared.dataclass import dataclass
from shared.dialects.base import JsonObject
from shared.errors import FieldError, InvalidRequest, PayloadTooLarge, PreviousNotFound
from shared.media import MAX_MEDIA_BYTES
from shared.pump import gather_or_cancel
from shared.responses.unavailable import store_failures_answered
from shared.schemas.stored_response import StoredResponse, response_of

if TYPE_CHECKING:
    from shared.gateway.services import Services

_MAX_REFERRED = 100
_MAX_FILES = 20
_MAX_FILE_BYTES = 50 * 2**20
_AT_ONCE = 10
_MAX_CONVERSATION = 32 * 2**20
"""In bytes: a conversation is held in memory whole, together with the request that continues it."""


@dataclass(frozen=True, slots=True)
class Conversation:
    """The items before a request's own, and its own; as they are kept, where files are ids."""

    context: tuple[JsonObject, ...] = field(default=(), repr=False)
    own: tuple[JsonObject, ...] = field(default=(), repr=False)


async def continued(services: "Services", tenant: str, previous: object, own: Sequence[JsonObject]) -> Conversation:
    """The conversation of a request that continues from the response `previous`, if that is an id.

    Costs one read for `previous`, and one for each response whose items are referred to. Raises PreviousNotFound,
    InvalidRequest for a reference that leads nowhere, and ModelUnavailable while the store cannot be reached.
    """
    context: tuple[JsonObject, ...] = ()
    if isinstance(previous, str):
        found = await _find(services, tenant, previous)
        if found is None or found.body["status"] in ("cancelled", "failed"):
            message = f"Previous response with id '{previous[:100]}' not found, or not complete."
            raise PreviousNotFound(message, details=[FieldError("previous_response_id", message)])
        if found.size > _MAX_CONVERSATION:
            raise PayloadTooLarge(
                f"The conversation is larger than {_MAX_CONVERSATION // 2**20} MB and can no longer be continued by"
                " previous_response_id."
            )
        context = found.conversation
    return Conversation(context, tuple(await _dereferenced(services, tenant, context, own)))


async def _dereferenced(
    services: "Services", tenant: str, context: Iterable[JsonObject], own: Sequence[JsonObject]
) -> list[JsonObject]:
    """The items, with those that are referred to in the place of references."""
    referred = {at: item_id for at, item in enumerate(own) if (item_id := _reference(item)) is not None}
    if not referred:
        return list(own)
    known = {item["id"]: item for item in context if "id" in item}
    responses = {found for item_id in referred.values() if item_id not in known and (found := response_of(item_id))}
    if len(responses) > _MAX_REFERRED:
        raise InvalidRequest.field("input", f"may refer to items of at most {_MAX_REFERRED} responses")
    wanted = sorted(responses)
    for start in range(0, len(wanted), _AT_ONCE):
        batch = [_find(services, tenant, response_id) for response_id in wanted[start : start + _AT_ONCE]]
        for response in await gather_or_cancel(batch):
            if response is not None:
                known |= {item["id"]: item for item in response.conversation if "id" in item}
    for at, item_id in referred.items():
        if item_id not in known:
            raise InvalidRequest.field(f"input[{at}].id", f"no item with id '{item_id[:100]}' is stored")
    return [known[referred[at]] if at in referred else item for at, item in enumerate(own)]


def _reference(item: Mapping[str, object]) -> str | None:
    """The id of the item that an item refers to."""
    is_reference = item.get("type") == "item_reference" or (item.get("type") is None and "role" not in item)
    item_id = item.get("id")
    return item_id if is_reference and isinstance(item_id, str) else None


async def _find(services: "Services", tenant: str, response_id: str) -> StoredResponse | None:
    with store_failures_answered():
        return await services.responses.find(tenant, response_id)


async def with_files(
    services: "Services", tenant: str, items: Sequence[JsonObject], path: str
) -> tuple[JsonObject, ...]:
    """The items, with the contents of stored files in the place of their ids; `path` names the items in errors.

    Raises InvalidRequest for a file that the tenant does not have, and PayloadTooLarge.
    """
    reader = _FileReader(services, tenant)
    return tuple([await reader.item(item, f"{path}[{at}]") for at, item in enumerate(items)])


class _FileReader:
    """Reads the files that one request refers to, each once."""

    def __init__(self, services: "Services", tenant: str) -> None:
        self._services = services
        self._tenant = tenant
        self._read: dict[str, tuple[str, str]] = {}
        self._left = _MAX_FILE_BYTES

    async def item(self, item: JsonObject, path: str) -> JsonObject:
        for name in ("content", "output"):
            parts = item.get(name) if isinstance(item, dict) else None
            if isinstance(parts, list) and any(map(_file_id, parts)):
                return {**item, name: [await self._part(part, f"{path}.{name}[{at}]") for at, part in enumerate(parts)]}
        return item

    async def _part(self, part: JsonObject, path: str) -> JsonObject:
        file_id = _file_id(part)
        if file_id is None:
            return part
        name, uri = await self._content(file_id, f"{path}.file_id")
        kept = {name: value for name, value in part.items() if name != "file_id"}
        if part["type"] == "input_image":
            return {**kept, "image_url": uri}
        return {"filename": name, **kept, "file_data": uri}

    async def _content(self, file_id: str, path: str) -> tuple[str, str]:
        """A file's name, and its content as a data URI."""
        if file_id not in self._read:
            if len(self._read) >= _MAX_FILES:
                raise InvalidRequest.field("input", f"may refer to at most {_MAX_FILES} files")
            try:
                with store_failures_answered():
                    upload = await self._services.files.fetch(self._tenant, file_id, MAX_MEDIA_BYTES)
            except InvalidRequest as error:
                raise InvalidRequest.field(path, error.details[0].message) from None
            with upload.file:
                content = upload.read()
            self._left -= len(content)
            if self._left < 0:
                raise PayloadTooLarge(f"The files exceed {_MAX_FILE_BYTES // 2**20} MB in total.")
            encoded = base64.b64encode(content).decode("ascii")
            self._read[file_id] = (upload.filename, f"data:{upload.media_type};base64,{encoded}")
        return self._read[file_id]


def _file_id(part: object) -> str | None:
    """The id of the stored file that a part refers to."""
    if not isinstance(part, dict) or part.get("type") not in ("input_image", "input_file"):
        return None
    file_id = part.get("file_id")
    return file_id if isinstance(file_id, str) else None
