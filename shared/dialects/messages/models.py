"""The list of chat models as Anthropic gives it: https://platform.claude.com/docs/en/api/models/list."""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Annotated

from pydantic import Field

from shared.dialects.base import FormWire, JsonObject, read
from shared.errors import InvalidRequest
from shared.schemas.model import Capability, Model

HEADER = "anthropic-version"
"""The header by which the clients of this list are known."""


class ModelsQuery(FormWire):
    """The query of a listing."""

    limit: Annotated[int, Field(ge=1, le=1000)] = 20
    after_id: str | None = None
    before_id: str | None = None


def model_body(model: Model) -> JsonObject:
    """One model."""
    retires = model.retires
    is_retired = model.is_retired(datetime.now(UTC).date())
    return {
        "type": "model",
        "id": model.id,
        "display_name": model.id,
        "created_at": _timestamp(datetime.fromtimestamp(model.created, UTC)),
        "lifecycle": "retired" if is_retired else "deprecated" if retires else "active",
        "retires_at": retires and _timestamp(datetime(retires.year, retires.month, retires.day, tzinfo=UTC)),
        "max_input_tokens": model.context_length,
        "max_tokens": model.max_output_tokens,
    }


def models_page(models: Sequence[Model], parameters: Mapping[str, str]) -> JsonObject:
    """A page of the models, after or before one of them. Raises InvalidRequest naming the parameter that is wrong."""
    query = read(ModelsQuery, dict(parameters))
    chats = [model for model in models if Capability.CHAT in model.capabilities]
    if query.before_id is not None:
        ahead = chats[: _position(chats, query.before_id, "before_id")]
        page, has_more = ahead[-query.limit :], len(ahead) > query.limit
    else:
        first = 0 if query.after_id is None else _position(chats, query.after_id, "after_id") + 1
        page, has_more = chats[first : first + query.limit], len(chats) > first + query.limit
    return {
        "data": [model_body(model) for model in page],
        "has_more": has_more,
        "first_id": page[0].id if page else None,
        "last_id": page[-1].id if page else None,
    }


def _position(models: Sequence[Model], model_id: str, field: str) -> int:
    for at, model in enumerate(models):
        if model.id == model_id:
            return at
    raise InvalidRequest.field(field, "is the id of no model")


def _timestamp(moment: datetime) -> str:
    return moment.strftime("%Y-%m-%dT%H:%M:%SZ")
