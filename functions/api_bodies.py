"""The schemas of requests in the API's document: for each route the model that its parser reads."""

import re
from collections.abc import Iterable, Iterator, Mapping
from copy import deepcopy
from dataclasses import dataclass, field
from typing import Any, TypeAlias

from pydantic import BaseModel
from pydantic.json_schema import GenerateJsonSchema, JsonSchemaMode, models_json_schema
from pydantic_core import core_schema

from shared.dialects.base import FormWire, JsonObject, Wire
from shared.dialects.compact.chat import CompactCompletion
from shared.dialects.envelope.batches import EnvelopeBatch, EnvelopeQuery
from shared.dialects.envelope.chat import EnvelopeChat, EnvelopeCompletion
from shared.dialects.envelope.images import EnvelopeImages
from shared.dialects.envelope.transcription import EnvelopeTranscription
from shared.dialects.messages.models import ModelsQuery
from shared.dialects.messages.request import CountedFields, MessageFields
from shared.dialects.openai.batches import OpenAIBatch, OpenAIQuery
from shared.dialects.openai.chat import ChatFields, OpenAIChat
from shared.dialects.openai.completions import OpenAICompletion
from shared.dialects.openai.embeddings import MAX_INPUTS, EmbeddingFields, OpenAIEmbeddings
from shared.dialects.openai.files import AnnouncedFile, FileForm, FileQuery
from shared.dialects.openai.images import MAX_EDITED_IMAGES, OpenAIImageEdit, OpenAIImages
from shared.dialects.openai.speech import OpenAISpeech, SpeechFields
from shared.dialects.openai.transcription import OpenAITranscription
from shared.dialects.responses.create import CreateBody
from shared.dialects.responses.stored import ItemsQuery, RetrieveQuery
from shared.dialects.stable.chat import StableChat
from shared.dialects.stable.images import MAX_IMAGES, StableImages
from shared.routes import DialectName, Route

JSON, FORM = "application/json", "multipart/form-data"
_REFERENCE = "#/components/schemas/{model}"
_Name: TypeAlias = tuple[DialectName, str]


@dataclass(frozen=True, slots=True)
class Body:
    """A request body: the model that is read from it, and what the dialect reads by hand.

    `by_hand` are schemas of properties, which replace those of the model; those in `required` have to be there.
    `optional` are fields of the model that this route does not require.
    """

    wire: type[Wire]
    by_hand: Mapping[str, JsonObject] = field(default_factory=dict)
    required: tuple[str, ...] = ()
    optional: tuple[str, ...] = ()

    @property
    def media_type(self) -> str:
        return FORM if issubclass(self.wire, FormWire) else JSON


_FILE: JsonObject = {"type": "string", "format": "binary"}
_TEXT: JsonObject = {"type": "string"}
_TEXTS: JsonObject = {"type": "array", "items": _TEXT}
_TOKENS: JsonObject = {"type": "array", "items": {"type": "integer", "minimum": 0}}
_EMBEDDED: JsonObject = {
    "description": f"A text, several texts, the tokens of a text, or the tokens of several: at most {MAX_INPUTS}.",
    "anyOf": [_TEXT, _TEXTS, _TOKENS, {"type": "array", "items": _TOKENS}],
}
_STABLE_IMAGE: JsonObject = {
    "anyOf": [
        {"type": "string", "description": "A data URI."},
        {
            "type": "object",
            "properties": {"data": {"type": "string", "description": "Base64."}, "mime_type": _TEXT},
            "required": ["data", "mime_type"],
        },
    ]
}
_RECORDING: Mapping[str, JsonObject] = {
    "file": {**_FILE, "description": "The recording. Required unless `file_id` is given."},
    "file_id": {**_TEXT, "description": "The id of a recording that was uploaded with `POST /v1/files`."},
    "timestamp_granularities": {
        "type": "array",
        "items": {"type": "string", "enum": ["segment", "word"]},
        "description": "What verbose_json gives times of.",
    },
}
_HINTS: Mapping[str, JsonObject] = {
    "languages": {**_TEXTS, "description": "The languages that may be spoken."},
    "keywords": {**_TEXTS, "description": "Words to expect."},
}
_MODELS: JsonObject = {
    **_TEXTS,
    "minItems": 1,
    "description": "Models to try in turn after `model`, while nothing has been sent.",
}
_FALLBACKS: JsonObject = {
    "type": "array",
    "items": {"type": "object", "properties": {"model": _TEXT}, "required": ["model"]},
    "minItems": 1,
    "description": "The same as `models`, as Anthropic writes it.",
}

