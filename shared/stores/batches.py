"""Batches in DynamoDB: one row each, under its tenant. Every update is conditional on the expected state, so that a
message delivered twice has no second effect.

Followed: https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/Expressions.ConditionExpressions.html
"""

import hashlib
import json
import time
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final

from shared.schemas.batch import Batch, BatchStatus, InputError, Submission, Tally, is_batch_id
from shared.stores.aws import Aws
from shared.stores.aws_calls import AwsError
from shared.stores.files import file_id_of

KEPT_SECONDS = 30 * 24 * 3600
"""How long a batch is kept after its submission."""
_REFUSED = "ConditionalCheckFailedException"
_TIMES: Final = (
    "in_progress_at",
    "finalizing_at",
    "completed_at",
    "failed_at",
    "expired_at",
    "cancelling_at",
    "cancelled_at",
)
# The attribute with the time at which a batch entered a status.
_TIME_OF = {
    BatchStatus.COMPLETED: "completed_at",
    BatchStatus.EXPIRED: "expired_at",
    BatchStatus.CANCELLED: "cancelled_at",
}
_Row = dict[str, Any]


class BatchStore:
    """One tenant never sees another's batches: the tenant is part of every key. Every method raises AwsError.

    Methods that change a batch return its new state. If it was not in the expected state, they change nothing and
    return the current state; None if the batch no longer exists.
    """

    def __init__(self, aws: Aws, table: str, *, clock: Callable[[], float] = time.time) -> None:
        self._aws = aws
        self._table = table
        self._clock = clock

    async def add(self, submission: Submission) -> None:
        """Stores a new batch."""
        row = {
            **_key(submission.caller.tenant, submission.id),
            "submission": {"S": submission.model_dump_json()},
            "status": {"S": BatchStatus.VALIDATING},
            "ttl": {"N": str(submission.created_at + KEPT_SECONDS)},
        }
        try:
            # An earlier attempt may have stored it, and a worker may have changed it since.
            await self._call("PutItem", {"Item": row, "ConditionExpression": "attribute_not_exists(id)"})
        except AwsError as error:
            if error.code != _REFUSED:
                raise

    async def find(self, tenant: str, batch_id: str) -> Batch | None:
        """A batch, by a consistent read; None if unknown."""
        if not is_batch_id(batch_id):
            return None
        row = (await self._call("GetItem", {"Key": _key(tenant, batch_id), "ConsistentRead": True})).get("Item")
        return None if row is None or self._is_expired(row) else _batch(row)

    async def list(self, tenant: str, *, status: BatchStatus | None, after: str | None, limit: int) -> list[Batch]:
        """The batches, newest first, of one status if given, starting after the id `after`."""
        query: dict[str, Any] = {
            "KeyConditionExpression": "tenant = :tenant",
            "ExpressionAttributeValues": {":tenant": {"S": tenant_hash(tenant)}},
            "ScanIndexForward": False,
            "ConsistentRead": True,
        }
        if after is not None:
            query["ExclusiveStartKey"] = _key(tenant, after)
        if status is None:
            query["Limit"] = limit
        found: list[Batch] = []
        while len(found) < limit:
            page = await self._call("Query", query)
            batches = [_batch(row) for row in page.get("Items", ()) if not self._is_expired(row)]
            found += [batch for batch in batches if status in (None, batch.status)]
            if "LastEvaluatedKey" not in page:
                break
            query["ExclusiveStartKey"] = page["LastEvaluatedKey"]
        return found[:limit]

    async def start(self, batch: Batch, *, total: int, chunks: int, output_key: str, error_key: str) -> Batch | None:
        """Records that the input has been split: its lines may be answered."""
        values = {
            "total": {"N": str(total)},
            "chunks": {"N": str(chunks)},
            "output_key": {"S": output_key},
            "error_key": {"S": error_key},
            "in_progress_at": self._now(),
        }
        update = _Update(values | {"status": {"S": BatchStatus.IN_PROGRESS}})
        update.require("status", BatchStatus.VALIDATING)
        update.require_absent("chunks")
        started = await self._change(batch, update)
        if started is not None and started.chunks is None and started.status is BatchStatus.CANCELLING:
            update = _Update(values)
            update.require("status", BatchStatus.CANCELLING)
            update.require_absent("chunks")
            return await self._change(batch, update)
        return started

    async def fail(self, batch: Batch, errors: Iterable[InputError]) -> Batch | None:
        """Records that the input cannot be used."""
        text = json.dumps([error.model_dump() for error in errors])
        update = _Update({"errors": {"S": text}, "status": {"S": BatchStatus.FAILED}, "failed_at": self._now()})
        update.require("status", BatchStatus.VALIDATING, BatchStatus.CANCELLING)
        update.require_absent("chunks")
        return await self._change(batch, update)

    async def count(self, batch: Batch, chunk: int, tally: Tally) -> Batch | None:
        """Counts the lines of a finished chunk, once."""
        update = _Update({})
        update.add(done={"NS": [str(chunk)]})
        update.add(**{name: {"N": str(getattr(tally, name))} for name in Tally.__dataclass_fields__})
        update.require_not_in("done", {"N": str(chunk)})
        return await self._change(batch, update)

    async def cancel(self, batch: Batch) -> Batch | None:
        """Tells the workers to start no more lines; a batch that has ended is not changed."""
        update = _Update({"status": {"S": BatchStatus.CANCELLING}, "cancelling_at": self._now()})
        update.require("status", BatchStatus.VALIDATING, BatchStatus.IN_PROGRESS, BatchStatus.FINALIZING)
        return await self._change(batch, update)

    async def finalize(self, batch: Batch) -> Batch | None:
        """Records that all chunks are finished and the result files are being written."""
        update = _Update({"status": {"S": BatchStatus.FINALIZING}, "finalizing_at": self._now()})
        update.require("status", BatchStatus.IN_PROGRESS)
        return await self._change(batch, update)

    async def finish(self, batch: Batch, status: BatchStatus, *, has_output: bool, has_errors: bool) -> Batch | None:
        """Records the final status and which result files exist."""
        update = _Update({"status": {"S": status}, _TIME_OF[status]: self._now()})
        update.remove(*([] if has_output else ["output_key"]), *([] if has_errors else ["error_key"]))
        before = BatchStatus.CANCELLING if status is BatchStatus.CANCELLED else BatchStatus.FINALIZING
        update.require("status", before)
        return await self._change(batch, update)

    async def create_table(self) -> None:
        """Creates the table in an embedded AWS; in a stack the template does."""
        keys = {"tenant": "HASH", "id": "RANGE"}
        table = {
            "KeySchema": [{"AttributeName": name, "KeyType": kind} for name, kind in keys.items()],
            "AttributeDefinitions": [{"AttributeName": name, "AttributeType": "S"} for name in keys],
            "BillingMode": "PAY_PER_REQUEST",
        }
        await self._call("CreateTable", table)

    async def _change(self, batch: Batch, update: "_Update") -> Batch | None:
        body = {"Key": _key(batch.tenant, batch.id), "ReturnValues": "ALL_NEW", **update.body()}
        try:
            return _batch((await self._call("UpdateItem", body))["Attributes"])
        except AwsError as error:
            if error.code != _REFUSED:
                raise
        return await self.find(batch.tenant, batch.id)

    async def _call(self, action: str, body: Mapping[str, Any]) -> dict[str, Any]:
        return await self._aws.call("dynamodb", action, {"TableName": self._table, **body})

    def _now(self) -> _Row:
        return {"N": str(int(self._clock()))}

    def _is_expired(self, row: _Row) -> bool:
        """Whether a row has expired: DynamoDB deletes expired rows only days later."""
        return int(row["ttl"]["N"]) <= self._clock()


