"""Answers a request with the first of its candidates that can: selects, reserves, calls, settles, keeps the deadline.

Every kind of request goes through `run`, with a plan that works for any candidate.
"""

import asyncio
from collections import deque
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, aclosing, asynccontextmanager
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from shared.dataclass import dataclass
from shared.errors import GatewayError, ModelAccessDenied
from shared.gateway.attempt import Attempt
from shared.gateway.candidates import Candidate
from shared.gateway.course import Course
from shared.gateway.reserving import Reserving
from shared.offload import off_loop
from shared.pump import Pump
from shared.schemas.context import RequestContext
from shared.schemas.limits import Estimate, Refused
from shared.schemas.model import Model
from shared.schemas.usage import Usage

if TYPE_CHECKING:
    from shared.gateway.services import Services
    from shared.schemas.price import Price

EventT = TypeVar("EventT")
Spoken = tuple[deque[EventT], AsyncIterator[EventT]]
"""The events up to the first that says something, and the others as they come."""


@dataclass(frozen=True, slots=True)
class Plan(Generic[EventT]):
    """How to answer a request with any of the candidates.

    `operation` names the adapters. `estimate` returns the expected and the maximum usage with a model. `sources`
    prepares the request and returns the events of each call. `is_priced` is whether a price covers what the operation
    is charged by; `has_surcharge` whether a model may cost more than its price, and raises UnsupportedFeature where the
    key may not use it then.

    `speaks` is whether an event says something: those before the first that does are held back, since the attempt may
    still be given up for another. Nothing of a response that is not `is_streamed` is sent before it is complete.
    """

    operation: str
    candidates: Sequence[Candidate]
    estimate: Callable[[Model], tuple[Usage, Usage]]
    sources: Callable[[Attempt], Awaitable[Sequence[AsyncGenerator[EventT, None]]]]
    is_priced: "Callable[[Price], bool]" = lambda price: True
    has_surcharge: Callable[[Model], bool] = lambda model: False
    is_streamed: bool = False
    speaks: Callable[[EventT], bool] = lambda event: True


async def run(services: "Services", context: RequestContext, plan: Plan[EventT]) -> AsyncGenerator[EventT, None]:
    """The events of the response. Raises any GatewayError."""
    clock = asyncio.get_running_loop().time
    deadline = min(context.request.deadline, clock() + services.settings.upstream_timeout)
    offers = await off_loop(context.meter.is_heavy, _offers, services, context, plan, deadline)
    services.circuits.refresh()
    course = Course(
        list(offers),
        deadline=deadline,
        pause=services.pause,
        circuits=services.circuits,
        may_repeat=not context.request.is_batch,  # a line is tried again with its whole batch
    )
    await course.start()
    reserving = Reserving(services, context)
    course.current.begin()
    course.current.lead()
    await reserving.take(course.current, list(offers.values()))
    failed, has_spoken = True, False
    try:
        while True:
            try:
                async with _first_spoken(plan, course, reserving, offers) as (held, events):
                    has_spoken = True
                    course.current.succeeded()
                    while held:
                        yield held.popleft()
                    async for event in events:
                        yield event
                failed = False
                return
            except GatewayError as error:
                if has_spoken:
                    raise
                attempt = course.current
                await course.advance(error)
                if attempt.has_spent:
                    await reserving.settle(attempt, failed=True)
                if not reserving.pass_on(attempt, course.current, offers[course.current]):
                    await _reserve_again(reserving, course, offers, error)
                course.current.begin()
                course.current.lead()
    finally:
        await reserving.settle(course.current, failed=failed)


async def _reserve_again(
    reserving: Reserving, course: Course, offers: Mapping[Attempt, Estimate], error: GatewayError
) -> None:
    """Reserves for the rest of a request, of which an attempt has cost something. Without room its error is final."""
    try:
        await reserving.take(course.current, [offers[one] for one in (course.current, *course.left)])
    except Refused:
        raise error from None


