"""Composes one UpdateItem, and sends it so that it is done once.

https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/Expressions.UpdateExpressions.html
https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/Expressions.OperatorsAndFunctions.html
"""

import secrets
from collections.abc import Mapping
from typing import Any

from shared.stores.aws import Aws, AwsError

_MARKS = 8

Item = Mapping[str, int | str]
"""An item's attributes by name, numbers as integers."""


class Write:
    """One update of one item and its conditions. Every write carries a random mark that is written with it."""

    def __init__(self, mark: str | None = None) -> None:
        self.mark = mark or secrets.token_hex(4)
        self.cell = f"w{int(self.mark[0], 16) % _MARKS}"
        self._adds: dict[str, int] = {}
        self._sets: dict[str, int | str] = {self.cell: self.mark}
        self._removes: dict[str, None] = {}
        self._conditions: list[str] = []
        self._names: dict[str, str] = {}
        self._values: dict[str, dict[str, str]] = {}
        # Another try of this very write finds its mark, unless eight others came between.
        self._conditions.append(f"({self._absent(self.cell)} OR {self._name(self.cell)} <> {self._value(self.mark)})")

    def add(self, name: str, amount: int) -> None:
        """Adds to a number; one that is absent is 0."""
        self._adds[name] = self._adds.get(name, 0) + amount

    def set(self, name: str, value: int) -> None:
        self._sets[name] = value

    def remove(self, name: str) -> None:
        self._removes[name] = None

    def require_between(self, name: str, least: int, most: int) -> None:
        self._conditions.append(f"({self._name(name)} BETWEEN {self._value(least)} AND {self._value(most)})")

    def require_below(self, name: str, bound: int) -> None:
        """A number that is absent is below every bound."""
        self._conditions.append(f"({self._absent(name)} OR {self._name(name)} < {self._value(bound)})")

    def require_at_most(self, name: str, most: int) -> None:
        """A number that is absent is 0; `most` must not be negative."""
        self._conditions.append(f"({self._absent(name)} OR {self._name(name)} <= {self._value(most)})")

    def require_at_least(self, name: str, least: int) -> None:
        self._conditions.append(f"{self._name(name)} >= {self._value(least)}")

    def require_absent(self, name: str) -> None:
        self._conditions.append(self._absent(name))

    def require_equal(self, name: str, value: int) -> None:
        self._conditions.append(f"{self._name(name)} = {self._value(value)}")

    def done(self, view: Item) -> bool:
        """Whether the item shows that this write was made before."""
        return view.get(self.cell) == self.mark

    def body(self, table: str, item: str) -> dict[str, Any]:
        """The UpdateItem, or the Update of a transaction but for its `ReturnValues`."""
        # One update may name an attribute once.
        added = [(name, amount) for name, amount in self._adds.items() if amount and name not in self._removes]
        adds = [f"{self._name(name)} {self._value(amount)}" for name, amount in added]
        sets = [f"{self._name(name)} = {self._value(value)}" for name, value in self._sets.items()]
        removes = [self._name(name) for name in self._removes]
        clauses = {"SET": sets, "ADD": adds, "REMOVE": removes}
        return {
            "TableName": table,
            "Key": {"id": {"S": item}},
            "UpdateExpression": " ".join(f"{verb} {', '.join(parts)}" for verb, parts in clauses.items() if parts),
            "ConditionExpression": " AND ".join(self._conditions),
            "ExpressionAttributeNames": {placeholder: name for name, placeholder in self._names.items()},
            "ExpressionAttributeValues": self._values,
        }

    def _absent(self, name: str) -> str:
        return f"attribute_not_exists({self._name(name)})"

    def _name(self, name: str) -> str:
        return self._names.setdefault(name, f"#{len(self._names)}")

    def _value(self, value: int | str) -> str:
        placeholder = f":{len(self._values)}"
        self._values[placeholder] = {"S": value} if isinstance(value, str) else {"N": str(value)}
        return placeholder


async def send(aws: Aws, table: str, item: str, write: Write) -> tuple[bool, Item]:
    """Makes a write: whether its conditions held, and the item as it is now. Raises AwsError."""
    body = write.body(table, item) | {"ReturnValues": "ALL_NEW", "ReturnValuesOnConditionCheckFailure": "ALL_OLD"}
    try:
        answer = await aws.call("dynamodb", "UpdateItem", body)
    except AwsError as error:
        if error.code != "ConditionalCheckFailedException":
            raise
        view = view_of(error.answer.get("Item", {}))
        return write.done(view), view
    return True, view_of(answer["Attributes"])


def number(item: Item, name: str) -> int:
    """A number of an item; 0 where it has none."""
    value = item.get(name, 0)
    assert isinstance(value, int)
    return value


def view_of(item: Mapping[str, Mapping[str, str]]) -> Item:
    """An item without DynamoDB's types."""
    return {name: int(value["N"]) if "N" in value else value["S"] for name, value in item.items()}
