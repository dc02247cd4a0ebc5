"""Files are kept by tenant, listed by age without a table, and come back as uploads."""

import uuid
from collections.abc import AsyncIterator

import httpx
import pytest

from shared.errors import InvalidRequest, NotFound, PayloadTooLarge
from shared.schemas.stored_file import StoredFile
from shared.stores.aws import Aws
from shared.stores.aws_calls import AwsError
from shared.stores.files import KEPT_DAYS, FileStore
from shared.stores.objects import ObjectStore
from tests.stores.tenants import folder_of, tenant_folders

pytestmark = pytest.mark.anyio
NOW = 1_795_219_200.5
ENVIRONMENT = {"AWS_REGION": "eu-west-1", "AWS_ACCESS_KEY_ID": "AKID", "AWS_SECRET_ACCESS_KEY": "secret"}
WAV = b"RIFF\x24\x00\x00\x00WAVEfmt " + bytes(64)


class Clock:
    """Stands still unless it is set."""

    def __init__(self) -> None:
        self.now = NOW

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
async def objects(aws_environment: dict[str, str]) -> AsyncIterator[ObjectStore]:
    """An empty bucket in an emulated AWS."""
    aws = Aws(aws_environment)
    store = ObjectStore(aws, f"b{uuid.uuid4().hex}")
    await store.create_bucket()
    yield store
    await aws.aclose()


@pytest.fixture
def files(objects: ObjectStore, clock: Clock) -> FileStore:
    return FileStore(objects, tenant_folders(), clock=clock)


async def put(files: FileStore, tenant: str = "t", filename: str = "a.wav", content: bytes = WAV) -> StoredFile:
    return await files.put(tenant, "user_data", filename, content)


def folder(tenant: str) -> str:
    return f"files/{folder_of(tenant)}/"


async def read(files: FileStore, file: StoredFile) -> bytes:
    async with files.content(file) as chunks:
        return b"".join([chunk async for chunk in chunks])


async def test_all_that_is_known_of_a_file_stands_in_its_key(files: FileStore, objects: ObjectStore) -> None:
    file = await files.put("t", "batch", "Füße (2).jsonl", b"{}")
    assert file.key == f"{folder('t')}{file.id}/batch/Füße (2).jsonl"
    assert (file.filename, file.purpose, file.size) == ("Füße (2).jsonl", "batch", 2)
    assert file.created == int(NOW)
    assert file.expires == int(NOW) + KEPT_DAYS * 24 * 3600
    assert await files.find("t", file.id) == file
    assert await FileStore(objects, tenant_folders()).find("t", file.id) == file, "another process knows as much"
    assert await read(files, file) == b"{}"


async def test_a_file_has_the_type_of_its_bytes(files: FileStore, objects: ObjectStore) -> None:
    for content, media_type in ((WAV, "audio/wav"), (b"<html>", "application/octet-stream")):
        file = await put(files, filename="a.html", content=content)
        info = await objects.head(file.key)
        assert info
        assert info.media_type == media_type


async def test_ids_are_never_the_same(files: FileStore) -> None:
    ids = {(await put(files)).id for _ in range(5)}
    assert len(ids) == 5


async def test_tenants_names_are_not_in_keys_and_cannot_lead_elsewhere(files: FileStore) -> None:
    for tenant in ("../images", "a/b", "", "t" * 5000):
        file = await put(files, tenant)
        assert file.key.startswith(folder(tenant))
        assert await files.find(tenant, file.id) == file
        with pytest.raises(NotFound):
            await files.find("t", file.id)


@pytest.mark.parametrize("filename", [".", "..", "..."])
async def test_a_name_of_dots_is_none(files: FileStore, filename: str) -> None:
    assert (await put(files, filename=filename)).filename == "upload"
    file, url, _ = await files.begin("t", "batch", filename, 1)
    assert file.filename == "upload"
    assert f"/{file.id}/batch/upload?" in url


