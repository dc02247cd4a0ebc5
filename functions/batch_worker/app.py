"""The batch worker, which consumes the batch queue."""

from shared.batches.worker import handler
from shared.snapshot import before_snapshot

__all__ = ["handler"]
before_snapshot()
