"""Where an input may come from, and whose batches a caller sees."""

import base64
import hashlib
from typing import Any

import pytest

from shared.batches.batch_service import BatchService
from shared.errors import BatchNotFound, InvalidRequest
from shared.gateway.services import Services
from shared.schemas.batch import BatchInput, BatchStatus, FileInput, UrlInput
from shared.schemas.caller import Key, Permission
from shared.stores.keys import KeyStore
from tests.batches.batch_harness import CALLER, BatchHarness, assert_whole, chat, found, jsonl, make_services, submit

pytestmark = pytest.mark.anyio
LINES = jsonl([chat("a"), chat("b")])


async def stored(services: Services, purpose: Any = "batch", tenant: str = CALLER.tenant) -> Any:
    return await services.files.put(tenant, purpose, "input.jsonl", LINES)


async def refusal(services: Services, harness: BatchHarness, given: BatchInput) -> InvalidRequest:
    with pytest.raises(InvalidRequest) as refused:
        await submit(services, harness, given)
    assert not harness.queue
    return refused.value


async def test_an_input_may_be_a_file_and_is_kept_though_that_is_deleted(
    services: Services, harness: BatchHarness
) -> None:
    file = await stored(services)
    batch = await submit(services, harness, FileInput(file.id))
    await services.files.delete(CALLER.tenant, file.id)
    await harness.work(services)
    await assert_whole(services, batch, ["a", "b"])
    assert batch.submission.input_file_id == file.id


async def test_an_input_may_be_a_reference_to_a_file(services: Services, harness: BatchHarness) -> None:
    file = await stored(services, "user_data")
    url = f"s3://{services.objects.bucket}/{file.key}"
    batch = await submit(services, harness, UrlInput(url, "input_file_url"))
    await harness.work(services)
    await assert_whole(services, batch, ["a", "b"])


async def test_results_are_files_of_the_caller(services: Services, harness: BatchHarness) -> None:
    batch = await submit(services, harness, jsonl([chat("a"), b"bad"]))
    await harness.work(services)
    ended = await found(services, batch)
    for file_id, kind in ((ended.output_file_id, "output"), (ended.error_file_id, "error")):
        assert file_id is not None
        file = await services.files.find(CALLER.tenant, file_id)
        assert (file.purpose, file.filename) == ("batch_output", f"{batch.id}_{kind}.jsonl")
        assert file.size


async def test_no_result_is_shown_before_the_end(services: Services, harness: BatchHarness) -> None:
    batch = await submit(services, harness, jsonl(map(chat, "abc")))
    await harness.step(services)
    await harness.step(services)
    now = await found(services, batch)
    assert (now.status, now.tally.completed) == (BatchStatus.IN_PROGRESS, 2)
    assert (now.output_file_id, now.error_file_id) == (None, None)
    assert await BatchService(services).result_urls(now) == (None, None)


@pytest.mark.parametrize("file_id", ["file-unknown", "", "../..", f"file-{'0' * 27}"])
async def test_a_file_that_there_is_not_is_refused(services: Services, harness: BatchHarness, file_id: str) -> None:
    assert (await refusal(services, harness, FileInput(file_id))).param == "input_file_id"


async def test_a_file_of_another_purpose_or_tenant_is_refused(services: Services, harness: BatchHarness) -> None:
    other = await stored(services, "user_data")
    assert "purpose" in (await refusal(services, harness, FileInput(other.id))).message
    foreign = await stored(services, tenant="another")
    assert "no such file" in (await refusal(services, harness, FileInput(foreign.id))).message


async def test_a_reference_opens_nothing_but_the_callers_own_files(services: Services, harness: BatchHarness) -> None:
    own, foreign = await stored(services), await stored(services, tenant="another")
    bucket = services.objects.bucket
    folder = own.key.split("/")[1]
    references = [
        f"s3://{bucket}/{foreign.key}",
        f"s3://{bucket}/{foreign.key.replace(foreign.key.split('/')[1], folder)}",
        f"s3://another-bucket/{own.key}",
        f"s3://{bucket}/{own.key}x",
        f"s3://{bucket}/files/{folder}/../{foreign.key}",
        f"s3://{bucket}/{own.key.replace('files/', 'files/../files/')}",
        f"s3://{bucket}/images/{folder}/{hashlib.sha256(b'').hexdigest()}.png",
        f"s3://{bucket}/",
        "s3://",
    ]
    told = {(await refusal(services, harness, UrlInput(url, "input_file_url"))).message for url in references}
    assert told == {"input_file_url: does not refer to one of your files"}


@pytest.mark.parametrize("url", ["http://example.com/x", "https://127.0.0.1/x", "ftp://example.com/x", "no url"])
async def test_an_address_that_may_not_be_fetched_is_refused(
    services: Services, harness: BatchHarness, url: str
) -> None:
    assert (await refusal(services, harness, UrlInput(url, "input_file_url"))).param == "input_file_url"


async def test_a_file_larger_than_the_operator_allows_is_refused(
    keys: KeyStore, aws_environment: dict[str, str], harness: BatchHarness
) -> None:
    services = make_services(keys, aws_environment, harness, GATEWAY_BATCH_MAX_BYTES="100")
    file = await stored(services)
    assert "larger" in (await refusal(services, harness, FileInput(file.id))).message
    await services.aclose()


async def test_a_tenants_batches_are_nobody_elses(services: Services, harness: BatchHarness) -> None:
    batch = await submit(services, harness, LINES)
    stranger = Key(key_id="s", tenant="another tenant", permissions=frozenset(Permission))
    intake = BatchService(services)
    with pytest.raises(BatchNotFound):
        await intake.find(stranger, batch.id)
    with pytest.raises(BatchNotFound):
        await intake.cancel(stranger, batch.id)
    assert (await intake.list(stranger, after=None, limit=100))[0] == []
    assert (await found(services, batch)).status is BatchStatus.VALIDATING


async def test_batches_are_forgotten_after_a_month(services: Services, harness: BatchHarness) -> None:
    batch = await submit(services, harness, LINES)
    later = type(services.batches)(services.keys.aws, "batches", clock=lambda: harness.now + 31 * 24 * 3600)
    assert await later.find(batch.tenant, batch.id) is None
    assert batch.id not in [one.id for one in await later.list(batch.tenant, status=None, after=None, limit=100)]


async def test_the_row_holds_no_token(services: Services, harness: BatchHarness) -> None:
    batch = await submit(services, harness, LINES)
    row = await services.keys.aws.call(
        "dynamodb",
        "GetItem",
        {
            "TableName": "batches",
            "Key": {
                "tenant": {"S": hashlib.sha256(CALLER.tenant.encode()).hexdigest()[:20]},
                "id": {"S": batch.id},
            },
        },
    )
    assert "sk-test" not in str(row)
    assert base64.b64encode(b"sk-test").decode() not in str(row)
    assert "ttl" in row["Item"]
