"""Generated images are kept by tenant and content, open for who has their URL, and are read again by their tenant."""

import hashlib
from collections.abc import AsyncIterator, Callable
from datetime import UTC, datetime

import httpx
import pytest

from shared.stores.aws import Aws
from shared.stores.aws_calls import AwsError
from shared.stores.images import ImageStore
from shared.stores.objects import ObjectStore
from tests.stores.tenants import tenant_folders

pytestmark = pytest.mark.anyio

HOUR = 3600
FILES = {
    "image/png": b"\x89PNG\r\n\x1a\n and pixels",
    "image/jpeg": b"\xff\xd8\xff\xe0 and pixels",
    "image/gif": b"GIF89a and pixels",
    "image/webp": b"RIFF\x10\x00\x00\x00WEBPVP8 and pixels",
}
PNG = FILES["image/png"]
NOW = datetime(2026, 11, 21, 12, 0, 0, tzinfo=UTC)
ENVIRONMENT = {"AWS_REGION": "eu-west-1", "AWS_ACCESS_KEY_ID": "AKID", "AWS_SECRET_ACCESS_KEY": "secret"}


@pytest.fixture
async def objects(aws_environment: dict[str, str]) -> AsyncIterator[ObjectStore]:
    """A bucket in an emulated AWS."""
    aws = Aws(aws_environment)
    store = ObjectStore(aws, "kept-images")
    await store.create_bucket()
    yield store
    await aws.aclose()


@pytest.fixture
def images(objects: ObjectStore) -> ImageStore:
    return ImageStore(objects, tenant_folders(), lifetime=HOUR)


def behind(answer: Callable[[httpx.Request], httpx.Response], **settings: int) -> ImageStore:
    """A store in real AWS, as far as names go."""
    aws = Aws(ENVIRONMENT, transport=httpx.MockTransport(answer), clock=lambda: NOW)
    return ImageStore(ObjectStore(aws, "media"), tenant_folders(), **{"lifetime": HOUR, **settings})


def taking(request: httpx.Request) -> httpx.Response:
    return httpx.Response(200)


async def names(objects: ObjectStore) -> list[str]:
    return [found.key for found in await objects.list("images/", after=None, limit=1000)]


@pytest.mark.parametrize("media_type", FILES)
async def test_the_url_of_a_stored_image_opens_it_with_the_type_of_its_bytes(
    images: ImageStore, media_type: str
) -> None:
    url = await images.put("tenant", FILES[media_type])
    async with httpx.AsyncClient() as browser:
        answer = await browser.get(url)
    assert answer.content == FILES[media_type]
    assert answer.headers["content-type"] == media_type


@pytest.mark.parametrize("data", [b"", b"<html>", b"%PDF-1.7", b"ID3 music", b"\x89PN"])
async def test_bytes_that_are_no_image_are_not_stored(objects: ObjectStore, images: ImageStore, data: bytes) -> None:
    before = await names(objects)
    with pytest.raises(ValueError, match="image"):
        await images.put("tenant", data)
    assert await names(objects) == before


async def test_the_same_image_is_stored_once_for_each_tenant(objects: ObjectStore, images: ImageStore) -> None:
    picture = PNG + b" of its own"
    digest = hashlib.sha256(picture).hexdigest()
    for tenant in ("one", "two", "one"):
        await images.put(tenant, picture)
    assert len([name for name in await names(objects) if digest in name]) == 2


async def test_a_url_tells_nothing_of_its_tenant(images: ImageStore) -> None:
    assert "customer" not in await images.put("customer@example.com", PNG)


@pytest.mark.parametrize(("lifetime", "signed"), [(HOUR, "3600"), (0, "1"), (10**9, "604800")])
async def test_a_url_is_signed_for_its_lifetime_within_what_S3_signs(lifetime: int, signed: str) -> None:
    url = httpx.URL(await behind(taking, lifetime=lifetime).put("tenant", PNG))
    assert url.params["X-Amz-Expires"] == signed
    assert url.params["X-Amz-Date"] == "20261121T120000Z"
    assert url.host == "media.s3.eu-west-1.amazonaws.com"


