"""Files by OpenAI's own SDK, changed in nothing but base URL and key, against the gateway as `make run` starts it.

The tests hold for its newest major version and the one before: `test_openai_2.py` runs them again.
"""

import uuid
from pathlib import Path

import httpx
import openai
import pytest
from openai import AsyncOpenAI, OpenAI
from openai.types import FileObject

from tests.sdk.server import TOKEN

AUTHORIZED = {"authorization": f"Bearer {TOKEN}"}
M4A = bytes.fromhex("0000001c667479704d344120000000004d3441206d70343269736f6d00000000") + bytes(40_000)


def test_a_file_is_created_retrieved_read_and_deleted(client: OpenAI, tmp_path: Path) -> None:
    path = tmp_path / "lines.jsonl"
    path.write_bytes(b'{"custom_id": "1"}\n')
    file = client.files.create(file=path, purpose="batch")
    FileObject.model_validate(file.to_dict(), strict=True)
    assert (file.filename, file.purpose, file.bytes, file.object) == ("lines.jsonl", "batch", 19, "file")
    assert client.files.retrieve(file.id) == file
    assert client.files.wait_for_processing(file.id, poll_interval=0).status == "processed"
    assert client.files.content(file.id).read() == path.read_bytes()
    with client.files.with_streaming_response.content(file.id) as answer:
        assert answer.headers["content-type"] == "application/octet-stream"
        assert b"".join(answer.iter_bytes()) == path.read_bytes()
    deleted = client.files.delete(file.id)
    assert (deleted.id, deleted.deleted, deleted.object) == (file.id, True, "file")
    for call in (client.files.retrieve, client.files.content, client.files.delete):
        with pytest.raises(openai.NotFoundError):
            call(file.id)


def test_files_are_listed_page_by_page(client: OpenAI) -> None:
    mine = [client.files.create(file=(f"{uuid.uuid4()}.txt", b"a"), purpose="evals").id for _ in range(5)]
    newest_first = sorted(mine)
    listed = [file.id for file in client.files.list(purpose="evals", limit=2)]
    assert [file_id for file_id in listed if file_id in mine] == newest_first
    oldest_first = [file.id for file in client.files.list(purpose="evals", limit=2, order="asc")]
    assert oldest_first == listed[::-1]
    page = client.files.list(purpose="evals", after=newest_first[1], limit=1)
    assert [file.id for file in page.data] == newest_first[2:3]
    assert page.has_next_page()
    for file in client.files.list(purpose="evals", limit=2):
        client.files.delete(file.id)
    assert list(client.files.list(purpose="evals")) == []


def test_what_is_wrong_is_raised(client: OpenAI) -> None:
    with pytest.raises(openai.BadRequestError) as purpose:
        client.files.create(file=("a.txt", b"a"), purpose="music")  # type: ignore[arg-type]
    assert purpose.value.param == "purpose"
    with pytest.raises(openai.BadRequestError) as empty:
        client.files.create(file=("a.txt", b""), purpose="batch")
    assert empty.value.param == "file"
    with pytest.raises(openai.NotFoundError):
        client.files.retrieve("file-unknown")
    with pytest.raises(openai.BadRequestError):
        client.files.list(limit=0)


@pytest.mark.parametrize("path", ["/v1/audio/transcriptions", "/v1/inference/audio/transcribe"])
def test_a_stored_recording_is_written_down(client: OpenAI, sandbox_url: str, path: str) -> None:
    file = client.files.create(file=("talk.m4a", M4A), purpose="user_data")
    form = {"model": (None, "sandbox/transcription"), "file_id": (None, file.id)}
    answer = httpx.post(f"{sandbox_url}{path}", files=form, headers=AUTHORIZED, trust_env=False)
    assert answer.status_code == 200, answer.text
    whole = client.audio.transcriptions.create(model="sandbox/transcription", file=("talk.m4a", M4A))
    assert whole.text in answer.text


def test_a_recording_that_no_body_can_carry_goes_by_its_url(client: OpenAI, sandbox_url: str) -> None:
    """40 MB: announced, uploaded to the bucket, written down, and read back."""
    recording = M4A + bytes(40 * 2**20)
    announced = {"filename": "long.m4a", "purpose": "user_data", "bytes": len(recording)}
    file = httpx.post(f"{sandbox_url}/v1/files", json=announced, headers=AUTHORIZED, trust_env=False).json()
    upload = file["upload"]
    put = httpx.request(
        upload["method"], upload["url"], content=recording, headers=upload["headers"], trust_env=False, timeout=60
    )
    assert put.status_code == 200, put.text
    assert client.files.retrieve(file["id"]).bytes == len(recording)
    form = {"model": (None, "sandbox/transcription"), "file_id": (None, file["id"])}
    answer = httpx.post(
        f"{sandbox_url}/v1/audio/transcriptions", files=form, headers=AUTHORIZED, trust_env=False, timeout=60
    )
    assert answer.status_code == 200, answer.text
    assert answer.json()["text"]
    with client.files.with_streaming_response.content(file["id"]) as content:
        assert sum(map(len, content.iter_bytes())) == len(recording)
    client.files.delete(file["id"])


@pytest.mark.anyio
async def test_the_asynchronous_client_keeps_files_as_well(async_client: AsyncOpenAI) -> None:
    file = await async_client.files.create(file=("a.txt", b"a"), purpose="user_data")
    assert await async_client.files.retrieve(file.id) == file
    assert (await async_client.files.content(file.id)).content == b"a"
    assert file.id in [listed.id async for listed in async_client.files.list()]
    assert (await async_client.files.delete(file.id)).deleted
