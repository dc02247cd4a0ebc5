"""Legacy text completions, answered by chat models: each prompt is one user turn.

https://developers.openai.com/api/reference/resources/completions
"""

import time
from typing import Annotated, Any

from pydantic import Discriminator, Field, Tag

from shared.dialects.base import Defaults, JsonObject, Operation, StreamEncoder, Wire, data_frame, new_id, read
from shared.dialects.openai.chat import (
    LogitBias,
    MaxTokens,
    Penalty,
    Seed,
    Temperature,
    TopP,
    WireStop,
    WireStreamOptions,
    stop_sequences,
    told,
    usage_body,
)
from shared.dialects.openai.errors import OpenAIDialect
from shared.errors import GatewayError, InvalidRequest, UnsupportedFeature
from shared.framing import DONE
from shared.schemas.chat import Candidate, ChatRequest, ChatResponse
from shared.schemas.content import Message, Text
from shared.schemas.context import RequestContext
from shared.schemas.events import ChatEvent, Finished, Started, TextDelta
from shared.schemas.usage import FinishReason, Usage

MAX_PROMPTS = 16


def _prompt_branch(value: Any) -> str:
    if isinstance(value, list):
        return "<tokens>" if value and not isinstance(value[0], str) else "<list>"
    return "<string>"


WirePrompt = Annotated[
    Annotated[str, Tag("<string>")]
    | Annotated[list[str], Field(min_length=1, max_length=MAX_PROMPTS), Tag("<list>")]
    | Annotated[list[Any], Tag("<tokens>")],
    Discriminator(_prompt_branch),
]


class CompletionFields(Wire):
    """The fields that a text completion has in every dialect."""

    model: Annotated[str, Field(min_length=1)]
    prompt: str
    max_tokens: MaxTokens | None = None
    temperature: Temperature | None = None
    stream: bool = False

    def canonical(self) -> ChatRequest:
        return prompt_request(self.prompt).model_copy(
            update={
                "model": self.model,
                "max_tokens": self.max_tokens,
                "temperature": self.temperature,
                "stream": self.stream,
            }
        )


def prompt_request(prompt: str) -> ChatRequest:
    """The chat request that a bare prompt stands for."""
    return ChatRequest(model="", messages=(Message(role="user", parts=(Text(text=prompt),)),))


class OpenAICompletion(Wire):
    """The body of /v1/completions."""

    model: Annotated[str, Field(min_length=1)]
    prompt: WirePrompt
    max_tokens: MaxTokens | None = None
    temperature: Temperature | None = 1.0
    top_p: TopP | None = None
    n: Annotated[int, Field(ge=1, le=128)] = 1
    best_of: Annotated[int, Field(ge=1, le=20)] | None = None
    stop: WireStop | None = None
    seed: Seed | None = None
    stream: bool = False
    stream_options: WireStreamOptions | None = None
    echo: bool = False
    suffix: str | None = None
    logprobs: Annotated[int, Field(ge=0, le=5)] | None = None
    presence_penalty: Penalty | None = None
    frequency_penalty: Penalty | None = None
    logit_bias: LogitBias | None = None
    user: str | None = None

    def prompts(self) -> list[str]:
        if isinstance(self.prompt, str):
            return [self.prompt]
        if not all(isinstance(prompt, str) for prompt in self.prompt):
            raise InvalidRequest.field("prompt", "token arrays are not supported; send text")
        return list(self.prompt)


