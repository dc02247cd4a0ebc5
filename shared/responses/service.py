"""What callers do with responses: create, retrieve, continue, cancel and delete them."""

import asyncio
import time
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing
from typing import TYPE_CHECKING

from shared.dataclass import dataclass
from shared.dialects.base import Defaults, JsonObject, Seal
from shared.dialects.responses.answer import ENDED, ResponseWriter, is_ending, is_opening, replayed, waiting_body
from shared.dialects.responses.create import CreateOperation, compactable, countable, create, own_items
from shared.dialects.responses.output_items import Numbering
from shared.dialects.responses.stored import kept_items
from shared.errors import InvalidRequest, ResponseNotFound, UpstreamIncomplete
from shared.offload import off_loop
from shared.responses.conversation import Conversation, continued, with_files
from shared.responses.unavailable import store_failures_answered
from shared.schemas.caller import Caller
from shared.schemas.stored_response import (
    BackgroundMessage,
    BackgroundRequest,
    StoredResponse,
    is_response_id,
    new_response_id,
)
from shared.sealing import BoundSealer
from shared.stores.keys import hash_token
from shared.stores.queue import Outgoing

if TYPE_CHECKING:
    from shared.gateway.services import Services
    from shared.schemas.context import RequestContext

_LOOK_SECONDS = 1.0
"""How often a stream of a response in the background checks whether it has ended."""


@dataclass(frozen=True, slots=True)
class Prepared:
    """A request that is ready to be answered. `body` is what the client sent, with the gateway's own settings."""

    response_id: str
    created_at: int
    body: JsonObject
    operation: CreateOperation
    conversation: Conversation
    seal: Seal

    @property
    def is_background(self) -> bool:
        return bool(self.operation.settings["background"])

    def writer(self, context: "RequestContext") -> ResponseWriter:
        return ResponseWriter(
            self.operation, context, self.seal, response_id=self.response_id, created_at=self.created_at
        )

    def waiting(self) -> JsonObject:
        """The response in the background before it is begun."""
        return waiting_body(
            self.operation.settings, self.response_id, self.created_at, self.operation.request.model, "queued"
        )


