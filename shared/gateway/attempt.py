"""Attempts a request with one model: translates it, calls the provider, reads and meters the response."""

import time
from collections.abc import AsyncGenerator, AsyncIterator, Iterator, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager, contextmanager
from dataclasses import field
from typing import TYPE_CHECKING, Any, Protocol, TypeVar
from urllib.parse import urlsplit

from pydantic_core import from_json

from shared.dataclass import dataclass
from shared.errors import (
    CredentialsRefused,
    FieldError,
    GatewayError,
    InvalidRequest,
    UpstreamIncomplete,
    UpstreamTimeout,
    UpstreamUnreadable,
)
from shared.gateway.call_meter import CallMeter
from shared.gateway.call_meter import Estimate as CallEstimate
from shared.gateway.candidates import Candidate
from shared.json_text import encoded
from shared.observability import log_failed_call
from shared.offload import off_loop
from shared.providers import load, load_vendor
from shared.providers.base import (
    REMOVED,
    Adapter,
    Call,
    EventAdapter,
    HeaderMetered,
    ResponseAdapter,
    error_for_status,
    retry_after_seconds,
)
from shared.schemas.context import CANCELLED, RequestContext
from shared.schemas.usage import Usage, no_usage

if TYPE_CHECKING:
    from shared.gateway.services import Services
    from shared.schemas.price import Price
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
# The headers in which providers name a request for their support.
_REQUEST_IDS = ("x-request-id", "request-id", "x-amzn-requestid", "cf-ray")


@dataclass(slots=True)
class _Progress:
    """The state of a call, for the log."""

    began: float = field(default_factory=time.perf_counter)
    status: int | None = None
    headers: Mapping[str, str] = field(default_factory=dict)


