"""The list of models as OpenAI gives it, with what each can do: https://developers.openai.com/api/reference/resources/models."""

from collections.abc import Sequence
from datetime import UTC, datetime

from shared.dialects.base import JsonObject
from shared.schemas.model import Model


def model_body(model: Model) -> JsonObject:
    """One model. `upstream` is the provider's model that serves it now; it is switched off on the day `retires`."""
    return {
        "id": model.id,
        "object": "model",
        "created": model.created,
        "owned_by": model.owned_by,
        "capabilities": sorted(model.capabilities),
        "context_length": model.context_length,
        "max_output_tokens": model.max_output_tokens,
        "upstream": model.upstream,
        "retires": model.retires and model.retires.isoformat(),
        "retired": model.is_retired(datetime.now(UTC).date()),
    }


def models_body(models: Sequence[Model]) -> JsonObject:
    return {"object": "list", "data": [model_body(model) for model in models]}
