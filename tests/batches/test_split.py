"""Splitting an input: chunks that cover every line once, and inputs that cannot be used."""

import gzip
import json
from typing import Any

import pytest

from shared.gateway.services import Services
from shared.schemas.batch import Batch, BatchStatus
from shared.stores.keys import KeyStore
from tests.batches.batch_harness import BatchHarness, assert_whole, chat, found, jsonl, make_services, results, submit

pytestmark = pytest.mark.anyio


async def ended(services: Services, harness: BatchHarness, content: bytes, **options: Any) -> Batch:
    batch = await submit(services, harness, content, **options)
    await harness.work(services)
    return await found(services, batch)


async def test_bad_lines_fail_alone_each_with_its_number(services: Services, harness: BatchHarness) -> None:
    content = jsonl([chat("a"), b"", b"no json", chat("b"), {**chat("c"), "method": "GET"}, chat("a")])
    batch = await ended(services, harness, content)
    await assert_whole(services, batch, ["a", "b", None, "c", "a"])
    outputs, errors = await results(services, batch)
    assert {line["custom_id"] for line in outputs} == {"a", "b"}
    told = {line["error"]["line"]: line for line in errors}
    assert {number: line["error"]["code"] for number, line in told.items()} == {
        3: "invalid_json_line",
        5: "invalid_method",
        6: "duplicate_custom_id",
    }
    assert all(f"line {number}:" in line["error"]["message"] for number, line in told.items())
    assert "line 1" in told[6]["error"]["message"]
    assert all(line["response"] is None for line in errors)


async def test_a_line_may_have_any_end_and_the_last_none(services: Services, harness: BatchHarness) -> None:
    content = b"\xef\xbb\xbf" + b"\r\n".join(json.dumps(chat(name)).encode() for name in "abc")
    await assert_whole(services, await ended(services, harness, content), ["a", "b", "c"])


async def test_ids_of_any_characters_come_back_as_they_were(services: Services, harness: BatchHarness) -> None:
    ids = ["ä", "🚀", 'quo"te', "back\\slash", "new\nline", "  ", "\u2028"]
    batch = await ended(services, harness, jsonl(chat(name, "hi") for name in ids))
    await assert_whole(services, batch, ids)


@pytest.mark.parametrize("lines", [1, 2, 3, 4, 5])
async def test_chunks_of_every_size_cover_every_line(
    keys: KeyStore, aws_environment: dict[str, str], harness: BatchHarness, lines: int
) -> None:
    services = make_services(keys, aws_environment, harness, GATEWAY_BATCH_CHUNK_LINES=str(lines))
    ids = [str(number) for number in range(5)]
    batch = await ended(services, harness, jsonl(map(chat, ids)))
    await assert_whole(services, batch, ids)
    assert batch.chunks == -(-5 // lines)
    await services.aclose()


async def test_large_lines_make_small_chunks(
    keys: KeyStore, aws_environment: dict[str, str], harness: BatchHarness
) -> None:
    services = make_services(keys, aws_environment, harness, GATEWAY_BATCH_CHUNK_LINES="100")
    ids = [str(number) for number in range(5)]
    batch = await ended(services, harness, jsonl(chat(name, name, padding="x" * 2_000_000) for name in ids))
    await assert_whole(services, batch, ids)
    assert batch.chunks == 2
    await services.aclose()


@pytest.mark.parametrize(
    ("content", "code", "line"),
    [
        (b"\n \n", "empty_file", None),
        (gzip.compress(jsonl([chat("a")]), mtime=0), "invalid_json_line", 1),
        ("".join(map(chr, range(32, 1000))).encode("utf-16"), "invalid_json_line", 1),
        (b"custom_id,url\na,b\n", "invalid_json_line", 1),
        (jsonl([chat("a"), chat("b", padding="x" * 11_000_000)]), "line_too_long", 2),
        (jsonl(chat(str(number)) for number in range(11)), "too_many_lines", 11),
    ],
    ids=["blank", "compressed", "another encoding", "another format", "a line too long", "too many lines"],
)
async def test_an_input_that_cannot_be_used_fails_the_batch_with_the_reason(
    keys: KeyStore, aws_environment: dict[str, str], harness: BatchHarness, content: bytes, code: str, line: int | None
) -> None:
    services = make_services(keys, aws_environment, harness, GATEWAY_BATCH_MAX_LINES="10")
    batch = await ended(services, harness, content)
    assert batch.status is BatchStatus.FAILED
    assert batch.failed_at is not None
    (error,) = batch.errors
    assert (error.code, error.line) == (code, line)
    assert error.message
    assert (batch.output_file_id, batch.error_file_id) == (None, None)
    assert not harness.asked
    await services.aclose()


async def test_an_input_without_a_good_line_is_still_told_line_by_line(
    services: Services, harness: BatchHarness
) -> None:
    batch = await ended(services, harness, jsonl([{**chat("a"), "url": "/nowhere"}, b"no json"]))
    await assert_whole(services, batch, ["a", None])
    assert (batch.status, batch.tally.failed) == (BatchStatus.COMPLETED, 2)
    assert batch.output_file_id is None
