"""The answers of the models that chat, whole or streamed, and how some of them break off."""

from collections.abc import Iterator
from itertools import islice

from shared.providers.base import LocalAnswer
from shared.providers.sandbox import behaviour, streaming
from shared.providers.sandbox.chat import respond
from shared.providers.sandbox.frames import write_error
from shared.providers.sandbox.streaming import Pace
from shared.schemas.chat import ChatRequest, ChatResponse
from shared.schemas.events import Finished

_USUAL = Pace(first=0.0, between=behaviour.USUAL_PAUSE)
_SLOW = Pace(first=0.5, between=behaviour.SLOW_PAUSE)

_EVENTS_BEFORE_BREAK = 6


def answer(body: bytes) -> LocalAnswer:
    """The answer of the model that a request names. Raises ValidationError for a body that is no ChatRequest."""
    request = ChatRequest.model_validate_json(body)
    media_type = behaviour.EVENTS if request.stream else behaviour.JSON
    if (other := behaviour.instead(request.model, "chat", "image", media_type=media_type)) is not None:
        return other
    try:
        response = respond(request)
    except ValueError as error:
        return behaviour.failure(400, str(error))
    if request.stream:
        chunks = _streamed(behaviour.name_of(request.model), response)
        return LocalAnswer(chunks, headers={"content-type": media_type})
    return behaviour.whole(
        request.model,
        response.model_dump_json(exclude_none=True).encode(),
        slow_seconds=_slow_seconds(request.model, response),
    )


def _slow_seconds(model: str, response: ChatResponse) -> float:
    """As long as the slow model would take to stream the response."""
    if behaviour.name_of(model) != behaviour.SLOW:
        return 0.0
    stream = streaming.paced(streaming.events(response), _SLOW)
    return sum(chunk for chunk in stream if isinstance(chunk, float))


def _streamed(name: str, response: ChatResponse) -> Iterator[bytes | float]:
    pace = _SLOW if name == behaviour.SLOW else _USUAL
    if name not in (behaviour.MIDSTREAM, behaviour.TRUNCATED):
        yield from streaming.paced(streaming.events(response), pace)
        return
    unfinished = (event for event in streaming.events(response) if not isinstance(event, Finished))
    yield from streaming.paced(islice(unfinished, _EVENTS_BEFORE_BREAK), pace)
    if name == behaviour.MIDSTREAM:
        yield write_error(500, behaviour.BROKEN)