def _offers(services: "Services", context: RequestContext, plan: Plan[Any], deadline: float) -> dict[Attempt, Estimate]:
    """An attempt for each candidate with what it may use. Raises an error of a candidate if none is left."""
    offers: dict[Attempt, Estimate] = {}
    problem: GatewayError | None = None
    for candidate in plan.candidates:
        try:
            price = services.price(candidate.model)
            attempt = Attempt(
                services,
                context,
                candidate,
                operation=plan.operation,
                price=price if price is not None and plan.is_priced(price) else None,
                deadline=deadline,
                has_surcharge=plan.has_surcharge(candidate.model),
            )
            offers[attempt] = _estimate(attempt, plan)
        except GatewayError as error:
            problem = problem or error
    if not offers:
        assert problem is not None
        raise problem
    return offers


def _estimate(attempt: Attempt, plan: Plan[Any]) -> Estimate:
    """What is to be reserved: the expected tokens, and what the most that the model may use costs.

    Raises ModelAccessDenied for a model without a price if the key has a budget.
    """
    caller, services = attempt.context.caller, attempt.services
    is_budgeted = caller.limits.budgeted or caller.tenant_limits.budgeted
    if is_budgeted and attempt.price is None and not services.settings.allow_unpriced:
        raise ModelAccessDenied(
            f"No price is configured for the model '{attempt.model.id}', so keys with a budget may not use it."
        )
    is_limited = services.limits is not None and (caller.limits.any or caller.tenant_limits.any)
    if not is_limited and not attempt.context.meter.is_heavy:
        return Estimate()  # one that takes long is made here, in a thread: what is not reported is charged by it
    expected, ceiling = plan.estimate(attempt.model)
    if not is_budgeted or attempt.price is None:
        return Estimate(expected.total_tokens)
    from shared.pricing import upper_bound

    return Estimate(expected.total_tokens, upper_bound(ceiling, attempt.price))


def _first_spoken(
    plan: Plan[EventT], course: Course, reserving: Reserving, offers: Mapping[Attempt, Estimate]
) -> AbstractAsyncContextManager[Spoken[EventT]]:
    """The events of the current attempt, or of the next beside it, which is then the current one."""
    first = course.current
    context = first.context
    after_ms = context.meter.hedge_after_ms or first.model.hedge_after_ms
    if after_ms is None or course.is_last or context.request.is_batch:
        return _spoken(first, plan, is_last=course.is_last)
    from shared.gateway.hedging import Race  # only requests that ask for it pay for this import

    def speak(attempt: Attempt) -> AbstractAsyncContextManager[Spoken[EventT]]:
        return _spoken(attempt, plan, is_last=course.is_last, passes_tasks=True)

    return Race(course, reserving, offers, speak, after_ms / 1000).won()


@asynccontextmanager
async def _spoken(
    attempt: Attempt, plan: Plan[EventT], *, is_last: bool, passes_tasks: bool = False
) -> AsyncIterator[Spoken[EventT]]:
    """The events of an attempt: those up to the first that says something, and the others as they come.

    `passes_tasks` is whether another task leaves the context than the one that enters it. Raises UpstreamTimeout for a
    stream that says nothing for too long while another candidate is left.
    """
    sources = await plan.sources(attempt)
    held: deque[EventT] = deque()
    async with aclosing(Pump(*sources) if passes_tasks or len(sources) > 1 else sources[0]) as events:
        patience = attempt.services.settings.first_event_timeout if plan.is_streamed and not is_last else None
        try:
            async with asyncio.timeout(patience) as waiting:
                async for event in events:
                    held.append(event)
                    if plan.is_streamed and plan.speaks(event):
                        break
        except TimeoutError:
            if not waiting.expired():
                raise
            raise attempt.silent() from None
        yield held, events


async def only(events: AsyncGenerator[EventT, None]) -> EventT:
    """The only event of a source, which is run to the end."""
    found = [event async for event in events]
    (event,) = found
    return event
