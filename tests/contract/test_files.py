"""Callers' files on /v1/files, as OpenAI's SDKs expect them, and the recordings among them on their way to a vendor."""

import re
import uuid
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from typing import Any

import httpx
import pytest
from openai.types import FileDeleted, FileObject

from functions.__main__ import AllFunctions
from shared.schemas.caller import Key, Permission
from shared.stores.keys import KeyStore
from shared.stores.objects import ObjectStore
from tests.client import BUCKET, gateway_client
from tests.contract.image_vendors import Bucket, SentFile, form_of
from tests.contract.sounds import BOUNDARY, ENVIRONMENT, M4A, NO_AUDIO, PNG, TEXT, WHISPER, listen, multipart, part
from tests.contract.vendor import Vendor, answering
from tests.contract.wire import assert_error
from tests.stores.tenants import folder_of

pytestmark = pytest.mark.anyio

FILES = "/v1/files"
OPENAI = "/v1/audio/transcriptions"
ENVELOPE = "/v1/inference/audio/transcribe"
ANNOUNCED = {"filename": "talk.m4a", "purpose": "user_data", "bytes": len(M4A)}
UNKNOWN_ID = "file-" + "7" * 27

on_both = pytest.mark.parametrize("path", [OPENAI, ENVELOPE])


class Tenant:
    """A tenant of its own: its token, the folder in the bucket, and the gateway as it sees it."""

    def __init__(self, name: str, client: httpx.AsyncClient, vendor: Vendor) -> None:
        self.folder = f"files/{folder_of(name)}/"
        self.client = client
        self.vendor = vendor

    async def upload(
        self, content: bytes = M4A, filename: str = "talk.m4a", purpose: str = "user_data"
    ) -> dict[str, Any]:
        response = await self.client.post(FILES, data={"purpose": purpose}, files={"file": (filename, content)})
        assert response.status_code == 200, response.text
        body: dict[str, Any] = response.json()
        return body

    async def listed(self, **query: Any) -> dict[str, Any]:
        response = await self.client.get(FILES, params=query)
        assert response.status_code == 200, response.text
        body: dict[str, Any] = response.json()
        return body

    async def transcribed(self, path: str = OPENAI, **fields: str) -> httpx.Response:
        form = {"model": WHISPER, **fields}
        return await self.client.post(path, **multipart(*[part(name, value) for name, value in form.items()]))


async def _moved_in(doors: AsyncExitStack, keys: KeyStore, **settings: str) -> Tenant:
    """A tenant behind a gateway of these settings."""
    name, token = await _registered(keys)
    vendor = Vendor(listen)
    client = await doors.enter_async_context(gateway_client(keys, {**ENVIRONMENT, **settings}, vendor, token=token))
    return Tenant(name, client, vendor)


async def _registered(keys: KeyStore) -> tuple[str, str]:
    """A new tenant's name and token."""
    name = f"tenant-{uuid.uuid4().hex}"
    await keys.put(f"sk-{name}", Key(key_id=name, tenant=name, permissions=frozenset(Permission)))
    return name, f"sk-{name}"


@pytest.fixture
async def tenant(keys: KeyStore) -> AsyncIterator[Tenant]:
    async with AsyncExitStack() as doors:
        yield await _moved_in(doors, keys)


@pytest.fixture
async def neighbour(keys: KeyStore, tenant: Tenant) -> AsyncIterator[Tenant]:
    """Another tenant of the same gateway."""
    name, token = await _registered(keys)
    transport = httpx.ASGITransport(AllFunctions(), raise_app_exceptions=False)
    headers = {"authorization": f"Bearer {token}"}
    async with httpx.AsyncClient(transport=transport, base_url="http://gateway", headers=headers) as client:
        yield Tenant(name, client, tenant.vendor)


async def key_of(keys: KeyStore, tenant: Tenant, file_id: str) -> str:
    """Where a file lies in the bucket."""
    (found,) = await ObjectStore(keys.aws, BUCKET).list(f"{tenant.folder}{file_id}/", after=None, limit=2)
    return found.key


