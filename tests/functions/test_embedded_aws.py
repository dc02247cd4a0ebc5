"""The embedded AWS of `make run` holds what is stored, and nothing of what was stored before."""

import gc

import pytest
from moto.dynamodb.models.dynamo_type import Item

from shared.stores.aws import Aws

pytestmark = pytest.mark.anyio
TABLE = {
    "TableName": "history",
    "KeySchema": [{"AttributeName": "id", "KeyType": "HASH"}],
    "AttributeDefinitions": [{"AttributeName": "id", "AttributeType": "S"}],
    "BillingMode": "PAY_PER_REQUEST",
}
UPDATE = {
    "TableName": "history",
    "Key": {"id": {"S": "a"}},
    "UpdateExpression": "ADD n :one",
    "ExpressionAttributeValues": {":one": {"N": "1"}},
}


def items() -> int:
    gc.collect()
    return sum(isinstance(found, Item) for found in gc.get_objects())


async def test_earlier_versions_of_an_item_are_forgotten(moto_environment: dict[str, str]) -> None:
    aws = Aws(moto_environment)
    await aws.call("dynamodb", "CreateTable", TABLE)
    await aws.call("dynamodb", "UpdateItem", UPDATE)
    before = items()
    for _ in range(50):
        await aws.call("dynamodb", "UpdateItem", UPDATE)
    assert items() - before < 10
    await aws.aclose()