async def test_the_list_goes_by_the_time_of_upload(files: FileStore, clock: Clock) -> None:
    stored = []
    for number in range(5):
        clock.now = NOW + number / 1000
        stored.append(await put(files, filename=f"{number}"))
    await put(files, "another")
    newest_first = tuple(stored[::-1])
    assert await files.list("t", limit=10) == newest_first
    assert await files.list("t", limit=2) == newest_first[:2]
    assert await files.list("t", limit=2, after=stored[3].id) == (stored[2], stored[1])
    assert await files.list("t", limit=10, after=stored[0].id) == ()
    assert await files.list("t", limit=10, oldest_first=True) == tuple(stored)
    assert await files.list("t", limit=2, oldest_first=True, after=stored[1].id) == (stored[2], stored[3])
    await files.delete("t", stored[2].id)
    assert await files.list("t", limit=10, after=stored[2].id) == (stored[1], stored[0])
    assert await files.list("t", limit=10, oldest_first=True, after=stored[2].id) == (stored[3], stored[4])


@pytest.mark.parametrize("oldest_first", [False, True])
async def test_no_files_are_an_empty_list(files: FileStore, oldest_first: bool) -> None:
    assert await files.list("nobody", limit=10, oldest_first=oldest_first) == ()


@pytest.mark.parametrize("after", ["", "file-1", "../x", "file-" + "g" * 27, "file-" + "0" * 27 + "\n"])
async def test_what_is_no_id_is_no_place_in_a_list(files: FileStore, after: str) -> None:
    with pytest.raises(InvalidRequest) as caught:
        await files.list("t", limit=1, after=after)
    assert caught.value.param == "after"


async def test_a_list_of_thousands_is_read_page_by_page(clock: Clock) -> None:
    ids = [f"file-{number:027x}" for number in range(2500)]
    keys = [f"{folder('t')}{file_id}/{'batch' if at % 5 else 'vision'}/x" for at, file_id in enumerate(ids)]
    calls: list[httpx.Request] = []

    def answer(request: httpx.Request) -> httpx.Response:
        calls.append(request)
        after = request.url.params.get("start-after", "")
        rows = [
            f"<Contents><Key>{key}</Key><LastModified>2026-11-21T00:00:00Z</LastModified>"
            "<ETag>&quot;e&quot;</ETag><Size>1</Size></Contents>"
            for key in keys
            if key > after
        ]
        return httpx.Response(200, text=f"<ListBucketResult>{''.join(rows[:1000])}</ListBucketResult>")

    aws = Aws(ENVIRONMENT, transport=httpx.MockTransport(answer))
    files = FileStore(ObjectStore(aws, "media"), tenant_folders(), clock=clock)
    everything = await files.list("t", limit=10_000)
    assert [file.id for file in everything] == ids
    assert len(calls) == 3
    assert await files.list("t", limit=10_000, oldest_first=True) == everything[::-1]
    pictures = await files.list("t", purpose="vision", limit=300)
    assert [file.id for file in pictures] == ids[::5][:300]
    await aws.aclose()


async def test_a_file_to_be_is_found_once_it_is_there(files: FileStore, clock: Clock) -> None:
    file, url, expires = await files.begin("t", "user_data", "a.wav", len(WAV))
    assert expires == int(NOW) + 3600
    with pytest.raises(NotFound):
        await files.find("t", file.id)
    with pytest.raises(InvalidRequest):
        await files.fetch("t", file.id, 1000)
    async with httpx.AsyncClient() as client:
        assert (await client.put(url, content=WAV)).status_code == 200
    clock.now += 1800
    assert await files.find("t", file.id) == file
    assert await read(files, file) == WAV


async def test_a_deleted_file_is_gone(files: FileStore) -> None:
    file = await put(files)
    assert await files.delete("t", file.id) == file
    with pytest.raises(NotFound):
        await files.find("t", file.id)
    with pytest.raises(AwsError):
        await read(files, file)
    with pytest.raises(NotFound):
        await files.delete("t", file.id)


@pytest.mark.parametrize("file_id", ["", "file-", "file-" + "0" * 26, "FILE-" + "0" * 27, "x/../y", "file-" + "0" * 27])
async def test_an_unknown_id_is_not_found(files: FileStore, file_id: str) -> None:
    await put(files)
    with pytest.raises(NotFound) as caught:
        await files.find("t", file_id)
    assert file_id in caught.value.message


