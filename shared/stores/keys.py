"""Callers' keys, held in DynamoDB by the hash of their token."""

import hashlib
import math
import time
from collections.abc import Callable, Mapping
from typing import Any

from shared.dataclass import dataclass
from shared.schemas.caller import Key
from shared.stores.aws import Aws
from shared.stores.aws_calls import AwsError

MAX_TOKEN_LENGTH = 512
_CACHED_KEYS = 1000
_PAUSE = 5.0
"""Seconds for which a table that could not be read is not asked again about a key that is known."""
_SECONDS = 2.0
"""How long one attempt waits for its answer. DynamoDB takes milliseconds."""


def hash_token(token: str) -> str:
    """The hash under which a token is stored, so that a stolen table grants no access. Tokens are random, so that they
    need no slow hash."""
    return hashlib.sha256(token.encode(errors="replace")).hexdigest()


@dataclass(slots=True)
class _Known:
    """A key, when it was read, when that was last tried, and until when it need not be read again."""

    key: Key
    read_at: float
    asked_at: float
    trusted_until: float


class KeyStore:
    """Looks keys up, one read each for `cache_seconds`; after that a revoked key is revoked here too.

    While the table cannot be read, a key that was read at most `grace_seconds` ago is taken to be as it was then.
    """

    def __init__(
        self,
        aws: Aws,
        table: str,
        *,
        cache_seconds: float = 0.0,
        grace_seconds: float = 0.0,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.aws = aws
        self._table = table
        self._cache_seconds = cache_seconds
        self._grace_seconds = grace_seconds
        self._clock = clock
        self._cache: dict[str, _Known] = {}

    async def find(self, token: str) -> Key | None:
        """The key of a token, or None. The caller must check whether it is usable. Raises AwsError."""
        return None if len(token) > MAX_TOKEN_LENGTH else await self.find_hashed(hash_token(token))

    async def find_hashed(self, token_hash: str, *, newer_than: float = math.inf) -> Key | None:
        """The same for a token of which only the hash was kept. Raises AwsError.

        The table is asked if that was last done more than `newer_than` seconds ago.
        """
        known, now = self._cache.get(token_hash), self._clock()
        if known is not None and now < min(known.trusted_until, known.asked_at + newer_than):
            return known.key
        query = {"TableName": self._table, "Key": {"token_hash": {"S": token_hash}}}
        try:
            item = (await self.aws.call("dynamodb", "GetItem", query, seconds=_SECONDS)).get("Item")
        except AwsError:
            if known is None or self._clock() >= known.read_at + self._grace_seconds:
                raise
            known.asked_at = self._clock()
            known.trusted_until = known.asked_at + _PAUSE
            return known.key
        self._cache.pop(token_hash, None)
        if item is None:
            return None
        key = _key(item)
        if len(self._cache) >= _CACHED_KEYS:
            self._cache.pop(next(iter(self._cache)))
        self._cache[token_hash] = _Known(key, now, now, now + self._cache_seconds)
        return key

    async def put(self, token: str, key: Key) -> None:
        """Creates or replaces a key. Raises AwsError."""
        await self._put(hash_token(token), key)

    async def _put(self, token_hash: str, key: Key, condition: Mapping[str, Any] = {}) -> None:
        item = {
            "token_hash": {"S": token_hash},
            "key_id": {"S": key.key_id},
            "key": {"S": key.model_dump_json()},
        }
        await self.aws.call("dynamodb", "PutItem", {"TableName": self._table, "Item": item, **condition})

    async def all(self) -> list[Key]:
        """Every key, once for each of its tokens. Reads the whole table, so only for operators. Raises AwsError."""
        return [_key(item) for item in await self._items()]

    async def change(self, key_id: str, change: Callable[[Key], Key]) -> None:
        """Applies `change` to a key, for each of its tokens. Raises AwsError."""
        for item in await self._items():
            if item["key_id"]["S"] == key_id:
                await self._change(item, change)

    async def _change(self, item: Mapping[str, Any], change: Callable[[Key], Key]) -> None:
        """Applies the change to the key's current state, so that concurrent changes do not undo each other."""
        unchanged = {
            "ConditionExpression": "#key = :seen",
            "ExpressionAttributeNames": {"#key": "key"},
            "ReturnValuesOnConditionCheckFailure": "ALL_OLD",
        }
        while item:
            try:
                await self._put(
                    item["token_hash"]["S"],
                    change(_key(item)),
                    {**unchanged, "ExpressionAttributeValues": {":seen": item["key"]}},
                )
                return
            except AwsError as error:
                if error.code != "ConditionalCheckFailedException":
                    raise
                item = error.answer.get("Item", {})

    async def _items(self) -> list[dict[str, Any]]:
        items: list[dict[str, Any]] = []
        page: dict[str, Any] = {}
        while True:
            answer = await self.aws.call("dynamodb", "Scan", {"TableName": self._table, "ConsistentRead": True, **page})
            items += answer["Items"]
            if "LastEvaluatedKey" not in answer:
                return items
            page = {"ExclusiveStartKey": answer["LastEvaluatedKey"]}

    async def create_table(self) -> None:
        """Creates the table in an embedded AWS; in a stack the template does. Raises AwsError."""
        table = {
            "TableName": self._table,
            "KeySchema": [{"AttributeName": "token_hash", "KeyType": "HASH"}],
            "AttributeDefinitions": [{"AttributeName": "token_hash", "AttributeType": "S"}],
            "BillingMode": "PAY_PER_REQUEST",
        }
        await self.aws.call("dynamodb", "CreateTable", table)


def _key(item: Mapping[str, Any]) -> Key:
    return Key.model_validate_json(item["key"]["S"])
