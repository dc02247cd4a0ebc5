"""Objects come back as they were stored, URLs open them for others, and what S3 refuses has its name."""

import gzip
import hashlib
from collections.abc import AsyncIterator, Callable
from datetime import UTC, datetime
from urllib.parse import parse_qs, urlsplit

import httpx
import pytest
from botocore.auth import S3SigV4Auth, S3SigV4QueryAuth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials as BotoCredentials
from hypothesis import given, settings
from hypothesis import strategies as st

from shared.stores.aws import Aws
from shared.stores.aws_calls import AwsError
from shared.stores.objects import MIN_PART_BYTES, ObjectExists, ObjectInDoubt, ObjectNotFound, ObjectStore, Part

pytestmark = pytest.mark.anyio
NOW = datetime(2026, 11, 21, 12, 0, 0, tzinfo=UTC)
ENVIRONMENT = {"AWS_REGION": "eu-west-1", "AWS_ACCESS_KEY_ID": "AKID", "AWS_SECRET_ACCESS_KEY": "secret/key+"}
EMULATOR = {"AWS_ENDPOINT_URL": "http://127.0.0.1:4566/"}
KEYS = ["images/a.png", "a b+c", "ü/~é&=?#", "a//b", "50%25", "/lead", "dir/"]

Answering = Callable[[httpx.Request], httpx.Response]


@pytest.fixture
async def store(aws_environment: dict[str, str], request: pytest.FixtureRequest) -> AsyncIterator[ObjectStore]:
    """An empty bucket in an emulated AWS."""
    aws = Aws(aws_environment)
    bucket = hashlib.sha256(request.node.name.encode()).hexdigest()[:40]
    store = ObjectStore(aws, bucket)
    await store.create_bucket()
    yield store
    await aws.aclose()


def answered_by(answer: Answering, bucket: str = "media", **environment: str) -> ObjectStore:
    aws = Aws({**ENVIRONMENT, **environment}, transport=httpx.MockTransport(answer), clock=lambda: NOW)
    return ObjectStore(aws, bucket)


def unasked(bucket: str = "media", **environment: str) -> ObjectStore:
    """A store that may not call S3."""

    def answer(request: httpx.Request) -> httpx.Response:
        raise AssertionError(f"{request.method} {request.url}")

    return answered_by(answer, bucket, **environment)


def in_turn(*answers: httpx.Response | Exception) -> tuple[list[httpx.Request], Answering]:
    """Gives the answers one after the other, and the requests as they come."""
    left, seen = list(answers), list[httpx.Request]()

    def answer(request: httpx.Request) -> httpx.Response:
        seen.append(request)
        following = left.pop(0)
        if isinstance(following, Exception):
            raise following
        return following

    return seen, answer


def error(status: int, code: str) -> httpx.Response:
    body = f'<?xml version="1.0" encoding="UTF-8"?>\n<Error><Code>{code}</Code><Message>secret</Message></Error>'
    return httpx.Response(status, content=body)


# --- what is stored


@pytest.mark.parametrize("key", KEYS[:5])
async def test_an_object_comes_back_as_it_was_stored(store: ObjectStore, key: str) -> None:
    content = bytes(range(256))
    await store.put(key, content, "image/png", metadata={"name": "kä  se%+.png "})
    found = await store.get(key)
    assert (found.content, found.media_type, found.size) == (content, "image/png", 256)
    assert found.metadata == {"name": "kä  se%+.png "}
    info = await store.head(key)
    assert info is not None
    assert (info.key, info.size, info.media_type, info.metadata) == (key, 256, "image/png", found.metadata)
    assert abs((datetime.now(UTC) - info.modified).total_seconds()) < 60
    assert [row.key for row in await store.list("", after=None, limit=2)] == [key]


async def test_an_empty_object_is_one(store: ObjectStore) -> None:
    await store.put("empty", b"", "text/plain")
    assert (await store.get("empty")).content == b""
    assert (await store.list("", after=None, limit=1))[0].size == 0


