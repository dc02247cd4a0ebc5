"""The work of batches, message by message from their queue."""

from shared.batches.worker import handler
from shared.snapshot import before_snapshot

__all__ = ["handler"]
before_snapshot()
