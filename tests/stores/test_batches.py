"""Rows of batches: each change relies on a state, is made once, and gives what the batch has become."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import suppress

import pytest

from shared.schemas.batch import Batch, BatchStatus, InputError, Submission, Tally, new_batch_id
from shared.schemas.caller import Caller
from shared.stores.aws import Aws
from shared.stores.aws_calls import AwsError
from shared.stores.batches import BatchStore

pytestmark = pytest.mark.anyio
KEYS = {"output_key": "files/t/file-o/batch_output/o.jsonl", "error_key": "files/t/file-e/batch_output/e.jsonl"}
NOW = time.time()


@pytest.fixture
async def store(aws_environment: dict[str, str]) -> AsyncIterator[BatchStore]:
    aws = Aws(aws_environment)
    store = BatchStore(aws, "batch-rows", clock=lambda: NOW)
    with suppress(AwsError):  # another test has made it
        await store.create_table()
    yield store
    await aws.aclose()


def submission(tenant: str, moment: float = NOW) -> Submission:
    return Submission(
        id=new_batch_id(moment),
        caller=Caller(key_id="k", tenant=tenant, permissions=frozenset()),
        token_hash="hash",
        window="24h",
        metadata={"a": [1, None]},
        endpoint=None,
        input_file_id=None,
        created_at=int(moment),
        expires_at=int(moment) + 24 * 3600,
    )


async def added(store: BatchStore, tenant: str = "t", moment: float = NOW) -> Batch:
    new = submission(tenant, moment)
    await store.add(new)
    return Batch(new, BatchStatus.VALIDATING)


def known(batch: Batch | None) -> Batch:
    assert batch is not None
    return batch


async def started(store: BatchStore, chunks: int = 2) -> Batch:
    return known(await store.start(await added(store), total=5, chunks=chunks, **KEYS))


async def test_a_batch_is_found_as_it_was_added(store: BatchStore) -> None:
    batch = await added(store)
    assert await store.find("t", batch.id) == batch
    assert await store.find("another", batch.id) is None
    assert await store.find("t", "batch_unknown") is None


async def test_adding_again_changes_nothing(store: BatchStore) -> None:
    batch = await started(store)
    await store.add(batch.submission)
    assert await store.find("t", batch.id) == batch


async def test_a_batch_starts_once(store: BatchStore) -> None:
    batch = await started(store)
    assert (batch.status, batch.total, batch.chunks) == (BatchStatus.IN_PROGRESS, 5, 2)
    assert batch.in_progress_at == int(NOW)
    assert await store.start(batch, total=7, chunks=9, **KEYS) == batch


async def test_a_batch_that_is_being_cancelled_starts_as_that(store: BatchStore) -> None:
    batch = known(await store.cancel(await added(store)))
    batch = known(await store.start(batch, total=5, chunks=2, **KEYS))
    assert (batch.status, batch.chunks) == (BatchStatus.CANCELLING, 2)


async def test_a_batch_fails_only_before_it_starts(store: BatchStore) -> None:
    error = InputError(code="empty_file", message="no lines", line=3)
    failed = known(await store.fail(await added(store), [error]))
    assert (failed.status, failed.errors, failed.failed_at) == (BatchStatus.FAILED, (error,), int(NOW))
    batch = await started(store)
    assert await store.fail(batch, [error]) == batch
    assert await store.start(failed, total=5, chunks=2, **KEYS) == failed


async def test_a_chunk_counts_once(store: BatchStore) -> None:
    batch = await started(store)
    once = known(await store.count(batch, 1, Tally(completed=2, failed=1)))
    assert (once.done, once.tally) == (frozenset({1}), Tally(completed=2, failed=1))
    assert await store.count(batch, 1, Tally(completed=9)) == once
    both = known(await store.count(batch, 2, Tally(completed=1, failed=1, expired=1)))
    assert both.all_done
    assert both.tally == Tally(completed=3, failed=2, expired=1)


async def test_chunks_that_are_counted_at_once_are_all_counted(store: BatchStore) -> None:
    batch = await started(store, chunks=20)
    numbers = [*range(1, 21), *range(1, 21)]
    counted = await asyncio.gather(*(store.count(batch, number, Tally(completed=1)) for number in numbers))
    assert any(known(one).all_done for one in counted)
    now = known(await store.find("t", batch.id))
    assert (now.done, now.tally.completed) == (frozenset(range(1, 21)), 20)


async def test_result_files_show_when_the_batch_has_ended(store: BatchStore) -> None:
    batch = known(await store.finalize(await started(store)))
    assert (batch.status, batch.finalizing_at) == (BatchStatus.FINALIZING, int(NOW))
    assert (batch.output_file_id, batch.error_file_id) == (None, None)
    ended = known(await store.finish(batch, BatchStatus.COMPLETED, has_output=True, has_errors=False))
    assert (ended.status, ended.completed_at) == (BatchStatus.COMPLETED, int(NOW))
    assert (ended.output_file_id, ended.error_file_id) == ("file-o", None)
    assert await store.finish(batch, BatchStatus.EXPIRED, has_output=True, has_errors=True) == ended


async def test_a_batch_that_is_cancelled_at_the_last_moment_does_not_complete(store: BatchStore) -> None:
    batch = known(await store.finalize(await started(store)))
    cancelled = known(await store.cancel(batch))
    assert cancelled.status is BatchStatus.CANCELLING
    assert await store.finish(batch, BatchStatus.COMPLETED, has_output=True, has_errors=True) == cancelled
    ended = known(await store.finish(batch, BatchStatus.CANCELLED, has_output=True, has_errors=True))
    assert (ended.status, ended.cancelled_at) == (BatchStatus.CANCELLED, int(NOW))


@pytest.mark.parametrize("status", [BatchStatus.COMPLETED, BatchStatus.EXPIRED])
async def test_a_batch_that_has_ended_cannot_be_cancelled(store: BatchStore, status: BatchStatus) -> None:
    batch = known(await store.finalize(await started(store)))
    ended = known(await store.finish(batch, status, has_output=True, has_errors=True))
    assert await store.cancel(batch) == ended


async def test_nothing_brings_back_a_batch_that_is_gone(store: BatchStore) -> None:
    batch = Batch(submission("t"), BatchStatus.IN_PROGRESS)
    assert await store.count(batch, 1, Tally(completed=1)) is None
    assert await store.cancel(batch) is None
    assert await store.find("t", batch.id) is None


async def test_batches_are_listed_newest_first_and_stably(store: BatchStore) -> None:
    ids = [(await added(store, "lister", NOW + second)).id for second in range(5)][::-1]
    first = await store.list("lister", status=None, after=None, limit=2)
    assert [batch.id for batch in first] == ids[:2]
    await added(store, "lister", NOW + 10)
    second = await store.list("lister", status=None, after=first[-1].id, limit=2)
    assert [batch.id for batch in second] == ids[2:4]
    assert [batch.id for batch in await store.list("lister", status=None, after=ids[3], limit=2)] == ids[4:]
    assert await store.list("nobody", status=None, after=None, limit=2) == []


async def test_batches_of_one_status_are_found_among_all_others(store: BatchStore) -> None:
    batches = [await added(store, "filterer", NOW + second) for second in range(6)]
    wanted = [batches[1], batches[4]]
    for batch in wanted:
        await store.cancel(batch)
    found = await store.list("filterer", status=BatchStatus.CANCELLING, after=None, limit=1)
    assert [batch.id for batch in found] == [wanted[1].id]
    found = await store.list("filterer", status=BatchStatus.CANCELLING, after=found[0].id, limit=5)
    assert [batch.id for batch in found] == [wanted[0].id]
