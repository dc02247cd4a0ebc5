"""DynamoDB in memory, for tests and benchmarks: the calls that the stores make, answered as DynamoDB answers them.

Knows the parameters and expressions that the stores use, and raises NotImplementedError for others. Where DynamoDB
refuses what moto lets pass, it refuses: an attribute that is updated twice, an empty range, a placeholder that is not
used or has no value.
"""

import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import suppress
from email.utils import formatdate
from itertools import chain
from threading import Lock
from typing import Any

import httpx

from scripts.dynamodb_expressions import InvalidExpression, Item, Scope, condition, update

TARGET = "DynamoDB_20120810."
_PAGE_BYTES = 1024 * 1024
_PLACEHOLDERS = {"ExpressionAttributeNames", "ExpressionAttributeValues"}
_CONDITION = {"ConditionExpression", "ReturnValuesOnConditionCheckFailure", *_PLACEHOLDERS}
_PAGE = {"ConsistentRead", "Limit", "ExclusiveStartKey", *_PLACEHOLDERS}
_PARAMETERS: dict[str, set[str]] = {
    "CreateTable": {"TableName", "KeySchema", "AttributeDefinitions", "BillingMode"},
    "DescribeEndpoints": set(),
    "GetItem": {"TableName", "Key", "ConsistentRead"},
    "PutItem": {"TableName", "Item", *_CONDITION},
    "UpdateItem": {"TableName", "Key", "UpdateExpression", "ReturnValues", *_CONDITION},
    "Query": {"TableName", "KeyConditionExpression", "ScanIndexForward", *_PAGE},
    "Scan": {"TableName", "FilterExpression", *_PAGE},
}
_EXPRESSIONS = ("KeyConditionExpression", "FilterExpression", "ConditionExpression", "UpdateExpression")
Written = Callable[[str, Item, Item], None]


class Refused(Exception):
    """An answer with status 400."""

    def __init__(self, code: str, message: str = "", **fields: Any) -> None:
        super().__init__(message)
        self.answer = {"__type": f"com.amazonaws.dynamodb.v20120810#{code}", "message": message, **fields}


class _Table:
    """The items of a table by partition and sort key, which are texts; the latter is empty where there is none."""

    def __init__(self, keys: list[str]) -> None:
        self.keys = keys
        self.partitions: dict[str, dict[str, Item]] = {}

    def key_of(self, item: Mapping[str, Any]) -> tuple[str, str]:
        found = [item[name]["S"] for name in self.keys if "S" in item.get(name, ())]
        if len(found) < len(self.keys):
            raise Refused("ValidationException", "The provided key element does not match the schema")
        return found[0], found[1] if len(found) > 1 else ""

    def find(self, key: tuple[str, str]) -> Item | None:
        return self.partitions.get(key[0], {}).get(key[1])

    def put(self, item: Item) -> None:
        first, second = self.key_of(item)
        self.partitions.setdefault(first, {})[second] = item

    def key_in(self, item: Item) -> Item:
        return {name: item[name] for name in self.keys}


def _nothing(table: str, before: Item, after: Item) -> None:
    """In place of what takes note of writes."""


