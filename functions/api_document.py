"""`python -m functions.api_document [URL]`: the API's OpenAPI document, made from the route table. Not packaged."""

import json
import os
import re
import sys
import tomllib
from argparse import ArgumentParser
from collections.abc import Iterator, Mapping
from importlib import import_module
from pathlib import Path

from fastapi import FastAPI, Security
from fastapi.security import APIKeyHeader, HTTPBearer
from starlette.responses import Response

from functions.api_answers import COMPONENTS, error_references, error_responses, success
from functions.api_bodies import Schemas, bodies_of, body_name, reference, takes_models
from shared.dialects.base import JsonObject
from shared.routes import ROUTES, Route, pattern_of
from shared.settings import KeyHeader, Settings

_PROJECT = Path(__file__).parents[1] / "pyproject.toml"

# By function and operation: what it does, and what the answer is.
_OPERATIONS: Mapping[tuple[str, str], tuple[str, str]] = {
    ("chat", "chat.complete"): ("Create a chat completion", "The chat completion, or its events."),
    ("messages", "chat.complete"): ("Create a message", "The message, or its events."),
    ("messages", "token_counts.count_tokens"): ("Count the input tokens of a message", "The number of input tokens."),
    ("completions", "chat.complete"): ("Complete a prompt", "The completion, or its events."),
    ("responses", "responses.create_response"): ("Create a response", "The response, or its events."),
    ("responses", "responses.count_input_tokens"): ("Count the input tokens of a response", "The number of tokens."),
    ("responses", "responses.compact"): ("Compact a conversation", "The compacted conversation."),
    ("responses", "responses.retrieve_response"): ("Get a stored response", "The response, or its events."),
    ("responses", "responses.delete_response"): ("Delete a stored response", "That it is deleted."),
    ("responses", "responses.list_items"): ("List the input items of a response", "A page of items."),
    ("responses", "responses.cancel_response"): ("Cancel a response in the background", "The response."),
    ("embeddings", "embeddings.embed"): ("Create embeddings", "The embeddings."),
    ("images", "images.generate"): ("Generate images", "The images, as URLs or in base64."),
    ("images", "images.edit"): ("Edit images", "The images, as URLs or in base64."),
    ("images", "images.generate_content"): ("Generate images with Gemini", "Gemini's own response."),
    ("transcriptions", "transcriptions.transcribe"): ("Transcribe a recording", "The transcript."),
    ("speech", "speech.speak"): ("Speak a text", "The audio, in chunks as it is made."),
    ("files", "files.upload_file"): ("Upload a file, or ask for a URL to upload it to", "The file."),
    ("files", "files.list_files"): ("List files", "A page of files."),
    ("files", "files.get_file"): ("Get a file's description", "The file."),
    ("files", "files.delete_file"): ("Delete a file", "That it is deleted."),
    ("files", "files.get_content"): ("Download a file", "What the file holds."),
    ("batches", "batches.submit_batch"): ("Submit a batch of requests", "The batch."),
    ("batches", "batches.list_batches"): ("List batches", "A page of batches."),
    ("batches", "batches.get_batch"): ("Get a batch", "The batch."),
    ("batches", "batches.cancel_batch"): ("Cancel a batch", "The batch."),
    ("models", "models.list_models"): ("List the models that the key may use", "The models."),
    ("models", "models.get_model"): ("Get a model", "The model."),
}
# Headers of requests, by what a route does.
_OF_RUNS = {
    "Idempotency-Key": "The same request with the same key is answered once within 24 hours, and again from the store.",
    "x-gateway-cache": "For how many seconds equal requests may share the answer; 0 asks for a new one.",
}
_OF_ALTERNATIVES = {
    "x-gateway-hedge": "After how many milliseconds of silence the next of several models is asked as well.",
}
_OF_ANTHROPIC = {"anthropic-version": "On `/v1/models` it asks for answers and errors in Anthropic's shape."}
_BEARER = HTTPBearer(scheme_name="bearer", description="A key of the gateway in `Authorization`.", auto_error=False)
_API_KEY = APIKeyHeader(
    name="x-api-key", scheme_name="apiKey", description="A key of the gateway in `x-api-key`.", auto_error=False
)


