"""The one place where the parts meet: picks the model, calls its provider, and keeps what was used.

A request comes in canonical, from any dialect, and leaves canonical, from any provider.
"""

import asyncio
import json
import time
from collections.abc import AsyncGenerator, Iterator, Mapping, Sequence
from contextlib import aclosing
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from shared.catalog import AUTO, SANDBOX, Catalog
from shared.errors import GatewayError, InvalidRequest, ModelNotFound, UpstreamError, UpstreamTimeout
from shared.framing import sse_frames
from shared.inputs import Inputs
from shared.providers import load
from shared.providers.base import REMOVED, Call, ChatAdapter, InProcess, LocalAnswer, error_for_status
from shared.pump import merge, together
from shared.schemas.caller import Caller
from shared.schemas.chat import ChatRequest, ChatResponse
from shared.schemas.context import RequestContext
from shared.schemas.events import ChatEvent, Finished, Started
from shared.schemas.model import Model
from shared.schemas.usage import Usage
from shared.selection import MAX_FANNED_OUT, allowed, may_use, select
from shared.settings import Settings
from shared.stopping import cut, cut_stream
from shared.stores.aws import Aws
from shared.stores.keys import KeyStore
from shared.stores.secrets import ProviderSecret

if TYPE_CHECKING:
    from contextlib import AbstractAsyncContextManager

    import httpx

    from shared.fetch import RemoteFetcher
    from shared.upstream import Answer, Upstream

# What an adapter raises on a body that is not its vendor's format.
_UNREADABLE = (KeyError, TypeError, ValueError, IndexError, AttributeError, ArithmeticError, RecursionError)
_SHORTEST_SECRET = 8


@dataclass(frozen=True, slots=True)
class _Route:
    """A model with what is needed to call it. `deadline` is on the event loop's clock."""

    model: Model
    adapter: ChatAdapter
    base_url: str
    auth: dict[str, str] = field(repr=False)
    deadline: float
    request_id: str
    private: tuple[str, ...] = field(repr=False)

    def error(self, status: int, headers: Mapping[str, str], body: bytes) -> GatewayError:
        """What an answer that is no success means."""
        try:
            return self.told(self.adapter.error(status, headers, body))
        except _UNREADABLE:  # a body that is an error, but not in the vendor's format
            return error_for_status(status, headers, None)

    def told(self, error: GatewayError) -> GatewayError:
        """The error without our own key and the vendor's host, should the vendor have put them into its words."""
        for secret in self.private:
            error.message = error.message.replace(secret, REMOVED)
        return error

    def headers(self, call: Call) -> dict[str, str]:
        return {"x-request-id": self.request_id, **call.headers, **self.auth}


