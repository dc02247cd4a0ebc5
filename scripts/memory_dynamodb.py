"""DynamoDB's UpdateItem in memory, with what each call would be billed: as far as the limits use it, and fast.

Knows the expressions that `shared/stores/limits/write.py` composes, and nothing else.
"""

import json
import re
from collections import Counter, defaultdict
from typing import Any

import httpx

from shared.stores.limits.write import item_of, size_of, write_units

_TOKEN = re.compile(r"\s*(attribute_not_exists|attribute_exists|contains|size|BETWEEN|AND|OR|NOT|<=|[#:]\d+|[()<=,])")
Item = dict[str, dict[str, Any]]


class MemoryDynamoDb(httpx.AsyncBaseTransport):
    """Counts write units by table, and calls by action."""

    def __init__(self) -> None:
        self.tables: defaultdict[str, dict[str, Item]] = defaultdict(dict)
        self.units: Counter[str] = Counter()
        self.actions: Counter[str] = Counter()

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        action = request.headers["x-amz-target"].partition(".")[2]
        self.actions[action] += 1
        if action != "UpdateItem":
            return httpx.Response(200, json={})
        return self._update(json.loads(request.content))

    def _update(self, body: dict[str, Any]) -> httpx.Response:
        table, key = self.tables[body["TableName"]], json.dumps(body["Key"])
        before = table.get(key, {})
        names, values = body["ExpressionAttributeNames"], body["ExpressionAttributeValues"]
        if not _Condition(body["ConditionExpression"], before, names, values).holds():
            self.units[body["TableName"]] += write_units(size_of(item_of(before)))
            failed = {"__type": "x#ConditionalCheckFailedException", **({"Item": before} if before else {})}
            return httpx.Response(400, json=failed)
        after = table[key] = _updated({**body["Key"], **before}, body["UpdateExpression"], names, values)
        self.units[body["TableName"]] += write_units(max(size_of(item_of(before)), size_of(item_of(after))))
        return httpx.Response(200, json={"Attributes": after})


class _Condition:
    """A condition, read from left to right."""

    def __init__(self, text: str, item: Item, names: dict[str, str], values: dict[str, Any]) -> None:
        self._tokens = _TOKEN.findall(text)[::-1]
        self._item, self._names, self._values = item, names, values

    def holds(self) -> bool:
        result = self._all()
        assert not self._tokens, self._tokens
        return result

    def _next(self) -> str:
        return str(self._tokens.pop())

    def _sees(self, token: str) -> bool:
        if self._tokens and self._tokens[-1] == token:
            self._tokens.pop()
            return True
        return False

    def _all(self) -> bool:
        result = self._one()
        while self._tokens and self._tokens[-1] in ("AND", "OR"):
            is_and, other = self._next() == "AND", self._one()
            result = (result and other) if is_and else (result or other)
        return result

    def _one(self) -> bool:
        if self._sees("("):
            result = self._all()
            self._next()
            return result
        if self._sees("NOT"):
            return not self._one()
        for function in ("attribute_exists", "attribute_not_exists"):
            if self._sees(function):
                (name,) = self._arguments()
                return (self._names[name] in self._item) == (function == "attribute_exists")
        if self._sees("contains"):
            name, _, value = self._arguments()
            return self._values[value]["S"] in self._item.get(self._names[name], {"SS": []})["SS"]
        left = self._operand()
        match self._next():
            case "BETWEEN":
                low, _, high = self._operand(), self._next(), self._operand()
                return left is not None and low <= left <= high
            case "<":
                right = self._operand()
                return left is not None and left < right
            case "<=":
                right = self._operand()
                return left is not None and left <= right
            case _:
                return bool(left == self._operand())

    def _arguments(self) -> list[str]:
        self._next()
        found = []
        while (token := self._next()) != ")":
            found.append(token)
        return found

    def _operand(self) -> Any:
        if self._sees("size"):
            (name,) = self._arguments()
            return len(self._item.get(self._names[name], {"SS": []})["SS"])
        token = self._next()
        value = self._values[token] if token.startswith(":") else self._item.get(self._names[token])
        return None if value is None else int(value["N"]) if "N" in value else value["S"]


def _updated(item: Item, expression: str, names: dict[str, str], values: dict[str, Any]) -> Item:
    clauses = re.split(r"\s*\b(SET|ADD|DELETE|REMOVE) ", expression)[1:]
    for verb, text in zip(clauses[::2], clauses[1::2], strict=True):
        for part in re.sub(r"if_not_exists\((#\d+), (:\d+)\)", r"?\2", text).split(", "):
            name, _, value = part.replace(" =", "").partition(" ")
            _change(item, verb, names[name], value, values)
    return item


def _change(item: Item, verb: str, name: str, value: str, values: dict[str, Any]) -> None:
    given = values.get(value.removeprefix("?"), {})
    match verb:
        case "REMOVE":
            item.pop(name, None)
        case "SET" if value.startswith("?"):
            item.setdefault(name, given)
        case "SET":
            item[name] = given
        case "ADD" if "N" in given:
            item[name] = {"N": str(int(item.get(name, {"N": "0"})["N"]) + int(given["N"]))}
        case "ADD":
            item[name] = {"SS": sorted({*item.get(name, {"SS": []})["SS"], *given["SS"]})}
        case _:
            item[name] = {"SS": sorted({*item.get(name, {"SS": []})["SS"]} - {*given["SS"]})}
            if not item[name]["SS"]:
                del item[name]