_UNSTREAMED: Mapping[str, JsonObject] = {"stream": {"type": "boolean", "const": False, "default": False}}

# By the dialect and the parser of a route or, where it has none, its operation.
BODIES: Mapping[_Name, tuple[Body, ...]] = {
    ("openai", "chat.chat"): (Body(OpenAIChat),),
    ("stable", "chat.chat"): (Body(StableChat),),
    ("compact", "chat.chat"): (Body(ChatFields),),
    ("envelope", "chat.chat"): (Body(EnvelopeChat),),
    ("messages", "request.message"): (Body(MessageFields, {"fallbacks": _FALLBACKS}),),
    ("messages", "request.counted"): (Body(CountedFields),),
    ("openai", "completions.completion"): (Body(OpenAICompletion),),
    ("compact", "chat.generate"): (Body(CompactCompletion),),
    ("envelope", "chat.generate"): (Body(EnvelopeCompletion),),
    ("responses", "responses.create_response"): (Body(CreateBody),),
    ("responses", "responses.count_input_tokens"): (Body(CreateBody, optional=("model",)),),
    ("responses", "responses.compact"): (Body(CreateBody),),
    ("openai", "embeddings.embedding"): (Body(OpenAIEmbeddings, {"input": _EMBEDDED}),),
    ("compact", "embeddings.embedding"): (Body(EmbeddingFields, {"input": _EMBEDDED}),),
    ("envelope", "embeddings.embedding"): (Body(EmbeddingFields, {"input": _EMBEDDED}),),
    ("openai", "images.generation"): (Body(OpenAIImages, _UNSTREAMED),),
    ("openai", "images.edit"): (
        Body(
            OpenAIImageEdit,
            {
                "image": {"type": "array", "items": _FILE, "minItems": 1, "maxItems": MAX_EDITED_IMAGES},
                "mask": {**_FILE, "description": "What of the first image may change."},
                **_UNSTREAMED,
            },
            required=("image",),
        ),
    ),
    ("stable", "images.content_request"): (
        Body(StableImages, {"images": {"type": "array", "items": _STABLE_IMAGE, "maxItems": MAX_IMAGES}}),
    ),
    ("envelope", "images.generation"): (Body(EnvelopeImages),),
    ("openai", "transcription.transcription"): (Body(OpenAITranscription, {**_RECORDING, **_HINTS}),),
    ("envelope", "transcription.transcription"): (Body(EnvelopeTranscription, _RECORDING),),
    ("openai", "speech.speech"): (Body(OpenAISpeech),),
    ("envelope", "speech.speech"): (Body(SpeechFields),),
    ("openai", "files.upload_file"): (Body(FileForm, {"file": _FILE}, required=("file",)), Body(AnnouncedFile)),
    ("openai", "batches.submit_batch"): (Body(OpenAIBatch),),
    ("envelope", "batches.submit_batch"): (Body(EnvelopeBatch),),
}

# By dialect and operation.
QUERIES: Mapping[_Name, type[FormWire]] = {
    ("responses", "responses.retrieve_response"): RetrieveQuery,
    ("responses", "responses.list_items"): ItemsQuery,
    ("openai", "files.list_files"): FileQuery,
    ("openai", "batches.list_batches"): OpenAIQuery,
    ("envelope", "batches.list_batches"): EnvelopeQuery,
    ("openai", "models.list_models"): ModelsQuery,
}


def bodies_of(route: Route) -> tuple[Body, ...]:
    """The bodies of a route, of which a request has one; none if it has no body."""
    return BODIES.get((route.dialect, route.parser or route.operation), ())


