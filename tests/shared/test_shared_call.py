"""Who wants the same at the same time shares one call of it."""

import asyncio

import pytest

from shared.shared_call import SharedCall

pytestmark = pytest.mark.anyio


class Counted:
    """A call that ends when it is let go, with its number or an error."""

    def __init__(self, error: Exception | None = None) -> None:
        self.calls = 0
        self.go = asyncio.Event()
        self._error = error

    async def __call__(self) -> int:
        self.calls += 1
        number = self.calls
        await self.go.wait()
        if self._error is not None:
            raise self._error
        return number


async def test_who_wants_the_same_at_the_same_time_shares_one_call() -> None:
    counted = Counted()
    shared = SharedCall(counted)
    waiting = [asyncio.create_task(shared.result()) for _ in range(100)]
    await asyncio.sleep(0)
    counted.go.set()
    assert await asyncio.gather(*waiting) == [1] * 100
    assert await shared.result() == 2


async def test_a_shared_call_goes_on_for_the_others_when_one_leaves() -> None:
    counted = Counted()
    shared = SharedCall(counted)
    first, second = asyncio.create_task(shared.result()), asyncio.create_task(shared.result())
    await asyncio.sleep(0)
    first.cancel()
    await asyncio.sleep(0)
    counted.go.set()
    assert await second == 1
    assert first.cancelled()


async def test_the_error_of_a_shared_call_is_everybodys_and_is_not_kept() -> None:
    counted = Counted(ValueError("no"))
    shared = SharedCall(counted)
    counted.go.set()
    outcomes = await asyncio.gather(shared.result(), shared.result(), return_exceptions=True)
    assert [str(outcome) for outcome in outcomes] == ["no", "no"]
    with pytest.raises(ValueError, match="no"):
        await shared.result()
    assert counted.calls == 2