async def test_a_file_is_fetched_as_if_it_had_come_with_the_request(files: FileStore, objects: ObjectStore) -> None:
    content = WAV + bytes(3 * 2**20)
    file = await put(files, content=content)
    for reference in (file.id, f"s3://{objects.bucket}/{file.key}"):
        upload = await files.fetch("t", reference, len(content))
        with upload.file:
            assert (upload.filename, upload.media_type, upload.size) == ("a.wav", "audio/wav", len(content))
            assert upload.read() == content
            assert upload.open().read(4) == b"RIFF"


async def test_a_file_past_the_limit_is_not_even_read(aws_environment: dict[str, str], clock: Clock) -> None:
    seen: list[httpx.Request] = []

    def answer(request: httpx.Request) -> httpx.Response:
        seen.append(request)
        key = f"{folder('t')}file-{0:027x}/batch/a"
        described = "<LastModified>2026-11-21T00:00:00Z</LastModified><ETag>&quot;e&quot;</ETag><Size>999</Size>"
        row = f"<Contents><Key>{key}</Key>{described}</Contents>"
        return httpx.Response(200, text=f"<ListBucketResult>{row}</ListBucketResult>")

    aws = Aws(ENVIRONMENT, transport=httpx.MockTransport(answer))
    with pytest.raises(PayloadTooLarge):
        await FileStore(ObjectStore(aws, "media"), tenant_folders(), clock=clock).fetch("t", f"file-{0:027x}", 998)
    assert [request.url.params.get("list-type") for request in seen] == ["2"]
    await aws.aclose()


@pytest.mark.parametrize(
    "reference",
    [
        "{id}/",
        "{id}/user_data/a.wav",
        "{key}",
        "s3://{bucket}",
        "s3://{bucket}/{id}",
        "s3://{bucket}/{key}/",
        "s3://{bucket}/{key}x",
        "s3://{bucket}/{folder}{id}",
        "s3://{bucket}/{folder}{id}/user_data/../user_data/a.wav",
        "s3://{bucket}/{folder}../{other}",
        "s3://{bucket}/{other}",
        "s3://another-bucket/{key}",
        "s3://{bucket}.example/{key}",
        "",
        "\x00",
        "\ud800",
    ],
)
async def test_no_other_reference_leads_to_a_file(files: FileStore, objects: ObjectStore, reference: str) -> None:
    file = await put(files)
    other = await put(files, "another")
    names = {"id": file.id, "key": file.key, "bucket": objects.bucket, "folder": folder("t"), "other": other.key}
    with pytest.raises(InvalidRequest) as caught:
        await files.fetch("t", reference.format(**names), 10_000)
    assert caught.value.message == "file_id: no such file"
    assert caught.value.param == "file_id"


async def test_a_connection_that_breaks_leaves_no_open_file(clock: Clock) -> None:
    """An open file would be a ResourceWarning, and that an error."""

    async def broken() -> AsyncIterator[bytes]:
        yield bytes(2 * 2**20)  # beyond what is kept in memory
        raise httpx.ReadError("gone")

    def answer(request: httpx.Request) -> httpx.Response:
        if "list-type" not in request.url.params:
            return httpx.Response(200, content=broken())
        key = f"{folder('t')}file-{0:027x}/batch/a"
        described = "<LastModified>2026-11-21T00:00:00Z</LastModified><ETag>&quot;e&quot;</ETag><Size>999</Size>"
        row = f"<Contents><Key>{key}</Key>{described}</Contents>"
        return httpx.Response(200, text=f"<ListBucketResult>{row}</ListBucketResult>")

    aws = Aws(ENVIRONMENT, transport=httpx.MockTransport(answer))
    with pytest.raises(AwsError):
        await FileStore(ObjectStore(aws, "media"), tenant_folders(), clock=clock).fetch("t", f"file-{0:027x}", 10**9)
    await aws.aclose()
