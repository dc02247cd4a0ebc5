"""An event loop in which nobody waits for a time to come: where there is nothing else to do, it is there."""

import asyncio
from selectors import DefaultSelector, SelectorKey

import pytest


class _Selector(DefaultSelector):
    """Adds up the seconds that it was to wait for and did not."""

    skipped = 0.0

    def select(self, timeout: float | None = None) -> list[tuple[SelectorKey, int]]:
        if timeout is None:
            return super().select()
        ready = super().select(0)
        if not ready:
            self.skipped += max(0.0, timeout)
        return ready


class SkippingLoop(asyncio.SelectorEventLoop):
    """For tests without sockets and threads, whose answers it would not wait for."""

    def __init__(self) -> None:
        self._waited = _Selector()
        super().__init__(self._waited)

    def time(self) -> float:
        return super().time() + self._waited.skipped


skips_time = pytest.mark.parametrize(
    "anyio_backend", [pytest.param(("asyncio", {"loop_factory": SkippingLoop}), id="skipping")]
)
"""Marks a test that runs in such a loop."""