class Attempt:
    """One candidate and everything needed to call it. `deadline` is on the event loop's clock.

    `usage`, `cost`, `is_estimate`, `is_answered`, `first_token` and `lowered_max_tokens` are as in Meter, of this
    attempt alone. `outcome` is how its first failed call ended: the provider's status, or one of connect, timeout, cut
    and unreadable; None if no call has failed.
    """

    def __init__(
        self,
        services: "Services",
        context: RequestContext,
        candidate: Candidate,
        *,
        operation: str,
        price: "Price | None",
        deadline: float,
        has_surcharge: bool,
    ) -> None:
        model = candidate.model
        provider = services.catalog.provider(model.provider)
        self.services = services
        self.context = context
        self.model = model
        self.price = price
        self.adapter: Any = load(provider.adapter, operation)
        self.deadline = deadline
        self.outcome: str | None = None
        self._answered_as = candidate.answered_as
        self._has_surcharge = has_surcharge
        self._vendor = load_vendor(provider.adapter)
        self._base_url = services.catalog.base_url(provider)
        self._api_key = services.catalog.api_key(provider)
        self._auth = services.auth(provider, self._vendor)
        self._began = 0.0
        self._has_succeeded = False
        self.usage = no_usage()
        self.cost: int | None = None
        self.is_estimate = has_surcharge
        self.is_answered = False
        self.first_token: float | None = None
        self.lowered_max_tokens: int | None = None
        self.left_out_search = False

    def begin(self) -> None:
        """Starts the attempt; called again, it is repeated from the start."""
        self.outcome = None
        self.usage, self.cost, self.is_estimate = no_usage(), None, self._has_surcharge
        self.is_answered, self.first_token = False, None
        self.lowered_max_tokens, self.left_out_search = None, False
        self._began = time.perf_counter()
        self.context.meter.is_estimate |= self.is_estimate

    def lead(self) -> None:
        """Makes this attempt the one of which the request's headers, body and log line tell."""
        meter = self.context.meter
        meter.model, meter.answered_as = self.model, self._answered_as
        meter.is_answered, meter.first_token = self.is_answered, self.first_token
        meter.lowered_max_tokens, meter.left_out_search = self.lowered_max_tokens, self.left_out_search

    @property
    def _leads(self) -> bool:
        return self.context.meter.model is self.model

    def succeeded(self) -> None:
        """Notes that the response is from this attempt."""
        self._has_succeeded = True
        self.context.meter.attempts.append(f"{self.model.target};200")
        self.services.circuits.succeeded(self.model.target)

    def cancelled(self) -> None:
        """Notes that the attempt was cancelled because another one was the first to say something."""
        if self.outcome is None:
            self.context.meter.attempts.append(f"{self.model.target};{CANCELLED}")

    def silent(self) -> UpstreamTimeout:
        """Notes that the attempt is given up because its stream has said nothing, and returns the error for that."""
        error = UpstreamTimeout("The provider did not begin to answer in time.")
        self._log(error, _Progress(self._began))
        return error

    @property
    def has_spent(self) -> bool:
        """Whether the attempt has used something that is charged."""
        return bool(self.cost) or self.usage != no_usage()

    @property
    def counted_as(self) -> str:
        """The model's id in the key's usage."""
        return self.model.counted_as(is_answered=self.is_answered)

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
            if isinstance(adapter, HeaderMetered) and response.usage == no_usage():
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
                retry_after = retry_after_seconds(answer.headers) if answer.status in (429, 503, 529) else None
                self.services.circuits.told(self.model.target, answer.headers, retry_after=retry_after)
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
        meter = self.context.meter
        if self.outcome is None:  # of several calls, the first failure ends the others
            self.outcome = _outcome(error, progress.status)
            if self._has_succeeded:  # until now
                meter.attempts.pop()
            meter.attempts.append(f"{self.model.target};{self.outcome}")
            self.services.circuits.failed(self.model.target, error, self.outcome)
        log_failed_call(
            self.context.request,
            self.model,
            error,
            status=progress.status,
            provider_request_id=next(
                (progress.headers[name] for name in _REQUEST_IDS if name in progress.headers), None
            ),
            attempt=len(meter.attempts),
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
            raise UpstreamUnreadable("The provider's response could not be read.") from None

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
        """Adds one call's usage to the attempt's and the request's; a ceiling costs what was reserved for it.

        A cost that the provider reports is not computed from the price table.
        """
        meter, charged = self.context.meter, usage.cost
        if charged is None and self.price is not None:
            from shared.pricing import cost, upper_bound

            charged = (upper_bound if is_ceiling else cost)(usage, self.price)
        self.is_answered |= is_answered
        if self._leads:
            meter.is_answered = self.is_answered
        meter.usage += usage
        self.usage += usage
        meter.is_estimate |= is_estimate
        self.is_estimate |= is_estimate
        if charged is not None:
            meter.cost = (meter.cost or 0) + charged
            self.cost = (self.cost or 0) + charged

    def note_first_token(self) -> None:
        """Records when the first token of a stream arrived."""
        if self.first_token is None:
            self.first_token = time.perf_counter() - self.context.request.began
            if self._leads:
                self.context.meter.first_token = self.first_token

    def note_changes(self, *, lowered_max_tokens: int | None, left_out_search: bool) -> None:
        """Records how the request was changed for the model: its maximum where the request asked for more, and whether
        an offered search was left out.
        """
        self.lowered_max_tokens, self.left_out_search = lowered_max_tokens, left_out_search
        if self._leads:
            meter = self.context.meter
            meter.lowered_max_tokens, meter.left_out_search = lowered_max_tokens, left_out_search


def _outcome(error: GatewayError, status: int | None) -> str:
    """How a failed call ended; `status` is the provider's, None if it did not respond."""
    if status is not None and status >= 400:
        return str(status)
    if isinstance(error, UpstreamTimeout):
        return "timeout"
    if isinstance(error, CredentialsRefused):  # where the gateway has none to send
        return "401"
    if status is None:
        return "connect"
    if isinstance(error, UpstreamUnreadable):
        return "unreadable"
    return "cut" if isinstance(error, UpstreamIncomplete) else str(error.status)
