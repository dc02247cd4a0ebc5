"""Keys are held by their tokens' hashes and read once for the time that they may be trusted."""

import asyncio
import json
from collections.abc import Callable, Mapping
from typing import Any

import pytest

from shared.schemas.caller import Key, Permission
from shared.stores.aws import Aws
from shared.stores.aws_calls import AwsError
from shared.stores.keys import MAX_TOKEN_LENGTH, KeyStore

pytestmark = pytest.mark.anyio
KEY = Key(key_id="k", tenant="t", permissions=frozenset({Permission.MODELS_USE}), models=frozenset({"m"}))


class CountingAws(Aws):
    """Counts the reads, and fails them when told to."""

    reads = 0
    fails = False

    async def call(self, service: str, action: str, body: Mapping[str, Any], **options: Any) -> dict[str, Any]:
        self.reads += action == "GetItem"
        if self.fails:
            raise AwsError(service, action, "InternalServerError")
        return await super().call(service, action, body, **options)


@pytest.fixture
def aws(aws_environment: dict[str, str]) -> CountingAws:
    return CountingAws(aws_environment)


@pytest.fixture
def table(request: pytest.FixtureRequest) -> str:
    return str(request.node.name)


async def test_a_key_is_found_by_its_token_and_the_table_holds_no_token(aws: CountingAws, table: str) -> None:
    store = KeyStore(aws, table)
    await store.create_table()
    await store.put("sk-secret", KEY)
    assert await store.find("sk-secret") == KEY
    assert await store.find("sk-other") is None
    assert "sk-secret" not in json.dumps(await aws.call("dynamodb", "Scan", {"TableName": table}))


async def test_a_stored_permission_that_no_route_knows_grants_nothing(aws: CountingAws, table: str) -> None:
    store = KeyStore(aws, table)
    await store.create_table()
    await store.put("sk-secret", KEY)
    (item,) = (await aws.call("dynamodb", "Scan", {"TableName": table}))["Items"]
    item["key"]["S"] = item["key"]["S"].replace('["models:use"]', '["admin","models:use"]')
    assert "admin" in item["key"]["S"]
    await aws.call("dynamodb", "PutItem", {"TableName": table, "Item": item})
    assert await store.find("sk-secret") == KEY


async def test_a_key_is_read_again_only_after_the_time_it_may_be_trusted(aws: CountingAws, table: str) -> None:
    clock = [0.0]
    store = KeyStore(aws, table, cache_seconds=60, clock=lambda: clock[0])
    await store.create_table()
    await store.put("sk-secret", KEY)
    for _ in range(3):
        await store.find("sk-secret")
    assert aws.reads == 1
    revoked = KEY.model_copy(update={"revoked": True})
    await store.put("sk-secret", revoked)
    clock[0] = 59.9
    assert await store.find("sk-secret") == KEY
    clock[0] = 60.1
    assert await store.find("sk-secret") == revoked


async def test_a_known_key_outlives_an_outage_for_the_time_that_is_set_and_an_unknown_one_does_not(
    aws: CountingAws, table: str
) -> None:
    clock = [0.0]
    store = KeyStore(aws, table, cache_seconds=60, grace_seconds=900, clock=lambda: clock[0])
    await store.create_table()
    await store.put("sk-secret", KEY)
    await store.put("sk-other", KEY)
    assert await store.find("sk-secret") == KEY
    aws.fails = True
    clock[0] = 899.0
    assert await store.find("sk-secret") == KEY
    with pytest.raises(AwsError):
        await store.find("sk-other")
    clock[0] = 905.0
    with pytest.raises(AwsError):
        await store.find("sk-secret")
    aws.fails = False
    assert await store.find("sk-secret") == KEY


async def test_a_token_too_long_is_not_even_looked_up(aws: CountingAws, table: str) -> None:
    assert await KeyStore(aws, table).find("x" * (MAX_TOKEN_LENGTH + 1)) is None
    assert aws.reads == 0


async def test_changes_made_at_once_do_not_undo_each_other(aws_environment: dict[str, str]) -> None:
    aws = Aws(aws_environment)
    store = KeyStore(aws, "changed-keys")
    await store.create_table()
    await store.put("sk-changed", Key(key_id="changed", tenant="t", permissions=frozenset(), models=frozenset()))

    def allowing(model: str) -> Callable[[Key], Key]:
        return lambda key: key.model_copy(update={"models": (key.models or frozenset()) | {model}})

    await asyncio.gather(*(store.change("changed", allowing(model)) for model in "abcdef"))
    (key,) = await store.all()
    assert key.models == frozenset("abcdef")
    await aws.aclose()