# --- upload, retrieve, content, delete


async def test_an_upload_is_openais_file_object(tenant: Tenant) -> None:
    file = await tenant.upload()
    FileObject.model_validate(file, strict=True)
    assert re.fullmatch("file-[0-9a-f]{27}", file["id"])
    assert file["expires_at"] - file["created_at"] == 30 * 24 * 3600
    assert file == {
        "id": file["id"],
        "object": "file",
        "bytes": len(M4A),
        "created_at": file["created_at"],
        "expires_at": file["expires_at"],
        "filename": "talk.m4a",
        "purpose": "user_data",
        "status": "processed",
    }


async def test_a_file_is_found_again_as_it_was_uploaded(tenant: Tenant) -> None:
    file = await tenant.upload()
    response = await tenant.client.get(f"{FILES}/{file['id']}")
    assert response.status_code == 200
    assert response.json() == file


@pytest.mark.parametrize("content", [M4A, b"<script>alert(1)</script>", bytes(range(256)) * 20_000, b"\0"])
async def test_the_content_comes_back_as_bytes_that_no_browser_runs(tenant: Tenant, content: bytes) -> None:
    file = await tenant.upload(content, "page.html")
    response = await tenant.client.get(f"{FILES}/{file['id']}/content")
    assert response.status_code == 200
    assert response.content == content
    assert response.headers["content-type"] == "application/octet-stream"
    assert response.headers["x-content-type-options"] == "nosniff"
    assert response.headers["content-length"] == str(len(content))


async def test_a_deleted_file_is_gone(tenant: Tenant) -> None:
    file = await tenant.upload()
    response = await tenant.client.delete(f"{FILES}/{file['id']}")
    FileDeleted.model_validate(response.json(), strict=True)
    assert response.json() == {"id": file["id"], "object": "file", "deleted": True}
    for method, path in (("GET", ""), ("GET", "/content"), ("DELETE", "")):
        assert_error(await tenant.client.request(method, f"{FILES}/{file['id']}{path}"), "not_found")
    assert (await tenant.listed())["data"] == []
    assert (await tenant.transcribed(file_id=file["id"])).status_code == 400


@pytest.mark.parametrize("purpose", ["assistants", "batch", "evals", "fine-tune", "user_data", "vision"])
async def test_every_purpose_of_openai_is_kept(tenant: Tenant, purpose: str) -> None:
    file = await tenant.upload(purpose=purpose)
    assert file["purpose"] == purpose
    assert (await tenant.client.get(f"{FILES}/{file['id']}")).json()["purpose"] == purpose


@pytest.mark.parametrize(
    "purpose", ["batch_output", "fine-tune-results", "music", "../x", "User_Data", "user_data/..", ""]
)
async def test_another_purpose_is_refused(tenant: Tenant, purpose: str) -> None:
    response = await tenant.client.post(FILES, data={"purpose": purpose}, files={"file": ("a.txt", b"a")})
    assert_error(response, "validation", field="purpose")
    response = await tenant.client.post(FILES, json={**ANNOUNCED, "purpose": purpose})
    assert_error(response, "validation", field="purpose")
    assert (await tenant.listed())["data"] == []


@pytest.mark.parametrize(
    ("field", "parts"),
    [
        ("purpose", [part("file", M4A, "a")]),
        ("file", [part("purpose", "batch")]),
        ("file", [part("purpose", "batch"), part("file", b"", "a")]),
        ("file", [part("purpose", "batch"), part("file", M4A)]),
        ("file", [part("purpose", "batch"), part("file", M4A, "a"), part("file", M4A, "b")]),
    ],
    ids=["no-purpose", "no-file", "empty", "no-filename", "two"],
)
async def test_an_upload_needs_a_purpose_and_one_file(tenant: Tenant, field: str, parts: list[bytes]) -> None:
    assert_error(await tenant.client.post(FILES, **multipart(*parts)), "validation", field=field)