class ResponseService:
    """The responses of one process; `clock` is Unix time.

    Every method raises ModelUnavailable while the store of responses cannot be reached.
    """

    def __init__(self, services: "Services", *, clock: Callable[[], float] = time.time) -> None:
        self._services = services
        self._store = services.responses
        self._clock = clock

    # ---- Creating ----------------------------------------------------------------------------------------------------

    async def prepare(
        self, body: JsonObject, caller: Caller, *, waiting: JsonObject | None = None, is_heavy: bool = False
    ) -> Prepared:
        """Parses a request and reads what it refers to; `waiting` is its response, where it has one already.

        A request that is heavy is parsed in a thread.

        Raises InvalidRequest.
        """
        services, settings = self._services, self._services.settings
        if not settings.store_responses:
            body = {**body, "store": False}
        if body.get("background") is True and body.get("store") is False:
            raise InvalidRequest.field("background", "needs store")
        response_id = new_response_id(self._clock()) if waiting is None else waiting["id"]
        own = _listed(body)
        conversation = await continued(services, caller.tenant, body.get("previous_response_id"), own)
        if own:
            body = {**body, "input": [*conversation.own]}
        readable = body
        if own:
            readable = {**body, "input": [*await with_files(services, caller.tenant, conversation.own, "input")]}
        context = await with_files(services, caller.tenant, conversation.context, "previous_response_id")
        seal = BoundSealer(await services.sealer(), caller.tenant)
        defaults = Defaults(max_tokens=settings.default_max_tokens, thinking_tokens=settings.thinking_tokens, seal=seal)
        operation = await off_loop(is_heavy, create, readable, defaults, context)
        return Prepared(
            response_id=response_id,
            created_at=int(self._clock()) if waiting is None else waiting["created_at"],
            body=body,
            operation=operation,
            conversation=Conversation(conversation.context, tuple(kept_items(own_items(body), response_id))),
            seal=seal,
        )

    async def events(
        self, prepared: Prepared, writer: ResponseWriter, context: "RequestContext"
    ) -> AsyncGenerator[JsonObject, None]:
        """The events of the response; the last comes when the response is stored. Raises any GatewayError.

        What only says that the response has begun is held back until there is more, so that a call that fails before
        has the error's own status.
        """
        from shared.gateway.chat import chat_events

        held: list[JsonObject] = []
        endings: list[JsonObject] = []
        async with aclosing(chat_events(self._services, (prepared.operation.request,), context)) as call:
            async for event in call:
                for told in writer.feed(event):
                    if is_ending(told):
                        endings.append(told)
                    elif is_opening(told):
                        held.append(told)
                    else:
                        for earlier in held:
                            yield earlier
                        held.clear()
                        yield told
        if writer.body is None:
            raise UpstreamIncomplete("The provider's response ended before it was complete.")
        await self.store(prepared, writer.body, context.caller)
        for told in (*held, *endings):
            yield told

    async def answer(self, prepared: Prepared, context: "RequestContext") -> JsonObject:
        """The whole response. Raises any GatewayError."""
        writer = prepared.writer(context)
        async with aclosing(self.events(prepared, writer, context)) as events:
            async for _ in events:
                pass
        assert writer.body is not None
        return writer.body

    async def store(self, prepared: Prepared, body: JsonObject, caller: Caller) -> None:
        """Keeps a response that has ended, unless the request says not to, or it has been cancelled meanwhile."""
        if prepared.operation.settings["store"]:
            stored = StoredResponse(body, prepared.conversation.context, prepared.conversation.own)
            with store_failures_answered():
                await self._store.put(caller.tenant, stored)

    async def count(self, body: JsonObject, context: "RequestContext") -> int:
        """How many tokens the input of a request has. Raises InvalidRequest and any GatewayError of the provider."""
        from shared.gateway.token_counts import count

        prepared = await self.prepare(countable(body), context.caller, is_heavy=context.meter.is_heavy)
        return await count(self._services, prepared.operation.request, context)

    async def compact(self, body: JsonObject, context: "RequestContext") -> JsonObject:
        """A conversation made shorter, as the vendor answers it. Nothing of it is stored. Raises any GatewayError."""
        from shared.gateway.compaction import compact

        prepared = await self.prepare(compactable(body), context.caller, is_heavy=context.meter.is_heavy)
        return (await compact(self._services, prepared.operation.request, context)).body

    # ---- In the background -------------------------------------------------------------------------------------------

    async def submit(self, prepared: Prepared, context: "RequestContext", token: str) -> JsonObject:
        """Leaves a request to the batch worker and returns its waiting response.

        The key of `token` is looked up again when the request is answered.
        Raises ModelNotFound, ModelAccessDenied and UnsupportedFeature if none of its models can answer it.
        """
        from shared.gateway.chat_selection import chat_candidates

        caller = context.caller
        chat_candidates(self._services, context, prepared.operation.request)
        request = BackgroundRequest(
            caller=Caller(**{name: getattr(caller, name) for name in Caller.model_fields}),
            token_hash=hash_token(token),
            body={**prepared.body, "stream": False},
            models=context.meter.models,
            response=prepared.waiting(),
        )
        message = BackgroundMessage(tenant=caller.tenant, response=request.id)
        with store_failures_answered():
            await self._store.queue(caller.tenant, request)
            await self._services.batch_queue.send([Outgoing(message.model_dump_json())])
        return request.response

    async def cancel(self, caller: Caller, response_id: str) -> JsonObject:
        """Cancels a response in the background; one that has ended stays as it is.

        Raises ResponseNotFound, and InvalidRequest for a response that is not in the background.
        """
        with store_failures_answered():
            found = await self._store.find_request(caller.tenant, response_id)
            if found is not None:
                body = {**found[0].response, "status": "cancelled"}
                if await self._store.put(caller.tenant, StoredResponse(body)):
                    return body
        body = await self.find(caller, response_id)
        if not body["background"]:
            raise InvalidRequest("Only responses in the background can be cancelled.")
        return body

    # ---- Stored responses --------------------------------------------------------------------------------------------

    async def find(self, caller: Caller, response_id: str) -> JsonObject:
        """A response as it stands. Raises ResponseNotFound, also for another tenant's."""
        with store_failures_answered():
            stored = await self._store.find(caller.tenant, response_id)
            if stored is not None:
                return stored.body
            waiting = await self._store.find_request(caller.tenant, response_id)
        if waiting is None:
            raise _not_found(response_id)
        request, status = waiting
        return {**request.response, "status": status}

    async def followed(self, caller: Caller, body: JsonObject, deadline: float) -> AsyncGenerator[JsonObject, None]:
        """The events of a response, as it stands; for one that has not ended, the rest comes once it has.

        Waits until `deadline`, on the event loop's clock. Raises ResponseNotFound if it is deleted meanwhile.
        """
        numbering, told = Numbering(), 0
        if body["status"] not in ENDED:
            waiting = {**body, "status": "queued"}
            for kind in ("created", "queued"):
                yield numbering.event(f"response.{kind}", response=waiting)
                told += 1
        while body["status"] not in ENDED:
            if asyncio.get_running_loop().time() + _LOOK_SECONDS > deadline:
                return
            await asyncio.sleep(_LOOK_SECONDS)
            body = await self.find(caller, body["id"])
        for at, event in enumerate(replayed(body)):
            if at >= told:
                yield event

    async def items(self, caller: Caller, response_id: str) -> tuple[JsonObject, ...]:
        """The items that the model was given. Raises ResponseNotFound, also for another tenant's response."""
        with store_failures_answered():
            stored = await self._store.find(caller.tenant, response_id)
            if stored is not None and stored.body["status"] != "cancelled":
                return stored.given
            waiting = await self._store.find_request(caller.tenant, response_id)
        if waiting is None:
            raise _not_found(response_id)
        prepared = await self.prepare(waiting[0].body, caller, waiting=waiting[0].response)
        return (*prepared.conversation.context, *prepared.conversation.own)

    async def delete(self, caller: Caller, response_id: str) -> None:
        """Deletes a response. Raises ResponseNotFound, also for another tenant's."""
        with store_failures_answered():
            if not (is_response_id(response_id) and await self._store.delete(caller.tenant, response_id)):
                raise _not_found(response_id)


def _listed(body: JsonObject) -> list[JsonObject]:
    """The items of a body's input; none if it is a text, or invalid."""
    given = body.get("input")
    return given if isinstance(given, list) and all(isinstance(item, dict) for item in given) else []


def _not_found(response_id: str) -> ResponseNotFound:
    return ResponseNotFound(f"Response with id '{response_id[:100]}' not found.")
