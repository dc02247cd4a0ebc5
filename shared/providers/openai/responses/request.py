"""Requests to the Responses API.

Wire format: https://developers.openai.com/api/reference/resources/responses/methods/create.
"""

from typing import Any, assert_never

from shared.providers.json_schema import Budget
from shared.providers.openai.abilities import check_features, reasoning_effort, takes_sampling
from shared.providers.openai.messages import system_content
from shared.providers.openai.responses.items import input_items
from shared.providers.openai.strict_schema import strict_schema
from shared.schemas.chat import (
    ChatRequest,
    JsonObject,
    JsonObjectFormat,
    JsonSchemaFormat,
    NamedTool,
    Tool,
    WebSearch,
)
from shared.schemas.model import Model

ENCRYPTED_REASONING = "reasoning.encrypted_content"

_NO_PARAMETERS: JsonObject = {"type": "object", "properties": {}}


def payload(request: ChatRequest, model: Model) -> JsonObject:
    """The body for a canonical request. OpenAI stores nothing of it, so the reasoning comes back encrypted.

    Knobs that the API does not have (`seed`, penalties, `logit_bias`) are left out, and so is `metadata`, which is for
    stored responses. Raises UnsupportedFeature for what the model lacks, and InvalidRequest for a strict JSON schema
    that is invalid or too large.
    """
    effort = reasoning_effort(request, model, over_responses=True)
    check_features(request, model, effort)
    samples = takes_sampling(model, effort)
    budget = Budget()
    fields: JsonObject = {
        "model": model.upstream,
        **conversation(request, model),
        "max_output_tokens": request.max_output_tokens,
        "temperature": request.temperature if samples else None,
        "top_p": request.top_p if samples else None,
        "top_logprobs": (request.top_logprobs or 0) if request.logprobs else None,
        "reasoning": _present(effort=effort, summary=request.reasoning_summary) or None,
        "text": _present(format=_text_format(request, budget), verbosity=request.verbosity) or None,
        **_tool_fields(request, budget),
        "include": [ENCRYPTED_REASONING, *(["message.output_text.logprobs"] if request.logprobs else [])],
        "store": False,
        "stream": request.stream or None,
        "service_tier": request.service_tier,
        "prompt_cache_key": request.cache_key,
        "prompt_cache_options": {"mode": "explicit"} if request.explicit_cache else None,
        "user": request.user,
    }
    return {name: value for name, value in fields.items() if value is not None}


def conversation(request: ChatRequest, model: Model) -> JsonObject:
    """`instructions` and `input`; system text with cache points is a message, since only those have them."""
    items = input_items(request, model.quirks)
    if not request.system:
        return {"instructions": None, "input": items}
    content = system_content(request, request.system, model.quirks)
    if isinstance(content, str):
        return {"instructions": content, "input": items}
    parts = [{**part, "type": "input_text"} for part in content]
    return {"instructions": None, "input": [{"role": "developer", "content": parts}, *items]}


def _present(**fields: Any) -> JsonObject:
    return {name: value for name, value in fields.items() if value is not None}


def _text_format(request: ChatRequest, budget: Budget) -> JsonObject | None:
    wanted = request.response_format
    match wanted:
        case None:
            return None
        case JsonObjectFormat():
            return {"type": "json_object"}
        case JsonSchemaFormat():
            return _present(
                type="json_schema",
                name=wanted.name,
                schema=strict_schema(wanted.json_schema, budget) if wanted.strict else wanted.json_schema,
                description=wanted.description,
                strict=wanted.strict,
            )
        case _:
            assert_never(wanted)


def _tool_fields(request: ChatRequest, budget: Budget) -> JsonObject:
    tools = [_tool(tool, budget) for tool in request.tools]
    if request.web_search is not None:
        tools.append(_web_search(request.web_search))
    if not tools:
        return {}
    return {
        "tools": tools,
        "tool_choice": _tool_choice(request) if request.tools else None,
        "parallel_tool_calls": request.parallel_tool_calls if request.tools else None,
    }


def _tool(tool: Tool, budget: Budget) -> JsonObject:
    if tool.custom is not None:
        grammar = tool.custom
        form = {"type": "grammar", "syntax": grammar.syntax, "definition": grammar.definition}
        return _present(
            type="custom",
            name=tool.name,
            description=tool.description,
            format=form if grammar.definition is not None else None,
        )
    parameters = tool.parameters or _NO_PARAMETERS
    return _present(
        type="function",
        name=tool.name,
        description=tool.description,
        parameters=strict_schema(parameters, budget) if tool.strict else parameters,
        strict=bool(tool.strict),  # absent would mean true
    )


def _web_search(search: WebSearch) -> JsonObject:
    """https://developers.openai.com/api/docs/guides/tools-web-search. Without a place it would be the United States."""
    place = _present(city=search.city, country=search.country, region=search.region, timezone=search.timezone)
    return _present(
        type="web_search",
        search_context_size=search.context_size,
        user_location={"type": "approximate", **place},
    )


def _tool_choice(request: ChatRequest) -> Any:
    choice = request.tool_choice
    if not isinstance(choice, NamedTool):
        return choice
    is_custom = any(tool.name == choice.name and tool.custom is not None for tool in request.tools)
    return {"type": "custom" if is_custom else "function", "name": choice.name}