async def test_a_tenant_owns_the_images_that_were_stored_for_it_and_no_others(images: ImageStore) -> None:
    url = await images.put("tenant", PNG)
    assert await images.owns("tenant", url)
    assert not await images.owns("another", url)
    assert await images.owns("tenant", url.partition("?")[0]), "a signature is not what it is told by"


@pytest.mark.parametrize(
    "url",
    [
        "",
        "not a URL",
        "https://example.com/images/x.png",
        "https://media.s3.eu-west-1.amazonaws.com/",
        "https://media.s3.eu-west-1.amazonaws.com/images/",
        "https://media.s3.eu-west-1.amazonaws.com/files/{folder}/x.png",
        "https://media.s3.eu-west-1.amazonaws.com/images/{folder}/../../files/x.png",
        "https://media.s3.eu-west-1.amazonaws.com/images/{folder}/%2e%2e/%2e%2e/files/x.png",
        "https://media.s3.eu-west-1.amazonaws.com/images/{folder}x/y.png",
        "https://media.s3.eu-west-1.amazonaws.com.evil.example/images/{folder}/x.png",
        "https://evil.example/media.s3.eu-west-1.amazonaws.com/images/{folder}/x.png",
        "https://user@media.s3.eu-west-1.amazonaws.com.evil/images/{folder}/x.png",
        "http://media.s3.eu-west-1.amazonaws.com/images/{folder}/x.png",
        "https://other.s3.eu-west-1.amazonaws.com/images/{folder}/x.png",
        "https://[::1/images/{folder}/x.png",
    ],
)
async def test_a_url_of_elsewhere_is_nobodys(url: str) -> None:
    images = behind(taking)
    folder = httpx.URL(await images.put("tenant", PNG)).path.split("/")[2]
    assert not await images.owns("tenant", url.format(folder=folder))
    assert await images.get("tenant", url.format(folder=folder)) is None


@pytest.mark.parametrize(
    "host",
    [
        "https://media.s3.eu-west-1.amazonaws.com/",
        "https://media.s3.amazonaws.com/",
        "https://s3.eu-west-1.amazonaws.com/media/",
    ],
)
async def test_an_image_is_known_by_every_address_of_its_bucket(host: str) -> None:
    images = behind(taking)
    path = httpx.URL(await images.put("tenant", PNG)).path.lstrip("/")
    assert await images.owns("tenant", host + path)


@pytest.mark.parametrize("media_type", FILES)
async def test_an_image_is_read_again_also_by_a_url_that_has_expired(images: ImageStore, media_type: str) -> None:
    url = await images.put("tenant", FILES[media_type])
    for known in (url, url.partition("?")[0], url.partition("?")[0] + "?X-Amz-Expires=1&X-Amz-Signature=0"):
        assert await images.get("tenant", known) == (media_type, FILES[media_type])
    assert await images.get("another", url) is None


async def test_a_deleted_image_is_none(objects: ObjectStore, images: ImageStore) -> None:
    url = await images.put("tenant", PNG + b" to be deleted")
    await objects.delete(str(objects.key_of(url)))
    assert await images.get("tenant", url) is None


async def test_an_image_that_s3_calls_forbidden_is_none_where_a_listing_lacks_it() -> None:
    def answer(request: httpx.Request) -> httpx.Response:
        if "list-type" in request.url.params:
            return httpx.Response(200, content=b"<ListBucketResult></ListBucketResult>")
        return httpx.Response(403, content=b"<Error><Code>AccessDenied</Code></Error>")

    assert await behind(answer).get("tenant", await signed_by(behind(taking))) is None


async def signed_by(images: ImageStore) -> str:
    return await images.put("tenant", PNG)


@pytest.mark.parametrize("status", [500, 503])
async def test_a_store_that_fails_says_so(status: int) -> None:
    images = behind(lambda request: httpx.Response(status))
    with pytest.raises(AwsError):
        await images.put("tenant", PNG)
    with pytest.raises(AwsError):
        await images.get("tenant", await signed_by(behind(taking)))


async def test_what_has_become_of_an_image_that_is_none_any_more_is_not_handed_on() -> None:
    images = behind(lambda request: httpx.Response(200, content=b"<html>", headers={"content-type": "image/png"}))
    assert await images.get("tenant", await signed_by(images)) is None
