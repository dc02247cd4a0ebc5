"""Batches by OpenAI's own SDK, against the gateway and the worker as `make run` starts them."""

import json
import time
from typing import Any

import openai
import pytest
from openai import OpenAI
from openai.types import Batch

_SECONDS = 60.0


def line(custom_id: str, **fields: Any) -> bytes:
    body = {"model": "sandbox/chat", "messages": [{"role": "user", "content": f"Hello {custom_id}"}], **fields}
    request = {"custom_id": custom_id, "method": "POST", "url": "/v1/chat/completions", "body": body}
    return json.dumps(request).encode() + b"\n"


def create(client: OpenAI, content: bytes) -> Batch:
    file = client.files.create(file=("lines.jsonl", content), purpose="batch")
    return client.batches.create(
        input_file_id=file.id,
        endpoint="/v1/chat/completions",
        completion_window="24h",
        metadata={"team": "blue"},
    )


def ended(client: OpenAI, batch: Batch) -> Batch:
    """The batch once nothing changes it any more."""
    deadline = time.monotonic() + _SECONDS
    while batch.status not in ("completed", "failed", "expired", "cancelled"):
        assert time.monotonic() < deadline, batch
        time.sleep(0.1)
        batch = client.batches.retrieve(batch.id)
    return batch


def lines_of(client: OpenAI, file_id: str | None) -> dict[str, Any]:
    assert file_id is not None
    results = [json.loads(text) for text in client.files.content(file_id).text.splitlines()]
    return {result["custom_id"]: result for result in results}


def test_a_batch_goes_all_the_way(client: OpenAI) -> None:
    batch = create(client, b"".join(line(f"line-{number}") for number in range(250)) + line("wrong", temperature=9))
    assert batch.status == "validating"
    assert batch.metadata == {"team": "blue"}
    batch = ended(client, batch)
    assert batch.status == "completed"
    assert batch.request_counts is not None
    assert batch.request_counts.to_dict() == {"total": 251, "completed": 250, "failed": 1}
    assert batch.completed_at is not None
    outputs = lines_of(client, batch.output_file_id)
    assert outputs.keys() == {f"line-{number}" for number in range(250)}
    for custom_id, result in outputs.items():
        assert result["error"] is None
        assert f"Hello {custom_id}" in result["response"]["body"]["choices"][0]["message"]["content"]
    errors = lines_of(client, batch.error_file_id)
    assert errors["wrong"]["response"]["status_code"] == 400
    assert errors["wrong"]["response"]["body"]["error"]["param"] == "temperature"
    assert batch.output_file_id is not None
    assert client.files.retrieve(batch.output_file_id).purpose == "batch_output"


def test_batches_are_listed_over_pages(client: OpenAI) -> None:
    made = [create(client, line("a")).id for _ in range(3)]
    listed = [batch.id for batch in client.batches.list(limit=2)]
    assert listed[:3] == made[::-1]
    assert [batch.id for batch in client.batches.list(limit=1, after=made[1]).data] == [made[0]]
    for batch_id in made:
        ended(client, client.batches.retrieve(batch_id))


def test_a_batch_is_cancelled(client: OpenAI) -> None:
    batch = client.batches.cancel(create(client, b"".join(line(str(number)) for number in range(50))).id)
    assert batch.status == "cancelling"
    assert batch.cancelling_at is not None
    batch = ended(client, batch)
    assert batch.status == "cancelled"
    assert batch.request_counts is not None
    assert batch.request_counts.failed == 50
    assert lines_of(client, batch.error_file_id)["7"]["error"]["code"] == "cancelled"
    with pytest.raises(openai.ConflictError):
        client.with_options(max_retries=0).batches.cancel(batch.id)


def test_a_file_that_cannot_be_read_fails_its_batch(client: OpenAI) -> None:
    batch = ended(client, create(client, b"no json\n"))
    assert batch.status == "failed"
    assert batch.errors is not None
    assert [error.line for error in batch.errors.data or []] == [1]


def test_what_there_is_not_is_told(client: OpenAI) -> None:
    with pytest.raises(openai.NotFoundError):
        client.batches.retrieve("batch_unknown")
    with pytest.raises(openai.BadRequestError) as refused:
        client.batches.create(input_file_id="file-unknown", endpoint="/v1/chat/completions", completion_window="24h")
    assert refused.value.param == "input_file_id"