def completion(body: JsonObject, defaults: Defaults) -> Operation:
    """/v1/completions, where an answer is capped at the operator's default unless the caller says otherwise."""
    fields = read(OpenAICompletion, body)
    if fields.suffix:
        raise UnsupportedFeature("suffix: inserting text is not supported by chat models.")
    if fields.logprobs is not None:
        raise UnsupportedFeature("logprobs: not supported here; use /v1/chat/completions.")
    if fields.best_of not in (None, fields.n):
        raise UnsupportedFeature("best_of: choosing among candidates is not supported.")
    prompts = fields.prompts()
    knobs = {
        "model": fields.model,
        "max_tokens": fields.max_tokens or defaults.max_tokens,
        "thinking_tokens": 0 if fields.max_tokens else defaults.thinking_tokens,
        "temperature": fields.temperature,
        "top_p": fields.top_p,
        "n": fields.n,
        "stop": stop_sequences(fields.stop),
        "seed": fields.seed,
        "stream": fields.stream,
        "presence_penalty": fields.presence_penalty,
        "frequency_penalty": fields.frequency_penalty,
        "logit_bias": fields.logit_bias,
        "user": fields.user,
    }
    return CompletionOperation(
        [prompt_request(prompt).model_copy(update=knobs) for prompt in prompts],
        # Every candidate repeats the prompt that it completes.
        echoes=[prompt for prompt in prompts for _ in range(fields.n)] if fields.echo else [],
        include_usage=fields.stream_options is not None and fields.stream_options.include_usage,
    )


def text_of(candidate: Candidate) -> str:
    """What a candidate says, without its reasoning."""
    return "".join(part.text for part in candidate.parts if part.kind in ("text", "refusal"))


def text_finish_reason(reason: FinishReason) -> FinishReason:
    """Text completions know no tools."""
    return FinishReason.STOP if reason is FinishReason.TOOL_CALLS else reason


class CompletionOperation:
    """Text completions of one or more prompts, answered as OpenAI does."""

    def __init__(
        self, requests: list[ChatRequest], *, echoes: list[str] | None = None, include_usage: bool = False
    ) -> None:
        self.requests = requests
        self._echoes = echoes or []
        self._include_usage = include_usage

    def body(self, response: ChatResponse, context: RequestContext) -> JsonObject:
        choices = [
            completion_choice(
                candidate.index,
                self._echo(candidate.index) + text_of(candidate),
                text_finish_reason(candidate.finish_reason),
            )
            for candidate in response.candidates
        ]
        head = completion_head(context, response.system_fingerprint)
        return {**head, "choices": choices, "usage": usage_body(response.usage)}

    def encoder(self, context: RequestContext) -> StreamEncoder:
        return CompletionEncoder(context, echoes=self._echoes, include_usage=self._include_usage)

    def _echo(self, index: int) -> str:
        return self._echoes[index] if self._echoes else ""


def completion_head(context: RequestContext, system_fingerprint: str | None) -> JsonObject:
    """What every object and chunk of a text completion begins with."""
    return {
        "id": new_id("cmpl-"),
        "object": "text_completion",
        "created": int(time.time()),
        "model": context.meter.answered_as,
        **told(system_fingerprint=system_fingerprint),
    }


def completion_choice(index: int, text: str, finish_reason: FinishReason | None) -> JsonObject:
    return {"index": index, "text": text, "logprobs": None, "finish_reason": finish_reason}


class CompletionEncoder:
    """Events as OpenAI's text completion chunks."""

    def __init__(self, context: RequestContext, *, echoes: list[str], include_usage: bool) -> None:
        self._head: JsonObject = {}
        self._echoes = dict(enumerate(echoes))
        self._include_usage = include_usage
        self._usage = Usage()
        self._context = context

    def event(self, event: ChatEvent) -> bytes:
        match event:
            case Started():
                self._head = self._head or completion_head(self._context, event.system_fingerprint)
                return b""
            case TextDelta():
                return self._chunk(event.index, event.text, None)
            case Finished():
                self._usage += event.usage
                return self._chunk(event.index, "", text_finish_reason(event.reason))
            case _:
                return b""

    def _chunk(self, index: int, text: str, finish_reason: FinishReason | None) -> bytes:
        text = self._echoes.pop(index, "") + text
        return data_frame({**self._head, "choices": [completion_choice(index, text, finish_reason)]})

    def error(self, error: GatewayError) -> bytes:
        return data_frame(OpenAIDialect().error(error, self._context.request.id))

    def end(self) -> bytes:
        if not self._include_usage:
            return DONE
        return data_frame({**self._head, "choices": [], "usage": usage_body(self._usage)}) + DONE
