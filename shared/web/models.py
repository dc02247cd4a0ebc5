"""The models that a caller may use. Anthropic's clients get them in Anthropic's shape."""

from shared.dialects import wire_module
from shared.dialects.base import ModelLister
from shared.gateway.models import model, models
from shared.web.dialects import dialect_of_request
from shared.web.http import Response
from shared.web.json_response import json_response
from shared.web.request import ApiRequest


async def list_models(request: ApiRequest) -> Response:
    found = models(request.services, request.caller)
    dialect = dialect_of_request(request.http.scope)
    if dialect == "messages":
        return json_response(wire_module(dialect, "models").models_page(found, request.http.query_params))
    body: ModelLister = wire_module(dialect, "models").models_body
    return json_response(body(found))


async def get_model(request: ApiRequest) -> Response:
    """One model, whose id may hold slashes."""
    model_id: str = request.http.path_params["model_id"]
    found = model(request.services, model_id, request.caller)
    return json_response(wire_module(dialect_of_request(request.http.scope), "models").model_body(found))
