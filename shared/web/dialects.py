"""The dialect of a request: that of its path, but for the lists of models, which two kinds of clients read."""

from collections.abc import MutableMapping
from typing import Any

from shared.routes import DialectName, dialect_of

_MODELS = "/v1/models"
_ANTHROPIC = b"anthropic-version"


def dialect_of_request(scope: MutableMapping[str, Any]) -> DialectName:
    """The dialect in which a request is answered, errors included."""
    path: str = scope["path"]
    if path == _MODELS or path.startswith(f"{_MODELS}/"):
        return "messages" if any(name == _ANTHROPIC for name, _ in scope["headers"]) else "openai"
    return dialect_of(path)
