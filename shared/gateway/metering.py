"""What a request may use, reserved before its provider is called, and what it did use, settled after."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing, asynccontextmanager
from typing import TYPE_CHECKING, TypeVar

from shared.errors import ModelAccessDenied
from shared.schemas.context import RequestContext
from shared.schemas.limits import Estimate, Rates, Refused
from shared.schemas.usage import Usage

if TYPE_CHECKING:
    from shared.gateway.services import Services
    from shared.stores.limits.store import LimitStore, Reservation

T = TypeVar("T")
_SETTLING_SECONDS = 0.5
"""How long a request waits for its settlement, which goes on after that."""


def record_usage(context: RequestContext, usage: Usage) -> None:
    """Adds what one call of a vendor has used to its request."""
    context.usage += usage
    if context.price is not None:
        from shared.pricing import cost

        context.cost = (context.cost or 0) + cost(usage, context.price)


@asynccontextmanager
async def metered(
    services: "Services", context: RequestContext, expected: Usage, ceiling: Usage
) -> AsyncIterator[None]:
    """Around the calls of one request: reserves before them, settles after, however they end.

    `probable` is what is reserved of the tokens a minute, `most` what bounds the cost. Raises Refused
    and ModelUnavailable as LimitStore.reserve does, and ModelAccessDenied for a model of which nobody knows the price,
    where the key has a budget.
    """
    assert context.caller is not None, "routes authenticate before they call the gateway"
    context.rates = Rates()
    limits = services.limits
    if limits is None:
        yield
        return
    try:
        share = services.settings.batch_share if context.is_batch else 1.0
        reservation = await limits.reserve(context.caller, _estimate(services, context, expected, ceiling), share=share)
    except Refused as refused:
        context.rates = refused.rates
        raise
    context.rates = reservation.rates
    failed = True
    try:
        yield
        failed = False
    finally:
        await _settle(limits, reservation, context, failed=failed)


async def metered_stream(
    services: "Services", context: RequestContext, expected: Usage, ceiling: Usage, items: AsyncGenerator[T, None]
) -> AsyncGenerator[T, None]:
    """The same around a stream, from its first item to its last or to where it breaks off or is left.

    Vendors charge for what they have said until then, though most would only have told at the end.
    """
    from shared.gateway.estimates import StreamedUsage

    heard = StreamedUsage()
    async with metered(services, context, expected, ceiling):
        try:
            async with aclosing(items) as source:  # it may tell more when it is closed
                async for item in source:
                    heard.add(item)
                    yield item
        finally:
            if (unreported := heard.unreported(expected, context.usage)) != Usage():
                record_usage(context, unreported)


def _estimate(services: "Services", context: RequestContext, expected: Usage, ceiling: Usage) -> Estimate:
    caller, tokens = context.caller, expected.total_tokens
    assert caller is not None
    if not (caller.limits.budgeted or caller.tenant_limits.budgeted):
        return Estimate(tokens)
    if context.price is None:
        if services.settings.allow_unpriced:
            return Estimate(tokens)
        name = context.model.id if context.model else ""
        raise ModelAccessDenied(f"Nobody knows the price of the model '{name}', and this key has a budget.")
    from shared.pricing import upper_bound

    return Estimate(tokens, upper_bound(ceiling, context.price))


async def _settle(limits: "LimitStore", reservation: "Reservation", context: RequestContext, *, failed: bool) -> None:
    assert context.model is not None, "a model is chosen before anything is reserved"
    settling = limits.settle(reservation, context.model.id, context.usage, context.cost or 0, failed=failed)
    context.unsettled = True  # for the log, unless it is written in time
    await asyncio.wait([settling], timeout=_SETTLING_SECONDS)
    context.unsettled = not (settling.done() and settling.result())
