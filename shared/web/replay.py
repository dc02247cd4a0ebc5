"""Answers requests again that were answered before: those with an Idempotency-Key, and those that ask for the cache,
or whose key or model does.

The first such request is run to its end even if its client leaves, its bytes are recorded, and equal requests get them.
"""

import asyncio
import hashlib
import re
from collections.abc import Awaitable, Callable
from dataclasses import field, replace

from shared.dataclass import dataclass
from shared.dialects.base import read_request
from shared.errors import (
    GatewayError,
    InternalError,
    InvalidRequest,
    MalformedRequest,
    ModelNotFound,
    PayloadTooLarge,
)
from shared.gateway.aws_failures import aws_failures_answered
from shared.gateway.replays import Replays
from shared.json_text import TooComplex
from shared.observability import log_crash
from shared.offload import HEAVY_BYTES, off_loop
from shared.schemas.context import Meter
from shared.schemas.replay import KEPT_SECONDS, Claimed, Recording, Replay, Wish
from shared.web.answers import dialect_at, error_response, headers_of_answer
from shared.web.body import read_body, size_text
from shared.web.http import Message, Receive, Request, Response, Scope, Send
from shared.web.replay_headers import CACHE, IDEMPOTENCY_KEY
from shared.web.request import ApiRequest

Endpoint = Callable[[ApiRequest], Awaitable[Response]]

_KEY = re.compile(r"[!-~]{1,255}")
_MODEL_FIELD = re.compile(rb'name="?model"?\r\n(?:[^\r\n]+\r\n)*\r\n([^\r\n]{1,300})\r\n')
_BOUNDARY = re.compile(r'boundary="?([^";,]+)', re.IGNORECASE)
# Errors that the same request would meet again.
_LASTING = frozenset({400, 404, 413, 422})


async def replayable(request: ApiRequest, answer: Endpoint) -> Response:
    """The stored answer to an equal request or, if there is none, the answer of an endpoint, which is stored.

    Raises InvalidRequest for wrong headers, IdempotencyKeyReused and IdempotencyKeyInUse, and what reading the body
    raises.
    """
    replays = request.services.replays
    if replays is None:
        return await answer(request)
    limit = request.services.settings.max_body
    too_large = PayloadTooLarge(f"The request body is larger than {size_text(limit)}.")
    body = await read_body(request.http, limit, too_large)
    wish = await _wish(request, body)
    found = None if wish is None else await replays.find(wish)
    if wish is None or found is None:
        return await answer(_repeatable(request, _all_at_once(body, request.http.receive)))
    if isinstance(found, Replay):
        return _replayed(found, wish)
    return RecordedAnswer(_repeatable(request, _all_at_once(body, _never)), answer, replays, wish, found)


def _repeatable(request: ApiRequest, receive: Receive) -> ApiRequest:
    return replace(request, http=Request(request.http.scope, receive))


async def _wish(request: ApiRequest, body: bytes) -> Wish | None:
    """What a request asks for; None if its answer is not to be kept. Raises InvalidRequest for wrong headers."""
    headers, caller = request.http.headers, request.caller
    if boundary := _BOUNDARY.search(headers.get("content-type", "")):  # made up anew for each request
        body = body.replace(boundary[1].encode("latin-1"), b"")
    asked = _hash(request.route.method, request.route.path, body)
    key = headers.get(IDEMPOTENCY_KEY)
    if key is not None:
        if not _KEY.fullmatch(key):
            raise InvalidRequest.field("Idempotency-Key", "must have 1 to 255 visible characters")
        return Wish(_hash("key", caller.tenant, key), asked, KEPT_SECONDS, is_cache=False)
    seconds = _asked_seconds(headers[CACHE]) if CACHE in headers else await _usual_seconds(request, body)
    if not seconds:
        return None
    models = "*" if caller.models is None else ",".join(sorted(caller.models))
    return Wish(_hash("cache", caller.tenant, models, asked), asked, float(seconds), is_cache=True)


def _asked_seconds(text: str) -> int:
    if text.isascii() and text.isdigit() and int(text[:9]) <= KEPT_SECONDS:
        return int(text)
    raise InvalidRequest.field(CACHE, f"must be a number of seconds up to {KEPT_SECONDS}")


async def _usual_seconds(request: ApiRequest, body: bytes) -> int | None:
    """For how long answers are kept by default: what the key says, or else the row of the model."""
    if request.caller.cache_seconds is not None:
        return request.caller.cache_seconds
    media_type = request.http.headers.get("content-type", "")
    try:
        name = await off_loop(len(body) > HEAVY_BYTES, _model_named, body, media_type)
        return None if name is None else request.services.catalog.find(name).cache_seconds
    except (MalformedRequest, TooComplex, ModelNotFound):  # which the endpoint says
        return None


