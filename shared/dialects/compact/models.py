"""The list of models in the compact dialect."""

from collections.abc import Sequence

from shared.dialects.base import JsonObject
from shared.schemas.model import Model


def models_body(models: Sequence[Model]) -> JsonObject:
    """/ai/models; some rows show other values, which clients of this dialect expect."""
    return {
        "models": [
            {
                "id": model.id,
                "provider": model.owned_by,
                "capabilities": list(model.listed.capabilities or sorted(model.capabilities)),
                "context_length": model.listed.context_length or model.context_length,
            }
            for model in models
        ]
    }