class _Update:
    """Builds an UpdateItem. Every name is a placeholder, since many common words are reserved in DynamoDB."""

    def __init__(self, values: Mapping[str, _Row]) -> None:
        self._names: dict[str, str] = {}
        self._values: dict[str, _Row] = {}
        self._conditions = [f"attribute_exists({self._name('id')})"]
        self._clauses: dict[str, list[str]] = {}
        for name, value in values.items():
            self._clause("SET", f"{self._name(name)} = {self._value(value)}")

    def add(self, **values: _Row) -> None:
        for name, value in values.items():
            self._clause("ADD", f"{self._name(name)} {self._value(value)}")

    def remove(self, *names: str) -> None:
        for name in names:
            self._clause("REMOVE", self._name(name))

    def require(self, name: str, *allowed: str) -> None:
        values = ", ".join(self._value({"S": value}) for value in allowed)
        self._conditions.append(f"{self._name(name)} IN ({values})")

    def require_absent(self, name: str) -> None:
        self._conditions.append(f"attribute_not_exists({self._name(name)})")

    def require_not_in(self, name: str, value: _Row) -> None:
        self._conditions.append(f"NOT contains({self._name(name)}, {self._value(value)})")

    def body(self) -> _Row:
        return {
            "UpdateExpression": " ".join(f"{verb} {', '.join(clauses)}" for verb, clauses in self._clauses.items()),
            "ConditionExpression": " AND ".join(self._conditions),
            "ExpressionAttributeNames": self._names,
            "ExpressionAttributeValues": self._values,
        }

    def _clause(self, verb: str, clause: str) -> None:
        self._clauses.setdefault(verb, []).append(clause)

    def _name(self, name: str) -> str:
        self._names[f"#{name}"] = name
        return f"#{name}"

    def _value(self, value: _Row) -> str:
        placeholder = f":v{len(self._values)}"
        self._values[placeholder] = value
        return placeholder


def tenant_hash(tenant: str) -> str:
    """What stands for a tenant in rows, and in the keys of objects that no URL leads to."""
    return hashlib.sha256(tenant.encode()).hexdigest()[:20]


def _key(tenant: str, batch_id: str) -> _Row:
    return {"tenant": {"S": tenant_hash(tenant)}, "id": {"S": batch_id}}


def _batch(row: _Row) -> Batch:
    def number(name: str) -> int | None:
        return int(row[name]["N"]) if name in row else None

    def place(name: str) -> tuple[str | None, str | None]:
        """The key of a result file, and its file id once the batch has ended."""
        key = row[name]["S"] if name in row else None
        return key, file_id_of(key) if key is not None and status.ended else None

    status = BatchStatus(row["status"]["S"])
    output_key, output_file_id = place("output_key")
    error_key, error_file_id = place("error_key")
    return Batch(
        submission=Submission.model_validate_json(row["submission"]["S"]),
        status=status,
        total=number("total") or 0,
        tally=Tally(**{name: number(name) or 0 for name in Tally.__dataclass_fields__}),
        chunks=number("chunks"),
        done=frozenset(map(int, row["done"]["NS"])) if "done" in row else frozenset(),
        output_key=output_key,
        error_key=error_key,
        output_file_id=output_file_id,
        error_file_id=error_file_id,
        errors=tuple(InputError(**error) for error in json.loads(row["errors"]["S"])) if "errors" in row else (),
        **{name: number(name) for name in _TIMES},
    )
