"""Composes one UpdateItem, and sends it so that it is done once.

https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/Expressions.UpdateExpressions.html
https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/Expressions.OperatorsAndFunctions.html
"""

import hashlib
import json
import secrets
from collections.abc import Mapping
from typing import Any

from shared.stores.aws import ATTEMPTS, Aws, AwsError, pause_before

_MARKS = 8
_RETRIED = frozenset(
    {
        "InternalServerError",
        "ProvisionedThroughputExceededException",
        "RequestLimitExceeded",
        "ThrottlingException",
        "TransactionConflictException",
    }
)

View = Mapping[str, int | str]
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

    def done(self, view: View) -> bool:
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


async def send(aws: Aws, table: str, item: str, write: Write) -> tuple[bool, View]:
    """Makes a write: whether its conditions held, and the item as it is now. Raises AwsError.

    `Aws.call` cannot be used, since it keeps to itself what a failed condition answers.
    """
    body = write.body(table, item) | {"ReturnValues": "ALL_NEW", "ReturnValuesOnConditionCheckFailure": "ALL_OLD"}
    content = json.dumps(body).encode()
    code = ""
    for attempt in range(ATTEMPTS):
        if attempt:
            await pause_before(attempt)
        status, answer = await _post(aws, content)
        if status == 200:
            return True, view_of(answer["Attributes"])
        code = str(answer.get("__type", status)).rpartition("#")[2]
        if code == "ConditionalCheckFailedException":
            view = view_of(answer.get("Item", {}))
            return write.done(view), view
        if status < 500 and code not in _RETRIED:
            break
    raise AwsError("dynamodb", "UpdateItem", code)


async def _post(aws: Aws, content: bytes) -> tuple[int, dict[str, Any]]:
    import httpx  # only who calls AWS pays for it

    url = (aws.endpoint("dynamodb") or f"https://dynamodb.{aws.region}.{aws.domain}") + "/"
    headers = {
        "content-type": "application/x-amz-json-1.0",
        "host": httpx.URL(url).netloc.decode(),
        "x-amz-target": "DynamoDB_20120810.UpdateItem",
    }
    signer = await aws.signer("dynamodb")
    signed = signer.sign("POST", "/", {}, headers, hashlib.sha256(content).hexdigest())
    try:
        response = await aws.http().post(url, content=content, headers=signed)
    except httpx.HTTPError as error:
        return 503, {"__type": type(error).__name__}
    try:
        answer = response.json()
    except ValueError:
        answer = None
    return response.status_code, answer if isinstance(answer, dict) else {}


def number(item: View, name: str) -> int:
    """A number of an item; 0 where it has none."""
    value = item.get(name, 0)
    assert isinstance(value, int)
    return value


def view_of(item: Mapping[str, Mapping[str, str]]) -> View:
    """An item without DynamoDB's types."""
    return {name: int(value["N"]) if "N" in value else value["S"] for name, value in item.items()}