class MemoryDynamoDb(httpx.AsyncBaseTransport):
    """A DynamoDB as a transport of the HTTP client and as a WSGI application; safe to call from several threads.

    `written` is called with the table's name and the item before and after each write; a refused one changes nothing.
    """

    def __init__(self, written: Written = _nothing) -> None:
        self._written = written
        self._tables: dict[str, _Table] = {}
        self._turn = Lock()

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        target = request.headers["x-amz-target"]
        status, content = self.answer(target, await request.aread())
        # By which the gateway knows AWS's time.
        headers = {"date": formatdate(usegmt=True)}
        return httpx.Response(status, content=content, headers=headers)

    def __call__(self, environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        content = environ["wsgi.input"].read(int(environ["CONTENT_LENGTH"]))
        status, answer = self.answer(environ["HTTP_X_AMZ_TARGET"], content)
        headers = [("content-type", "application/x-amz-json-1.0"), ("content-length", str(len(answer)))]
        start_response("200 OK" if status == 200 else "400 Bad Request", headers)
        return [answer]

    def answer(self, target: str, content: bytes) -> tuple[int, bytes]:
        """The status and body of the answer to a call. Raises NotImplementedError."""
        action, body = target.removeprefix(TARGET), json.loads(content)
        try:
            with self._turn:
                return 200, json.dumps(self._answer(action, body)).encode()
        except Refused as refused:
            return 400, json.dumps(refused.answer).encode()
        except InvalidExpression as error:
            return 400, json.dumps(Refused("ValidationException", str(error)).answer).encode()

    def _answer(self, action: str, body: Mapping[str, Any]) -> dict[str, Any]:
        if action not in _PARAMETERS:
            raise NotImplementedError(action)
        if unknown := body.keys() - _PARAMETERS[action]:
            raise NotImplementedError(f"{action} with {unknown}")
        _check_placeholders(body)
        match action:
            case "CreateTable":
                return self._create_table(body)
            case "GetItem":
                return self._get_item(body)
            case "PutItem":
                return self._put_item(body)
            case "UpdateItem":
                return self._update_item(body)
            case "Query":
                return self._query(body)
            case "Scan":
                return self._scan(body)
            case _:
                return {"Endpoints": [{"Address": "dynamodb.us-east-1.amazonaws.com", "CachePeriodInMinutes": 1440}]}

    def _create_table(self, body: Mapping[str, Any]) -> dict[str, Any]:
        name = body["TableName"]
        if name in self._tables:
            raise Refused("ResourceInUseException", f"Table already exists: {name}")
        by_kind = {schema["KeyType"]: schema["AttributeName"] for schema in body["KeySchema"]}
        self._tables[name] = _Table([by_kind[kind] for kind in ("HASH", "RANGE") if kind in by_kind])
        return {"TableDescription": {"TableName": name, "TableStatus": "ACTIVE"}}

    def _get_item(self, body: Mapping[str, Any]) -> dict[str, Any]:
        table = self._table(body)
        item = table.find(table.key_of(body["Key"]))
        return {} if item is None else {"Item": item}

    def _put_item(self, body: Mapping[str, Any]) -> dict[str, Any]:
        table, item = self._table(body), body["Item"]
        _check_values(item.values())
        before = table.find(table.key_of(item))
        self._check_condition(body, before or {})
        table.put(item)
        self._written(body["TableName"], before or {}, item)
        return {}

    def _update_item(self, body: Mapping[str, Any]) -> dict[str, Any]:
        table, key = self._table(body), body["Key"]
        before = table.find(table.key_of(key)) or {}
        scope = self._check_condition(body, before)
        _check_values(scope.values.values())
        changes = update(body["UpdateExpression"])
        after = changes.applied(Scope(before or dict(key), scope.names, scope.values))
        if table.key_in(after) != key or any(scope.name(path) in key for path, _ in changes.changes):
            raise Refused("ValidationException", "Cannot update an attribute that is part of the key")
        table.put(after)
        self._written(body["TableName"], before, after)
        match body.get("ReturnValues", "NONE"):
            case "ALL_NEW":
                return {"Attributes": after}
            case "NONE":
                return {}
            case other:
                raise NotImplementedError(other)

    def _check_condition(self, body: Mapping[str, Any], before: Item) -> Scope:
        """What the expressions are evaluated on. Raises Refused where the condition does not hold."""
        scope = _scope(body, before)
        text = body.get("ConditionExpression")
        if text is None or condition(text).holds(scope):
            return scope
        self._written(body["TableName"], before, before)
        is_shown = body.get("ReturnValuesOnConditionCheckFailure") == "ALL_OLD" and before
        raise Refused(
            "ConditionalCheckFailedException",
            "The conditional request failed",
            **({"Item": before} if is_shown else {}),
        )

    def _query(self, body: Mapping[str, Any]) -> dict[str, Any]:
        table, text = self._table(body), body["KeyConditionExpression"]
        name, equals, value = text.split()[:3]
        scope = _scope(body, {})
        if equals != "=" or scope.name(name) != table.keys[0]:
            raise Refused("ValidationException", "Query condition missed key schema element")
        first = scope.values[value]["S"]
        partition = table.partitions.get(first, {})
        is_forward = body.get("ScanIndexForward", True)
        start = table.key_of(body["ExclusiveStartKey"]) if "ExclusiveStartKey" in body else None
        if start is not None and start[0] != first:
            raise Refused("ValidationException", "The provided starting key is outside query boundaries")
        in_order = (
            partition[second]
            for second in sorted(partition, reverse=not is_forward)
            if start is None or (second > start[1] if is_forward else second < start[1])
        )
        holds = condition(text).holds
        matching = (item for item in in_order if holds(_scope(body, item)))
        return _page(table, matching, body, lambda item: True)

    def _scan(self, body: Mapping[str, Any]) -> dict[str, Any]:
        table = self._table(body)
        items = chain.from_iterable(partition.values() for partition in table.partitions.values())
        if "ExclusiveStartKey" in body:
            # Nothing is ever deleted, so that it is there, and what follows it is what had followed it.
            start = table.find(table.key_of(body["ExclusiveStartKey"]))
            for item in items:
                if item is start:
                    break
        holds = condition(body["FilterExpression"]).holds if "FilterExpression" in body else None
        return _page(table, items, body, lambda item: holds is None or holds(_scope(body, item)))

    def _table(self, body: Mapping[str, Any]) -> _Table:
        with suppress(KeyError):
            return self._tables[body["TableName"]]
        raise Refused("ResourceNotFoundException", "Requested resource not found")


def _page(
    table: _Table, items: Iterable[Item], body: Mapping[str, Any], is_wanted: Callable[[Item], bool]
) -> dict[str, Any]:
    """As many items as `Limit` and a page's bytes let through, of which the unwanted ones count too."""
    found, size, last = [], 0, None
    for read, item in enumerate(items, 1):
        last = item
        size += _size(item)
        if is_wanted(item):
            found.append(item)
        if size > _PAGE_BYTES or read == body.get("Limit"):
            break
    else:
        last = None
    return {"Items": found, "Count": len(found), **({} if last is None else {"LastEvaluatedKey": table.key_in(last)})}


def _size(item: Item) -> int:
    """About how many bytes an item has: DynamoDB's numbers are a little shorter."""
    return sum(
        len(name) + (len(content) if isinstance(content, str) else sum(map(len, content)))
        for name, attribute in item.items()
        for content in attribute.values()
    )


def _scope(body: Mapping[str, Any], item: Item) -> Scope:
    return Scope(item, body.get("ExpressionAttributeNames", {}), body.get("ExpressionAttributeValues", {}))


def _check_placeholders(body: Mapping[str, Any]) -> None:
    """Each placeholder that is used must be given, and the other way round. Raises Refused."""
    used = set(_placeholders(body))
    given = {*body.get("ExpressionAttributeNames", {}), *body.get("ExpressionAttributeValues", {})}
    if used != given:
        raise Refused("ValidationException", f"Placeholders unused or without a value: {used ^ given}")
    for name in _PLACEHOLDERS:
        if name in body and not body[name]:
            raise Refused("ValidationException", f"{name} must not be empty")


def _placeholders(body: Mapping[str, Any]) -> Iterator[str]:
    for name in _EXPRESSIONS:
        if name in body:
            parse = update if name == "UpdateExpression" else condition
            yield from parse(body[name]).placeholders


def _check_values(attributes: Iterable[Mapping[str, Any]]) -> None:
    """Sets are not empty and name nothing twice, and numbers are numbers. Raises Refused."""
    for attribute in attributes:
        ((kind, content),) = attribute.items()
        match kind:
            case "S":
                is_valid = isinstance(content, str)
            case "N":
                is_valid = isinstance(content, str) and content.lstrip("-").isdecimal()
            case "SS" | "NS":
                is_valid = bool(content) and len(set(content)) == len(content)
            case _:
                raise NotImplementedError(kind)
        if not is_valid:
            raise Refused("ValidationException", f"One or more parameter values were invalid: {attribute}")
