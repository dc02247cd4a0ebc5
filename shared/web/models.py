"""The routes that list models."""

from collections.abc import Callable

from fastapi import FastAPI, Response

from shared.dialects.base import ModelLister
from shared.dialects.openai.models import model_body
from shared.gateway.models import model, models
from shared.web.app import json_response
from shared.web.caller import InferenceCaller, ProcessServices


def models_route(path: str, shape: ModelLister) -> Callable[[FastAPI], None]:
    """GET `path`: the models that the caller may use."""

    async def endpoint(caller: InferenceCaller, services: ProcessServices) -> Response:
        return json_response(shape(models(services, caller)))

    return lambda app: app.add_api_route(path, endpoint, methods=["GET"], response_model=None)


def model_route(path: str) -> Callable[[FastAPI], None]:
    """GET `path`: one model, whose id may hold slashes."""

    async def endpoint(model_id: str, caller: InferenceCaller, services: ProcessServices) -> Response:
        return json_response(model_body(model(services, model_id, caller)))

    return lambda app: app.add_api_route(path, endpoint, methods=["GET"], response_model=None)