class Gateway:
    """Everything a function needs behind its routes; one for the life of the process."""

    def __init__(
        self,
        settings: Settings,
        keys: KeyStore,
        *,
        aws: Aws | None = None,
        secret: ProviderSecret | None = None,
        transport: "httpx.AsyncBaseTransport | None" = None,
        fetcher: "RemoteFetcher | None" = None,
    ) -> None:
        self.settings = settings
        self.keys = keys
        self.catalog = Catalog.load(settings)
        self._aws = aws
        self._secret = secret
        self._secret_values: Mapping[str, str] = {}
        self._inputs = Inputs(fetch_http=settings.fetch_http, fetcher=fetcher)
        self._transport = transport

    @classmethod
    def from_environment(cls, environment: Mapping[str, str]) -> "Gateway":
        """The gateway that an operator's environment describes. Raises ValueError naming a setting that is wrong."""
        settings = Settings.from_environment(environment)
        aws = Aws()
        secret = ProviderSecret(aws, settings.provider_secret) if settings.provider_secret else None
        keys = KeyStore(aws, settings.keys_table, cache_seconds=settings.key_cache)
        return cls(settings, keys, aws=aws, secret=secret)

    @cached_property
    def _upstream(self) -> "Upstream":
        from shared.upstream import Upstream  # with httpx, which is half as large as all the rest

        return Upstream(
            connect_timeout=self.settings.connect_timeout,
            in_process={SANDBOX: _answer_in_process},
            transport=self._transport,
        )

    async def aclose(self) -> None:
        if "_upstream" in self.__dict__:
            await self._upstream.aclose()
        await self._inputs.aclose()
        if self._aws is not None:
            await self._aws.aclose()

    async def refresh(self) -> None:
        """Takes in providers' keys that have changed in the secret. Raises AwsError while it could never be read."""
        if self._secret is not None and (values := await self._secret.values()) is not self._secret_values:
            self._secret_values = values
            self.catalog = self.catalog.configured_by({**self.settings.environment, **values})

    def models(self, caller: Caller) -> list[Model]:
        """The configured models that the caller may use, in order of preference."""
        return allowed(self.catalog.models(), caller)

    def model(self, model_id: str, caller: Caller) -> Model:
        """Raises ModelNotFound, also for a model that the caller may not use."""
        model = self.catalog.find(model_id)
        if not may_use(caller, model):
            raise ModelNotFound(f"The model '{model_id[:200]}' does not exist.")
        return model

    async def chat(self, requests: Sequence[ChatRequest], context: RequestContext) -> ChatResponse:
        """Answers requests for one model, their candidates numbered through. Raises any GatewayError."""
        route = self._route(requests[0], context)
        calls = list(_single_calls(await self._prepared(requests, route), route.model))
        responses = await together(self._complete(request, route, context) for request, _ in calls)
        candidates = tuple(
            candidate.model_copy(update={"index": candidate.index + offset})
            for (_, offset), response in zip(calls, responses, strict=True)
            for candidate in response.candidates
        )
        return ChatResponse(candidates=candidates, usage=context.usage)

    def chat_stream(self, requests: Sequence[ChatRequest], context: RequestContext) -> AsyncGenerator[ChatEvent, None]:
        """The events of the same answer as they arrive: one Started, deltas, a Finished for each candidate.

        What is wrong with the request's model is raised at once, all else by the iterator.
        """
        return _timed(self._events(requests, self._route(requests[0], context), context), context)

    async def _events(
        self, requests: Sequence[ChatRequest], route: _Route, context: RequestContext
    ) -> AsyncGenerator[ChatEvent, None]:
        calls = _single_calls(await self._prepared(requests, route), route.model)
        streams = [_shifted(self._stream(request, route, context), offset) for request, offset in calls]
        async with aclosing(streams[0] if len(streams) == 1 else merge(streams)) as events:
            async for event in events:
                yield event

    async def _prepared(self, requests: Sequence[ChatRequest], route: _Route) -> list[ChatRequest]:
        """The requests as the model takes them, before they are split into calls. Raises UpstreamTimeout."""
        try:
            async with asyncio.timeout_at(route.deadline):
                return [await self._inputs.prepared(request, route.model) for request in requests]
        except TimeoutError:
            raise UpstreamTimeout("The request's images could not be had in time.") from None

    def _route(self, request: ChatRequest, context: RequestContext) -> _Route:
        """Chooses the model, which also goes into the context, and says how to call it."""
        assert context.caller is not None, "routes authenticate before they call the gateway"
        context.model = model = select(request, self.catalog, context.caller)
        context.answered_as = model.id if request.model == AUTO else request.model
        provider = self.catalog.provider(model.provider)
        adapter = load(provider.adapter)
        assert isinstance(adapter, ChatAdapter), "a row promises chat only where its adapter has it"
        api_key = self.catalog.api_key(provider)
        base_url = self.catalog.base_url(provider)
        return _Route(
            model=model,
            adapter=adapter,
            base_url=base_url,
            auth=adapter.auth(api_key) if api_key else {},
            deadline=min(context.deadline, asyncio.get_running_loop().time() + self.settings.upstream_timeout),
            request_id=context.request_id,
            private=_private(api_key, base_url),
        )

    def _open(self, call: Call, route: _Route) -> "AbstractAsyncContextManager[Answer]":
        url = route.base_url + call.path
        return self._upstream.open(
            call.method, url, headers=route.headers(call), json=call.json, deadline=route.deadline
        )

    async def _complete(self, request: ChatRequest, route: _Route, context: RequestContext) -> ChatResponse:
        async with self._open(route.adapter.chat(request, route.model), route) as answer:
            body = await answer.read()
        if answer.status >= 400:
            raise route.error(answer.status, answer.headers, body)
        try:
            response = route.adapter.chat_response(json.loads(body))
        except GatewayError as error:
            raise route.told(error) from None
        except _UNREADABLE:
            raise _unreadable() from None
        context.usage += response.usage
        return cut(response, request.stop) if _is_ours_to_stop(request, route.model) else response

    def _stream(self, request: ChatRequest, route: _Route, context: RequestContext) -> AsyncGenerator[ChatEvent, None]:
        events = self._counted(request, route, context)
        return cut_stream(events, request.stop) if _is_ours_to_stop(request, route.model) else events

    async def _counted(
        self, request: ChatRequest, route: _Route, context: RequestContext
    ) -> AsyncGenerator[ChatEvent, None]:
        """The events of one call. Its usage goes into the context, also when it breaks off or is left."""
        begun = Usage()
        async with self._open(route.adapter.chat(request, route.model), route) as answer:
            if answer.status >= 400:
                raise route.error(answer.status, answer.headers, await answer.read())
            try:
                async with (
                    aclosing(sse_frames(answer)) as frames,
                    aclosing(route.adapter.chat_events(frames)) as events,
                ):
                    async for event in events:
                        if isinstance(event, Started):
                            begun = event.usage
                        elif isinstance(event, Finished):
                            context.usage += event.usage
                            begun = Usage()
                        yield event
            except GatewayError as error:
                raise route.told(error) from None
            except _UNREADABLE:
                raise _unreadable() from None
            finally:
                context.usage += begun
            await answer.drain()


