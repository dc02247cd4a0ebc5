"""Chat with Bedrock's models, through Converse and ConverseStream.

Wire format: https://docs.aws.amazon.com/bedrock/latest/APIReference/API_runtime_Converse.html. What one vendor's models
alone take is in `additionalModelRequestFields`, in that vendor's own words. The quirks are described in
`shared/schemas/quirk.py`.
"""

import json
from collections.abc import Iterator
from typing import assert_never

from shared.errors import InvalidRequest, UnsupportedFeature
from shared.providers.anthropic.json_schema import Schema
from shared.providers.anthropic.thinking import forces_a_tool, sampling
from shared.providers.base import Call, ChatAdapter, FrameDecoder, Reader
from shared.providers.bedrock.chat_answer import ChatReader
from shared.providers.bedrock.messages import Block, cache_point, conversation
from shared.providers.bedrock.reasoning import Reasoning, reasoning
from shared.providers.bedrock.vendor import family, model_path
from shared.providers.bedrock.vendor import vendor as bedrock
from shared.providers.json_schema import Budget
from shared.schemas.chat import ChatRequest, JsonSchemaFormat, NamedTool, Tool
from shared.schemas.events import ChatEvent
from shared.schemas.model import Model

_NO_CALLS = "Answer without calling a tool."


class BedrockChat:
    """Converse, whole and streamed.

    `seed`, penalties and `logit_bias` have no fields and are ignored, `parallel_tool_calls` for all models but Claude.
    """

    vendor = bedrock

    def call(self, request: ChatRequest, model: Model) -> Call:
        """Raises UnsupportedFeature for log probabilities, image output, and a forced tool call or media that the model
        does not support, and InvalidRequest for a temperature above 1, a budget for reasoning that the model cannot
        keep, an empty conversation, and JSON that is too large or nested too deeply.
        """
        try:
            return _call(request, model)
        except RecursionError:  # schemas and arguments are the caller's JSON
            raise InvalidRequest("The request contains JSON that is nested too deeply.") from None

    def wire(self, model: Model) -> None:
        return None

    def frames(self) -> FrameDecoder:
        return bedrock.frames()

    def reader(self, request: ChatRequest) -> Reader[ChatEvent]:
        return ChatReader()


def _call(request: ChatRequest, model: Model) -> Call:
    _check_support(request, model)
    system, messages = conversation(request, model)
    budget = Budget()
    tools, tool_fields = _tools(request, model, messages, budget)
    if tools and not tool_fields and (request.tool_choice == "none" or not request.tools):
        system.append({"text": _NO_CALLS})
    thoughts = reasoning(request, model, messages)
    body: Block = {
        "messages": messages,
        "system": system,
        "inferenceConfig": _inference(request, model, thoughts),
        "toolConfig": tools,
        "outputConfig": _output_config(request, budget),
        "serviceTier": _service_tier(request, model),
        "additionalModelRequestFields": {**tool_fields, **thoughts.fields},
    }
    if request.stop and family(model) == "anthropic":
        body["additionalModelResponseFieldPaths"] = ["/stop_sequence"]
    action = "converse-stream" if request.stream else "converse"
    given = {name: value for name, value in body.items() if value}
    return Call(model_path(model, action), json=given, streamed=request.stream)


def _check_support(request: ChatRequest, model: Model) -> None:
    if request.logprobs:
        raise UnsupportedFeature(f"The model '{model.id}' does not support logprobs.")
    if request.image_output:
        raise UnsupportedFeature(f"The model '{model.id}' does not support image output.")
    if request.tools and forces_a_tool(request) and "no_forced_tool_choice" in model.quirks:
        raise UnsupportedFeature(f"The model '{model.id}' does not support a tool_choice that forces a tool.")


def _inference(request: ChatRequest, model: Model, thoughts: Reasoning) -> Block:
    temperature, top_p, _ = sampling(request, model, thinks=thoughts.thinks)
    config: Block = {
        "maxTokens": None if thoughts.is_unlimited else thoughts.max_tokens,
        "temperature": temperature,
        "topP": top_p,
    }
    if "no_stop" not in model.quirks:
        config["stopSequences"] = [stop for stop in request.stop if stop.strip()] or None  # blank ones are refused
    return {name: value for name, value in config.items() if value is not None}


