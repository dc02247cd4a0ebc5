"""A large image passes through the streaming runtime without several copies of it being held."""

from pathlib import Path

import pytest

from scripts.bench_images import MB, measure

needs_procfs = pytest.mark.skipif(not Path("/proc/self/clear_refs").exists(), reason="only Linux tells peaks")


@needs_procfs
@pytest.mark.parametrize("route", ["raw", "b64_json", "url"])
def test_an_answer_of_10_MB_takes_at_most_three_times_its_size(route: str) -> None:
    answer, idle, peak = measure(route, 10 * MB)
    assert answer > 9
    assert answer < peak - idle <= 3 * answer
