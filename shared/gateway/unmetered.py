"""Requests that use no model: what they take of their key's limits, and of the bytes that its tenant may store."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import TYPE_CHECKING

from shared.schemas.context import RequestContext
from shared.schemas.limits import Estimate, Refused
from shared.stores.aws_calls import AwsError

if TYPE_CHECKING:
    from shared.gateway.services import Services


@asynccontextmanager
async def counted(services: "Services", context: RequestContext) -> AsyncIterator[None]:
    """Around a request that counts as one of its key's, and takes a place in flight.

    Raises Refused and ModelUnavailable as LimitStore.reserve does.
    """
    caller, limits = context.caller, services.limits
    if limits is None or not (caller.limits.any or caller.tenant_limits.any):
        yield
        return
    try:
        reservation = await limits.reserve(caller, Estimate())
    except Refused as refused:
        context.meter.rates = refused.rates
        raise
    context.meter.rates = reservation.rates
    try:
        yield
    finally:
        await limits.finish(reservation)


@asynccontextmanager
async def stored_until(services: "Services", tenant: str, size: int, expires: float) -> AsyncIterator[None]:
    """Around storing so many bytes until a Unix time. Raises PayloadTooLarge and AwsError."""
    quota = services.stored_bytes
    if quota is None:
        yield
        return
    await quota.take(tenant, size, expires)
    try:
        yield
    except BaseException:
        with suppress(AwsError):
            await quota.give_back(tenant, size, expires)
        raise
