"""What is large passes through the streaming runtime without several copies of it being held."""

from pathlib import Path

import pytest

from scripts.bench_images import MB, measure
from tests.runtime.requests import rest_event
from tests.runtime.test_process import sandbox

needs_procfs = pytest.mark.skipif(not Path("/proc/self/clear_refs").exists(), reason="only Linux tells peaks")


@needs_procfs
@pytest.mark.parametrize("route", ["raw", "b64_json", "url"])
def test_an_answer_of_10_MB_takes_at_most_three_times_its_size(route: str) -> None:
    answer, idle, peak = measure(route, 10 * MB)
    assert answer > 9
    assert answer < peak - idle <= 3 * answer


@pytest.mark.anyio
async def test_a_request_is_not_held_while_its_application_waits() -> None:
    async with sandbox(PYTHONTRACEMALLOC="1") as runtime:

        async def forgotten(size: int) -> tuple[int, int]:
            answer = runtime.platform.invoke(rest_event("/forget", method="POST", body="x" * size))
            await answer.prelude()
            told = await answer.json()
            return told["size"], told["held"]

        _, idle = await forgotten(10)
        size, held = await forgotten(24 * MB)
    assert size == 24 * MB
    assert held - idle < size / 10