@pytest.mark.parametrize(
    ("given", "kept"),
    [
        ("talk.m4a", "talk.m4a"),
        ("Gespräch 会話 (2).m4a", "Gespräch 会話 (2).m4a"),
        ("../../../etc/passwd", "passwd"),
        ("..\\\\boot.ini", "boot.ini"),
        ("..", "upload"),
        (".", "upload"),
        ("...", "upload"),
        ("a/..", "upload"),
        ("", "upload"),
        ("a\x00b\x1f.txt", "a_b_.txt"),
        ("a%2f..%2fb?x=1#y&z+.txt", "a_2f.._2fb_x_1_y_z_.txt"),
        ("<b>&amp;.txt", "_b__amp_.txt"),
        (" lead and trail ", " lead and trail "),
        ("a" * 300 + ".txt", "a" * 96 + ".txt"),
        ("会" * 300, "会" * 100),
    ],
)
async def test_a_file_name_leads_nowhere_else(tenant: Tenant, keys: KeyStore, given: str, kept: str) -> None:
    response = await tenant.client.post(FILES, **multipart(part("purpose", "batch"), part("file", M4A, given)))
    assert response.status_code == 200, response.text
    file = response.json()
    assert file["filename"] == kept
    assert (await tenant.client.get(f"{FILES}/{file['id']}")).json() == file
    assert (await tenant.client.get(f"{FILES}/{file['id']}/content")).content == M4A
    assert await key_of(keys, tenant, file["id"]) == f"{tenant.folder}{file['id']}/batch/{kept}"
    assert [item["filename"] for item in (await tenant.listed())["data"]] == [kept]


@pytest.mark.parametrize("file_id", [UNKNOWN_ID, "file-1", "x" * 5000, "..", "%2e%2e%2f", "file-*", "ü", "'", "%00"])
async def test_an_unknown_file_is_not_found(tenant: Tenant, file_id: str) -> None:
    for method, path in (("GET", ""), ("GET", "/content"), ("DELETE", "")):
        response = await tenant.client.request(method, f"{FILES}/{file_id}{path}")
        assert response.status_code == 404 or (method, response.status_code) == ("DELETE", 405), response.text


# --- whose files


async def test_another_tenants_file_is_not_found(tenant: Tenant, neighbour: Tenant) -> None:
    file = await tenant.upload()
    for method, path in (("GET", ""), ("GET", "/content"), ("DELETE", "")):
        refused = await neighbour.client.request(method, f"{FILES}/{file['id']}{path}")
        unknown = await neighbour.client.request(method, f"{FILES}/{UNKNOWN_ID}{path}")
        told = assert_error(refused, "not_found").replace(file["id"], UNKNOWN_ID)
        assert told == assert_error(unknown, "not_found")
    assert (await neighbour.listed())["data"] == []
    assert (await neighbour.listed(after=file["id"]))["data"] == []
    assert (await neighbour.listed(order="asc"))["data"] == []
    assert (await tenant.client.get(f"{FILES}/{file['id']}/content")).content == M4A


async def test_a_key_and_its_permission_are_needed(stranger: httpx.AsyncClient) -> None:
    powerless = {"authorization": "Bearer sk-powerless"}
    for method, path in (
        ("POST", FILES),
        ("GET", FILES),
        ("GET", f"{FILES}/{UNKNOWN_ID}"),
        ("GET", f"{FILES}/{UNKNOWN_ID}/content"),
        ("DELETE", f"{FILES}/{UNKNOWN_ID}"),
    ):
        assert_error(await stranger.request(method, path), "token_missing")
        assert_error(await stranger.request(method, path, headers=powerless), "permission")


# --- lists


async def uploaded(tenant: Tenant, count: int, purpose: str = "user_data") -> list[str]:
    """The ids of new files, the oldest first; of two in one millisecond, either may be that."""
    ids = [(await tenant.upload(b"x", f"{number}.txt", purpose))["id"] for number in range(count)]
    return sorted(ids, reverse=True)


