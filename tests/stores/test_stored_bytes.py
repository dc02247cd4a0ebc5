"""What tenants store is bounded and counted exactly, and what has expired makes room again."""

import asyncio
import random
from collections import Counter
from collections.abc import Callable
from uuid import uuid4

import httpx
import pytest

from shared.errors import PayloadTooLarge
from shared.stores.aws import Aws
from shared.stores.aws_calls import AwsError
from shared.stores.keys import KeyStore
from shared.stores.limits.write import size_of
from shared.stores.stored_bytes import StoredBytes
from tests.client import LIMITS
from tests.patient_aws import PatientAws
from tests.stores.limits_harness import NOON, SECOND, Harness

pytestmark = pytest.mark.anyio
DAY = 24 * 3600.0
EXPIRES = NOON / SECOND + 30 * DAY
LIMIT = 10_000


class Losing(httpx.AsyncBaseTransport):
    """Loses answers of calls that are done all the same: `loses` decides it by how many answers to the same body were
    lost before."""

    def __init__(self, inner: httpx.AsyncBaseTransport, loses: Callable[[int], bool]) -> None:
        self._inner = inner
        self._loses = loses
        self._lost = Counter[bytes]()

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        response = await self._inner.handle_async_request(request)
        body = await request.aread()
        if not self._loses(self._lost[body]):
            return response
        self._lost[body] += 1
        await response.aclose()
        raise httpx.ReadTimeout("lost")


def process(harness: Harness, *, limit: int = LIMIT, transport: httpx.AsyncBaseTransport | None = None) -> StoredBytes:
    """Another process that counts in the harness's table, by its clock."""
    aws = Aws(harness.environment, transport=transport or harness.transport)
    return StoredBytes(aws, harness.tables[0], limit=limit, clock=lambda: harness.now / SECOND)


async def assert_counted(harness: Harness, size: int, expires: float = EXPIRES) -> None:
    """Whether exactly so many bytes of the tenant `t` are counted, of which all can be given back."""
    stored = process(harness)
    with pytest.raises(PayloadTooLarge):
        await stored.take("t", LIMIT - size + 1, expires)
    await stored.take("t", LIMIT - size, expires)
    await stored.give_back("t", LIMIT - size, expires)
    await stored.give_back("t", size, expires)
    await stored.take("t", LIMIT, expires)
    await stored.give_back("t", LIMIT - size, expires)


async def size_of_item(harness: Harness) -> int:
    (item,) = await harness.items()
    return size_of(item)


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


# ---- Lost answers ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("how", ["lose_answers", "answer_500", "throttle", "keep_back"])
async def test_bytes_are_counted_once_and_given_back_once_whatever_is_sent_again(harness: Harness, how: str) -> None:
    stored = process(harness)
    await stored.take("t", 500, EXPIRES)
    setattr(harness.transport, how, 2)
    await stored.take("t", 100, EXPIRES)
    await process(harness).take("t", 10, EXPIRES)
    await harness.transport.deliver_late()
    await assert_counted(harness, 610)
    setattr(harness.transport, how, 2)
    await stored.give_back("t", 100, EXPIRES)
    await process(harness).give_back("t", 10, EXPIRES)
    await harness.transport.deliver_late()
    await assert_counted(harness, 500)


async def test_every_answer_may_be_lost_once(harness: Harness) -> None:
    stored = process(harness, transport=Losing(harness.transport, lambda before: before == 0))
    await stored.take("t", 6000, EXPIRES - 29 * DAY)
    await stored.take("t", 3000, EXPIRES)
    with pytest.raises(PayloadTooLarge):
        await stored.take("t", 5000, EXPIRES)
    harness.wait(3 * DAY)  # what has expired is taken off for the next
    await stored.take("t", 5000, EXPIRES)
    await stored.give_back("t", 3000, EXPIRES)
    await assert_counted(harness, 5000)


@pytest.mark.parametrize("how", ["lose_answers", "answer_500", "keep_back"])
async def test_bytes_count_nothing_whose_counting_was_never_answered(harness: Harness, how: str) -> None:
    stored = process(harness)
    await stored.take("t", 500, EXPIRES)
    setattr(harness.transport, how, 3)
    with pytest.raises(AwsError):
        await stored.take("t", 100, EXPIRES)
    await harness.transport.deliver_late()
    await assert_counted(harness, 500)


