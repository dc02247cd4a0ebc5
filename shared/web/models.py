"""The models that a caller may use."""

from fastapi import Response

from shared.dialects import wire_module
from shared.dialects.base import ModelLister
from shared.dialects.openai.models import model_body
from shared.gateway.models import model, models
from shared.web.json_response import json_response
from shared.web.request import ApiRequest


async def list_models(request: ApiRequest) -> Response:
    body: ModelLister = wire_module(request.route.dialect, "models").models_body
    return json_response(body(models(request.services, request.caller)))


async def get_model(request: ApiRequest) -> Response:
    """One model, whose id may hold slashes."""
    model_id: str = request.http.path_params["model_id"]
    return json_response(model_body(model(request.services, model_id, request.caller)))
