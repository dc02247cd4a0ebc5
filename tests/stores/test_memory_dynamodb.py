"""The DynamoDB in memory: what it refuses that moto does not, what it does not know, its pages, and the comparison."""

import json
from typing import Any

import httpx
import pytest

from scripts.memory_dynamodb import TARGET, MemoryDynamoDb
from tests.quick_aws import InProcess
from tests.stores.compared_dynamodb import ComparedDynamoDb

TABLE = {
    "TableName": "memory",
    "KeySchema": [{"AttributeName": "a", "KeyType": "HASH"}, {"AttributeName": "b", "KeyType": "RANGE"}],
    "AttributeDefinitions": [{"AttributeName": name, "AttributeType": "S"} for name in "ab"],
    "BillingMode": "PAY_PER_REQUEST",
}
UPDATE = {"Key": {"a": {"S": "x"}, "b": {"S": "1"}}, "ReturnValues": "ALL_NEW"}


@pytest.fixture
def dynamodb() -> MemoryDynamoDb:
    made = MemoryDynamoDb()
    assert call(made, "CreateTable", TABLE)[0] == 200
    return made


def call(dynamodb: MemoryDynamoDb, action: str, body: dict[str, Any]) -> tuple[int, dict[str, Any]]:
    status, answer = dynamodb.answer(TARGET + action, json.dumps({"TableName": "memory", **body}).encode())
    return status, json.loads(answer)


def put(dynamodb: MemoryDynamoDb, first: str, second: str, **attributes: Any) -> None:
    item = {"a": {"S": first}, "b": {"S": second}, **attributes}
    assert call(dynamodb, "PutItem", {"Item": item})[0] == 200


@pytest.mark.parametrize(
    "body",
    [
        {"UpdateExpression": "SET n = :one ADD n :one", "ExpressionAttributeValues": {":one": {"N": "1"}}},
        {"UpdateExpression": "SET n = :one", "ExpressionAttributeValues": {":one": {"N": "1"}, ":two": {"N": "2"}}},
        {"UpdateExpression": "SET n = :one"},
        {"UpdateExpression": "SET #b = :s", "ExpressionAttributeNames": {"#b": "b"}}
        | {"ExpressionAttributeValues": {":s": {"S": "2"}}},
        {"UpdateExpression": "ADD n :none", "ExpressionAttributeValues": {":none": {"SS": []}}},
        {"UpdateExpression": "ADD text :one", "ExpressionAttributeValues": {":one": {"N": "1"}}},
        {"UpdateExpression": "REMOVE n", "ConditionExpression": "text BETWEEN :two AND :one"}
        | {"ExpressionAttributeValues": {":one": {"N": "1"}, ":two": {"N": "2"}}},
        {"UpdateExpression": "REMOVE n", "ConditionExpression": "text ="},
        {"UpdateExpression": "REMOVE n", "ConditionExpression": "text AND"},
        {"UpdateExpression": "MOVE n"},
        {"UpdateExpression": "REMOVE n", "Key": {"a": {"S": "x"}}},
    ],
    ids=lambda body: body["UpdateExpression"],
)
def test_what_dynamodb_refuses_changes_nothing(dynamodb: MemoryDynamoDb, body: dict[str, Any]) -> None:
    put(dynamodb, "x", "1", text={"S": "t"})
    status, answer = call(dynamodb, "UpdateItem", UPDATE | body)
    assert (status, answer["__type"].rpartition("#")[2]) == (400, "ValidationException")
    (item,) = call(dynamodb, "Scan", {})[1]["Items"]
    assert item == {"a": {"S": "x"}, "b": {"S": "1"}, "text": {"S": "t"}}


@pytest.mark.parametrize(
    ("action", "body"),
    [
        ("DeleteItem", {"Key": UPDATE["Key"]}),
        ("GetItem", {"Key": UPDATE["Key"], "ProjectionExpression": "a"}),
        ("UpdateItem", {**UPDATE, "UpdateExpression": "REMOVE n", "ReturnValues": "UPDATED_OLD"}),
        ("PutItem", {"Item": {**UPDATE["Key"], "map": {"M": {}}}}),
    ],
)
def test_what_it_does_not_know_it_does_not_answer(dynamodb: MemoryDynamoDb, action: str, body: dict[str, Any]) -> None:
    with pytest.raises(NotImplementedError):
        call(dynamodb, action, body)


@pytest.mark.parametrize("is_forward", [True, False])
def test_a_query_is_read_page_by_page_from_any_key(dynamodb: MemoryDynamoDb, is_forward: bool) -> None:
    for second in ("3", "1", "4", "2"):
        put(dynamodb, "x", second)
    put(dynamodb, "y", "5")
    query = {
        "KeyConditionExpression": "a = :x",
        "ExpressionAttributeValues": {":x": {"S": "x"}},
        "ScanIndexForward": is_forward,
        "Limit": 2,
        "ExclusiveStartKey": {"a": {"S": "x"}, "b": {"S": "0" if is_forward else "9"}},
    }
    _, first = call(dynamodb, "Query", query)
    _, second = call(dynamodb, "Query", query | {"ExclusiveStartKey": first["LastEvaluatedKey"]})
    found = [item["b"]["S"] for item in first["Items"] + second["Items"]]
    assert found == (["1", "2", "3", "4"] if is_forward else ["4", "3", "2", "1"])


def test_a_page_has_a_megabyte_of_what_was_read_not_of_what_is_wanted(dynamodb: MemoryDynamoDb) -> None:
    for second in "12345":
        put(dynamodb, "x", second, text={"S": second * 300_000})
    wanted = {"FilterExpression": "begins_with(text, :five)", "ExpressionAttributeValues": {":five": {"S": "5"}}}
    _, first = call(dynamodb, "Scan", wanted)
    assert first["Items"] == []
    _, second = call(dynamodb, "Scan", wanted | {"ExclusiveStartKey": first["LastEvaluatedKey"]})
    assert [item["b"]["S"] for item in second["Items"]] == ["5"]
    assert "LastEvaluatedKey" not in second


@pytest.mark.anyio
async def test_an_answer_other_than_motos_is_found() -> None:
    compared = ComparedDynamoDb()
    headers = {
        "x-amz-target": f"{TARGET}ListTables",
        "authorization": "AWS4-HMAC-SHA256 Credential=a/b/us-east-1/dynamodb/aws4_request",
    }
    async with httpx.AsyncClient(transport=InProcess(compared), base_url="http://127.0.0.1:1") as client:
        await client.post("/", content=b"{}", headers=headers)
    assert compared.compared == 1
    (difference,) = compared.differences
    assert "ListTables" in difference
