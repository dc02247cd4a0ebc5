"""The routes of the HTTP API: one table for the functions, the local server, batches, tests and error formats."""

import re
from functools import cache, lru_cache
from typing import Literal

from shared.dataclass import dataclass
from shared.schemas.caller import Permission

DialectName = Literal["openai", "stable", "compact", "envelope", "messages", "responses"]

SEALING_DIALECTS = frozenset({"messages", "responses"})
"""The dialects whose answers carry other vendors' thoughts in sealed form."""

_USE_MODELS = (Permission.MODELS_USE,)
_USE_BATCHES = (Permission.MODELS_USE, Permission.BATCH_USE)


@dataclass(frozen=True, slots=True)
class Route:
    """One method of one path.

    `path` is in FastAPI's syntax. `function` is the folder below `functions/`. `operation` is the `module.function`
    in `shared.web` that answers. `parser` is the `module.function` in the dialect's package that parses the body, where
    the operation leaves that to the dialect. A caller needs all of `permissions`. `batchable` says whether a line of a
    batch may have the path as its URL. Clients `send_either_key`: in `Authorization` or in `x-api-key`, whichever an
    operator has chosen.
    """

    method: Literal["GET", "POST", "DELETE"]
    path: str
    dialect: DialectName
    function: str
    operation: str
    parser: str = ""
    permissions: tuple[Permission, ...] = _USE_MODELS
    batchable: bool = False
    send_either_key: bool = False

    @property
    def is_unmetered_write(self) -> bool:
        """Whether it changes something without using a model, which would count it."""
        return self.method != "GET" and self.function in ("batches", "files")

    @property
    def is_answered_by_model(self) -> bool:
        return self.method == "POST" and not self.is_unmetered_write and "{" not in self.path


# fmt: off
ROUTES = (
    Route("POST", "/v1/chat/completions", "openai", "chat", "chat.complete", "chat.chat", batchable=True),
    Route("POST", "/v1/chat/completions/stable", "stable", "chat", "chat.complete", "chat.chat", batchable=True),
    Route("POST", "/ai/chat", "compact", "chat", "chat.complete", "chat.chat"),
    Route("POST", "/ai/ai/chat", "compact", "chat", "chat.complete", "chat.chat"),
    Route("POST", "/v1/inference/chat", "envelope", "chat", "chat.complete", "chat.chat", batchable=True),

    Route("POST", "/v1/messages", "messages", "messages", "chat.complete", "request.message", batchable=True,
          send_either_key=True),
    Route("POST", "/v1/messages/count_tokens", "messages", "messages", "token_counts.count_tokens", "request.counted",
          send_either_key=True),

    Route("POST", "/v1/completions", "openai", "completions", "chat.complete", "completions.completion",
          batchable=True),
    Route("POST", "/ai/generate", "compact", "completions", "chat.complete", "chat.generate"),
    Route("POST", "/ai/ai/generate", "compact", "completions", "chat.complete", "chat.generate"),
    Route("POST", "/v1/inference/generate", "envelope", "completions", "chat.complete", "chat.generate",
          batchable=True),

    Route("POST", "/v1/responses", "responses", "responses", "responses.create_response", batchable=True),
    Route("POST", "/v1/responses/input_tokens", "responses", "responses", "responses.count_input_tokens"),
    Route("POST", "/v1/responses/compact", "responses", "responses", "responses.compact"),
    Route("GET", "/v1/responses/{response_id}", "responses", "responses", "responses.retrieve_response"),
    Route("DELETE", "/v1/responses/{response_id}", "responses", "responses", "responses.delete_response"),
    Route("GET", "/v1/responses/{response_id}/input_items", "responses", "responses", "responses.list_items"),
    Route("POST", "/v1/responses/{response_id}/cancel", "responses", "responses", "responses.cancel_response"),

    Route("POST", "/v1/embeddings", "openai", "embeddings", "embeddings.embed", "embeddings.embedding", batchable=True),
    Route("POST", "/ai/embeddings", "compact", "embeddings", "embeddings.embed", "embeddings.embedding"),
    Route("POST", "/ai/ai/embeddings", "compact", "embeddings", "embeddings.embed", "embeddings.embedding"),
    Route("POST", "/v1/inference/embed", "envelope", "embeddings", "embeddings.embed", "embeddings.embedding",
          batchable=True),

    Route("POST", "/v1/images/generations", "openai", "images", "images.generate", "images.generation", batchable=True),
    Route("POST", "/v1/images/edits", "openai", "images", "images.edit", "images.edit"),
    Route("POST", "/v1/image/generation/stable", "stable", "images", "images.generate_content",
          "images.content_request"),
    Route("POST", "/v1/inference/images/generate", "envelope", "images", "images.generate", "images.generation",
          batchable=True),

    Route("POST", "/v1/audio/transcriptions", "openai", "transcriptions", "transcriptions.transcribe",
          "transcription.transcription"),
    Route("POST", "/v1/inference/audio/transcribe", "envelope", "transcriptions", "transcriptions.transcribe",
          "transcription.transcription"),

    Route("POST", "/v1/audio/speech", "openai", "speech", "speech.speak", "speech.speech", batchable=True),
    Route("POST", "/v1/inference/audio/synthesize", "envelope", "speech", "speech.speak", "speech.speech",
          batchable=True),

    Route("POST", "/v1/files", "openai", "files", "files.upload_file"),
    Route("GET", "/v1/files", "openai", "files", "files.list_files"),
    Route("GET", "/v1/files/{file_id}", "openai", "files", "files.get_file"),
    Route("DELETE", "/v1/files/{file_id}", "openai", "files", "files.delete_file"),
    Route("GET", "/v1/files/{file_id}/content", "openai", "files", "files.get_content"),

    Route("POST", "/v1/batches", "openai", "batches", "batches.submit_batch", permissions=_USE_BATCHES),
    Route("GET", "/v1/batches", "openai", "batches", "batches.list_batches", permissions=_USE_BATCHES),
    Route("GET", "/v1/batches/{batch_id}", "openai", "batches", "batches.get_batch", permissions=_USE_BATCHES),
    Route("POST", "/v1/batches/{batch_id}/cancel", "openai", "batches", "batches.cancel_batch",
          permissions=_USE_BATCHES),
    Route("POST", "/v1/inference/batch", "envelope", "batches", "batches.submit_batch", permissions=_USE_BATCHES),
    Route("GET", "/v1/inference/batch", "envelope", "batches", "batches.list_batches", permissions=_USE_BATCHES),
    Route("GET", "/v1/inference/batch/{batch_id}", "envelope", "batches", "batches.get_batch",
          permissions=_USE_BATCHES),
    Route("POST", "/v1/inference/batch/{batch_id}/cancel", "envelope", "batches", "batches.cancel_batch",
          permissions=_USE_BATCHES),

    Route("GET", "/v1/models", "openai", "models", "models.list_models", send_either_key=True),
    Route("GET", "/v1/models/{model_id:path}", "openai", "models", "models.get_model", send_either_key=True),
    Route("GET", "/ai/models", "compact", "models", "models.list_models"),
    Route("GET", "/ai/ai/models", "compact", "models", "models.list_models"),
)
# fmt: on


