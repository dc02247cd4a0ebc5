"""Answers that are events: JSON objects with a `type`, one in each server-sent event, or all in one array.

    data: {"type":"TextDelta","text":"Hello","index":0}

The type is the class of a canonical event and the other fields are the event's own. The last object is
`{"type":"done"}`, or `{"type":"error","status":500,"message":"..."}`.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import cache, partial
from typing import Any, Generic, TypeAlias, TypeVar, get_args

from pydantic import TypeAdapter
from pydantic_core import from_json, to_json, to_jsonable_python

from shared.framing import Frame, SseDecoder, sse_frame
from shared.providers.base import LocalAnswer, error_for_status, truncated
from shared.providers.sandbox.vendor import BROKEN, MIDSTREAM, SLOW, TRUNCATED, vendor, whole

JsonObject: TypeAlias = dict[str, Any]
EventT = TypeVar("EventT")

# Between two events of a stream, in seconds. The usual pauses of a stream add up to no more than three.
_PAUSE, _SLOW_PAUSE, _LONGEST_STREAM = 0.02, 0.2, 3.0


class EventReader(Generic[EventT]):
    """Reads one answer (`Reader` in `base.py`); `kinds` make the event of each type from the other fields."""

    def __init__(self, kinds: Mapping[str, Callable[[JsonObject], EventT]]) -> None:
        self._kinds = kinds
        self.done = False

    def body(self, body: bytes) -> Iterator[EventT]:
        objects = from_json(body)
        del body
        for fields in objects:
            yield from self._events(fields)
        yield from self.end()

    def frame(self, frame: Frame) -> Sequence[EventT]:
        return self._events(from_json(frame.data))

    def end(self) -> Sequence[EventT]:
        if not self.done:
            raise truncated()
        return ()

    def _events(self, fields: JsonObject) -> Sequence[EventT]:
        match fields.pop("type"):
            case "done":
                self.done = True
                return ()
            case "error":
                raise error_for_status(fields["status"], {}, fields["message"])
            case kind:
                return (self._kinds[kind](fields),)


class EventOperation(Generic[EventT]):
    """What the adapters of these operations share; `union` is that of their events' classes."""

    vendor = vendor
    union: Any

    def frames(self) -> SseDecoder:
        return vendor.frames()

    def reader(self, request: object) -> EventReader[EventT]:
        return EventReader(_kinds(self.union))


@cache
def _kinds(union: Any) -> Mapping[str, Callable[[JsonObject], Any]]:
    return {kind.__name__: partial(_event, kind) for kind in get_args(union)}


def _event(kind: Any, fields: JsonObject) -> Any:
    return _adapter(kind).validate_python(fields)


@cache
def _adapter(kind: Any) -> TypeAdapter[Any]:
    return TypeAdapter(kind)


def answer(model: str, events: Iterable[Any], *, stream: bool) -> LocalAnswer:
    """The events as the model gives them."""
    objects = [{"type": type(event).__name__, **to_jsonable_python(event)} for event in events]
    objects.append({"type": "done"})
    return LocalAnswer(_streamed(model, objects)) if stream else whole(model, to_json(objects))


def _streamed(model: str, objects: list[JsonObject]) -> Iterator[bytes | float]:
    if model in (MIDSTREAM, TRUNCATED):
        del objects[len(objects) // 2 :]
    if model == MIDSTREAM:
        objects.append({"type": "error", "status": 500, "message": BROKEN})
    pause = _SLOW_PAUSE if model == SLOW else min(_PAUSE, _LONGEST_STREAM / len(objects))
    for number, fields in enumerate(objects):
        if number > 1:
            yield pause
        yield sse_frame(to_json(fields))
