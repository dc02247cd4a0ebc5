"""The pump hands items on as they come, waits no longer than told, and closes what it reads."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import aclosing

import pytest

from shared.pump import Pump

pytestmark = pytest.mark.anyio


async def numbers(*items: int) -> AsyncGenerator[int, None]:
    for item in items:
        yield item


async def test_items_come_in_order_and_then_the_end() -> None:
    pump = Pump(numbers(1, 2))
    assert [await pump.get(), await pump.get()] == [1, 2]
    with pytest.raises(StopAsyncIteration):
        await pump.get()
    await pump.aclose()


async def test_a_wait_that_times_out_loses_nothing() -> None:
    go = asyncio.Event()

    async def slow() -> AsyncGenerator[int, None]:
        await go.wait()
        yield 1

    pump = Pump(slow())
    with pytest.raises(TimeoutError):
        await pump.get(0.001)
    go.set()
    assert await pump.get(5) == 1
    await pump.aclose()


async def test_an_error_comes_after_the_items_before_it() -> None:
    async def failing() -> AsyncGenerator[int, None]:
        yield 1
        raise KeyError("x")

    pump = Pump(failing())
    assert await pump.get() == 1
    with pytest.raises(KeyError):
        await pump.get()
    await pump.aclose()


async def test_closing_closes_the_source_in_the_task_that_read_it() -> None:
    tasks: list[asyncio.Task[None] | None] = []

    async def endless() -> AsyncGenerator[int, None]:
        tasks.append(asyncio.current_task())
        try:
            while True:
                yield 1
        finally:
            tasks.append(asyncio.current_task())

    pump = Pump(endless())
    await pump.get()
    await pump.aclose()
    assert len(tasks) == 2
    assert tasks[0] is tasks[1]


async def test_a_slow_reader_slows_its_source() -> None:
    made = 0

    async def eager() -> AsyncGenerator[int, None]:
        nonlocal made
        while True:
            made += 1
            yield made

    pump = Pump(eager())
    await pump.get()
    for _ in range(1000):
        await asyncio.sleep(0)
    assert made < 100
    await pump.aclose()


async def merged(*sources: AsyncGenerator[int, None]) -> list[int]:
    async with aclosing(Pump(*sources)) as items:
        return [item async for item in items]


async def test_several_sources_give_every_item_and_all_are_closed_when_one_fails() -> None:
    assert sorted(await merged(numbers(1, 2), numbers(3), numbers())) == [1, 2, 3]
    closed = []

    async def endless() -> AsyncGenerator[int, None]:
        try:
            while True:
                yield 1
                await asyncio.sleep(0)
        finally:
            closed.append(True)

    async def failing() -> AsyncGenerator[int, None]:
        yield 2
        raise ValueError("broken")

    with pytest.raises(ValueError, match="broken"):
        await merged(endless(), failing())
    assert closed == [True]


async def test_what_has_come_together_is_given_together_and_an_error_after_it() -> None:
    async def failing() -> AsyncGenerator[int, None]:
        yield 1
        yield 2
        raise KeyError("x")

    async with aclosing(Pump(failing())) as pump:
        assert await pump.get_all() == [1, 2]
        with pytest.raises(KeyError):
            await pump.get_all()