def _is_ours_to_stop(request: ChatRequest, model: Model) -> bool:
    return bool(request.stop) and "no_stop" in model.rules


def _private(api_key: str | None, base_url: str) -> tuple[str, ...]:
    """What of a provider's configuration no caller may read; a key that is a mere word would spoil messages."""
    address = urlsplit(base_url)
    found = (api_key, address.netloc, address.hostname)
    return tuple(secret for secret in found if secret and len(secret) >= _SHORTEST_SECRET)


def _unreadable() -> UpstreamError:
    return UpstreamError("The provider's answer could not be read.")


def _answer_in_process(path: str, body: bytes) -> LocalAnswer:
    adapter = load(SANDBOX)
    assert isinstance(adapter, InProcess)
    return adapter.answer(path, body)


def _single_calls(requests: Sequence[ChatRequest], model: Model) -> Iterator[tuple[ChatRequest, int]]:
    """The calls that the model's provider takes for the requests, each with the index of its first candidate.

    Raises InvalidRequest when that would be too many.
    """
    split = "single_candidate" in model.rules
    if sum(request.n if split else 1 for request in requests) > MAX_FANNED_OUT:
        raise InvalidRequest.field("n", f"this model can give at most {MAX_FANNED_OUT} candidates for one request")
    offset = 0
    for request in requests:
        if split and request.n > 1:
            for copy in range(request.n):
                # The same seed in each call would give the same candidate again and again.
                seed = None if request.seed is None else request.seed + copy
                yield request.model_copy(update={"n": 1, "seed": seed}), offset + copy
        else:
            yield request, offset
        offset += request.n


async def _shifted(events: AsyncGenerator[ChatEvent, None], offset: int) -> AsyncGenerator[ChatEvent, None]:
    async with aclosing(events) as source:
        async for event in source:
            yield event if not offset or isinstance(event, Started) else replace(event, index=event.index + offset)


async def _timed(events: AsyncGenerator[ChatEvent, None], context: RequestContext) -> AsyncGenerator[ChatEvent, None]:
    """The stream with a single Started; when its first token came goes into the context."""
    started = False
    async with aclosing(events) as source:
        async for event in source:
            if isinstance(event, Started):
                if started:
                    continue
                started = True
            elif context.first_token is None:
                context.first_token = time.perf_counter() - context.began
            yield event
