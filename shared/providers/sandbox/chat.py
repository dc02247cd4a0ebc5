"""Chat: `POST /chat` takes a ChatRequest and answers with the events of a chat."""

import hashlib
import json
import re
import zlib
from collections.abc import Iterable, Iterator
from dataclasses import field
from functools import partial
from itertools import chain, zip_longest
from typing import Any

from shared import png
from shared.dataclass import dataclass
from shared.media import head_bytes
from shared.providers.base import Call, ChatAdapter, LocalAnswer
from shared.providers.sandbox import tokens, wire
from shared.providers.sandbox.json_values import make
from shared.providers.sandbox.vendor import FILTER, REFUSAL, REFUSE, Unanswerable, vendor
from shared.schemas import events
from shared.schemas.chat import ChatRequest, JsonObjectFormat, JsonSchemaFormat, NamedTool, TokenLogprob, TopLogprob
from shared.schemas.content import Audio, File, Image, Inline, Part, Reasoning, Text, ToolResult
from shared.schemas.model import Model
from shared.schemas.usage import FinishReason, Usage

_LONGEST_QUOTE = 1000
_OPENINGS = ("You said", "You wrote", "I have read", "I received", "Your words were", "The prompt is", "I heard")
_THOUGHTS = {"low": 1, "medium": 2, "high": 3, "xhigh": 4, "max": 5}
_PICTURE = (1024, 1024)
_MOST_CANDIDATES = 16
# How much of a prompt is read for tools and names, and how much of it stands for its subject.
_LONGEST_HINT, _LONGEST_SUBJECT = 500, 100
# Capitalised words, "New York" as one, that do not merely begin a sentence.
_NAME = re.compile(r"(?<=[\w,;:(\"'] )[A-ZÀ-ÖØ-Þ]\w+(?: [A-ZÀ-ÖØ-Þ]\w+)*")
# "Tokyo and Paris": one question about two things, which is worth two calls of the same tool.
_TWO_NAMES = re.compile(r"\b([A-Z]\w+) and ([A-Z]\w+)\b")


class SandboxChat(wire.EventOperation[events.ChatEvent]):
    union = events.ChatEvent

    def call(self, request: ChatRequest, model: Model) -> Call:
        body = request.model_dump(mode="json", exclude={"original"})
        return Call("/chat", {**body, "model": model.upstream}, streamed=request.stream)

    def wire(self, model: Model) -> None:
        return None


adapter: ChatAdapter = SandboxChat()


def answer(body: dict[str, Any]) -> LocalAnswer:
    """Raises Unanswerable."""
    request = ChatRequest.model_validate(body)
    return wire.answer(request.model, _Answer(request).events(), stream=request.stream)


@dataclass(slots=True)
class _Candidate:
    """One candidate's events but the last, how it ends, and how many tokens it may use and uses."""

    index: int
    limit: int | None
    reason: FinishReason
    deltas: list[events.ChatEvent] = field(default_factory=list)
    used: int = 0

    def words(self, text: str) -> list[str]:
        """The words of as much of a text as may still be used."""
        split = tokens.split(text)
        kept = split if self.limit is None else split[: self.limit - self.used]
        self.used += len(kept)
        if len(kept) < len(split):
            self.reason = FinishReason.LENGTH
        return tokens.words("".join(kept))


