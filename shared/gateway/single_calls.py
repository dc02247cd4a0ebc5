"""How many calls a request for several candidates takes of a model that gives one candidate a call."""

from collections.abc import Iterator

from shared.schemas.model import Model


def seeds(n: int, seed: int | None, model: Model) -> Iterator[tuple[int, int | None]]:
    """The number of candidates and the seed of each call.

    The same seed in each call would give the same candidate again and again.
    """
    if n == 1 or "single_candidate" not in model.quirks:
        yield n, seed
        return
    for copy in range(n):
        yield 1, None if seed is None else seed + copy
