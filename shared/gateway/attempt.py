"""One attempt to answer a request: selects the candidate, reserves, calls the provider, settles, keeps the deadline.

Every kind of request goes through `run`, with a plan that works for any candidate.
"""

import asyncio
import time
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, aclosing, asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Generic, Protocol, TypeVar
from urllib.parse import urlsplit

from pydantic_core import from_json

from shared.catalog import AUTO
from shared.errors import (
    FieldError,
    GatewayError,
    InvalidRequest,
    ModelAccessDenied,
    UpstreamIncomplete,
    UpstreamTimeout,
)
from shared.gateway.call_meter import CallMeter
from shared.gateway.call_meter import Estimate as CallEstimate
from shared.json_text import encoded
from shared.observability import log_failed_call
from shared.offload import off_loop
from shared.providers import load, load_vendor
from shared.providers.base import REMOVED, Adapter, Call, EventAdapter, HeaderMetered, ResponseAdapter, error_for_status
from shared.pump import Pump
from shared.schemas.context import RequestContext
from shared.schemas.limits import Estimate, Rates, Refused
from shared.schemas.model import Model
from shared.schemas.usage import Usage

if TYPE_CHECKING:
    from shared.gateway.services import Services
    from shared.schemas.price import Price
    from shared.stores.limits.store import LimitStore, Reservation
    from shared.upstream import Answer

RequestT = TypeVar("RequestT")


class Metered(Protocol):
    """A canonical response with the usage of its call."""

    @property
    def usage(self) -> Usage: ...


ResponseT = TypeVar("ResponseT", bound=Metered)
EventT = TypeVar("EventT")

# What an adapter raises on a body that is not its vendor's format.
_UNREADABLE = (KeyError, TypeError, ValueError, IndexError, AttributeError, ArithmeticError, RecursionError)
_SHORTEST_SECRET = 8
HEAVY_ANSWER_BYTES = 256 * 1024
"""An answer that is larger is read off the event loop."""
# Of a body that is an error only so much is read: what it says is cut to a thousand characters anyway.
_MAX_ERROR_BYTES = 512 * 1024
_SETTLING_SECONDS = 0.5
"""How long a request waits for its settlement."""
# The headers in which providers name a request for their support.
_REQUEST_IDS = ("x-request-id", "request-id", "x-amzn-requestid", "cf-ray")


@dataclass(frozen=True, slots=True)
class Plan(Generic[EventT]):
    """How to answer a request with any of the candidates.

    `operation` names the adapters, `requested` is the model as the caller named it. `estimate` returns the expected
    and the maximum usage with a model. `sources` prepares the request and returns the events of each call.
    `is_priced` is whether a price covers what the operation is charged by.
    """

    operation: str
    requested: str
    candidates: Sequence[Model]
    estimate: Callable[[Model], tuple[Usage, Usage]]
    sources: "Callable[[Attempt], Awaitable[Sequence[AsyncGenerator[EventT, None]]]]"
    is_priced: "Callable[[Price], bool]" = lambda price: True


async def run(services: "Services", context: RequestContext, plan: Plan[EventT]) -> AsyncGenerator[EventT, None]:
    """The events of the response. Raises any GatewayError."""
    attempt = Attempt(services, context, plan, plan.candidates[0])
    expected, ceiling = await off_loop(context.meter.is_heavy, plan.estimate, attempt.model)
    async with attempt.reserved(expected, ceiling):
        sources = await plan.sources(attempt)
        async with aclosing(sources[0] if len(sources) == 1 else Pump(*sources)) as events:
            async for event in events:
                yield event


@dataclass(slots=True)
class _Progress:
    """The state of a call, for the log."""

    began: float = field(default_factory=time.perf_counter)
    status: int | None = None
    headers: Mapping[str, str] = field(default_factory=dict)


async def only(events: AsyncGenerator[EventT, None]) -> EventT:
    """The only event of a source, which is run to the end."""
    found = [event async for event in events]
    (event,) = found
    return event


