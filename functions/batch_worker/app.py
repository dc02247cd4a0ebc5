"""The batch worker, which consumes the batch queue."""

from shared.batches.worker import handler

__all__ = ["handler"]
