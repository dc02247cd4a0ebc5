"""Finds the answer that was given to an equal request before, or lets one request of all equal ones give it."""

from contextlib import suppress
from typing import TYPE_CHECKING

from shared.errors import IdempotencyKeyInUse, IdempotencyKeyReused
from shared.schemas.replay import Claimed, Recording, Replay, Reused, Running, Stored, Wish
from shared.stores.aws_calls import AwsError

if TYPE_CHECKING:
    from shared.gateway.services import Services
    from shared.stores.replays import ReplayStore

# How long a request waits for an equal one that runs: 10 seconds in all.
_PAUSES = (0.1, 0.2, 0.3, 0.4, *[0.5] * 18)
_RETRY_AFTER = 2
# A run that dies holds its claim for so long after its provider's time-out.
_GRACE_SECONDS = 60


class Replays:
    """The answers of one gateway that are given again."""

    def __init__(self, services: "Services", store: "ReplayStore") -> None:
        self._services = services
        self._store = store

    async def find(self, wish: Wish) -> Replay | Claimed | None:
        """The answer, or the claim to give it and `keep` it; None where it is to be given without that.

        Raises IdempotencyKeyReused, IdempotencyKeyInUse and AwsError.
        """
        lease = self._services.settings.upstream_timeout + _GRACE_SECONDS
        found: Claimed | Running | Reused | Stored | None = None
        for pause in (*_PAUSES, None):
            # Looking is cheaper than claiming, which is a write.
            found = found and await self._store.look(wish.name, wish.request, max_age=wish.max_age)
            if found is None:
                found = await self._store.claim(wish.name, wish.request, lease_seconds=lease, max_age=wish.max_age)
            match found:
                case Claimed():
                    return found
                case Reused():
                    raise IdempotencyKeyReused("This Idempotency-Key was used for a request with another body.")
                case Stored():
                    recording = await self._store.get(found)
                    age = max(0, int(self._services.clock()) - found.at)
                    return None if recording is None else Replay(recording, age)
                case Running() if pause is not None:
                    await self._services.pause(pause)
        if wish.is_cache:
            return None
        raise IdempotencyKeyInUse(
            "The first request with this Idempotency-Key is still being answered.", retry_after=_RETRY_AFTER
        )

    async def end(self, wish: Wish, claimed: Claimed, recording: Recording | None) -> None:
        """Keeps the answer of a claimed request; without one, another may claim it.

        What AWS does not take now ends with the claim's lease.
        """
        with suppress(AwsError):
            if recording is not None:
                await self._store.keep(wish.name, claimed, recording)
            else:
                await self._store.give_up(wish.name, claimed)