@pytest.mark.parametrize(
    ("first", "last", "content"),
    [(None, None, b"0123456789"), (2, 4, b"234"), (7, None, b"789"), (None, 0, b"0"), (8, 99, b"89")],
)
async def test_a_range_includes_both_its_ends(
    store: ObjectStore, first: int | None, last: int | None, content: bytes
) -> None:
    await store.put("digits", b"0123456789", "text/plain")
    found = await store.get("digits", first=first, last=last)
    assert (found.content, found.size) == (content, 10)
    async with store.stream("digits", first=first, last=last) as chunks:
        assert b"".join([chunk async for chunk in chunks]) == content


async def test_a_range_past_the_end_of_the_object_is_refused_by_name(store: ObjectStore) -> None:
    await store.put("digits", b"0123456789", "text/plain")
    with pytest.raises(AwsError) as raised:
        await store.get("digits", first=10)
    assert raised.value.code == "InvalidRange"


@pytest.mark.parametrize(("first", "last"), [(-1, None), (3, 2), (None, -1)])
async def test_a_range_without_bytes_is_not_asked_for_since_s3_would_answer_with_everything(
    first: int | None, last: int | None
) -> None:
    with pytest.raises(ValueError, match="range"):
        await unasked().get("digits", first=first, last=last)


async def test_a_missing_object_has_an_error_of_its_own(store: ObjectStore) -> None:
    assert await store.head("missing") is None
    with pytest.raises(ObjectNotFound, match="NoSuchKey"):
        await store.get("missing")
    with pytest.raises(ObjectNotFound):
        async with store.stream("missing"):
            raise AssertionError("entered")


async def test_a_missing_bucket_is_no_missing_object(aws_environment: dict[str, str]) -> None:
    aws = Aws(aws_environment)
    with pytest.raises(AwsError, match="NoSuchBucket") as raised:
        await ObjectStore(aws, "no-such-bucket").get("key")
    assert not isinstance(raised.value, ObjectNotFound)
    await aws.aclose()


async def test_a_deleted_object_is_gone_and_deleting_it_again_is_fine(store: ObjectStore) -> None:
    await store.put("key", b"x", "text/plain")
    await store.delete("key")
    await store.delete("key")
    assert await store.head("key") is None


async def test_of_several_that_delete_what_they_have_listed_one_is_told_that_it_did(store: ObjectStore) -> None:
    await store.put("key", b"x", "text/plain")
    (listed,) = await store.list("key", after=None, limit=1)
    assert await store.delete_listed(listed)
    assert await store.head("key") is None
    assert not await store.delete_listed(listed)


async def test_an_object_that_has_changed_since_it_was_listed_is_not_deleted(store: ObjectStore) -> None:
    await store.put("key", b"x", "text/plain")
    (listed,) = await store.list("key", after=None, limit=1)
    await store.put("key", b"another", "text/plain")
    with pytest.raises(ObjectExists):
        await store.delete_listed(listed)
    assert (await store.get("key")).content == b"another"


async def test_whoever_deleted_an_object_is_unknown_when_an_answer_was_lost() -> None:
    seen, answer = in_turn(listing("key"), httpx.ReadTimeout("late"), error(404, "NoSuchKey"))
    store = answered_by(answer)
    (listed,) = await store.list("key", after=None, limit=1)
    assert not await store.delete_listed(listed)
    assert [request.headers.get("if-match") for request in seen] == [None, '"e-1"', '"e-1"']


@pytest.mark.parametrize(
    ("failure", "in_doubt"),
    [
        (httpx.ReadTimeout("late"), True),
        (httpx.ConnectError("down"), False),
        (error(500, "InternalError"), True),
        (error(503, "SlowDown"), False),
        (error(403, "AccessDenied"), False),
    ],
)
async def test_a_write_that_failed_says_whether_it_may_have_been_done(
    failure: httpx.Response | Exception, in_doubt: bool
) -> None:
    _, answer = in_turn(*[failure] * 3)
    with pytest.raises(AwsError) as raised:
        await answered_by(answer).put("key", b"x", "text/plain")
    assert isinstance(raised.value, ObjectInDoubt) == in_doubt