async def test_bytes_that_were_refused_are_not_counted_when_an_earlier_sending_arrives_late(harness: Harness) -> None:
    stored = process(harness)
    await stored.take("t", LIMIT, EXPIRES)
    harness.transport.keep_back = 1
    with pytest.raises(PayloadTooLarge):
        await stored.take("t", 100, EXPIRES)
    await stored.give_back("t", 4000, EXPIRES)
    await harness.transport.deliver_late()
    await assert_counted(harness, 6000)


async def test_bytes_for_which_room_was_made_are_counted_once_when_an_earlier_sending_arrives_late(
    harness: Harness,
) -> None:
    stored = process(harness)
    await stored.take("t", LIMIT, EXPIRES - 29 * DAY)
    harness.wait(3 * DAY)
    harness.transport.keep_back = 1
    for size in (100, 200, 300):
        await stored.take("t", size, EXPIRES)
    await harness.transport.deliver_late()
    await assert_counted(harness, 600)


async def test_what_has_expired_is_taken_off_once(harness: Harness) -> None:
    stored = process(harness)
    await stored.take("t", 6000, EXPIRES - 29 * DAY)
    await stored.take("t", 1000, EXPIRES)
    harness.wait(3 * DAY)

    async def repeat(request: httpx.Request) -> httpx.Response:
        if b"REMOVE" in await request.aread():
            harness.transport.kept.append(request)
        return await harness.transport.handle_async_request(request)

    await process(harness, transport=httpx.MockTransport(repeat)).take("t", 9000, EXPIRES)
    await stored.give_back("t", 9000, EXPIRES)
    assert len(harness.transport.kept) == 1
    await harness.transport.deliver_late()
    await assert_counted(harness, 1000)


async def test_takers_and_givers_of_many_processes_agree_while_answers_are_lost(quick_harness: Harness) -> None:
    chance = random.Random(13)
    losing = Losing(quick_harness.transport, lambda before: before < 2 and chance.random() < 0.2)
    left = list[int]()

    async def use(stored: StoredBytes, sizes: list[int]) -> None:
        for size in sizes:
            await stored.take("t", size, EXPIRES)
            if size % 2:
                await stored.give_back("t", size, EXPIRES)
            else:
                left.append(size)

    async with asyncio.TaskGroup() as group:
        for stored in [process(quick_harness, transport=losing) for _ in range(4)]:
            for _ in range(4):
                group.create_task(use(stored, [chance.randint(1, 40) for _ in range(10)]))
    await assert_counted(quick_harness, sum(left))


# ---- The item --------------------------------------------------------------------------------------------------------


async def test_the_item_stays_small_while_a_tenant_uploads_a_hundred_files_a_second(quick_harness: Harness) -> None:
    processes = [process(quick_harness) for _ in range(10)]
    for _ in range(60):
        await asyncio.gather(*(stored.take("t", 1, EXPIRES) for stored in processes))
        quick_harness.wait(0.1)
    assert await size_of_item(quick_harness) < 512


async def test_the_item_stays_small_when_each_upload_is_the_only_one_of_its_process(quick_harness: Harness) -> None:
    for number in range(400):
        stored = process(quick_harness)
        await stored.take("t", 1, quick_harness.now / SECOND + 30 * DAY)
        assert await size_of_item(quick_harness) < 1024, number
        quick_harness.wait((1, 60, 700, DAY)[number // 100])


async def test_an_item_without_marks_and_with_days_long_past_is_counted_on(quick_harness: Harness) -> None:
    today = int(NOON / SECOND // DAY)
    days = {f"e{day}": {"N": "10"} for day in range(today - 300, today + 5)}
    await quick_harness.put({"id": {"S": "stored#t"}, "t": {"N": str(10 * len(days))}, **days})
    stored = process(quick_harness)
    await stored.take("t", LIMIT - 50, EXPIRES)
    with pytest.raises(PayloadTooLarge):
        await stored.take("t", 1, EXPIRES)
    await stored.give_back("t", 10, today * DAY)
    await stored.take("t", 10, EXPIRES)
    assert quick_harness.transport.longest < 4096
