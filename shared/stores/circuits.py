"""The circuits of all processes: one item of the table `Limits`, in which each open target has an attribute."""

from collections.abc import Mapping

from shared.stores.aws import Aws
from shared.stores.limits.write import Item, Write, item_of, send

_KEY = {"id": "circuits"}
_ATTEMPTS = 2
_READ_SECONDS = 2.0


class CircuitStore:
    """The states of open circuits as texts, by target. Every method raises AwsError."""

    def __init__(self, aws: Aws, table: str) -> None:
        self._aws = aws
        self._table = table

    async def read(self) -> dict[str, str]:
        """The states of all open circuits."""
        body = {"TableName": self._table, "Key": {"id": {"S": _KEY["id"]}}, "ConsistentRead": True}
        answer = await self._aws.call("dynamodb", "GetItem", body, attempts=1, seconds=_READ_SECONDS)
        return _states(item_of(answer.get("Item", {})))

    async def change(self, target: str, before: str | None, after: str | None) -> tuple[bool, Mapping[str, str]]:
        """Replaces a target's state; None is that of a closed circuit.

        Returns whether that was done, which it is not if the state was another than `before`, and the states as they
        are now.
        """
        write = Write()
        if before is None:
            write.require_absent(target)
        else:
            write.require_equal(target, before)
        if after is None:
            write.remove(target)
        else:
            write.set(target, after)
        outcome = await send(self._aws, self._table, _KEY, write, attempts=_ATTEMPTS)
        states = _states(outcome.item)
        # After a lost answer the repeated write fails on what the first has written.
        return outcome.made or (outcome.doubtful and states.get(target) == after), states


def _states(item: Item) -> dict[str, str]:
    return {name: value for name, value in item.items() if name != "id" and isinstance(value, str)}
