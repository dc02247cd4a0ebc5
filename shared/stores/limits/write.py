"""One conditional UpdateItem: composed, sent until its outcome is known, and its answer read.

https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/Expressions.UpdateExpressions.html
https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/Expressions.OperatorsAndFunctions.html
"""

from collections.abc import Iterable, Mapping
from collections.abc import Set as AbstractSet
from typing import Any

from shared.dataclass import dataclass
from shared.stores.aws import Aws
from shared.stores.aws_calls import AwsError, pause_before

Item = Mapping[str, "int | str | frozenset[str]"]
"""An item's attributes by name: whole numbers, texts, and sets of texts."""
_SECONDS = 2.0
"""How long one attempt waits for its answer. DynamoDB takes milliseconds."""


class Write:
    """One update of one item, and its conditions."""

    def __init__(self) -> None:
        self._adds: dict[str, int] = {}
        self._includes: dict[str, set[str]] = {}
        self._excludes: dict[str, set[str]] = {}
        self._sets: dict[str, int | str] = {}
        self._defaults: dict[str, str] = {}
        self._removes: dict[str, None] = {}
        self._conditions: list[str] = []
        self._names: dict[str, str] = {}
        self._values: dict[str, dict[str, Any]] = {}

    # What it changes. One update may name an attribute once: a removal goes before whatever else is said of it.

    def add(self, name: str, amount: int) -> None:
        """Adds to a number; one that is absent is 0."""
        self._adds[name] = self._adds.get(name, 0) + amount

    def include(self, name: str, texts: Iterable[str]) -> None:
        """Puts texts into a set."""
        self._includes.setdefault(name, set()).update(texts)

    def exclude(self, name: str, texts: Iterable[str]) -> None:
        """Takes texts out of a set; DynamoDB removes a set that gets empty."""
        self._excludes.setdefault(name, set()).update(texts)

    def set(self, name: str, value: int | str) -> None:
        self._sets[name] = value

    def set_default(self, name: str, value: str) -> None:
        """Sets an attribute that is absent."""
        self._defaults[name] = value

    def remove(self, name: str) -> None:
        self._removes[name] = None

    def changes(self, name: str) -> bool:
        """Whether the write says something of an attribute already."""
        return any(name in said for said in (self._adds, self._includes, self._excludes, self._sets, self._removes))

    # What it requires of the item as it is before.

    def require_between(self, name: str, least: int, most: int) -> None:
        self._conditions.append(f"({self._name(name)} BETWEEN {self._value(least)} AND {self._value(most)})")

    def require_below(self, name: str, bound: int) -> None:
        """A number that is absent is below every bound."""
        self._conditions.append(f"({self._absent(name)} OR {self._name(name)} < {self._value(bound)})")

    def require_at_most(self, name: str, most: int) -> None:
        """A number that is absent is 0; `most` must not be negative."""
        self._conditions.append(f"({self._absent(name)} OR {self._name(name)} <= {self._value(most)})")

    def require_absent(self, name: str) -> None:
        self._conditions.append(self._absent(name))

    def require_equal(self, name: str, value: int | str) -> None:
        self._conditions.append(f"{self._name(name)} = {self._value(value)}")

    def require_equal_or_absent(self, name: str, value: int | str) -> None:
        self._conditions.append(f"({self._absent(name)} OR {self._name(name)} = {self._value(value)})")

    def require_member(self, name: str, text: str) -> None:
        self._conditions.append(f"contains({self._name(name)}, {self._value(text)})")

    def require_no_member(self, name: str, text: str) -> None:
        """A set that is absent has no members."""
        self._conditions.append(f"(NOT contains({self._name(name)}, {self._value(text)}))")

    def require_members(self, name: str, count: int) -> None:
        """A set has so many members, one at least."""
        placeholder = self._name(name)
        self._conditions.append(f"attribute_exists({placeholder}) AND size({placeholder}) = {self._value(count)}")

    def body(self, table: str, key: Mapping[str, str]) -> dict[str, Any]:
        """The UpdateItem, but for what it is to return."""
        adds = {name: self._value(amount) for name, amount in self._adds.items() if amount and self._stays(name)}
        adds |= {name: self._value(texts) for name, texts in self._includes.items() if self._stays(name)}
        deletes = {name: self._value(texts) for name, texts in self._excludes.items() if self._stays(name)}
        sets = {name: self._value(value) for name, value in self._sets.items() if self._stays(name)}
        defaults = [(name, self._value(value)) for name, value in self._defaults.items()]
        clauses = {
            "SET": [
                *(f"{self._name(name)} = {value}" for name, value in sets.items()),
                *(f"{self._name(name)} = if_not_exists({self._name(name)}, {value})" for name, value in defaults),
            ],
            "ADD": [f"{self._name(name)} {value}" for name, value in adds.items()],
            "DELETE": [f"{self._name(name)} {value}" for name, value in deletes.items()],
            "REMOVE": [self._name(name) for name in self._removes],
        }
        body: dict[str, Any] = {
            "TableName": table,
            "Key": {name: {"S": value} for name, value in key.items()},
            "UpdateExpression": " ".join(f"{verb} {', '.join(parts)}" for verb, parts in clauses.items() if parts),
            "ExpressionAttributeNames": {placeholder: name for name, placeholder in self._names.items()},
        }
        if self._values:  # DynamoDB refuses an empty map
            body["ExpressionAttributeValues"] = self._values
        if self._conditions:
            body["ConditionExpression"] = " AND ".join(self._conditions)
        return body

    def _stays(self, name: str) -> bool:
        return name not in self._removes

    def _absent(self, name: str) -> str:
        return f"attribute_not_exists({self._name(name)})"

    def _name(self, name: str) -> str:
        return self._names.setdefault(name, f"#{len(self._names)}")

    def _value(self, value: int | str | AbstractSet[str]) -> str:
        placeholder = f":{len(self._values)}"
        match value:
            case int():
                self._values[placeholder] = {"N": str(value)}
            case str():
                self._values[placeholder] = {"S": value}
            case _:
                self._values[placeholder] = {"SS": sorted(value)}
        return placeholder


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of a write: whether it was `made` at its last sending, and the item as it is now.

    `doubtful` where an earlier sending of it had no answer: that one may have been made, or may yet arrive.
    """

    made: bool
    item: Item
    doubtful: bool


async def send(aws: Aws, table: str, key: Mapping[str, str], write: Write, *, attempts: int) -> Outcome:
    """Sends a write until its outcome is known. Raises AwsError, whose `may_be_done` tells of every sending."""
    returned = {"ReturnValues": "ALL_NEW", "ReturnValuesOnConditionCheckFailure": "ALL_OLD"}
    body = write.body(table, key) | returned
    doubtful = False
    for attempt in range(attempts):
        if attempt:
            await pause_before(attempt)
        try:
            answer = await aws.call("dynamodb", "UpdateItem", body, attempts=1, seconds=_SECONDS)
        except AwsError as error:
            if error.code == "ConditionalCheckFailedException":
                return Outcome(False, item_of(error.answer.get("Item", {})), doubtful)
            doubtful = error.may_be_done = doubtful or error.may_be_done
            if attempt + 1 == attempts or not error.is_transient:
                raise
        else:
            return Outcome(True, item_of(answer["Attributes"]), doubtful)
    raise AssertionError("a write is sent once at least")


def number(item: Item, name: str) -> int:
    """A number of an item; 0 where it has none."""
    value = item.get(name, 0)
    assert isinstance(value, int)
    return value


def members(item: Item, name: str) -> frozenset[str]:
    """A set of an item; empty where it has none."""
    value = item.get(name, frozenset())
    assert isinstance(value, frozenset)
    return value


def item_of(attributes: Mapping[str, Mapping[str, Any]]) -> Item:
    """An item without DynamoDB's types."""
    return {name: _plain(value) for name, value in attributes.items()}


def _plain(value: Mapping[str, Any]) -> int | str | frozenset[str]:
    if "N" in value:
        return int(value["N"])
    return frozenset(value["SS"]) if "SS" in value else str(value["S"])


def size_of(item: Item) -> int:
    """How many bytes DynamoDB bills an item for.

    https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/CapacityUnitCalculations.html
    """
    return sum(len(name.encode()) + _size(value) for name, value in item.items())


def _size(value: int | str | frozenset[str]) -> int:
    if isinstance(value, int):
        return (len(str(abs(value)).strip("0")) + 1) // 2 + 1 + (value < 0)
    return len(value.encode()) if isinstance(value, str) else sum(len(text.encode()) for text in value)


def write_units(size: int) -> int:
    """What a write costs that leaves, or finds, an item of so many bytes, if that is more."""
    return max(1, -(-size // 1024))
