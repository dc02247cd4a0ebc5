"""What a request reserves of its key's limits before its calls, and settles after."""

import asyncio
from collections.abc import Sequence
from typing import TYPE_CHECKING

from shared.schemas.limits import Estimate, Rates, Refused

if TYPE_CHECKING:
    from shared.gateway.attempt import Attempt
    from shared.gateway.services import Services
    from shared.schemas.context import RequestContext
    from shared.stores.limits.store import Reservation

_SETTLING_SECONDS = 0.5
"""How long a request waits for its settlement."""


class Reserving:
    """The reservations of one request, one at a time."""

    def __init__(self, services: "Services", context: "RequestContext") -> None:
        self._limits = services.limits
        self._share = services.settings.batch_share if context.request.is_batch else 1.0
        self._context = context
        self._held: Reservation | None = None

    async def take(self, estimates: Sequence[Estimate]) -> None:
        """Reserves as much as the dearest of several models may use. Raises what LimitStore.reserve raises."""
        meter = self._context.meter
        meter.rates = Rates()
        if self._limits is None:
            return
        estimate = Estimate(max(one.tokens for one in estimates), max(one.cost for one in estimates))
        try:
            self._held = await self._limits.reserve(self._context.caller, estimate, share=self._share)
        except Refused as refused:
            meter.rates = refused.rates
            raise
        meter.rates = self._held.rates

    async def settle(self, attempt: "Attempt", *, failed: bool) -> None:
        """Puts what an attempt has used in the place of the reservation, if there is one.

        Waits a little for that, unless it waits for others; it goes on after that, also when the client leaves.
        """
        reservation, self._held = self._held, None
        if self._limits is None or reservation is None:
            return
        meter = self._context.meter
        settling = self._limits.settle(
            reservation,
            attempt.counted_as,
            attempt.usage,
            attempt.cost or 0,
            failed=failed,
            estimated=attempt.is_estimate,
        )
        if self._limits.gathers(reservation):
            return
        meter.unsettled = True  # for the log, unless it is written in time
        await asyncio.wait([settling], timeout=_SETTLING_SECONDS)
        meter.unsettled = not settling.done() or settling.exception() is not None or not settling.result()
