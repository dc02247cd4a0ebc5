"""What tenants store is bounded, and what has expired makes room again."""

from uuid import uuid4

import pytest

from shared.errors import PayloadTooLarge
from shared.stores.keys import KeyStore
from shared.stores.stored_bytes import StoredBytes
from tests.client import LIMITS
from tests.patient_aws import PatientAws

pytestmark = pytest.mark.anyio
DAY = 24 * 3600.0


async def test_what_has_expired_makes_room_and_not_a_day_before(
    keys: KeyStore, aws_environment: dict[str, str]
) -> None:
    now = [1_900_000_000.0]
    stored = StoredBytes(PatientAws(aws_environment), LIMITS, limit=100, clock=lambda: now[0])
    tenant = uuid4().hex
    await stored.take(tenant, 60, now[0] + 7 * DAY)
    await stored.take(tenant, 30, now[0] + 30 * DAY)
    now[0] += 6 * DAY
    with pytest.raises(PayloadTooLarge):
        await stored.take(tenant, 20, now[0] + 30 * DAY)
    now[0] += 3 * DAY
    await stored.take(tenant, 70, now[0] + 30 * DAY)
    with pytest.raises(PayloadTooLarge):
        await stored.take(tenant, 1, now[0] + 30 * DAY)


async def test_what_was_never_counted_gives_nothing_back(keys: KeyStore, aws_environment: dict[str, str]) -> None:
    stored = StoredBytes(PatientAws(aws_environment), LIMITS, limit=100)
    tenant = uuid4().hex
    await stored.take(tenant, 100, 2_000_000_000)
    await stored.give_back(tenant, 50, 2_000_000_000 + DAY)
    with pytest.raises(PayloadTooLarge):
        await stored.take(tenant, 1, 2_000_000_000)
    await stored.give_back(tenant, 100, 2_000_000_000)
    await stored.take(tenant, 100, 2_000_000_000)