def ids_of(page: dict[str, Any]) -> list[str]:
    return [file["id"] for file in page["data"]]


async def test_the_list_has_the_newest_first(tenant: Tenant) -> None:
    assert await tenant.listed() == {"object": "list", "data": [], "first_id": None, "last_id": None, "has_more": False}
    ids = await uploaded(tenant, 3)
    page = await tenant.listed()
    assert ids_of(page) == ids[::-1]
    assert (page["object"], page["first_id"], page["last_id"], page["has_more"]) == ("list", ids[2], ids[0], False)
    for file in page["data"]:
        FileObject.model_validate(file, strict=True)
        assert file == (await tenant.client.get(f"{FILES}/{file['id']}")).json()
    assert ids_of(await tenant.listed(order="desc")) == ids[::-1]
    assert ids_of(await tenant.listed(order="asc")) == ids


@pytest.mark.parametrize("order", ["asc", "desc"])
@pytest.mark.parametrize("limit", [1, 2, 5, 6])
async def test_pages_follow_each_other(tenant: Tenant, order: str, limit: int) -> None:
    ids = await uploaded(tenant, 5)
    found: list[str] = []
    more: dict[str, Any] = {}
    while True:
        page = await tenant.listed(order=order, limit=limit, **more)
        assert len(page["data"]) <= limit
        found += ids_of(page)
        if not page["has_more"]:
            break
        more = {"after": page["last_id"]}
        assert page["last_id"] == found[-1]
    assert found == (ids if order == "asc" else ids[::-1])


@pytest.mark.parametrize("order", ["asc", "desc"])
async def test_a_page_goes_on_where_a_file_has_been_deleted(tenant: Tenant, order: str) -> None:
    ids = await uploaded(tenant, 3)
    await tenant.client.delete(f"{FILES}/{ids[1]}")
    page = await tenant.listed(order=order, after=ids[1])
    assert ids_of(page) == ([ids[2]] if order == "asc" else [ids[0]])


async def test_a_list_may_be_of_one_purpose(tenant: Tenant) -> None:
    batches = await uploaded(tenant, 2, "batch")
    others = await uploaded(tenant, 2)
    assert ids_of(await tenant.listed(purpose="batch")) == batches[::-1]
    assert ids_of(await tenant.listed(purpose="user_data", order="asc")) == others
    assert ids_of(await tenant.listed(purpose="vision")) == []
    page = await tenant.listed(purpose="batch", limit=1)
    assert (ids_of(page), page["has_more"]) == ([batches[1]], True)
    assert ids_of(await tenant.listed(purpose="batch", limit=1, after=batches[1])) == [batches[0]]


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("limit", "0"),
        ("limit", "-1"),
        ("limit", "10001"),
        ("limit", "many"),
        ("limit", "1.5"),
        ("order", "newest"),
        ("after", "file-1"),
        ("after", "../.."),
        ("after", "x" * 5000),
    ],
)
async def test_a_wrong_query_is_refused(tenant: Tenant, field: str, value: str) -> None:
    assert_error(await tenant.client.get(FILES, params={field: value}), "validation", field=field)


async def test_unknown_parameters_are_ignored(tenant: Tenant) -> None:
    (file_id,) = await uploaded(tenant, 1)
    assert ids_of(await tenant.listed(project="x", limit="10000")) == [file_id]


# --- uploads that do not pass through the gateway


