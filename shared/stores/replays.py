"""Answers that are kept to be given again: a claim in the table `Limits`, and the answer itself in the bucket.

The item of a claim, `replay#<hash of the tenant and of what names the request>`:

    h     the hash of the request; absent where nothing is claimed
    l     until when the one who answers it has, in Unix milliseconds; absent when it is answered
    o     the key of the answer's object
    t     when it was answered, in Unix seconds
    ttl   until when the answer may be given again
"""

from collections.abc import Callable
from uuid import uuid4

from shared.schemas.replay import KEPT_SECONDS, Claimed, Recording, Reused, Running, Stored
from shared.stores.aws import Aws
from shared.stores.limits.write import Item, Write, item_of, number, send
from shared.stores.objects import ObjectNotFound, ObjectStore

_ATTEMPTS = 3
_ROUNDS = 4
_READ_SECONDS = 2.0
_REQUEST, _LEASE, _OBJECT, _TIME, _TTL = "h", "l", "o", "t", "ttl"


class ReplayStore:
    """The claims and answers of all tenants. `clock` is Unix time; every method raises AwsError."""

    def __init__(self, aws: Aws, table: str, objects: ObjectStore, *, clock: Callable[[], float]) -> None:
        self._aws = aws
        self._table = table
        self._objects = objects
        self._clock = clock

    async def claim(
        self, name: str, request: str, *, lease_seconds: float, max_age: float
    ) -> Claimed | Running | Reused | Stored:
        """Claims a request, or tells what has become of it.

        A claim whose lease has ended, and an answer that is older than `max_age` seconds, count for nothing.
        """
        seen: Item = {}
        for _ in range(_ROUNDS):
            now = self._clock()
            found = self._state(seen, request, now, max_age)
            if found is not None:
                return found
            lease = int((now + lease_seconds) * 1000)
            write = Write()
            for attribute in (_REQUEST, _LEASE, _OBJECT):
                value = seen.get(attribute)
                if isinstance(value, int | str):
                    write.require_equal(attribute, value)
                else:
                    write.require_absent(attribute)
            write.remove(_OBJECT)
            write.set(_REQUEST, request)
            write.set(_LEASE, lease)
            write.set(_TTL, int(now + lease_seconds + KEPT_SECONDS))
            outcome = await send(self._aws, self._table, _key(name), write, attempts=_ATTEMPTS)
            if outcome.made or (outcome.doubtful and outcome.item.get(_LEASE) == lease):
                return Claimed(lease)
            seen = outcome.item
        return Running()

    async def look(self, name: str, request: str, *, max_age: float) -> Running | Reused | Stored | None:
        """What has become of a request; None if it can be claimed."""
        body = {"TableName": self._table, "Key": {"id": {"S": _key(name)["id"]}}, "ConsistentRead": True}
        answer = await self._aws.call("dynamodb", "GetItem", body, seconds=_READ_SECONDS)
        return self._state(item_of(answer.get("Item", {})), request, self._clock(), max_age)

    def _state(self, item: Item, request: str, now: float, max_age: float) -> Running | Reused | Stored | None:
        if _REQUEST not in item or number(item, _TTL) <= now:
            return None
        if _OBJECT in item:
            if number(item, _TIME) + max_age <= now:
                return None
            return Stored(str(item[_OBJECT]), number(item, _TIME)) if item[_REQUEST] == request else Reused()
        if number(item, _LEASE) <= now * 1000:
            return None
        return Running() if item[_REQUEST] == request else Reused()

    async def keep(self, name: str, claimed: Claimed, recording: Recording) -> None:
        """Keeps the answer to a claimed request, unless another one has claimed it since."""
        key = f"replays/{name}/{uuid4().hex}"
        await self._objects.put(key, recording.content(), "application/octet-stream")
        now = int(self._clock())
        write = Write()
        write.require_equal(_LEASE, claimed.lease)
        write.remove(_LEASE)
        write.set(_OBJECT, key)
        write.set(_TIME, now)
        write.set(_TTL, now + KEPT_SECONDS)
        await send(self._aws, self._table, _key(name), write, attempts=_ATTEMPTS)

    async def give_up(self, name: str, claimed: Claimed) -> None:
        """Lets others claim a request whose answer is not kept."""
        write = Write()
        write.require_equal(_LEASE, claimed.lease)
        write.remove(_REQUEST)
        write.remove(_LEASE)
        await send(self._aws, self._table, _key(name), write, attempts=_ATTEMPTS)

    async def get(self, stored: Stored) -> Recording | None:
        """A stored answer; None if it has been deleted."""
        try:
            return Recording.read((await self._objects.get(stored.key)).content)
        except ObjectNotFound:
            return None


def _key(name: str) -> dict[str, str]:
    return {"id": f"replay#{name}"}
