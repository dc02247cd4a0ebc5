"""The results of chunks as objects in the bucket, small and large, and the files that they are put together to."""

import time
from collections.abc import AsyncIterator
from contextlib import closing
from typing import Any

import pytest
from pydantic_core import from_json

from shared.batches.compose import compose
from shared.batches.lines import BadLine, Line
from shared.batches.object_keys import result_key
from shared.batches.results import PART_BYTES, Results, stored_tally
from shared.schemas.batch import Batch, BatchStatus, Submission, Tally, new_batch_id
from shared.stores.aws import Aws
from shared.stores.objects import ObjectExists, ObjectStore
from tests.client import BUCKET, KEYS, TOKEN

pytestmark = pytest.mark.anyio
MB = 2**20


@pytest.fixture
async def objects(keys: object, aws_environment: dict[str, str]) -> AsyncIterator[ObjectStore]:
    aws = Aws(aws_environment)
    yield ObjectStore(aws, BUCKET)
    await aws.aclose()


def batch_of(chunks: int) -> Batch:
    now = time.time()
    batch_id = new_batch_id(now)
    submission = Submission(
        id=batch_id,
        caller=KEYS[TOKEN],
        token_hash="",
        window="1h",
        metadata=None,
        endpoint=None,
        input_file_id=None,
        created_at=int(now),
        expires_at=int(now) + 3600,
    )
    place = f"files/t/file-{batch_id}"
    return Batch(
        submission,
        BatchStatus.FINALIZING,
        chunks=chunks,
        output_key=f"{place}o/batch_output/out.jsonl",
        error_key=f"{place}e/batch_output/err.jsonl",
    )


def line_of(number: int) -> Line:
    return Line(number, f"id-{number}", "/v1/inference/chat", {})


async def lines_in(objects: ObjectStore, key: str | None) -> list[dict[str, Any]]:
    assert key is not None
    if await objects.head(key) is None:
        return []
    return [from_json(text) for text in (await objects.get(key)).content.splitlines()]


async def store_chunk(
    objects: ObjectStore, batch: Batch, chunk: int, first: int, outputs: list[int], errors: list[int]
) -> None:
    """A chunk whose lines, numbered from `first`, have results of so many bytes."""
    with closing(Results(batch)) as results:
        for number, size in enumerate(outputs, first):
            results.succeed(line_of(number), "r", {"text": "x" * size})
        for number, size in enumerate(errors, first + len(outputs)):
            results.fail(line_of(number), "code", "y" * size)
        await results.store(objects, result_key(batch, chunk), new=True)


@pytest.mark.parametrize(
    "chunks",
    [
        [([10], [])],
        [([], [10])],
        [([10, 20], [5]), ([], [1]), ([30], [7])],
        [([1 * MB], []), ([6 * MB], [1 * MB]), ([2 * MB], [2 * MB])],
        [([1 * MB], [10]), ([12 * MB, 9 * MB], [6 * MB, 11 * MB]), ([3 * MB], []), ([4 * MB, 4 * MB], [10])],
        [([11 * MB], [11 * MB]), ([11 * MB], [11 * MB])],
        [([4 * MB], []), ([16 * MB], []), ([10], [])],
        [([10], [])] * 20,
    ],
    ids=["output", "error", "small", "middling", "large", "only large", "large after small", "many"],
)
async def test_result_files_hold_what_the_chunks_hold_in_order(
    objects: ObjectStore, chunks: list[tuple[list[int], list[int]]]
) -> None:
    batch = batch_of(len(chunks))
    outputs: list[tuple[int, int]] = []
    errors: list[tuple[int, int]] = []
    number = 1
    for chunk, (good, bad) in enumerate(chunks, 1):
        await store_chunk(objects, batch, chunk, number, good, bad)
        outputs += list(enumerate(good, number))
        errors += list(enumerate(bad, number + len(good)))
        number += len(good) + len(bad)
    assert await compose(batch, objects) == (bool(outputs), bool(errors))
    written = await lines_in(objects, batch.output_key)
    assert [(line["custom_id"], len(line["response"]["body"]["text"])) for line in written] == [
        (f"id-{number}", size) for number, size in outputs
    ]
    refused = await lines_in(objects, batch.error_key)
    assert [(line["custom_id"], len(line["error"]["message"])) for line in refused] == [
        (f"id-{number}", size) for number, size in errors
    ]


@pytest.mark.parametrize("size", [10, PART_BYTES], ids=["small", "in parts"])
async def test_results_once_stored_never_change(objects: ObjectStore, size: int) -> None:
    batch = batch_of(1)
    await store_chunk(objects, batch, 1, 1, [size, size], [size])
    with pytest.raises(ObjectExists):
        await store_chunk(objects, batch, 1, 1, [], [size, size, size])
    assert await stored_tally(objects, result_key(batch, 1)) == Tally(completed=2, failed=1)


async def test_what_is_not_stored_has_no_tally(objects: ObjectStore) -> None:
    assert await stored_tally(objects, result_key(batch_of(1), 1)) is None


async def test_results_are_taken_over_from_an_earlier_try(objects: ObjectStore) -> None:
    batch = batch_of(1)
    key = result_key(batch, 1)
    with closing(Results(batch)) as results:
        results.succeed(line_of(1), "r", {"text": "x" * PART_BYTES})
        results.fail(line_of(2), "code", "no")
        results.refuse(3, BadLine("invalid_json_line", "is no JSON", None))
        await results.store(objects, key, new=False)
    with closing(Results(batch)) as later:
        await later.load(objects, key)
        assert [later.has(number) for number in (1, 2, 3, 4)] == [True, True, True, False]
        assert later.tally == Tally(completed=1, failed=2)
        later.succeed(line_of(4), "r", {"text": "late"})
        await later.store(objects, key, new=False)
    assert await stored_tally(objects, key) == Tally(completed=2, failed=2)
    assert await compose(batch, objects) == (True, True)
    assert [line["custom_id"] for line in await lines_in(objects, batch.output_key)] == ["id-1", "id-4"]


async def test_there_may_be_nothing_to_take_over(objects: ObjectStore) -> None:
    batch = batch_of(1)
    with closing(Results(batch)) as results:
        await results.load(objects, result_key(batch, 1))
        assert results.tally == Tally()