async def test_a_large_file_is_announced_uploaded_by_its_url_and_used(tenant: Tenant) -> None:
    response = await tenant.client.post(FILES, json=ANNOUNCED)
    assert response.status_code == 200, response.text
    file = response.json()
    FileObject.model_validate({name: value for name, value in file.items() if name != "upload"}, strict=True)
    assert (file["status"], file["bytes"], file["filename"]) == ("uploaded", len(M4A), "talk.m4a")
    upload = file["upload"]
    assert upload.keys() == {"method", "url", "headers", "expires_at"}
    assert (upload["method"], upload["headers"]) == ("PUT", {"Content-Length": str(len(M4A))})
    assert upload["expires_at"] - file["created_at"] == 3600
    assert "X-Amz-SignedHeaders=content-length%3Bhost" in upload["url"]
    assert_error(await tenant.client.get(f"{FILES}/{file['id']}"), "not_found")
    assert (await tenant.transcribed(file_id=file["id"])).status_code == 400

    async with httpx.AsyncClient() as browser:
        put = await browser.request(upload["method"], upload["url"], content=M4A, headers=upload["headers"])
    assert put.status_code == 200

    found = (await tenant.client.get(f"{FILES}/{file['id']}")).json()
    assert found == {name: value for name, value in file.items() if name != "upload"} | {"status": "processed"}
    assert (await tenant.client.get(f"{FILES}/{file['id']}/content")).content == M4A
    assert (await tenant.transcribed(file_id=file["id"])).json()["text"] == TEXT


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("filename", None),
        ("filename", ""),
        ("filename", "a/b"),
        ("filename", "../b"),
        ("filename", "a\nb"),
        ("filename", "b\n"),
        ("filename", "a\x00"),
        ("filename", "a?b"),
        ("filename", "a" * 101),
        ("filename", 7),
        ("purpose", None),
        ("purpose", "batch_output"),
        ("bytes", None),
        ("bytes", 0),
        ("bytes", -1),
        ("bytes", "5"),
        ("bytes", 1.5),
        ("bytes", True),
        ("bytes", 512 * 1024 * 1024 + 1),
    ],
)
async def test_what_is_announced_wrongly_is_refused(tenant: Tenant, field: str, value: Any) -> None:
    response = await tenant.client.post(FILES, json={**ANNOUNCED, field: value})
    assert_error(response, "validation", field=field)


@pytest.mark.parametrize("content_type", ["application/json", "Application/JSON; charset=utf-8"])
async def test_an_announcement_may_spell_its_type_otherwise(tenant: Tenant, content_type: str) -> None:
    content = b'{"filename": "a", "purpose": "batch", "bytes": 1}'
    response = await tenant.client.post(FILES, content=content, headers={"content-type": content_type})
    assert response.status_code == 200, response.text
    response = await tenant.client.post(FILES, content=b"{", headers={"content-type": content_type})
    assert_error(response, "malformed")


async def test_an_upload_past_the_limit_names_the_way_around_it(keys: KeyStore) -> None:
    async with AsyncExitStack() as doors:
        tenant = await _moved_in(doors, keys, GATEWAY_MAX_BODY="2000")
        response = await tenant.client.post(FILES, data={"purpose": "batch"}, files={"file": ("a", bytes(3000))})
        message = assert_error(response, "too_large")
        assert "JSON" in message
        for word in ("filename", "purpose", "bytes"):
            assert word in message
        assert (await tenant.client.post(FILES, json={**ANNOUNCED, "bytes": 10**8})).status_code == 200


# --- a stored recording on its way to a vendor


@on_both
async def test_a_stored_recording_reaches_the_vendor_by_its_id(tenant: Tenant, path: str) -> None:
    file = await tenant.upload(filename="Gespräch.m4a")
    response = await tenant.transcribed(path, file_id=file["id"], language="de")
    assert response.status_code == 200, response.text
    assert TEXT in response.text
    (request,) = tenant.vendor.requests
    form = form_of(request)
    (sent,) = form["file"]
    assert isinstance(sent, SentFile)
    assert (sent.media_type, sent.content) == ("audio/mp4", M4A)
    assert 'filename="Gespräch.m4a"'.encode() in request.content
    assert form["language"] == ["de"]
    assert "file_id" not in form


