"""The canonical chat request and response."""

from typing import Annotated, Any, Literal, TypeAlias

from pydantic import Field

from shared.schemas.base import Frozen
from shared.schemas.content import Message, Part
from shared.schemas.usage import FinishReason, Usage

JsonObject: TypeAlias = dict[str, Any]


class Tool(Frozen):
    """A function the model may call; `parameters` is its JSON schema (None: takes no arguments)."""

    name: str
    description: str | None = None
    parameters: JsonObject | None = None
    strict: bool | None = None


class NamedTool(Frozen):
    """Forces the call of one tool."""

    name: str


ToolChoice: TypeAlias = Literal["auto", "none", "required"] | NamedTool


class JsonObjectFormat(Frozen):
    """Any JSON object."""

    kind: Literal["json_object"] = "json_object"


class JsonSchemaFormat(Frozen):
    """JSON that satisfies `json_schema`."""

    kind: Literal["json_schema"] = "json_schema"
    name: str
    json_schema: JsonObject
    description: str | None = None
    strict: bool | None = None


ResponseFormat: TypeAlias = Annotated[JsonObjectFormat | JsonSchemaFormat, Field(discriminator="kind")]

ReasoningEffort: TypeAlias = Literal["none", "minimal", "low", "medium", "high", "xhigh", "max"]


class ChatRequest(Frozen):
    """One chat completion. An optional field that is None was not set: the provider's default applies."""

    model: str
    system: str | None = None
    messages: tuple[Message, ...]
    max_tokens: int | None = None
    temperature: float | None = None
    top_p: float | None = None
    n: int = 1
    stop: tuple[str, ...] = ()
    seed: int | None = None
    stream: bool = False
    tools: tuple[Tool, ...] = ()
    tool_choice: ToolChoice | None = None
    parallel_tool_calls: bool | None = None
    response_format: ResponseFormat | None = None
    reasoning_effort: ReasoningEffort | None = None
    presence_penalty: float | None = None
    frequency_penalty: float | None = None
    logit_bias: dict[str, float] | None = None
    logprobs: bool = False
    top_logprobs: int | None = None
    verbosity: Literal["low", "medium", "high"] | None = None
    image_output: bool = False
    user: str | None = None
    metadata: dict[str, str] | None = None


class TopLogprob(Frozen):
    """One alternative for a token: natural-log probability and the token's UTF-8 bytes."""

    token: str
    logprob: float
    bytes: tuple[int, ...] | None = None


class TokenLogprob(TopLogprob):
    """A generated token with its alternatives."""

    top_logprobs: tuple[TopLogprob, ...] = ()


class Candidate(Frozen):
    """One of the completions, its parts in the order in which the model produced them."""

    index: int = 0
    parts: tuple[Part, ...]
    finish_reason: FinishReason
    logprobs: tuple[TokenLogprob, ...] | None = None


class ChatResponse(Frozen):
    candidates: tuple[Candidate, ...]
    usage: Usage