class Attempt:
    """One candidate and everything needed to call it. `deadline` is on the event loop's clock."""

    def __init__(self, services: "Services", context: RequestContext, plan: Plan[Any], model: Model) -> None:
        provider = services.catalog.provider(model.provider)
        self.services = services
        self.context = context
        self.model = model
        self.adapter: Any = load(provider.adapter, plan.operation)
        self.deadline = min(
            context.request.deadline, asyncio.get_running_loop().time() + services.settings.upstream_timeout
        )
        self._vendor = load_vendor(provider.adapter)
        self._base_url = services.catalog.base_url(provider)
        self._api_key = services.catalog.api_key(provider)
        self._auth = services.auth(provider, self._vendor)
        price, meter = services.price(model), context.meter
        meter.model = model
        meter.price = price if price is not None and plan.is_priced(price) else None
        meter.answered_as = model.id if plan.requested == AUTO else plan.requested

    # ---- Calling -----------------------------------------------------------------------------------------------------

    async def response(
        self, adapter: ResponseAdapter[RequestT, ResponseT], request: RequestT, estimate: CallEstimate
    ) -> ResponseT:
        """Makes one call and returns its response; records its usage."""
        call, content = await self._translated(adapter, request)
        meter = CallMeter(self.record, estimate)
        progress = _Progress()
        try:
            async with self._open(call, content, meter, progress) as answer:
                bodies, headers = [await answer.read()], answer.headers
            with self._reading(meter):
                # A large one must not stay in memory beside the decoded one.
                is_heavy = len(bodies[0]) > HEAVY_ANSWER_BYTES
                response = await off_loop(is_heavy, lambda: adapter.response(from_json(bodies.pop())))
            if isinstance(adapter, HeaderMetered) and response.usage == Usage():
                meter.reported(adapter.usage_in(headers))
            else:
                meter.reported(response.usage)
            meter.close(is_complete=True)
            return response
        except GatewayError as error:
            self._log(error, progress)
            raise
        finally:
            meter.close()

    async def events(
        self, adapter: EventAdapter[RequestT, EventT], request: RequestT, meter: CallMeter
    ) -> AsyncGenerator[EventT, None]:
        """The events of one call, as they arrive if it is streamed. The caller feeds them to the meter."""
        call, content = await self._translated(adapter, request)
        reader = adapter.reader(request)
        progress = _Progress()
        try:
            async with self._open(call, content, meter, progress) as answer:
                with self._reading(meter):
                    if not call.streamed:
                        body = await answer.read()
                        is_heavy = len(body) > HEAVY_ANSWER_BYTES
                        for event in await off_loop(is_heavy, lambda: list(reader.body(body))):
                            yield event
                        return
                    decoder = adapter.frames()
                    async for chunk in answer:
                        for frame in decoder.feed(chunk):
                            for event in reader.frame(frame):
                                yield event
                        if reader.done:
                            break
                    for event in reader.end():
                        yield event
                await answer.drain()
        except GatewayError as error:
            self._log(error, progress)
            raise

    async def _translated(self, adapter: Adapter[RequestT], request: RequestT) -> tuple[Call, bytes | None]:
        """The call of the provider and its JSON body. Raises what `Adapter.call` raises, and InvalidRequest."""
        is_heavy = self.context.meter.is_heavy

        def translated() -> tuple[Call, bytes | None]:
            call = adapter.call(request, self.model)
            try:
                return call, None if call.json is None else encoded(call.json, is_heavy=is_heavy)
            except ValueError:  # a number such as 1e999 in a schema
                raise InvalidRequest("The request has a number that JSON cannot represent.") from None
            except RecursionError:
                raise InvalidRequest("The request is nested too deeply.") from None

        return await off_loop(is_heavy, translated)

    @asynccontextmanager
    async def _open(
        self, call: Call, content: bytes | None, meter: CallMeter, progress: "_Progress"
    ) -> "AsyncIterator[Answer]":
        """A successful response. Raises the error of any other response, UpstreamTimeout and UpstreamError."""
        opened: AbstractAsyncContextManager[Answer] = self.services.upstream.open(
            call.method,
            self._base_url + call.path,
            headers={"x-request-id": self.context.request.id, **call.headers},
            auth=self._auth,
            content=content,
            form=call.form,
            deadline=self.deadline,
        )
        meter.sent()
        try:
            async with opened as answer:
                progress.status, progress.headers = answer.status, answer.headers
                if answer.status >= 400:
                    error = self._error(answer.status, answer.headers, await answer.beginning(_MAX_ERROR_BYTES))
                    if not isinstance(error, UpstreamTimeout):  # the model may still be running after a 504
                        meter.refused()
                    raise error
                yield answer
        except GatewayError as error:
            if error.unsent:
                meter.refused()
            raise

    def _log(self, error: GatewayError, progress: "_Progress") -> None:
        log_failed_call(
            self.context.request,
            self.model,
            error,
            status=progress.status,
            provider_request_id=next(
                (progress.headers[name] for name in _REQUEST_IDS if name in progress.headers), None
            ),
            attempt=1,
            seconds=time.perf_counter() - progress.began,
        )

    @contextmanager
    def _reading(self, meter: CallMeter) -> Iterator[None]:
        """Around all code that reads a response: turns every failure into an error that a caller may see."""
        try:
            yield
        except (UpstreamIncomplete, UpstreamTimeout):
            raise
        except GatewayError as error:  # with the provider's message
            if isinstance(error, InvalidRequest):
                meter.declined()
            else:
                meter.refused()
            raise self._cleaned(error) from None
        except _UNREADABLE:
            raise UpstreamIncomplete("The provider's response could not be read.") from None

    def _error(self, status: int, headers: Mapping[str, str], body: bytes) -> GatewayError:
        try:
            return self._cleaned(self._vendor.error(status, headers, body))
        except _UNREADABLE:  # an error whose body is not in the vendor's format
            return error_for_status(status, headers, None)

    def _cleaned(self, error: GatewayError) -> GatewayError:
        """The error with our API key and the vendor's host removed from its message."""
        address = urlsplit(self._base_url)
        for secret in (self._api_key, address.netloc, address.hostname):
            # Replacing a key as short as a common word would garble messages.
            if secret and len(secret) >= _SHORTEST_SECRET:
                error.message = error.message.replace(secret, REMOVED)
                error.details = tuple(
                    FieldError(detail.field, detail.message.replace(secret, REMOVED)) for detail in error.details
                )
        return error

    # ---- Metering ----------------------------------------------------------------------------------------------------

    def record(
        self, usage: Usage, *, is_estimate: bool = False, is_ceiling: bool = False, is_answered: bool = True
    ) -> None:
        """Adds one call's usage to the request's; a ceiling costs what was reserved for it.

        A cost that the provider reports is not computed from the price table.
        """
        meter = self.context.meter
        meter.is_answered |= is_answered
        meter.usage += usage
        meter.is_estimate |= is_estimate
        if usage.cost is not None:
            meter.cost = (meter.cost or 0) + usage.cost
        elif meter.price is not None:
            from shared.pricing import cost, upper_bound

            meter.cost = (meter.cost or 0) + (upper_bound if is_ceiling else cost)(usage, meter.price)

    def note_first_token(self) -> None:
        """Records when the first token of a stream arrived."""
        if self.context.meter.first_token is None:
            self.context.meter.first_token = time.perf_counter() - self.context.request.began

    @asynccontextmanager
    async def reserved(self, expected: Usage, ceiling: Usage) -> AsyncIterator[None]:
        """Around the calls of one request: reserves before them and settles after, however they end.

        `expected` is reserved from the tokens per minute, `ceiling` bounds the cost. Raises Refused and
        ModelUnavailable as LimitStore.reserve does, and ModelAccessDenied for a model without a price if the key
        has a budget.
        """
        context, services = self.context, self.services
        context.meter.rates = Rates()
        limits = services.limits
        if limits is None:
            yield
            return
        try:
            share = services.settings.batch_share if context.request.is_batch else 1.0
            reservation = await limits.reserve(context.caller, self._estimate(expected, ceiling), share=share)
        except Refused as refused:
            context.meter.rates = refused.rates
            raise
        context.meter.rates = reservation.rates
        failed = True
        try:
            yield
            failed = False
        finally:
            await self._settle(limits, reservation, failed=failed)

    def _estimate(self, expected: Usage, ceiling: Usage) -> Estimate:
        caller, price = self.context.caller, self.context.meter.price
        tokens = expected.total_tokens
        if not (caller.limits.budgeted or caller.tenant_limits.budgeted):
            return Estimate(tokens)
        if price is None:
            if self.services.settings.allow_unpriced:
                return Estimate(tokens)
            raise ModelAccessDenied(
                f"No price is configured for the model '{self.model.id}', so keys with a budget may not use it."
            )
        from shared.pricing import upper_bound

        return Estimate(tokens, upper_bound(ceiling, price))

    async def _settle(self, limits: "LimitStore", reservation: "Reservation", *, failed: bool) -> None:
        """Waits a little for the settlement, unless it waits for others; it goes on after that, also when the client
        leaves."""
        meter = self.context.meter
        counted_as = meter.counted_as or self.model.id
        settling = limits.settle(
            reservation, counted_as, meter.usage, meter.cost or 0, failed=failed, estimated=meter.is_estimate
        )
        if limits.gathers(reservation):
            return
        meter.unsettled = True  # for the log, unless it is written in time
        await asyncio.wait([settling], timeout=_SETTLING_SECONDS)
        meter.unsettled = not settling.done() or settling.exception() is not None or not settling.result()