@on_both
@pytest.mark.parametrize("field", ["file", "file_id"])
async def test_a_stored_recording_reaches_the_vendor_by_its_place(
    tenant: Tenant, keys: KeyStore, path: str, field: str
) -> None:
    file = await tenant.upload()
    key = await key_of(keys, tenant, file["id"])
    response = await tenant.transcribed(path, **{field: f"s3://{BUCKET}/{key}"})
    assert response.status_code == 200, response.text
    (request,) = tenant.vendor.requests
    assert form_of(request)["file"] == [SentFile("talk.m4a", "audio/mp4", M4A)]


async def test_a_stored_recording_may_be_streamed_and_written_as_subtitles(tenant: Tenant) -> None:
    file = await tenant.upload()
    streamed = await tenant.transcribed(model="sandbox/transcription", file_id=file["id"], stream="true")
    assert streamed.headers["content-type"].startswith("text/event-stream")
    assert streamed.text.endswith("data: [DONE]\n\n")
    subtitles = await tenant.transcribed(file_id=file["id"], response_format="vtt")
    assert subtitles.text.startswith("WEBVTT\n")


@on_both
async def test_another_tenants_recording_is_as_unknown_as_one_that_never_was(
    tenant: Tenant, neighbour: Tenant, keys: KeyStore, path: str
) -> None:
    file = await tenant.upload()
    place = f"s3://{BUCKET}/{await key_of(keys, tenant, file['id'])}"
    never = assert_error(await neighbour.transcribed(path, file_id=UNKNOWN_ID), "validation", field="file_id")
    for reference in (file["id"], place, place.upper(), f"s3://{BUCKET}/{neighbour.folder}nothing"):
        told = assert_error(await neighbour.transcribed(path, file_id=reference), "validation", field="file_id")
        assert told == never
    assert neighbour.vendor.requests == []


@on_both
@pytest.mark.parametrize(
    "place",
    [
        "s3://someone-elses-bucket/a.wav",
        "s3://{bucket}.evil.com/{folder}x",
        "s3://{bucket}",
        "s3://{bucket}/",
        "s3://{bucket}/images/x.png",
        "s3://{bucket}/{folder}",
        "s3://{bucket}/{folder}../{folder}x",
        "s3://{bucket}/{folder}./x",
        "s3://{bucket}/{folder}..",
        "s3://{bucket}/{folder}x/../../../keys",
        "s3://{bucket}/{folder}%2e%2e/x",
        "s3://{bucket}/{folder}" + "x" * 2000,
        "s3://{bucket}/{folder}x\x00\r\ny",
        "s3://{bucket}/{folder}{id}",
        "s3://{bucket}/{folder}{id}/",
        "s3://{bucket}/{folder}{id}/user_data/other.m4a",
        "s3://{bucket}/{folder}{id}/user_data/../user_data/talk.m4a",
        "{id}/user_data/talk.m4a",
        "{folder}{id}",
        "s3://{bucket}/{folder}" + "x/" * 400,
        "S3://{bucket}/{folder}x",
        "https://{bucket}.s3.amazonaws.com/{folder}x",
        "file:///etc/passwd",
        "../file-1",
        "file-1",
        "*",
        " ",
    ],
)
async def test_no_reference_leads_out_of_the_tenants_own_folder(tenant: Tenant, path: str, place: str) -> None:
    file_id = (await tenant.upload())["id"]
    reference = place.replace("{bucket}", BUCKET).replace("{folder}", tenant.folder).replace("{id}", file_id)
    message = assert_error(await tenant.transcribed(path, file_id=reference), "validation", field="file_id")
    assert BUCKET not in message
    assert tenant.vendor.requests == []


@on_both
async def test_a_text_in_the_place_of_a_file_is_a_reference_to_our_bucket_or_nothing(tenant: Tenant, path: str) -> None:
    file = await tenant.upload()
    for text in (file["id"], "https://example.com/a.wav", "/etc/passwd"):
        assert_error(await tenant.transcribed(path, file=text), "validation", field="file")
    message = assert_error(await tenant.transcribed(path, file="s3://other/a.wav"), "validation", field="file_id")
    assert "other" not in message


