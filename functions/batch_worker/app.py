"""The work of batches, message by message from their queue."""

from shared.batches.worker import handler

__all__ = ["handler"]