async def test_a_listing_goes_by_prefix_and_goes_on_after_a_key(store: ObjectStore) -> None:
    for key in ("a/3", "a/1", "b/1", "a/2 é&<"):
        await store.put(key, key.encode(), "text/plain")
    listed = await store.list("a/", after=None, limit=10)
    assert [(row.key, row.size) for row in listed] == [("a/1", 3), ("a/2 é&<", 8), ("a/3", 3)]
    assert [row.key for row in await store.list("a/", after=None, limit=2)] == ["a/1", "a/2 é&<"]
    assert [row.key for row in await store.list("a/", after="a/1", limit=1)] == ["a/2 é&<"]
    assert [row.key for row in await store.list("", after="a/2 é&<", limit=10)] == ["a/3", "b/1"]
    assert await store.list("c/", after=None, limit=10) == ()
    assert await store.list("a/", after=None, limit=0) == ()


async def test_a_listing_longer_than_s3_gives_at_once_is_gathered() -> None:
    def page(numbers: range, following: str) -> httpx.Response:
        rows = "".join(
            f"<Contents><Key>k+{n:04}</Key><LastModified>2026-11-21T12:00:00.000Z</LastModified>"
            f"<ETag>&quot;e&quot;</ETag><Size>{n}</Size></Contents>"
            for n in numbers
        )
        return httpx.Response(200, content=f"<ListBucketResult><Name>media</Name>{following}{rows}</ListBucketResult>")

    token = "<NextContinuationToken>1/to+ken==</NextContinuationToken>"
    seen, answer = in_turn(page(range(1000), token), page(range(1000, 1200), ""))
    listed = await answered_by(answer).list("k", after="a", limit=1500)
    assert [row.size for row in listed] == list(range(1200))
    assert (listed[7].key, listed[7].modified) == ("k 0007", NOW)
    queries = [dict(request.url.params) for request in seen]
    assert [query["max-keys"] for query in queries] == ["1000", "500"]
    assert [query.get("start-after") for query in queries] == ["a", None]
    assert [query.get("continuation-token") for query in queries] == [None, "1/to+ken=="]


async def test_a_large_object_is_streamed_in_chunks(store: ObjectStore) -> None:
    content = b"0123456789abcdef" * (1 << 16)
    await store.put("large", content, "text/plain")
    async with store.stream("large") as chunks:
        received = [chunk async for chunk in chunks]
    assert b"".join(received) == content
    assert len(received) > 1


async def test_a_bucket_that_is_there_is_left_alone(aws_environment: dict[str, str]) -> None:
    aws = Aws({**aws_environment, "AWS_REGION": "eu-west-1"})
    store = ObjectStore(aws, "made-twice")
    await store.create_bucket()
    await store.put("key", b"x", "text/plain")
    await store.create_bucket()
    assert (await store.get("key")).content == b"x"
    await aws.aclose()


# --- multipart


