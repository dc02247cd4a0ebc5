"""Where an input may come from, and whose batches a caller sees."""

import base64
import hashlib
from typing import Any

import pytest

from shared.batches.intake import Intake
from shared.errors import BatchNotFound, InvalidRequest
from shared.gateway import Gateway
from shared.schemas.batch import BatchInput, BatchStatus, FileInput, UrlInput
from shared.schemas.caller import Key, Permission
from shared.stores.keys import KeyStore
from tests.batches.world import CALLER, World, assert_whole, chat, found, jsonl, make_gateway, submit

pytestmark = pytest.mark.anyio
LINES = jsonl([chat("a"), chat("b")])


async def stored(gateway: Gateway, purpose: Any = "batch", tenant: str = CALLER.tenant) -> Any:
    return await gateway.files.put(tenant, purpose, "input.jsonl", LINES)


async def refusal(gateway: Gateway, world: World, given: BatchInput) -> InvalidRequest:
    with pytest.raises(InvalidRequest) as refused:
        await submit(gateway, world, given)
    assert not world.queue
    return refused.value


async def test_an_input_may_be_a_file_and_is_kept_though_that_is_deleted(gateway: Gateway, world: World) -> None:
    file = await stored(gateway)
    batch = await submit(gateway, world, FileInput(file.id))
    await gateway.files.delete(CALLER.tenant, file.id)
    await world.work(gateway)
    await assert_whole(gateway, batch, ["a", "b"])
    assert batch.submission.input_file_id == file.id


async def test_an_input_may_be_a_reference_to_a_file(gateway: Gateway, world: World) -> None:
    file = await stored(gateway, "user_data")
    url = f"s3://{gateway.objects.bucket}/{file.key}"
    batch = await submit(gateway, world, UrlInput(url, "input_file_url"))
    await world.work(gateway)
    await assert_whole(gateway, batch, ["a", "b"])


async def test_results_are_files_of_the_caller(gateway: Gateway, world: World) -> None:
    batch = await submit(gateway, world, jsonl([chat("a"), b"bad"]))
    await world.work(gateway)
    ended = await found(gateway, batch)
    for file_id, kind in ((ended.output_file_id, "output"), (ended.error_file_id, "error")):
        assert file_id is not None
        file = await gateway.files.find(CALLER.tenant, file_id)
        assert (file.purpose, file.filename) == ("batch_output", f"{batch.id}_{kind}.jsonl")
        assert file.size


async def test_no_result_is_shown_before_the_end(gateway: Gateway, world: World) -> None:
    batch = await submit(gateway, world, LINES)
    await world.step(gateway)
    now = await found(gateway, batch)
    assert now.status is BatchStatus.IN_PROGRESS
    assert (now.output_file_id, now.error_file_id) == (None, None)
    assert await Intake(gateway).result_urls(now) == (None, None)


@pytest.mark.parametrize("file_id", ["file-unknown", "", "../..", f"file-{'0' * 27}"])
async def test_a_file_that_there_is_not_is_refused(gateway: Gateway, world: World, file_id: str) -> None:
    assert (await refusal(gateway, world, FileInput(file_id))).param == "input_file_id"


async def test_a_file_of_another_purpose_or_tenant_is_refused(gateway: Gateway, world: World) -> None:
    other = await stored(gateway, "user_data")
    assert "purpose" in (await refusal(gateway, world, FileInput(other.id))).message
    foreign = await stored(gateway, tenant="another")
    assert "no such file" in (await refusal(gateway, world, FileInput(foreign.id))).message


async def test_a_reference_opens_nothing_but_the_callers_own_files(gateway: Gateway, world: World) -> None:
    own, foreign = await stored(gateway), await stored(gateway, tenant="another")
    bucket = gateway.objects.bucket
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
    told = {(await refusal(gateway, world, UrlInput(url, "input_file_url"))).message for url in references}
    assert told == {"input_file_url: is no reference to a file of yours"}


@pytest.mark.parametrize("url", ["http://example.com/x", "https://127.0.0.1/x", "ftp://example.com/x", "no url"])
async def test_an_address_that_may_not_be_fetched_is_refused(gateway: Gateway, world: World, url: str) -> None:
    assert (await refusal(gateway, world, UrlInput(url, "input_file_url"))).param == "input_file_url"


async def test_a_file_larger_than_the_operator_allows_is_refused(
    keys: KeyStore, aws_environment: dict[str, str], world: World
) -> None:
    gateway = make_gateway(keys, aws_environment, world, GATEWAY_BATCH_MAX_BYTES="100")
    file = await stored(gateway)
    assert "larger" in (await refusal(gateway, world, FileInput(file.id))).message
    await gateway.aclose()


async def test_a_tenants_batches_are_nobody_elses(gateway: Gateway, world: World) -> None:
    batch = await submit(gateway, world, LINES)
    stranger = Key(key_id="s", tenant="another tenant", permissions=frozenset(Permission))
    intake = Intake(gateway)
    with pytest.raises(BatchNotFound):
        await intake.find(stranger, batch.id)
    with pytest.raises(BatchNotFound):
        await intake.cancel(stranger, batch.id)
    assert (await intake.list(stranger, after=None, limit=100))[0] == []
    assert (await found(gateway, batch)).status is BatchStatus.VALIDATING


async def test_batches_are_forgotten_after_a_month(gateway: Gateway, world: World) -> None:
    batch = await submit(gateway, world, LINES)
    later = type(gateway.batches)(gateway.keys.aws, "batches", clock=lambda: world.now + 31 * 24 * 3600)
    assert await later.find(batch.tenant, batch.id) is None
    assert batch.id not in [one.id for one in await later.list(batch.tenant, status=None, after=None, limit=100)]


async def test_the_row_holds_no_token(gateway: Gateway, world: World) -> None:
    batch = await submit(gateway, world, LINES)
    row = await gateway.keys.aws.call(
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
