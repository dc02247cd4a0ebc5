"""The base of every canonical model: frozen, so that a request can be shared between parallel calls."""

from pydantic import BaseModel, ConfigDict


class Frozen(BaseModel):
    """An immutable value. Unknown fields are a programming error here, unlike on the wire."""

    # Built when first used: a function uses few of the models that it imports.
    model_config = ConfigDict(frozen=True, extra="forbid", defer_build=True)