def takes_models(route: Route) -> bool:
    """Whether a request may name other models beside `model`."""
    return route.is_answered_by_model and route.operation != "responses.count_input_tokens"


def query_of(route: Route) -> type[FormWire] | None:
    """The model of a route's query, if it has one."""
    return QUERIES.get((route.dialect, route.operation))


class Schemas:
    """The schemas of every body and query, with those that they refer to as `components`."""

    def __init__(self, routes: Iterable[Route]) -> None:
        bodies = {body_name(route, body): (route, body) for route in routes for body in bodies_of(route)}
        wires = sorted({*(body.wire for _, body in bodies.values()), *QUERIES.values()}, key=str)
        wanted: list[tuple[type[BaseModel], JsonSchemaMode]] = [(wire, "validation") for wire in wires]
        references, found = models_json_schema(wanted, ref_template=_REFERENCE, schema_generator=_WireSchema)
        made = {reference(name)["$ref"]: _presentable(schema) for name, schema in found["$defs"].items()}
        # The model of a body is there under the name of the body alone, that of a query as parameters.
        self._of_wires = {wire: made.pop(references[wire, "validation"]["$ref"]) for wire in wires}
        self.components = {name.rpartition("/")[2]: schema for name, schema in made.items()}
        for name, (route, body) in bodies.items():
            self.components[name] = _body_schema(route, body, self._of_wires[body.wire])

    def query_parameters(self, route: Route) -> Iterator[JsonObject]:
        """The parameters that the query of a route may have."""
        wire = query_of(route)
        schema = self._of_wires[wire] if wire is not None else {"properties": {}}
        for name, of_value in schema["properties"].items():
            yield {"name": name, "in": "query", "required": name in schema.get("required", ()), "schema": of_value}


def body_name(route: Route, body: Body) -> str:
    """The name of a body's schema, such as OpenAIChatRequest."""
    name = (route.parser or route.operation).rpartition(".")[2]
    kind = "Form" if body.media_type == FORM else "Request"
    return f"{words(route.dialect)}{words(name.removesuffix('_request'))}{kind}"


def _body_schema(route: Route, body: Body, of_wire: JsonObject) -> JsonObject:
    schema = deepcopy(of_wire)
    schema["properties"] |= body.by_hand
    if takes_models(route):
        schema["properties"]["models"] = _MODELS
    if route.path not in schema.get("description", ""):
        schema.pop("description", None)  # it is about what several routes have in common
    required = {*schema.get("required", ()), *body.required} - {*body.optional}
    return {**schema, "required": [name for name in schema["properties"] if name in required]}


def _presentable(schema: JsonObject) -> JsonObject:
    """A schema without the name of our class, and the fields that are declared only so that they can be refused."""
    shown = {name: value for name, value in schema.items() if name != "title"}
    if "properties" in shown:
        shown["properties"] = {
            name: value for name, value in shown["properties"].items() if value.get("type") != "null"
        }
    return shown


class _WireSchema(GenerateJsonSchema):
    """Schemas without the names of our classes in titles, under names that are shorter than those of our modules."""

    def normalize_name(self, name: str) -> str:
        """`Tool` for WireTool or, where there are several, `MessagesToolsTool`."""
        *modules, own = name.split(".")
        return "".join(map(words, modules[2:])) + own.lstrip("_").removeprefix("Wire")

    def field_title_should_be_set(self, schema: Any) -> bool:
        return False

    def tagged_union_schema(self, schema: core_schema.TaggedUnionSchema) -> JsonObject:
        """Our unions choose by a function, so that a value may also fit a branch that is not chosen."""
        made = super().tagged_union_schema(schema)
        return made if "discriminator" in made else {"anyOf": made["oneOf"]}


def reference(schema: str) -> JsonObject:
    """A reference to one of the document's schemas."""
    return {"$ref": _REFERENCE.format(model=schema)}


def words(name: str) -> str:
    """A name with underscores as one of a schema."""
    return "OpenAI" if name == "openai" else re.sub(r"(?:^|_)([a-z])", lambda match: match[1].upper(), name)