class _Answer:
    """Says what of the request has arrived, or calls the tools in it. Raises Unanswerable."""

    def __init__(self, request: ChatRequest) -> None:
        if request.n > _MOST_CANDIDATES:
            raise Unanswerable(400, f"The sandbox gives at most {_MOST_CANDIDATES} candidates for one request.")
        self._request = request
        texts = [_text(message.parts) for message in request.messages if message.role == "user"]
        self._prompt = next(filter(None, reversed(texts)), "")
        self._turns = len(texts)
        found = _NAME.search(self._prompt[:_LONGEST_HINT])
        self._subject = found[0] if found else self._prompt[:_LONGEST_SUBJECT]
        spoken = [at for at, message in enumerate(request.messages) if message.role == "assistant"]
        new = request.messages[spoken[-1] :] if spoken else request.messages
        self._results = [part for message in new for part in message.parts if isinstance(part, ToolResult)]
        parts = [part for message in request.messages for part in message.parts]
        nested = (part.content if isinstance(part, ToolResult) else (part,) for part in parts)
        self._parts = [part for inner in nested for part in inner]
        self._media = [part for part in self._parts if isinstance(part, Image | Audio | File)]
        self._refused, self._filtered = REFUSE in self._prompt, FILTER in self._prompt
        self._draws = request.model == "image" and not (self._refused or self._filtered)
        self._calls = [] if self._refused or self._filtered else self._chosen_calls()
        self._reason = FinishReason.TOOL_CALLS if self._calls else FinishReason.STOP
        if self._filtered:
            self._reason = FinishReason.CONTENT_FILTER
        thoughts = [f'The user wants an answer to "{self._prompt[:100]}".', *["I look at it once more."] * 4]
        self._thinking = " ".join(thoughts[: _THOUGHTS.get(request.reasoning_effort or "none", 0)])

    def events(self) -> Iterator[events.ChatEvent]:
        """The events word by word. Candidates take turns, as they do with real models."""
        candidates = [self._candidate(index) for index in range(self._request.n)]
        yield events.Started()
        yield from filter(None, chain.from_iterable(zip_longest(*(candidate.deltas for candidate in candidates))))
        for index, candidate in enumerate(candidates):
            yield events.Finished(candidate.reason, Usage() if index else self._usage(candidates), index)

    def _candidate(self, index: int) -> _Candidate:
        candidate = _Candidate(index, self._request.max_tokens, self._reason)
        deltas, thought = candidate.deltas, partial(events.ReasoningDelta, issuer=vendor.name, index=index)
        deltas += map(thought, candidate.words(self._thinking))
        if self._thinking and candidate.reason is self._reason:  # what is cut off is not signed
            deltas.append(thought(signature=_signature(self._thinking)))
        if self._refused:
            deltas += [events.RefusalDelta(word, index) for word in candidate.words(REFUSAL)]
        elif self._calls:
            self._add_calls(candidate)
        else:
            alternatives = self._request.top_logprobs or 0
            for word in candidate.words(self._reply(index)):
                deltas.append(events.TextDelta(word, index))
                if self._request.logprobs:
                    deltas.append(events.LogprobsDelta(tuple(_logprobs(word, alternatives)), index))
        if self._draws:  # no limit touches it
            from shared.providers.sandbox.images import draw  # most models only talk

            shown = (part.model_dump_json() for part in self._media)
            picture = draw(*_PICTURE, index, self._prompt, self._request.seed, *shown)
            deltas.append(events.ImageDelta(picture.media_type, picture.data, index))
        return candidate

    def _add_calls(self, candidate: _Candidate) -> None:
        """Adds the calls, with ids that differ between calls, candidates and turns."""
        index, turn = candidate.index, len(self._request.messages)
        for position, (name, arguments) in enumerate(self._calls):
            if "".join(candidate.words(name)) != name:
                return
            digest = hashlib.sha256(f"{turn}/{index}/{position}/{self._prompt}".encode()).hexdigest()
            candidate.deltas.append(events.ToolCallStarted(position, f"call_{digest[:24]}", name, index=index))
            candidate.deltas += [events.ToolCallDelta(position, word, index) for word in candidate.words(arguments)]

    def _reply(self, index: int) -> str:
        opening = _OPENINGS[((self._request.seed or 0) + index) % len(_OPENINGS)]
        text = " ".join((f"{opening}: {_quote(self._prompt)}.", *self._remarks(), "How may I help you further?"))
        match self._request.response_format:
            case JsonObjectFormat():
                text = json.dumps({"answer": text}, ensure_ascii=False)
            case JsonSchemaFormat(json_schema=schema):
                text = json.dumps(make(schema, self._prompt, self._subject), ensure_ascii=False)
        return tokens.until(text, self._request.stop)

    def _remarks(self) -> Iterator[str]:
        """Sentences on what came besides the prompt."""
        for result in self._results:
            yield f"The tool {result.name} returned {_quote(_text(result.content))}."
        later = (_text(message.parts) for message in self._request.messages if message.role == "system")
        if system := "\n".join(filter(None, (self._request.system, *later))):
            yield f"My system text has {len(system)} characters."
        if self._turns > 1:
            yield f"This is turn {self._turns} of our conversation."
        if self._media:
            yield f"I was shown {', '.join(map(_described, self._media))}."
        if thoughts := [part for part in self._parts if isinstance(part, Reasoning) and part.issuer == vendor.name]:
            intact = all(thought.signature == _signature(thought.text) for thought in thoughts)
            yield f"My earlier reasoning came back {'unchanged' if intact else 'changed'}."

    def _chosen_calls(self) -> list[tuple[str, str]]:
        """Names of tools, and their arguments in JSON: the tool that is forced, those in the prompt, or the first."""
        tools, choice, hint = self._request.tools, self._request.tool_choice, self._prompt[:_LONGEST_HINT]
        forced = choice == "required" or isinstance(choice, NamedTool)
        if not tools or choice == "none" or (self._results and not forced):
            return []
        if isinstance(choice, NamedTool):
            chosen = [tool for tool in tools if tool.name == choice.name]
        else:
            chosen = [tool for tool in tools if re.search(rf"\b{re.escape(tool.name)}\b", hint)] or [tools[0]]
        if self._request.parallel_tool_calls is False:
            del chosen[1:]
        both = len(chosen) == 1 and self._request.parallel_tool_calls is not False and _TWO_NAMES.search(hint)
        names = both.groups() if both else (self._subject,)
        schemas = [(tool.name, {"type": "object", **(tool.parameters or {})}) for tool in chosen]
        made = ((tool, make(schema, hint, name)) for tool, schema in schemas for name in names)
        # Only one call where the names make no difference to the tool.
        return list(dict.fromkeys((tool, json.dumps(arguments, ensure_ascii=False)) for tool, arguments in made))

    def _usage(self, candidates: list[_Candidate]) -> Usage:
        system = (self._request.system or "", *(tool.model_dump_json() for tool in self._request.tools))
        texts = (getattr(part, "text", getattr(part, "arguments", "")) for part in self._parts)
        kinds = [part.kind for part in self._media]
        audio, files = kinds.count("audio") * tokens.OF_AUDIO, kinds.count("file") * tokens.OF_FILE
        messages, thinking = len(self._request.messages) * tokens.OF_MESSAGE, tokens.count(self._thinking)
        return Usage(
            input_tokens=sum(map(tokens.count, (*system, *texts))) + messages + audio + files,
            input_audio_tokens=audio,
            output_tokens=sum(candidate.used for candidate in candidates),
            reasoning_tokens=sum(min(thinking, candidate.used) for candidate in candidates),
        ) + tokens.of_images(kinds.count("image"), len(candidates) if self._draws else 0, *_PICTURE)