def _service_tier(request: ChatRequest, model: Model) -> Block:
    """https://docs.aws.amazon.com/bedrock/latest/userguide/service-tiers-inference.html. None is sent for `auto`."""
    if "no_tiers" in model.quirks:
        return {}
    match request.service_tier:
        case None | "auto":
            return {}
        case "default" | "flex" | "priority":
            return {"type": request.service_tier}
        case "scale":
            return {"type": "reserved"}
        case _:
            assert_never(request.service_tier)


def _output_config(request: ChatRequest, budget: Budget) -> Block:
    """The vendor compiles schemas as Anthropic does, and takes them as text:
    https://docs.aws.amazon.com/bedrock/latest/userguide/structured-output.html.
    """
    if not isinstance(request.response_format, JsonSchemaFormat):
        return {}
    schema = json.dumps(Schema(request.response_format.json_schema, budget).compilable(), ensure_ascii=False)
    definition = {"schema": schema, "name": request.response_format.name}
    if request.response_format.description:
        definition["description"] = request.response_format.description
    return {"textFormat": {"type": "json_schema", "structure": {"jsonSchema": definition}}}


def _tools(request: ChatRequest, model: Model, messages: list[Block], budget: Budget) -> tuple[Block, Block]:
    """The configuration of tools, and additional fields that belong to it."""
    in_use = [block["toolUse"] for message in messages for block in message["content"] if "toolUse" in block]
    if request.tools and (request.tool_choice != "none" or in_use):
        config: Block = {"tools": [block for tool in request.tools for block in _tool(tool, model, budget)]}
        if family(model) == "anthropic" and (choice := _claudes_choice(request)):
            return config, {"tool_choice": choice}
        return config | _choice(request), {}
    # A conversation that contains tool calls is refused unless tools are declared.
    if names := dict.fromkeys(call["name"] for call in in_use):
        declared = [{"toolSpec": {"name": name, "inputSchema": {"json": {"type": "object"}}}} for name in names]
        return {"tools": declared}, {"tool_choice": {"type": "none"}} if family(model) == "anthropic" else {}
    return {}, {}


def _tool(tool: Tool, model: Model, budget: Budget) -> Iterator[Block]:
    schema = Schema(tool.parameters or {"properties": {}}, budget).object_at_root()
    strict = tool.strict and "no_strict_tools" not in model.quirks
    spec: Block = {"name": tool.name}
    if tool.description:
        spec["description"] = tool.description
    spec["inputSchema"] = {"json": Schema(schema, budget).compilable() if strict else schema}
    if strict:
        spec["strict"] = True
    yield {"toolSpec": spec}
    if tool.cache is not None and family(model) == "anthropic":  # Nova keeps no tools
        yield from cache_point(tool.cache, model)


def _choice(request: ChatRequest) -> Block:
    match request.tool_choice:
        case None | "auto" | "none":  # there is no "none": see _NO_CALLS
            return {}
        case "required":
            return {"toolChoice": {"any": {}}}
        case NamedTool(name=name):
            return {"toolChoice": {"tool": {"name": name}}}
        case _:
            assert_never(request.tool_choice)


def _claudes_choice(request: ChatRequest) -> Block | None:
    """Anthropic's `tool_choice` where it says more than Bedrock's, which must not be sent beside it; otherwise None."""
    if request.tool_choice == "none":
        return {"type": "none"}
    if request.parallel_tool_calls is not False:
        return None
    choice: Block
    match request.tool_choice:
        case None | "auto":
            choice = {"type": "auto"}
        case "required":
            choice = {"type": "any"}
        case NamedTool(name=name):
            choice = {"type": "tool", "name": name}
        case _:
            assert_never(request.tool_choice)
    return {**choice, "disable_parallel_tool_use": True}


adapter: ChatAdapter = BedrockChat()
