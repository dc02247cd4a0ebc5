"""The sandbox: a provider inside the gateway that answers deterministically, without network or key.

Its wire format is its own (see `wire.py`): `POST /chat` takes a canonical ChatRequest as JSON and answers with a
ChatResponse. What its models do is in `answers.py`; a prompt that holds `[sandbox:refuse]` is refused, and one with
`[sandbox:filter]` runs into a content filter.
"""

from collections.abc import AsyncGenerator, AsyncIterator, Mapping
from dataclasses import dataclass
from typing import Any

from shared.errors import GatewayError, UnsupportedFeature
from shared.framing import Frame
from shared.providers.base import Call, LocalAnswer, error_body, error_for_status, truncated
from shared.providers.sandbox import answers
from shared.providers.sandbox.wire import read_event
from shared.schemas.chat import ChatRequest, ChatResponse
from shared.schemas.events import ChatEvent, Finished, Started
from shared.schemas.model import Model


@dataclass(frozen=True, slots=True)
class SandboxAdapter:
    """Translates to and from the sandbox's own format, and answers in the sandbox's place."""

    name: str = "sandbox"

    def auth(self, api_key: str) -> dict[str, str]:
        """No headers: there is no key."""
        return {}

    def chat(self, request: ChatRequest, model: Model) -> Call:
        """The request as it is, addressed to the model's upstream name. Raises UnsupportedFeature for image output."""
        if request.image_output:
            raise UnsupportedFeature("The sandbox's chat models do not generate images.")
        addressed = request.model_copy(update={"model": model.upstream})
        return Call(path="/chat", json=addressed.model_dump(mode="json", exclude_none=True))

    def chat_response(self, body: Any) -> ChatResponse:
        """The response as it is."""
        return ChatResponse.model_validate(body)

    async def chat_events(self, frames: AsyncIterator[Frame]) -> AsyncGenerator[ChatEvent, None]:
        """The events as they are. Raises UpstreamError where a candidate that has begun does not finish."""
        begun: set[int] = set()
        finished: set[int] = set()
        async for frame in frames:
            event = read_event(frame.data)
            if event is None:
                continue
            if isinstance(event, Finished):
                finished.add(event.index)
            elif not isinstance(event, Started):
                begun.add(event.index)
            yield event
        if not finished or begun - finished:
            raise truncated()

    def error(self, status: int, headers: Mapping[str, str], body: bytes) -> GatewayError:
        """What `{"error":{"message"}}` with that status means."""
        match error_body(body):
            case {"error": {"message": str(message)}}:
                return error_for_status(status, headers, message)
            case _:
                return error_for_status(status, headers, None)

    def answer(self, path: str, body: bytes) -> LocalAnswer:
        """The sandbox's answer to one of its own calls."""
        return answers.chat_answer(body) if path == "/chat" else answers.no_such_path()


adapter = SandboxAdapter()
