"""A chat request as Gemini's generateContent takes it: https://ai.google.dev/api/generate-content."""

from typing import assert_never

from shared.errors import UnsupportedFeature
from shared.providers.base import Call
from shared.providers.gemini.json_schema import cleaned
from shared.providers.gemini.messages import contents
from shared.providers.gemini.thinking import thinking
from shared.providers.gemini.wire import generate, given, int32, is_gemini_3
from shared.providers.json_schema import Budget
from shared.schemas.chat import (
    ChatRequest,
    JsonObject,
    JsonObjectFormat,
    JsonSchemaFormat,
    NamedTool,
    Tool,
)
from shared.schemas.model import Capability, Model


def call(request: ChatRequest, model: Model) -> Call:
    """See `Gemini.chat`."""
    if request.response_format and request.tools and not is_gemini_3(model):
        raise UnsupportedFeature(f"The model '{model.id}' does not support JSON output together with tools.")
    budget = Budget()
    draws = _draws(request, model)
    body: JsonObject = {"contents": contents(request.messages, model, draws=draws)}
    if request.system:
        body["systemInstruction"] = {"parts": [{"text": request.system}]}
    if request.tools:
        body["tools"] = [{"functionDeclarations": [_function(tool, budget) for tool in request.tools]}]
        if config := _calling_config(request):
            body["toolConfig"] = {"functionCallingConfig": config}
    if config := _generation_config(request, model, budget, draws=draws):
        body["generationConfig"] = config
    return generate(body, model, stream=request.stream)


def _draws(request: ChatRequest, model: Model) -> bool:
    """Whether the answer may hold images: asked for, or by an image model. Catalog rows that stand for many models
    claim tools as well, which no image model takes."""
    return request.image_output or (
        Capability.IMAGE_OUTPUT in model.capabilities and Capability.FUNCTION_CALLING not in model.capabilities
    )


def _generation_config(request: ChatRequest, model: Model, budget: Budget, *, draws: bool) -> JsonObject:
    """See https://ai.google.dev/api/generate-content#v1beta.GenerationConfig."""
    config: JsonObject = {
        # An image is 1,120 tokens and more; a limit meant for text would cut it off.
        "maxOutputTokens": None if draws else request.max_tokens,
        "temperature": request.temperature,
        "topP": request.top_p,
        "candidateCount": request.n if request.n > 1 else None,
        "stopSequences": list(request.stop) or None,
        "seed": int32(request.seed),
        "responseLogprobs": True if request.logprobs else None,
        "logprobs": request.top_logprobs if request.logprobs else None,
        "responseModalities": ["TEXT", "IMAGE"] if draws else None,
        "thinkingConfig": thinking(request.reasoning_effort, model, draws=draws),
        **_output_format(request.response_format, budget),
    }
    return given(config)


def _output_format(response_format: JsonObjectFormat | JsonSchemaFormat | None, budget: Budget) -> JsonObject:
    match response_format:
        case None:
            return {}
        case JsonObjectFormat():
            return {"responseMimeType": "application/json"}
        case JsonSchemaFormat():
            schema = cleaned(response_format.json_schema, budget)
            return {"responseMimeType": "application/json", "responseJsonSchema": schema}
        case _:
            assert_never(response_format)


def _function(tool: Tool, budget: Budget) -> JsonObject:
    """See https://ai.google.dev/api/caching#FunctionDeclaration; `parameters` would take an OpenAPI subset only."""
    declaration: JsonObject = {"name": tool.name, "description": tool.description or ""}
    if tool.parameters:
        declaration["parametersJsonSchema"] = cleaned(tool.parameters, budget)
    return declaration


def _calling_config(request: ChatRequest) -> JsonObject | None:
    """See https://ai.google.dev/gemini-api/docs/function-calling#function_calling_modes."""
    strict = any(tool.strict for tool in request.tools)
    match request.tool_choice:
        case None:
            return {"mode": "VALIDATED"} if strict else None
        case "auto":
            # VALIDATED is AUTO with arguments held to their schema, which ANY does anyway.
            return {"mode": "VALIDATED" if strict else "AUTO"}
        case "none":
            return {"mode": "NONE"}
        case "required":
            return {"mode": "ANY"}
        case NamedTool(name=name):
            return {"mode": "ANY", "allowedFunctionNames": [name]}
        case _:
            assert_never(request.tool_choice)