@on_both
@pytest.mark.parametrize("kind", NO_AUDIO)
async def test_a_stored_file_that_is_no_recording_is_refused(tenant: Tenant, path: str, kind: str) -> None:
    file = await tenant.upload(NO_AUDIO[kind], "talk.m4a")
    assert_error(await tenant.transcribed(path, file_id=file["id"]), "validation", field="file")
    assert tenant.vendor.requests == []


@on_both
async def test_a_stored_file_past_the_limit_is_too_large(keys: KeyStore, path: str) -> None:
    async with AsyncExitStack() as doors:
        tenant = await _moved_in(doors, keys, GATEWAY_MAX_STORED_AUDIO=str(2**21))
        large = await tenant.upload(M4A + bytes(2**21))
        assert "2 MB" in assert_error(await tenant.transcribed(path, file_id=large["id"]), "too_large")
        exact = await tenant.upload(M4A + bytes(2**21 - len(M4A)))
        assert (await tenant.transcribed(path, file_id=exact["id"])).status_code == 200


@on_both
async def test_a_stored_file_may_be_larger_than_a_body(keys: KeyStore, path: str) -> None:
    async with AsyncExitStack() as doors:
        tenant = await _moved_in(doors, keys, GATEWAY_MAX_BODY="4000")
        recording = M4A + bytes(10_000)
        file = (await tenant.client.post(FILES, json={**ANNOUNCED, "bytes": len(recording)})).json()
        async with httpx.AsyncClient() as browser:
            await browser.put(file["upload"]["url"], content=recording)
        too_large = await tenant.client.post(path, data={"model": WHISPER}, files={"file": ("a.m4a", recording)})
        assert "file_id" in assert_error(too_large, "too_large")
        assert (await tenant.transcribed(path, file_id=file["id"])).status_code == 200
        (request,) = tenant.vendor.requests
        assert form_of(request)["file"] == [SentFile("talk.m4a", "audio/mp4", recording)]


async def test_a_picture_may_be_kept_as_well(tenant: Tenant) -> None:
    file = await tenant.upload(PNG, "cat.png", "vision")
    assert (await tenant.client.get(f"{FILES}/{file['id']}/content")).content == PNG


# --- when S3 fails


async def test_a_bucket_that_refuses_us_is_our_failure_and_tells_nothing(
    keys: KeyStore, aws_environment: dict[str, str]
) -> None:
    bucket = Bucket(aws_environment, answering(403, b"<Error><Code>AccessDenied</Code></Error>"))
    async with gateway_client(keys, ENVIRONMENT, aws=bucket.aws) as client:
        for response in (
            await client.post(FILES, data={"purpose": "batch"}, files={"file": ("a", b"a")}),
            await client.get(FILES),
            await client.get(f"{FILES}/{UNKNOWN_ID}"),
            await client.post(OPENAI, **multipart(part("model", WHISPER), part("file_id", UNKNOWN_ID))),
        ):
            assert "AccessDenied" not in assert_error(response, "internal")
    assert bucket.stored


async def test_a_file_is_stored_with_the_type_of_its_bytes(tenant: Tenant, keys: KeyStore) -> None:
    for content, media_type in ((M4A, "audio/mp4"), (b"<html>", "application/octet-stream"), (PNG, "image/png")):
        file = await tenant.upload(content, "a.html")
        info = await ObjectStore(keys.aws, BUCKET).head(await key_of(keys, tenant, file["id"]))
        assert info
        assert info.media_type == media_type


async def test_a_form_in_the_words_of_a_shell_is_read(tenant: Tenant) -> None:
    """As curl -F sends it: the file first, without a type that anybody knows."""
    form = multipart(part("file", M4A, "a.m4a", "Content-Type: audio/x-m4a"), part("purpose", "user_data"))
    assert form["headers"]["content-type"].endswith(BOUNDARY)
    assert (await tenant.client.post(FILES, **form)).status_code == 200
