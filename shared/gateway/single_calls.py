"""Splits a request for several candidates into calls for models that give one candidate per call."""

from collections.abc import Iterator

from shared.schemas.model import Model


def seeds(n: int, seed: int | None, model: Model) -> Iterator[tuple[int, int | None]]:
    """The number of candidates and the seed of each call.

    Each call gets a different seed: with the same one, all candidates would be equal.
    """
    if n == 1 or "single_candidate" not in model.quirks:
        yield n, seed
        return
    for copy in range(n):
        yield 1, None if seed is None else seed + copy