def _text(parts: Iterable[Part]) -> str:
    return " ".join(part.text for part in parts if isinstance(part, Text))


def _quote(text: str) -> str:
    return f'"{text}"' if len(text) <= _LONGEST_QUOTE else f'"{text[:_LONGEST_QUOTE]}…"'


def _described(part: Image | Audio | File) -> str:
    if isinstance(part, Image) and isinstance(part.source, Inline):
        size = png.size(head_bytes(part.source.data, png.HEADER_BYTES))
        return f"one image ({part.source.media_type}{', {}x{} pixels'.format(*size) if size else ''})"
    return f"one {part.kind}"


def _signature(thinking: str) -> str:
    """Proves that the text is unchanged, not who wrote it."""
    return hashlib.sha256(b"sandbox reasoning\0" + thinking.encode()).hexdigest()[:32]


def _logprobs(word: str, alternatives: int) -> Iterator[TokenLogprob]:
    """Made up of each token's letters; the token is its own likeliest alternative, the others are longer."""
    for token in tokens.split(word):
        likely, code = -(1 + zlib.crc32(token.encode()) % 600) / 1000, tuple(token.encode())
        names = [token + "s" * more for more in range(alternatives)]
        top = (TopLogprob(token=name, logprob=likely - at, bytes=(*name.encode(),)) for at, name in enumerate(names))
        yield TokenLogprob(token=token, logprob=likely, bytes=code, top_logprobs=tuple(top))