def resource_path(route: Route) -> str:
    """The path of a route as API Gateway writes it."""
    return re.sub(r"\{(\w+):path}", r"{\1+}", route.path)


HTTP_FUNCTIONS = tuple(dict.fromkeys(route.function for route in ROUTES))
"""The functions that answer HTTP requests."""

BUFFERED_FUNCTIONS = frozenset({"batches", "models"})
"""Functions with short responses, which run on AWS's standard runtime. All others stream."""

# The dialects of paths without a route; all other paths are OpenAI's.
_PREFIXES: dict[str, DialectName] = {
    "/v1/inference": "envelope",
    "/v1/messages": "messages",
    "/v1/responses": "responses",
    "/ai": "compact",
}
_DIALECTS = {route.path: route.dialect for route in ROUTES}


_EITHER_KEY = frozenset(resource_path(route) for route in ROUTES if route.send_either_key)


def dialect_of(path: str) -> DialectName:
    """The dialect of a path, whether it has a route or not."""
    if found := _DIALECTS.get(path):
        return found
    for prefix, dialect in _PREFIXES.items():
        if path == prefix or path.startswith(f"{prefix}/"):
            return dialect
    return "openai"


def sends_either_key(resource: str) -> bool:
    """Whether the clients of a path, as API Gateway writes it, send their key in either header."""
    return resource in _EITHER_KEY


@lru_cache(maxsize=256)
def routes_at(path: str) -> tuple[Route, ...]:
    """The routes of a request's path, one for each method that it has."""
    return tuple(route for route in ROUTES if pattern_of(route.path).fullmatch(path))


@cache
def pattern_of(path: str) -> re.Pattern[str]:
    """Matches the request paths of a route's path, with a group for each of its parameters."""
    return re.compile(
        re.sub(r"\{(\w+)(:path)?\}", lambda match: f"(?P<{match[1]}>{'.*' if match[2] else '[^/]+'})", path)
    )
