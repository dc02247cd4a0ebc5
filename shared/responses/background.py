"""Answers requests in the background: each is started by a message, and has one outcome however often that comes."""

import asyncio
import time
from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, datetime
from http import HTTPStatus
from typing import TYPE_CHECKING

from shared.authentication import require_permissions
from shared.dialects.base import JsonObject
from shared.dialects.responses.answer import failed_body
from shared.errors import GatewayError, InternalError, RateLimited, Unauthorized
from shared.observability import log_crash, log_request
from shared.responses.service import ResponseService
from shared.schemas.caller import Caller, Permission
from shared.schemas.context import Meter, RequestContext, RequestInfo
from shared.schemas.stored_response import BackgroundMessage, BackgroundRequest, StoredResponse
from shared.stores.aws_calls import AwsError
from shared.stores.queue import MAX_DELAY_SECONDS, Outgoing

if TYPE_CHECKING:
    from shared.gateway.services import Services

_MAX_RECEIVES = 3
"""A message received more often than this, since workers died on it, has its response failed."""
_MAX_ROUNDS = 8
_STORING_SECONDS = 10.0
_PATH = "/v1/responses"


class BackgroundAnswers:
    """Answers requests in the background; `clock` is Unix time.

    Every `look_seconds` it checks whether the response that is being made has been cancelled or deleted.
    """

    def __init__(
        self, services: "Services", *, clock: Callable[[], float] = time.time, look_seconds: float = 2.0
    ) -> None:
        self._services = services
        self._store = services.responses
        self._service = ResponseService(services, clock=clock)
        self._clock = clock
        self._look_seconds = look_seconds

    async def process(self, text: str, *, receives: int, remaining: Callable[[], float]) -> None:
        """Answers the request of a message that was received `receives` times, within `remaining` seconds.

        Raises AwsError, and ValueError for an invalid message; then the message must be delivered again.
        """
        message = BackgroundMessage.model_validate_json(text)
        tenant = message.tenant
        found = await self._store.find_request(tenant, message.response)
        if found is None or await self._store.has_ended(tenant, message.response):
            return
        request, _ = found
        if receives > _MAX_RECEIVES:
            await self._fail(request, InternalError("The gateway failed repeatedly to answer this request."))
            return
        await self._services.refresh()
        await self._store.begin(tenant, request)
        await self._answer(request, message, remaining)

    async def _answer(
        self, request: BackgroundRequest, message: BackgroundMessage, remaining: Callable[[], float]
    ) -> None:
        deadline = asyncio.get_running_loop().time() + max(0.0, remaining() - _STORING_SECONDS)
        info, meter = RequestInfo(request.id, deadline), Meter(models=request.models)
        status = 200
        caller: Caller | None = None
        try:
            caller = await self._caller(request)
            await self._run(request, RequestContext(info, caller, meter))
        except GatewayError as error:
            meter.error, status = error.code, error.status
            if not await self._postponed(request, message, error):
                await self._fail(request, error)
        except AwsError:
            status = HTTPStatus.SERVICE_UNAVAILABLE
            raise
        except Exception:  # noqa: BLE001 - the same request would crash again
            log_crash(info)
            status = HTTPStatus.INTERNAL_SERVER_ERROR
            await self._fail(request, InternalError("The gateway failed."))
        finally:
            log_request(info, meter, caller, method="POST", path=_PATH, status=status)

    async def _run(self, request: BackgroundRequest, context: RequestContext) -> None:
        """Answers and stores, unless the response is cancelled or deleted meanwhile."""
        prepared = await self._service.prepare(request.body, context.caller, waiting=request.response)
        answering = asyncio.create_task(self._service.answer(prepared, context))
        try:
            while not (await asyncio.wait((answering,), timeout=self._look_seconds))[0]:
                if await self._has_ended(request):
                    return
            answering.result()
        finally:
            answering.cancel()
            await asyncio.gather(answering, return_exceptions=True)

    async def _has_ended(self, request: BackgroundRequest) -> bool:
        with suppress(AwsError):  # a failed check must not lose the answer
            return await self._store.has_ended(request.caller.tenant, request.id)
        return False

    async def _caller(self, request: BackgroundRequest) -> Caller:
        """The current state of the key that sent the request. Raises Unauthorized and PermissionDenied."""
        key = await self._services.keys.find_hashed(request.token_hash)
        if key is None or not key.usable(datetime.fromtimestamp(self._clock(), UTC)):
            raise Unauthorized("The API key is no longer valid.")
        require_permissions(key, (Permission.MODELS_USE,))
        return key

    async def _postponed(self, request: BackgroundRequest, message: BackgroundMessage, error: GatewayError) -> bool:
        """Whether another message has been sent, for when a rate limit allows the request."""
        if not isinstance(error, RateLimited) or error.retry_after is None or message.round >= _MAX_ROUNDS:
            return False
        await self._store.queue(message.tenant, request)
        again = message.model_copy(update={"round": message.round + 1, "failures": 0})
        delay = min(MAX_DELAY_SECONDS, error.retry_after)
        await self._services.batch_queue.send([Outgoing(again.model_dump_json(), delay)])
        return True

    async def _fail(self, request: BackgroundRequest, error: GatewayError) -> None:
        body: JsonObject = failed_body(request.response, error)
        await self._store.put(request.caller.tenant, StoredResponse(body))
