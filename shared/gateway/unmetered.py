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
    """Around storing so many bytes until a Unix time. Raises PayloadTooLarge and AwsError.

    They count no longer where storing them failed, unless they may be stored all the same.
    """
    from shared.stores.objects import ObjectInDoubt

    if services.stored_bytes is not None:
        await services.stored_bytes.take(tenant, size, expires)
    try:
        yield
    except ObjectInDoubt:
        raise
    except Exception:
        await stored_no_longer(services, tenant, size, expires)
        raise


async def stored_no_longer(services: "Services", tenant: str, size: int, expires: float) -> None:
    """Counts bytes no longer that are not stored; where that fails, they count until they would have expired."""
    if services.stored_bytes is not None:
        with suppress(AwsError):
            await services.stored_bytes.give_back(tenant, size, expires)