async def test_an_object_is_composed_of_uploaded_and_copied_parts(store: ObjectStore) -> None:
    source = b"ab" * (MIN_PART_BYTES // 2 + 5)
    await store.put("source é", source, "text/plain")
    upload = await store.begin_upload("whole", "application/jsonl", metadata={"lines": "3"})
    parts = [
        await store.upload_part("whole", upload, 3, b"tail"),
        await store.copy_part("whole", upload, 1, "source é"),
        await store.copy_part("whole", upload, 2, "source é", first=1, last=MIN_PART_BYTES),
    ]
    assert await store.head("whole") is None
    await store.complete_upload("whole", upload, parts)
    whole = await store.get("whole")
    assert whole.content == source + source[1 : MIN_PART_BYTES + 1] + b"tail"
    assert (whole.media_type, whole.metadata) == ("application/jsonl", {"lines": "3"})


async def test_an_upload_given_up_leaves_nothing_and_may_be_given_up_again(store: ObjectStore) -> None:
    upload = await store.begin_upload("whole", "text/plain")
    await store.upload_part("whole", upload, 1, b"x")
    await store.abort_upload("whole", upload)
    await store.abort_upload("whole", upload)
    assert await store.head("whole") is None


async def test_an_upload_that_cannot_be_given_up_says_so() -> None:
    _, answer = in_turn(error(403, "AccessDenied"))
    with pytest.raises(AwsError, match="AccessDenied"):
        await answered_by(answer).abort_upload("whole", "upload")


async def test_copying_from_an_object_that_is_missing_says_so(store: ObjectStore) -> None:
    upload = await store.begin_upload("whole", "text/plain")
    with pytest.raises(ObjectNotFound):
        await store.copy_part("whole", upload, 1, "missing")


async def test_half_a_range_is_not_copied() -> None:
    with pytest.raises(ValueError, match="two ends"):
        await unasked().copy_part("whole", "upload", 1, "source", first=1)


@pytest.mark.parametrize("head", ["", "   \n\n", '<?xml version="1.0" encoding="UTF-8"?>\n  '])
async def test_an_error_in_the_body_of_a_success_is_an_error(head: str) -> None:
    late = f"{head}<Error><Code>EntityTooSmall</Code></Error>"
    _, answer = in_turn(httpx.Response(200, content=late))
    with pytest.raises(AwsError, match="EntityTooSmall"):
        await answered_by(answer).complete_upload("whole", "upload", [Part(1, "e")])


async def test_a_failure_in_the_body_of_a_success_is_tried_again() -> None:
    copied = "<CopyPartResult><ETag>&quot;abc-1&quot;</ETag></CopyPartResult>"
    seen, answer = in_turn(error(200, "InternalError"), error(200, "SlowDown"), httpx.Response(200, content=copied))
    assert await answered_by(answer).copy_part("whole", "upload", 7, "source") == Part(7, "abc-1")
    assert len(seen) == 3


async def test_an_object_that_reads_like_an_error_is_an_object(store: ObjectStore) -> None:
    await store.put("key", b"<Error><Code>SlowDown</Code></Error>", "application/xml")
    assert (await store.get("key")).content.startswith(b"<Error>")


# --- what is sent


@pytest.mark.parametrize("token", ["", "session/token=="])
@pytest.mark.parametrize("key", KEYS)
@pytest.mark.parametrize("bucket", ["media", "dotted.media"])
async def test_a_call_is_signed_as_botocore_signs_it(
    bucket: str, key: str, token: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen, answer = in_turn(httpx.Response(200))
    store = answered_by(answer, bucket, AWS_SESSION_TOKEN=token)
    await store.put(key, b"content", "text/plain", metadata={"name": "a  b"})
    (sent,) = seen
    unsigned = {"authorization", "x-amz-date", "x-amz-security-token", "accept", "accept-encoding"}
    unsigned |= {"user-agent", "connection", "content-length"}
    headers = {name: value for name, value in sent.headers.items() if name not in unsigned}
    assert set(headers) == {"host", "content-type", "x-amz-content-sha256", "x-amz-meta-name"}
    expected = AWSRequest(sent.method, str(sent.url), data=sent.content, headers=headers)
    monkeypatch.setattr("botocore.auth.get_current_datetime", lambda: NOW.replace(tzinfo=None))
    credentials = BotoCredentials("AKID", "secret/key+", token or None)
    S3SigV4Auth(credentials, "s3", "eu-west-1").add_auth(expected)
    assert sent.headers["authorization"] == expected.headers["Authorization"]
    assert sent.headers.get("x-amz-security-token", "") == token


async def test_a_hash_that_is_known_is_sent_and_not_made_again() -> None:
    seen, answer = in_turn(httpx.Response(200), httpx.Response(200, headers={"etag": '"e"'}))
    store = answered_by(answer)
    await store.put("key", b"content", "text/plain", sha256="ab" * 32)
    assert await store.upload_part("key", "upload", 1, b"content", sha256="cd" * 32) == Part(1, "e")
    assert [request.headers["x-amz-content-sha256"] for request in seen] == ["ab" * 32, "cd" * 32]


ADDRESSES = [
    ("media", {}, "https://media.s3.eu-west-1.amazonaws.com/"),
    ("dotted.media", {}, "https://s3.eu-west-1.amazonaws.com/dotted.media/"),
    ("media", {"AWS_REGION": "cn-north-1"}, "https://media.s3.cn-north-1.amazonaws.com.cn/"),
    ("media", EMULATOR, "http://127.0.0.1:4566/media/"),
    ("media", {**EMULATOR, "AWS_ENDPOINT_URL_S3": "http://[::1]:9000"}, "http://[::1]:9000/media/"),
    ("media", {"AWS_ENDPOINT_URL_S3": "https://Objects.test:443/under"}, "https://objects.test/under/media/"),
]


@pytest.mark.parametrize(("bucket", "environment", "address"), ADDRESSES)
async def test_the_address_is_the_buckets_or_an_emulators(
    bucket: str, environment: dict[str, str], address: str
) -> None:
    seen, answer = in_turn(httpx.Response(204))
    store = answered_by(answer, bucket, **environment)
    await store.delete("a b+/ü~")
    assert str(seen[0].url) == f"{address}a%20b%2B/%C3%BC~"
    assert seen[0].headers["host"] == urlsplit(address).netloc
    assert (await store.presigned("GET", "a b+/ü~", 60)).startswith(f"{address}a%20b%2B/%C3%BC~?")


@pytest.mark.parametrize("key", ["", "a/../b", "..", "./a", "a/.", "é" * 513, "\ud800"])
async def test_a_key_that_would_not_arrive_as_it_is_is_refused(key: str) -> None:
    store = unasked()
    with pytest.raises(ValueError, match=r"key|surrogates"):
        await store.get(key)
    with pytest.raises(ValueError, match=r"key|surrogates"):
        await store.presigned("GET", key, 60)


@pytest.mark.parametrize("media_type", ["", "text/plain\r\nx-amz-acl: public-read", "text/é", "x" * 257])
async def test_a_media_type_that_is_no_header_is_refused(media_type: str) -> None:
    store = unasked()
    with pytest.raises(ValueError, match="media type"):
        await store.put("key", b"", media_type)
    with pytest.raises(ValueError, match="media type"):
        await store.presigned("PUT", "key", 60, media_type=media_type)


# --- URLs


@pytest.mark.parametrize("key", KEYS[:5])
async def test_a_presigned_url_opens_an_object_for_anyone(store: ObjectStore, key: str) -> None:
    await store.put(key, b"content", "image/png")
    async with httpx.AsyncClient() as anyone:
        plain = await anyone.get(await store.presigned("GET", key, 60))
        assert (plain.status_code, plain.content, plain.headers["content-type"]) == (200, b"content", "image/png")
        url = await store.presigned("GET", key, 60, media_type="text/x", download_name='ü "a".png')
        named = await anyone.get(url)
        assert named.headers["content-type"] == "text/x"
        assert named.headers["content-disposition"] == "attachment; filename*=UTF-8''%C3%BC%20%22a%22.png"
        assert (await anyone.head(await store.presigned("HEAD", key, 60))).headers["content-length"] == "7"


async def test_a_presigned_url_lets_anyone_upload(store: ObjectStore) -> None:
    url = await store.presigned("PUT", "files/ü", 60, media_type="application/jsonl")
    async with httpx.AsyncClient() as anyone:
        answer = await anyone.put(url, content=b"{}", headers={"content-type": "application/jsonl"})
    assert answer.status_code == 200
    found = await store.get("files/ü")
    assert (found.content, found.media_type) == (b"{}", "application/jsonl")


@pytest.mark.parametrize("token", ["", "session/token=="])
@pytest.mark.parametrize("key", KEYS)
@pytest.mark.parametrize(
    ("method", "headers", "query"),
    [
        (
            "GET",
            {},
            "response-content-disposition=attachment%3B%20filename%2A%3DUTF-8%27%27n&response-content-type=a%2Fb",
        ),
        ("PUT", {"content-type": "a/b"}, ""),
    ],
)
async def test_a_presigned_url_is_signed_as_botocore_signs_it(
    method: str, headers: dict[str, str], query: str, key: str, token: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = unasked(AWS_SESSION_TOKEN=token)
    if method == "GET":
        url = await store.presigned("GET", key, 900, media_type="a/b", download_name="n")
    else:
        url = await store.presigned("PUT", key, 900, media_type="a/b")
    address, _, signed = url.partition("?")
    expected = AWSRequest(method, f"{address}?{query}".rstrip("?"), headers=headers)
    monkeypatch.setattr("botocore.auth.get_current_datetime", lambda: NOW.replace(tzinfo=None))
    credentials = BotoCredentials("AKID", "secret/key+", token or None)
    S3SigV4QueryAuth(credentials, "s3", "eu-west-1", expires=900).add_auth(expected)
    there, _, wanted = str(expected.url).partition("?")
    # botocore leaves some signs of a parameter as they are and sorts nothing: what is signed is the same.
    assert address == there
    assert parse_qs(signed) == parse_qs(wanted)
    assert "secret" not in url


@pytest.mark.parametrize("seconds", [0, -1, 7 * 24 * 3600 + 1])
async def test_a_url_is_good_for_a_second_to_a_week(seconds: int) -> None:
    with pytest.raises(ValueError, match="week"):
        await unasked().presigned("GET", "key", seconds)


async def test_an_upload_has_no_download_name() -> None:
    with pytest.raises(ValueError, match="download name"):
        await unasked().presigned("PUT", "key", 60, download_name="a.png")


@pytest.mark.parametrize(("bucket", "environment", "address"), ADDRESSES)
@pytest.mark.parametrize("key", KEYS)
async def test_a_url_of_this_bucket_tells_its_key(
    key: str, bucket: str, environment: dict[str, str], address: str
) -> None:
    store = unasked(bucket, **environment)
    url = await store.presigned("GET", key, 60, media_type="a/b")
    assert store.key_of(url) == key
    assert store.key_of(url.partition("?")[0]) == key


@pytest.mark.parametrize(
    "url",
    [
        "https://media.s3.eu-west-1.amazonaws.com/a/b",
        "https://MEDIA.s3.eu-west-1.amazonaws.com:443/a/b?X-Amz-Expires=1#f",
        "https://media.s3.amazonaws.com/a/b",
        "https://s3.eu-west-1.amazonaws.com/media/a/b",
        "https://s3.amazonaws.com/media/a%2Fb",
        "http://127.0.0.1:4566/media/a/b",
    ],
)
def test_each_address_of_this_bucket_tells_a_key(url: str) -> None:
    assert unasked(**EMULATOR).key_of(url) == "a/b"


@pytest.mark.parametrize(
    "url",
    [
        "",
        "a/b",
        "data:image/png;base64,AAAA",
        "https://example.com/media/a",
        "https://other.s3.eu-west-1.amazonaws.com/a",
        "https://media.s3.us-east-1.amazonaws.com/a",
        "https://media.s3.eu-west-1.amazonaws.com.evil.test/a",
        "https://media.s3.eu-west-1.amazonaws.com:8443/a",
        "https://media.s3.eu-west-1.amazonaws.com@evil.test/a",
        "http://media.s3.eu-west-1.amazonaws.com/a",
        "https://media.s3.eu-west-1.amazonaws.com/",
        "https://media.s3.eu-west-1.amazonaws.com",
        "https://media.s3.eu-west-1.amazonaws.com/a/%2e%2e/b",
        "https://media.s3.eu-west-1.amazonaws.com/a/../b",
        "https://media.s3.eu-west-1.amazonaws.com/%FF",
        "https://media.s3.eu-west-1.amazonaws.com/" + "a" * 1025,
        "https://media.s3.eu-west-1.amazonaws.com/a?" + "x" * 20_000,
        "https://s3.eu-west-1.amazonaws.com/mediaeval/a",
        "https://s3.eu-west-1.amazonaws.com/other/media/a",
        "http://127.0.0.1:4567/media/a",
        "https://127.0.0.1:4566/media/a",
        "http://127.0.0.1:4566/other/a",
        "https://[::1/a",
        "https://media.s3.eu-west-1.amazonaws.com:port/a",
        "s3://media/a",
    ],
)
def test_any_other_url_tells_no_key(url: str) -> None:
    assert unasked(**EMULATOR).key_of(url) is None


@given(url=st.text() | st.text().map(lambda text: f"https://media.s3.eu-west-1.amazonaws.com/{text}"))
@settings(max_examples=100)
def test_no_url_whatever_breaks_the_search_for_its_key(url: str) -> None:
    key = unasked().key_of(url)
    assert key is None or 0 < len(key.encode()) <= 1024


# --- failures


@pytest.mark.parametrize(
    "failure",
    [
        error(500, "InternalError"),
        error(503, "SlowDown"),
        error(400, "RequestTimeout"),
        httpx.Response(502, content="<html>"),
        httpx.ConnectError("no route"),
        httpx.ReadError("reset"),
        httpx.ReadTimeout("late"),
    ],
    ids=str,
)
async def test_a_call_that_may_succeed_later_is_tried_again(failure: httpx.Response | Exception) -> None:
    seen, answer = in_turn(failure, failure, httpx.Response(200))
    await answered_by(answer).put("key", b"content", "text/plain")
    assert [request.content for request in seen] == [b"content"] * 3


async def test_a_body_that_breaks_off_is_fetched_again() -> None:
    class Broken(httpx.AsyncByteStream):
        async def __aiter__(self) -> AsyncIterator[bytes]:
            yield b"con"
            raise httpx.ReadError("reset")

    seen, answer = in_turn(httpx.Response(200, stream=Broken()), httpx.Response(200, content=b"content"))
    assert (await answered_by(answer).get("key")).content == b"content"
    assert len(seen) == 2


async def test_a_stream_that_breaks_off_says_so() -> None:
    class Broken(httpx.AsyncByteStream):
        closed = False

        async def __aiter__(self) -> AsyncIterator[bytes]:
            yield b"con"
            raise httpx.ReadError("reset")

        async def aclose(self) -> None:
            self.closed = True

    body = Broken()
    _, answer = in_turn(httpx.ConnectError("no route"), httpx.Response(200, stream=body))
    async with answered_by(answer).stream("key") as chunks:
        assert await anext(chunks) == b"con"
        with pytest.raises(AwsError, match="s3 GetObject: ReadError"):
            await anext(chunks)
    assert body.closed


async def test_a_stream_nobody_reads_to_its_end_is_closed() -> None:
    class Endless(httpx.AsyncByteStream):
        closed = False

        async def __aiter__(self) -> AsyncIterator[bytes]:
            while True:
                yield b"x"

        async def aclose(self) -> None:
            self.closed = True

    body = Endless()
    _, answer = in_turn(httpx.Response(200, stream=body))
    async with answered_by(answer).stream("key") as chunks:
        assert await anext(chunks) == b"x"
    assert body.closed


async def test_an_s3_that_stays_away_is_an_error_after_some_tries() -> None:
    seen, answer = in_turn(*[httpx.ConnectTimeout("late")] * 3)
    with pytest.raises(AwsError, match="s3 HeadObject: ConnectTimeout"):
        await answered_by(answer).head("key")
    assert len(seen) == 3


async def test_a_refusal_is_raised_by_its_name_without_another_try() -> None:
    seen, answer = in_turn(error(403, "AllAccessDisabled"))
    with pytest.raises(AwsError) as raised:
        await answered_by(answer).get("key")
    assert raised.value.code == "AllAccessDisabled"
    assert "secret" not in str(raised.value)
    assert len(seen) == 1


def listing(*keys: str) -> httpx.Response:
    described = "<LastModified>2026-11-21T12:00:00Z</LastModified><ETag>&quot;e-1&quot;</ETag><Size>1</Size>"
    row = f"<Contents><Key>{{}}</Key>{described}</Contents>"
    return httpx.Response(200, content=f"<ListBucketResult>{''.join(map(row.format, keys))}</ListBucketResult>")


@pytest.mark.parametrize("how", ["get", "head", "copy"])
@pytest.mark.parametrize(
    ("listed", "missing"),
    [
        (listing(), True),
        (listing("files/key2"), True),
        (listing("files/key"), False),
        (error(403, "AccessDenied"), False),
    ],
    ids=["nothing", "a longer key", "the key", "no right to list"],
)
async def test_what_is_forbidden_is_missing_where_a_listing_shows_it(
    how: str, listed: httpx.Response, missing: bool
) -> None:
    refusal = httpx.Response(403) if how == "head" else error(403, "AccessDenied")
    seen, answer = in_turn(refusal, listed)
    store = answered_by(answer)

    async def read() -> object:
        if how == "copy":
            return await store.copy_part("batches/whole", "upload", 1, "files/key")
        return await (store.head("files/key") if how == "head" else store.get("files/key"))

    if missing and how == "head":
        assert await read() is None
    else:
        with pytest.raises(AwsError) as raised:
            await read()
        assert isinstance(raised.value, ObjectNotFound) == missing
    query = parse_qs(urlsplit(str(seen[1].url)).query)
    # A role may list what is below its own prefixes, and no more.
    assert query["prefix"] == ["files/key"]


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"<Error><Code>" + b"A" * 65 + b"</Code></Error>",
        b"<Error><Code>&xxe;</Code></Error>",
        b'<!DOCTYPE x [<!ENTITY xxe "AccessDenied">]><Error><Code>&xxe;</Code></Error>',
        b"x" * 20_000 + b"<Code>AccessDenied</Code>",
    ],
    ids=["nothing", "too long", "an entity", "a declared entity", "too late"],
)
async def test_a_refusal_that_names_nothing_readable_goes_by_its_status(body: bytes) -> None:
    _, answer = in_turn(httpx.Response(409, content=body))
    with pytest.raises(AwsError) as raised:
        await answered_by(answer).get("key")
    assert raised.value.code == "409"


async def test_no_more_of_a_refusal_is_read_than_can_name_it() -> None:
    class Endless(httpx.AsyncByteStream):
        given = 0

        async def __aiter__(self) -> AsyncIterator[bytes]:
            while True:
                self.given += 1024
                yield b"x" * 1024

    body = Endless()
    _, answer = in_turn(httpx.Response(409, stream=body))
    with pytest.raises(AwsError, match="409"):
        await answered_by(answer).get("key")
    assert body.given <= 32 * 1024


async def test_an_answer_that_is_none_of_s3s_is_an_error() -> None:
    _, answer = in_turn(httpx.Response(200, content="<html>"))
    with pytest.raises(AwsError, match="CreateMultipartUpload: UnreadableAnswer"):
        await answered_by(answer).begin_upload("key", "text/plain")


async def test_what_an_uploader_calls_compressed_is_not_unpacked() -> None:
    bomb = gzip.compress(bytes(1 << 20))
    headers = {"content-encoding": "gzip"}
    seen, answer = in_turn(*[httpx.Response(200, headers=headers, stream=httpx.ByteStream(bomb)) for _ in range(2)])
    store = answered_by(answer)
    assert (await store.get("key")).content == bomb
    async with store.stream("key") as chunks:
        assert [chunk async for chunk in chunks] == [bomb]
    assert seen[0].headers["accept-encoding"] == "identity"


async def test_a_large_body_has_time_and_a_dead_address_has_not() -> None:
    seen, answer = in_turn(httpx.Response(200), httpx.Response(200, content="<ETag>e</ETag>"))
    store = answered_by(answer)
    await store.put("key", b"", "text/plain")
    await store.copy_part("key", "upload", 1, "source")
    put, copy = (request.extensions["timeout"] for request in seen)
    assert (put["connect"], copy["connect"]) == (2, 2)
    assert put["read"] < copy["read"]