def _model_named(body: bytes, media_type: str) -> str | None:
    if _BOUNDARY.search(media_type):
        found = _MODEL_FIELD.search(body)
        return None if found is None else found[1].decode("utf-8", "replace")
    value = read_request(body)
    names = value.get("models")
    name = value.get("model") or (names[0] if isinstance(names, list) and names else None)
    return name if isinstance(name, str) else None


def _hash(*parts: str | bytes) -> str:
    digest = hashlib.sha256()
    for part in parts:
        data = part if isinstance(part, bytes) else part.encode()
        digest.update(len(data).to_bytes(8) + data)
    return digest.hexdigest()


def _replayed(replay: Replay, wish: Wish) -> Response:
    recording = replay.recording
    response = Response(recording.body, recording.status, dict(recording.headers))
    if "x-gateway-cost" in response.headers:
        response.headers["x-gateway-cost"] = "0.000000"  # the first answer was charged
    response.headers["x-gateway-original-request-id"] = recording.request_id
    if wish.is_cache:
        response.headers[CACHE], response.headers["age"] = "hit", str(replay.age)
    else:
        response.headers["x-gateway-replayed"] = "true"
    return response


def _all_at_once(body: bytes, receive_next: Receive) -> Receive:
    """A request whose body is there; what follows it comes from `receive_next`."""
    messages: list[Message] = [{"type": "http.request", "body": body, "more_body": False}]

    async def receive() -> Message:
        return messages.pop() if messages else await receive_next()

    return receive


@dataclass(slots=True)
class _Tape:
    """Records the messages of a response and passes them on."""

    meter: Meter
    passed: asyncio.Queue[Message | None] = field(default_factory=asyncio.Queue)
    start: Message | None = None
    headers: dict[str, str] = field(default_factory=dict)
    body: bytearray = field(default_factory=bytearray)
    is_complete: bool = False

    async def send(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.start, self.headers = message, headers_of_answer(self.meter)
        else:
            self.body += message.get("body", b"")
            self.is_complete = not message.get("more_body", False)
        self.passed.put_nowait(message)


class RecordedAnswer(Response):
    """The answer of an endpoint, which is recorded while it is sent."""

    def __init__(self, request: ApiRequest, answer: Endpoint, replays: Replays, wish: Wish, claimed: Claimed) -> None:
        super().__init__()
        self._request = request
        self._answer = answer
        self._replays = replays
        self._wish = wish
        self._claimed = claimed

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        tape = _Tape(self._request.context.meter)
        run = self._request.services.in_background(self._run(scope, tape))
        is_connected = True
        while (message := await tape.passed.get()) is not None:
            if self._wish.is_cache and message["type"] == "http.response.start":
                message = {**message, "headers": [*message["headers"], (CACHE.encode(), b"miss")]}
            try:
                if is_connected:
                    await send(message)
            except OSError:  # the client has left
                is_connected = False
        await asyncio.shield(run)

    async def _run(self, scope: Scope, tape: _Tape) -> None:
        """Answers the request and keeps the answer."""
        try:
            await self._record(scope, tape)
        except Exception:  # noqa: BLE001 - logged
            log_crash(self._request.context.request)
            if tape.start is None:
                await error_response(scope, InternalError("The gateway failed."))(scope, _never, tape.send)
        finally:
            try:
                recording = self._recording(scope, tape) if self._is_kept(tape) else None
                await self._replays.end(self._wish, self._claimed, recording)
            finally:
                tape.passed.put_nowait(None)

    async def _record(self, scope: Scope, tape: _Tape) -> None:
        try:
            with aws_failures_answered(self._request.context.request):
                response = await self._answer(self._request)
        except GatewayError as error:
            response = error_response(scope, error)
        await response(scope, _never, tape.send)

    def _is_kept(self, tape: _Tape) -> bool:
        if tape.start is None or not tape.is_complete:
            return False
        status = tape.start["status"]
        if status < 400:
            return tape.meter.error is None  # otherwise a stream that has failed
        return status in _LASTING and not self._wish.is_cache

    def _recording(self, scope: Scope, tape: _Tape) -> Recording:
        assert tape.start is not None
        context = self._request.context
        sent = [(name.decode("latin-1"), value.decode("latin-1")) for name, value in tape.start["headers"]]
        own = {
            name: value
            for name, value in dialect_at(scope).headers(context.request, tape.meter).items()
            if name in ("x-scaigrid-model", "x-scaigrid-backend")
        }
        headers = [*sent, *{**tape.headers, **own}.items()]
        return Recording(tape.start["status"], headers, bytes(tape.body), context.request.id)


async def _never() -> Message:
    await asyncio.Event().wait()
    raise AssertionError("an event that nobody sets")
