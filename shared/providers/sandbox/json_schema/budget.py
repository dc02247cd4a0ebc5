"""How much work one request may cause, counted in steps, so that no schema can keep the process busy."""

from typing import Any

from shared.providers.sandbox.json_schema.schema import UnsatisfiableSchema

_MOST_STEPS = 200_000


class Budget:
    """The steps that are left, each worth about a microsecond; whatever a request can multiply spends some.

    `memo` keeps what has been worked out once for this request.
    """

    def __init__(self, steps: int = _MOST_STEPS) -> None:
        self.left = steps
        self.memo: dict[str, Any] = {}

    def spend(self, steps: int = 1) -> None:
        """Takes that many steps. Raises UnsatisfiableSchema where they are not left."""
        self.left -= steps
        if self.left < 0:
            raise UnsatisfiableSchema("The JSON schema is too intricate for the sandbox.")
