"""Reads an answer of whichever of OpenAI's two chat APIs was asked."""

import re
from collections.abc import Iterable
from typing import TypeAlias

from pydantic_core import from_json

from shared.framing import Frame
from shared.providers.openai.chat_answer import ChatReader
from shared.providers.openai.responses.reader import ResponsesReader
from shared.schemas.chat import ChatRequest
from shared.schemas.events import ChatEvent

_Reader: TypeAlias = ChatReader | ResponsesReader

_RESPONSES_EVENT = re.compile(rb'"type"\s*:\s*"response\.')


class EitherReader:
    """Reads a chat completion or a response, whichever the body or the first frame is."""

    def __init__(self, request: ChatRequest) -> None:
        self._original = None if request.original is None else request.original.wire
        self._reader: _Reader | None = None

    @property
    def done(self) -> bool:
        return self._reader is not None and self._reader.done

    def body(self, body: bytes) -> Iterable[ChatEvent]:
        answer = from_json(body)
        is_response = isinstance(answer, dict) and answer.get("object") == "response"
        self._reader = self._opened(is_response=is_response)
        return self._reader.answer(answer)

    def frame(self, frame: Frame) -> Iterable[ChatEvent]:
        if self._reader is None:
            self._reader = self._opened(is_response=_RESPONSES_EVENT.search(frame.data) is not None)
        return self._reader.frame(frame)

    def end(self) -> Iterable[ChatEvent]:
        return (self._reader or ChatReader()).end()

    def _opened(self, *, is_response: bool) -> _Reader:
        return ResponsesReader(tells_originals=self._original == "responses") if is_response else ChatReader()
