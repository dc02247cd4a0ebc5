"""What a request reserves of its key's limits before its calls, and settles after."""

import asyncio
from collections.abc import Sequence
from typing import TYPE_CHECKING

from shared.schemas.limits import Estimate, Rates, Refused

if TYPE_CHECKING:
    from shared.gateway.attempt import Attempt
    from shared.gateway.services import Services
    from shared.schemas.context import Meter, RequestContext
    from shared.stores.limits.store import Reservation

_SETTLING_SECONDS = 0.5
"""How long a request waits for its settlement."""


class Reserving:
    """The reservations of one request: one for each attempt that is being made."""

    def __init__(self, services: "Services", context: "RequestContext") -> None:
        self._limits = services.limits
        self._share = services.settings.batch_share if context.request.is_batch else 1.0
        self._context = context
        self._held: dict[Attempt, tuple[Reservation, Estimate]] = {}
        self._settling: list[asyncio.Future[bool]] = []
        self._is_tight = False

    async def take(self, attempt: "Attempt", estimates: Sequence[Estimate]) -> None:
        """Reserves for an attempt as much as the dearest of several models may use. Raises what LimitStore.reserve
        raises.
        """
        meter = self._context.meter
        if not self._held:
            meter.rates = Rates()
        if self._limits is None:
            return
        estimate = Estimate(max(one.tokens for one in estimates), max(one.cost for one in estimates))
        try:
            reservation = await self._limits.reserve(self._context.caller, estimate, share=self._share)
        except Refused as refused:
            if not self._held:
                meter.rates = refused.rates
            raise
        self._held[attempt] = reservation, estimate
        meter.rates = reservation.rates

    def pass_on(self, attempt: "Attempt", following: "Attempt", estimate: Estimate) -> bool:
        """Leaves the reservation of an attempt that has used nothing to the one that follows.

        Returns whether it covers that; if it does not, it is given back.
        """
        if self._limits is None:
            return True
        found = self._held.pop(attempt, None)
        if found is None:
            return False
        reservation, reserved = found
        self._is_tight |= not reservation.is_roomy
        if estimate.tokens <= reserved.tokens and estimate.cost <= reserved.cost:
            self._held[following] = found
            return True
        self._settling.append(self._limits.cancel(reservation))
        return False

    def end(self, attempt: "Attempt") -> None:
        """Ends the reservation of an attempt that did not answer while another one goes on: charges what it has used,
        or gives back all.
        """
        found = self._held.pop(attempt, None)
        if self._limits is None or found is None:
            return
        self._is_tight |= not found[0].is_roomy
        if attempt.has_spent:
            self._charge(found[0], attempt, failed=True)
        else:
            self._settling.append(self._limits.cancel(found[0]))

    async def settle(self, attempt: "Attempt", *, failed: bool) -> None:
        """Puts what an attempt has used in the place of its reservation, if it has one.

        Waits a little until that and what ended before is written, unless it waits for other requests. Where nobody can
        be refused meanwhile for what is still reserved, whoever sends the response waits instead. Writing goes on after
        that, also when the client leaves.
        """
        found = self._held.pop(attempt, None)
        if found is not None:
            self._charge(found[0], attempt, failed=failed)
        settling, self._settling = self._settling, []
        meter = self._context.meter
        if meter.settling is not None:
            meter.settling += settling
            if not self._is_tight:
                return
            settling, meter.settling = meter.settling, []
        if settling:
            await settled(meter, settling)

    def _charge(self, reservation: "Reservation", attempt: "Attempt", *, failed: bool) -> None:
        assert self._limits is not None
        settling = self._limits.settle(
            reservation,
            attempt.counted_as,
            attempt.usage,
            attempt.cost or 0,
            failed=failed,
            estimated=attempt.is_estimate,
        )
        self._is_tight |= not reservation.is_roomy
        if not self._limits.gathers(reservation):
            self._settling.append(settling)


async def settled(meter: "Meter", settling: "Sequence[asyncio.Future[bool]]") -> None:
    """Waits a little until settlements are written, and notes for the log whether they are."""
    meter.unsettled = True
    await asyncio.wait(settling, timeout=_SETTLING_SECONDS)
    meter.unsettled = not all(one.done() and one.exception() is None and one.result() for one in settling)
