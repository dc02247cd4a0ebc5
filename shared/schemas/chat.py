"""The canonical chat request and response."""

from collections.abc import Iterator, Mapping
from typing import Annotated, Any, Literal, TypeAlias

from pydantic import Field

from shared.schemas.base import Frozen
from shared.schemas.content import CachePoint, Message, Part, Reasoning, Refusal, ToolResult
from shared.schemas.original import Original, WireFormat
from shared.schemas.usage import FinishReason, Usage

JsonObject: TypeAlias = dict[str, Any]


class CustomInput(Frozen):
    """What a custom tool takes in place of JSON arguments: free text, or text of a grammar in `syntax`."""

    syntax: Literal["lark", "regex"] | None = None
    definition: str | None = None


class Tool(Frozen):
    """A function the model may call; `parameters` is its JSON schema (None: takes no arguments).

    A tool with `custom` takes one text instead.
    """

    name: str
    description: str | None = None
    parameters: JsonObject | None = None
    strict: bool | None = None
    custom: CustomInput | None = None
    cache: CachePoint | None = None


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
# The tokens of thinking that each effort stands for where one has to be taken for the other.
REASONING_BUDGETS: Mapping[ReasoningEffort, int] = {
    "minimal": 1024,
    "low": 2048,
    "medium": 8192,
    "high": 16384,
    "xhigh": 24576,
    "max": 32768,
}

ServiceTier: TypeAlias = Literal["auto", "default", "flex", "scale", "priority"]


class HostedTool(Frozen):
    """A tool, or another feature, that only vendors of one wire format have; `name` is its type there.

    `field` is where the request asks for it. One that is `optional` is left out for other vendors. `is_priced` is
    whether it costs no more than the tokens of the request and its answer. `is_search`: it is a web search with options
    that other wire formats lack.
    """

    wire: WireFormat
    name: str
    field: str = "tools"
    optional: bool = False
    is_priced: bool = False
    is_search: bool = False


class WebSearch(Frozen):
    """The vendor may search the web. The user's place is approximate: `country` an ISO code of two letters, `timezone`
    an IANA name. `field` is where the request asks for it.
    """

    context_size: Literal["low", "medium", "high"] | None = None
    city: str | None = None
    country: str | None = None
    region: str | None = None
    timezone: str | None = None
    optional: bool = False
    field: str = "web_search_options"


class SystemCachePoint(CachePoint):
    """A cache point after the first `end` characters of the system text."""

    end: int


class ChatRequest(Frozen):
    """One chat completion. An optional field that is None was not set: the provider's default applies.

    `thinking_tokens` are for thinking alone, on top of `max_tokens`; the gateway leaves them to models that think.
    `reasoning_budget` is how many tokens the model may think, if its vendor counts them; `reasoning_effort` says the
    same to other vendors. `service_tier` is by OpenAI's names. `cache` is a cache point at the end of the request,
    `cache_key` stands for requests that begin in the same way; with `explicit_cache` nothing but the cache points of
    the messages and tools is kept.

    `hosted_tools` are what vendors of other wire formats lack; a `web_search` that is `optional` is left out
    where the vendor has none. `lower_max_tokens`: a `max_tokens` above the model's maximum is lowered to it.
    `original` is the request as it came, for a vendor of the same wire format; with `withholds_search` that vendor must
    not get the web search that it offers.
    """

    model: str
    system: str | None = None
    system_cache: tuple[SystemCachePoint, ...] = ()
    messages: tuple[Message, ...]
    max_tokens: int | None = None
    lower_max_tokens: bool = False
    thinking_tokens: int = 0
    temperature: float | None = None
    top_p: float | None = None
    top_k: int | None = None
    n: int = 1
    stop: tuple[str, ...] = ()
    seed: int | None = None
    stream: bool = False
    tools: tuple[Tool, ...] = ()
    tool_choice: ToolChoice | None = None
    parallel_tool_calls: bool | None = None
    response_format: ResponseFormat | None = None
    reasoning_effort: ReasoningEffort | None = None
    reasoning_budget: int | None = None
    reasoning_summary: Literal["auto", "concise", "detailed"] | None = None
    web_search: WebSearch | None = None
    hosted_tools: tuple[HostedTool, ...] = ()
    service_tier: ServiceTier | None = None
    cache: CachePoint | None = None
    cache_key: str | None = None
    explicit_cache: bool = False
    presence_penalty: float | None = None
    frequency_penalty: float | None = None
    logit_bias: dict[str, float] | None = None
    logprobs: bool = False
    top_logprobs: int | None = None
    verbosity: Literal["low", "medium", "high"] | None = None
    image_output: bool = False
    user: str | None = None
    metadata: dict[str, str] | None = None
    original: Original | None = Field(default=None, repr=False)
    withholds_search: bool = False

    @property
    def has_search(self) -> bool:
        return self.web_search is not None or any(tool.is_search for tool in self.hosted_tools)

    @property
    def max_output_tokens(self) -> int | None:
        """The most tokens that may be generated, thinking included."""
        return None if self.max_tokens is None else self.max_tokens + self.thinking_tokens

    @property
    def last_cache_point(self) -> CachePoint | None:
        """The cache point at the end, which a cache key asks for too where the caller has set none."""
        if self.cache is not None:
            return self.cache
        if self.cache_key is None or self.explicit_cache or any(self.cache_points()):
            return None
        return CachePoint()

    def cache_points(self) -> Iterator[CachePoint]:
        """All cache points but the one at the end."""
        yield from self.system_cache
        yield from (tool.cache for tool in self.tools if tool.cache is not None)
        for message in self.messages:
            for part in message.parts:
                if isinstance(part, Reasoning | Refusal):
                    continue
                if part.cache is not None:
                    yield part.cache
                if isinstance(part, ToolResult):
                    yield from (piece.cache for piece in part.content if piece.cache is not None)


class TopLogprob(Frozen):
    """One alternative for a token: natural-log probability and the token's UTF-8 bytes."""

    token: str
    logprob: float
    bytes: tuple[int, ...] | None = None


class TokenLogprob(TopLogprob):
    """A generated token with its alternatives."""

    top_logprobs: tuple[TopLogprob, ...] = ()


class Citation(Frozen):
    """A source of what a candidate says.

    `start` and `end` bound the text that it supports, in characters of all of the candidate's text. Both are 0 where
    the vendor does not say which text that is.
    """

    url: str
    title: str = ""
    start: int = 0
    end: int = 0


class Candidate(Frozen):
    """One of the completions, its parts in the order in which the model produced them.

    `native_finish_reason` is the reason in the words of the vendor behind a provider that passes requests on.
    `stop_sequence` is the one at which the text was cut, where that is known.
    """

    index: int = 0
    parts: tuple[Part, ...]
    finish_reason: FinishReason
    native_finish_reason: str | None = None
    stop_sequence: str | None = None
    logprobs: tuple[TokenLogprob, ...] | None = None
    citations: tuple[Citation, ...] = ()


class ChatResponse(Frozen):
    """`service_tier` is the tier that has served the request, by OpenAI's names. `system_fingerprint` stands for the
    vendor's configuration: answers with the same one and the same seed can be compared. Both are None where not told.
    `original` is the answer's decoded JSON body, for a dialect of the same wire format.
    """

    candidates: tuple[Candidate, ...]
    usage: Usage
    service_tier: str | None = None
    system_fingerprint: str | None = None
    original: Original | None = Field(default=None, repr=False)