class ApiDocument(FastAPI):
    """Serves the document at `path`, if one is given.

    Its other routes are there to be documented; the functions answer them.

    `key_header` is where the gateway takes keys, `url` its address, if that is not the server of the document.
    """

    def __init__(self, key_header: KeyHeader, url: str | None = None, *, path: str | None = None) -> None:
        project = tomllib.loads(_PROJECT.read_text("utf-8"))["project"]
        super().__init__(
            title="Inference gateway",
            description=project["description"],
            version=project["version"],
            license_info={"name": project["license"], "identifier": project["license"]},
            servers=None if url is None else [{"url": url}],
            openapi_url=path,
            docs_url=None,
            redoc_url=None,
        )
        self._schemas = Schemas(ROUTES)
        for route in ROUTES:
            self._add(route, key_header)

    def _add(self, route: Route, key_header: KeyHeader) -> None:
        summary, answer = _OPERATIONS[route.function, route.operation]
        self.add_api_route(
            route.path,
            _answered_elsewhere,
            methods=[route.method],
            tags=[route.function],
            summary=summary,
            description=import_module(f"shared.dialects.{route.dialect}").__doc__,
            operation_id=re.sub(r"\W+", "_", f"{route.method.lower()}{route.path}").strip("_"),
            dependencies=[Security(scheme) for scheme in _key_schemes(route, key_header)],
            response_class=Response,
            response_description=answer,
            responses={200: success(route)},
            openapi_extra=self._extra(route),
        )

    def _extra(self, route: Route) -> JsonObject:
        """What FastAPI would read from the signature of an endpoint."""
        extra: JsonObject = {"responses": error_references(route), "parameters": list(self._parameters(route))}
        if bodies := bodies_of(route):
            content = {body.media_type: {"schema": reference(body_name(route, body))} for body in bodies}
            extra["requestBody"] = {"required": True, "content": content}
        return extra

    def _parameters(self, route: Route) -> Iterator[JsonObject]:
        text = {"type": "string"}
        for name in pattern_of(route.path).groupindex:
            yield {"name": name, "in": "path", "required": True, "schema": text}
        yield from self._schemas.query_parameters(route)
        for name, description in _headers(route).items():
            yield {"name": name, "in": "header", "description": description, "schema": text}

    def openapi(self) -> JsonObject:
        """The document."""
        if self.openapi_schema is None:
            document = super().openapi()
            # Added here, since FastAPI drops what is null, as examples may be.
            document["components"] |= {
                "schemas": dict(sorted({**self._schemas.components, **COMPONENTS}.items())),
                "responses": error_responses(),
            }
        return super().openapi()


async def _answered_elsewhere() -> None:
    raise NotImplementedError


def _key_schemes(route: Route, key_header: KeyHeader) -> list[HTTPBearer | APIKeyHeader]:
    accepted = KeyHeader.EITHER if route.send_either_key else key_header
    bearer = [_BEARER] if accepted is not KeyHeader.X_API_KEY else []
    return [*bearer, *([_API_KEY] if accepted is not KeyHeader.AUTHORIZATION else [])]


def _headers(route: Route) -> Mapping[str, str]:
    return {
        **(_OF_RUNS if route.is_answered_by_model else {}),
        **(_OF_ALTERNATIVES if takes_models(route) else {}),
        **(_OF_ANTHROPIC if route.send_either_key else {}),
    }


def main() -> None:
    """Prints the document of a stack, which takes keys in `Authorization` unless GATEWAY_KEY_HEADER says otherwise."""
    parser = ArgumentParser(prog="python -m functions.api_document", description=__doc__)
    parser.add_argument("url", nargs="?", help="the address of the API, which the document is to name")
    url = parser.parse_args().url
    try:
        settings = Settings.from_environment({"GATEWAY_KEY_HEADER": KeyHeader.AUTHORIZATION, **os.environ})
    except ValueError as error:
        sys.exit(str(error))
    json.dump(ApiDocument(settings.key_header, url).openapi(), sys.stdout, indent=2)
    print()


if __name__ == "__main__":
    main()
