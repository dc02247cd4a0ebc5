"""Keeps objects in one S3 bucket, whole, in ranges and in parts, and signs the URLs that open them for others.

Followed: https://docs.aws.amazon.com/AmazonS3/latest/API/API_Operations_Amazon_Simple_Storage_Service.html
"""

import hashlib
import re
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import field
from datetime import datetime
from typing import TYPE_CHECKING, Literal
from urllib.parse import SplitResult, quote, unquote, unquote_plus, urlsplit

from shared.dataclass import dataclass
from shared.sigv4 import query_string
from shared.stores.aws import Aws
from shared.stores.aws_calls import ATTEMPTS, NEVER_SENT, AwsError, pause_before

if TYPE_CHECKING:
    import httpx

# S3's own limits: https://docs.aws.amazon.com/AmazonS3/latest/userguide/qfacts.html
MIN_PART_BYTES = 5 * 1024 * 1024
"""The least that a part of a multipart upload may hold, unless it is the last."""
MAX_PARTS = 10_000
MAX_KEY_BYTES = 1024
MAX_PRESIGNED_SECONDS = 7 * 24 * 3600

_LISTED_AT_ONCE = 1000
# The second is what a HEAD's answer comes to, which has no body.
_FORBIDDEN = frozenset({"AccessDenied", "403"})
_MAX_URL = 16 * 1024
_MAX_ERROR_BYTES = 16 * 1024
_META = "x-amz-meta-"
# https://docs.aws.amazon.com/AmazonS3/latest/userguide/conditional-writes.html
_NEW = {"if-none-match": "*"}
# What S3 asks to be tried again; all but the first two may also stand in the body of a 200.
_RETRIED = frozenset(
    {
        "RequestTimeout",
        "RequestTimeoutException",
        "InternalError",
        "ServiceUnavailable",
        "SlowDown",
        "ConditionalRequestConflict",
    }
)
# Errors of status 503, after which nothing was done; the last is what a HEAD's answer comes to.
_TURNED_AWAY = frozenset({"SlowDown", "ServiceUnavailable", "503"})
_CONNECT_SECONDS = 2.0
# Between two chunks, not for the whole body.
_SILENCE_SECONDS = 20.0
# S3 copies gigabytes before it answers.
_COPY_SECONDS = 120.0
_PORTS = {"http": 80, "https": 443}

# S3's answers are flat enough to be read by patterns; an XML parser expands entities and costs an import. Patterns are
# compiled when they are first used, which on most days is never.
_CODE = rb"<Code>([A-Za-z0-9.]{1,64})</Code>"
_ERROR = rb"\s*(?:<\?xml[^>]{0,200}\?>)?\s*<Error[ >]"
_UPLOAD_ID = rb"<UploadId>([^<&]{1,1024})</UploadId>"
_ETAG = rb"<ETag>(?:&quot;|&#34;|\")?([A-Za-z0-9+/=-]{1,128})"
_LISTED = rb"(?s)<Contents>(.{1,8192}?)</Contents>"
_LISTED_KEY = rb"<Key>([^<&]{1,4096})</Key>"
_LISTED_SIZE = rb"<Size>(\d{1,20})</Size>"
_LISTED_MODIFIED = rb"<LastModified>([0-9TZ:.+-]{1,40})</LastModified>"
_NEXT_PAGE = rb"<NextContinuationToken>([^<&]{1,4096})</NextContinuationToken>"
_MEDIA_TYPE = r"[\x20-\x7e]{1,256}"
_VIRTUAL_HOST = r"[a-z0-9][a-z0-9-]{1,61}[a-z0-9]"


class ObjectNotFound(AwsError):
    """The bucket holds no object of that key."""


class ObjectExists(AwsError):
    """The bucket already holds an object of a key that was to be new."""


class ObjectInDoubt(AwsError):
    """Whether the bucket was changed is unknown: an answer was lost, or an internal error came in the place of it."""


@dataclass(frozen=True, slots=True)
class ObjectInfo:
    """What is known of an object apart from its content; `size` in bytes."""

    key: str
    size: int
    media_type: str
    modified: datetime
    metadata: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class StoredObject:
    """An object, or the range of it that was asked for; `size` is that of the whole object, in bytes."""

    content: bytes = field(repr=False)
    media_type: str
    size: int
    metadata: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class ListedObject:
    """A row of a listing; `size` in bytes. `etag` is what S3 calls the content."""

    key: str
    size: int
    modified: datetime
    etag: str


@dataclass(frozen=True, slots=True)
class Part:
    """A finished part of a multipart upload: its number, from 1, and what S3 calls its content."""

    number: int
    etag: str


@dataclass(frozen=True, slots=True)
class _Address:
    """Where objects are found: `https`, `host` with its port, and the path before a key."""

    scheme: str
    host: str
    prefix: str


class ObjectStore:
    """One bucket. Keys are up to 1,024 bytes long, without `.` and `..` between slashes; other keys raise ValueError.

    Every method raises AwsError; those that change the bucket raise ObjectInDoubt where they may have done so. The role
    needs `s3:ListBucket` on the prefixes of the keys that it reads: without it a missing object cannot be told from one
    that it may not read.
    """

    def __init__(self, aws: Aws, bucket: str) -> None:
        self._aws = aws
        self.bucket = bucket

    async def put(
        self,
        key: str,
        content: bytes,
        media_type: str,
        *,
        sha256: str | None = None,
        metadata: Mapping[str, str] = {},
        new: bool = False,
    ) -> None:
        """Stores an object, in place of one that was there, or where it has to be `new`, raises ObjectExists.

        Then it may be that an earlier try stored it, and its answer was lost. `sha256` is the content's hash in
        hexadecimal, where it is known; S3 refuses content of another hash. Names of `metadata` are lower-case ASCII,
        values any text; together they may take 2 KB, percent-encoded.
        """
        headers = _description(media_type, metadata) | (_NEW if new else {})
        await self._call("PutObject", "PUT", key, headers=headers, content=content, sha256=sha256)

    async def get(self, key: str, *, first: int | None = None, last: int | None = None) -> StoredObject:
        """An object, or its bytes from `first` to `last`, both included; a range may end past the object's end.

        Raises ObjectNotFound, AwsError of code InvalidRange where the object ends before `first`, and ValueError for a
        range without bytes. What others may have uploaded can be gigabytes: ask for a range, or use `stream`.
        """
        response, content = await self._call("GetObject", "GET", key, read=key, headers=_range(first, last))
        total = response.headers.get("content-range", "").rpartition("/")[2]
        size = int(total) if total.isdecimal() else len(content)
        return StoredObject(content, _media_type(response), size, _metadata(response))

    @asynccontextmanager
    async def stream(
        self, key: str, *, first: int | None = None, last: int | None = None
    ) -> AsyncIterator[AsyncIterator[bytes]]:
        """An object's content, or a range of it as for `get`, in chunks as they come:

            async with store.stream(key) as chunks:
                async for chunk in chunks: ...

        Raises ObjectNotFound on entering, and AwsError between chunks when the connection breaks.
        """
        response, _ = await self._call("GetObject", "GET", key, read=key, headers=_range(first, last), whole=False)
        try:
            yield _chunks(response)
        finally:
            await response.aclose()

    async def head(self, key: str) -> ObjectInfo | None:
        """What is known of an object, or None where there is none."""
        from email.utils import parsedate_to_datetime

        try:
            response, _ = await self._call("HeadObject", "HEAD", key, read=key)
        except ObjectNotFound:
            return None
        headers = response.headers
        modified = parsedate_to_datetime(headers["last-modified"])
        return ObjectInfo(key, int(headers["content-length"]), _media_type(response), modified, _metadata(response))

    async def delete(self, key: str) -> None:
        """Removes an object; nothing happens where there is none."""
        await self._call("DeleteObject", "DELETE", key)

    async def delete_listed(self, listed: ListedObject) -> bool:
        """Removes an object that is as it was listed: whether this call has removed it, and no other one.

        False also where an earlier try of this call has done it, and its answer was lost. The role needs
        `s3:GetObject` too. Raises ObjectExists where the object has another content now.
        https://docs.aws.amazon.com/AmazonS3/latest/userguide/conditional-deletes.html
        """
        try:
            await self._call("DeleteObject", "DELETE", listed.key, headers={"if-match": f'"{listed.etag}"'})
        except ObjectNotFound:
            return False
        return True

    async def list(self, prefix: str, *, after: str | None, limit: int) -> tuple[ListedObject, ...]:
        """The first `limit` objects with keys that start with `prefix` and come after `after`, by the keys' bytes."""
        found: tuple[ListedObject, ...] = ()
        page = {"start-after": after} if after else {}
        while len(found) < limit:
            size = str(min(limit - len(found), _LISTED_AT_ONCE))
            query = {"list-type": "2", "encoding-type": "url", "prefix": prefix, "max-keys": size, **page}
            _, body = await self._call("ListObjectsV2", "GET", None, query=query)
            found += tuple(_listed(row[1]) for row in re.finditer(_LISTED, body))
            following = re.search(_NEXT_PAGE, body)
            if following is None:
                break
            page = {"continuation-token": following[1].decode()}
        return found

    async def presigned(
        self,
        method: Literal["GET", "HEAD", "PUT"],
        key: str,
        seconds: int,
        *,
        media_type: str | None = None,
        download_name: str | None = None,
        size: int | None = None,
    ) -> str:
        """A URL that opens an object for whoever has it, for `seconds` (up to a week).

        It dies with the credentials that signed it: a function's role lends credentials for hours at most, so that a
        URL signed late in their life is good for less than `seconds`. For GET, `media_type` is what S3 shall call the
        content, and `download_name` the file that a browser saves it to. For PUT, `media_type` is the Content-Type
        that the uploader has to send, and `size` the Content-Length: no other number of bytes is taken. Raises
        ValueError for a duration S3 refuses and for a PUT with a download name.
        """
        if not 1 <= seconds <= MAX_PRESIGNED_SECONDS:
            raise ValueError("a presigned URL is good for a second to a week")
        address = self._address()
        path = address.prefix + _encoded(key)
        headers = {"host": address.host}
        query: dict[str, str] = {}
        if method == "PUT":
            if download_name is not None:
                raise ValueError("an upload has no download name")
            if media_type is not None:
                headers["content-type"] = _checked(media_type)
            if size is not None:
                headers["content-length"] = str(size)
        else:
            if media_type is not None:
                query["response-content-type"] = _checked(media_type)
            if download_name is not None:
                # https://datatracker.ietf.org/doc/html/rfc6266#section-4.3
                query["response-content-disposition"] = f"attachment; filename*=UTF-8''{quote(download_name, safe='')}"
        signer = await self._aws.signer("s3")
        signed = signer.presign(method, path, query, headers, seconds)
        return f"{address.scheme}://{address.host}{path}?{signed}"

    def key_of(self, url: str) -> str | None:
        """The key of the object that a URL points to in this bucket, whatever its query; None for any other URL.

        No signature is checked: the caller decides whether who sent the URL may see the object.
        """
        if len(url) > _MAX_URL:
            return None
        try:
            parts = urlsplit(url)
            host = _host(parts)
            for address in self._addresses():
                if (parts.scheme, host) == (address.scheme, address.host) and parts.path.startswith(address.prefix):
                    key = unquote(parts.path[len(address.prefix) :], errors="strict")
                    _encoded(key)
                    return key
        except ValueError:
            return None
        return None

    async def begin_upload(self, key: str, media_type: str, *, metadata: Mapping[str, str] = {}) -> str:
        """Starts a multipart upload and gives its id. It costs storage until it is completed or aborted."""
        headers = _description(media_type, metadata)
        _, body = await self._call("CreateMultipartUpload", "POST", key, query={"uploads": ""}, headers=headers)
        return _found(_UPLOAD_ID, body, "CreateMultipartUpload")

    async def upload_part(
        self, key: str, upload_id: str, number: int, content: bytes, *, sha256: str | None = None
    ) -> Part:
        """Uploads one part, `number` from 1 to MAX_PARTS, of MIN_PART_BYTES at least unless it is the last."""
        query = {"partNumber": str(number), "uploadId": upload_id}
        response, _ = await self._call("UploadPart", "PUT", key, query=query, content=content, sha256=sha256)
        return Part(number, response.headers["etag"].strip('"'))

    async def copy_part(
        self, key: str, upload_id: str, number: int, source: str, *, first: int | None = None, last: int | None = None
    ) -> Part:
        """Makes a part of an object of this bucket, or of its bytes from `first` to `last`, without moving them here.

        S3 copies ranges only of objects of more than 5 MB, and only inside them. Raises ObjectNotFound where there is
        no `source`, and ValueError where one end of the range is given and the other not.
        """
        if (first is None) != (last is None):
            raise ValueError("a copied range has two ends")
        query = {"partNumber": str(number), "uploadId": upload_id}
        headers = {
            "x-amz-copy-source": f"{self.bucket}/{_encoded(source)}",
            **{f"x-amz-copy-source-{name}": value for name, value in _range(first, last).items()},
        }
        _, body = await self._call(
            "UploadPartCopy", "PUT", key, query=query, headers=headers, read=source, silence_seconds=_COPY_SECONDS
        )
        return Part(number, _found(_ETAG, body, "UploadPartCopy"))

    async def complete_upload(self, key: str, upload_id: str, parts: Sequence[Part], *, new: bool = False) -> None:
        """Makes the object of its parts, in the order of their numbers; one that has to be `new` as `put` does.

        AwsError of code NoSuchUpload may mean that an earlier try did it and its answer was lost: ask `head`.
        """
        rows = "".join(
            f'<Part><PartNumber>{part.number}</PartNumber><ETag>"{part.etag}"</ETag></Part>'
            for part in sorted(parts, key=lambda part: part.number)
        )
        namespace = "http://s3.amazonaws.com/doc/2006-03-01/"
        content = f'<CompleteMultipartUpload xmlns="{namespace}">{rows}</CompleteMultipartUpload>'.encode()
        await self._call(
            "CompleteMultipartUpload",
            "POST",
            key,
            query={"uploadId": upload_id},
            headers={"content-type": "application/xml"} | (_NEW if new else {}),
            content=content,
            silence_seconds=_COPY_SECONDS,
        )

    async def abort_upload(self, key: str, upload_id: str) -> None:
        """Gives up an upload and its parts; nothing happens where it is over already."""
        try:
            await self._call("AbortMultipartUpload", "DELETE", key, query={"uploadId": upload_id})
        except AwsError as error:
            if error.code != "NoSuchUpload":
                raise

    async def create_bucket(self) -> None:
        """Makes the bucket in an embedded AWS, unless it is there; in a stack the template does."""
        region = self._aws.region
        # us-east-1 is the place of buckets without one, and may not be named.
        place = f"<LocationConstraint>{region}</LocationConstraint>" if region != "us-east-1" else ""
        content = f"<CreateBucketConfiguration>{place}</CreateBucketConfiguration>".encode() if place else b""
        try:
            await self._call("CreateBucket", "PUT", None, content=content)
        except AwsError as error:
            if error.code != "BucketAlreadyOwnedByYou":
                raise

    def _address(self) -> _Address:
        """Where requests go. A certificate covers no dots before `.s3.`, and emulators no subdomains at all."""
        endpoint = self._aws.endpoint("s3")
        if endpoint is not None:
            parts = urlsplit(endpoint)
            return _Address(parts.scheme, _host(parts), f"{parts.path}/{self.bucket}/")
        host = f"s3.{self._aws.region}.{self._aws.domain}"
        if re.fullmatch(_VIRTUAL_HOST, self.bucket):
            return _Address("https", f"{self.bucket}.{host}", "/")
        return _Address("https", host, f"/{self.bucket}/")

    def _addresses(self) -> tuple[_Address, ...]:
        """Every address of the bucket, that of the region and the one without a region."""
        hosts = [f"s3.{self._aws.region}.{self._aws.domain}", f"s3.{self._aws.domain}"]
        virtual = [_Address("https", f"{self.bucket}.{host}", "/") for host in hosts]
        return (self._address(), *virtual, *(_Address("https", host, f"/{self.bucket}/") for host in hosts))

    async def _call(
        self,
        action: str,
        method: str,
        key: str | None,
        *,
        query: Mapping[str, str] = {},
        headers: Mapping[str, str] = {},
        content: bytes = b"",
        sha256: str | None = None,
        read: str | None = None,
        whole: bool = True,
        silence_seconds: float = _SILENCE_SECONDS,
    ) -> "tuple[httpx.Response, bytes]":
        """One call, tried again when S3 fails or asks for it: the answer and its body, which `whole` says to read.

        Who does not have it read must close the answer. A `key` of None calls the bucket. `read` is the key of the
        object that is read, where one is. Raises AwsError, ObjectNotFound where there is no object `read`.
        """
        import httpx  # only who calls S3 pays for it

        address = self._address()
        path = address.prefix if key is None else address.prefix + _encoded(key)
        url = f"{address.scheme}://{address.host}{path}"
        if query:
            url += f"?{query_string(query)}"
        payload_hash = sha256 or hashlib.sha256(content).hexdigest()
        headers = {**headers, "host": address.host, "x-amz-content-sha256": payload_hash}
        is_in_doubt = False
        for attempt in range(ATTEMPTS):
            if attempt:
                await pause_before(attempt)
            signer = await self._aws.signer("s3")
            # Not signed, since proxies change it.
            signed = {**signer.sign(method, path, query, headers, payload_hash), "accept-encoding": "identity"}
            try:
                response = await self._aws.send(
                    method, url, signed, content, connect=_CONNECT_SECONDS, read=silence_seconds
                )
                # Who uploads to a presigned URL may call a content compressed. Unpacked it could be of any size.
                response.headers.pop("content-encoding", None)
                if response.is_success and not whole:
                    return response, b""
                body = await _read(response)
            except httpx.HTTPError as error:
                code = type(error).__name__
                is_in_doubt = is_in_doubt or code not in NEVER_SENT
                continue
            refusal = _refusal(response, body)
            if refusal is None:
                return response, body
            code = refusal
            is_in_doubt = is_in_doubt or not (400 <= response.status_code < 500 or code in _TURNED_AWAY)
            if response.status_code < 500 and code not in _RETRIED:
                break
        if read is not None and code in _FORBIDDEN and await self._is_missing(read):
            code = "NoSuchKey"
        # The answer to a HEAD has no body that would name the error.
        errors = {"NoSuchKey": ObjectNotFound, "404": ObjectNotFound, "PreconditionFailed": ObjectExists}
        other = ObjectInDoubt if is_in_doubt and method not in ("GET", "HEAD") else AwsError
        raise errors.get(code, other)("s3", action, code)

    async def _is_missing(self, key: str) -> bool:
        """Whether a listing shows that there is no such object.

        S3 calls a missing object forbidden to who may not list the whole bucket; whether the right to list a prefix is
        enough to be told, AWS's documentation leaves open. Who may not list does not learn it: False.
        """
        try:
            return all(listed.key != key for listed in await self.list(key, after=None, limit=1))
        except AwsError:
            return False


def _refusal(response: "httpx.Response", body: bytes) -> str | None:
    """S3's name of the error that an answer is, None for a success.

    Copying and completing take so long that S3 sends 200 first: what went wrong then stands in the body.
    https://docs.aws.amazon.com/AmazonS3/latest/API/API_CompleteMultipartUpload.html
    """
    if response.is_success and (response.request.method == "GET" or not re.match(_ERROR, body)):
        return None
    named = re.search(_CODE, body[:_MAX_ERROR_BYTES])
    return named[1].decode() if named else str(response.status_code)


async def _read(response: "httpx.Response") -> bytes:
    """The body, of a refusal no more than can name it."""
    if response.is_success:
        return await response.aread()
    body = b""
    try:
        async for chunk in response.aiter_bytes():
            body += chunk
            if len(body) >= _MAX_ERROR_BYTES:
                break
    finally:
        await response.aclose()
    return body


async def _chunks(response: "httpx.Response") -> AsyncIterator[bytes]:
    import httpx

    try:
        async for chunk in response.aiter_bytes():
            yield chunk
    except httpx.HTTPError as error:
        raise AwsError("s3", "GetObject", type(error).__name__) from None


def _encoded(key: str) -> str:
    """A key as it stands in a path. Raises ValueError for a key that S3 refuses or HTTP clients rewrite."""
    if not 0 < len(key.encode()) <= MAX_KEY_BYTES:
        raise ValueError("a key takes 1 to 1,024 bytes")
    if not {".", ".."}.isdisjoint(key.split("/")):
        raise ValueError("a key may not lead through . or ..")
    return quote(key, safe="/")


def _host(parts: SplitResult) -> str:
    """The Host header for an address. Raises ValueError where the address names none."""
    if not parts.hostname:
        raise ValueError("an address names a host")
    host = f"[{parts.hostname}]" if ":" in parts.hostname else parts.hostname
    return host if parts.port in (None, _PORTS.get(parts.scheme)) else f"{host}:{parts.port}"


def _checked(media_type: str) -> str:
    if not re.fullmatch(_MEDIA_TYPE, media_type):
        raise ValueError("a media type is up to 256 characters of ASCII")
    return media_type


def _description(media_type: str, metadata: Mapping[str, str]) -> dict[str, str]:
    """What is stored with an object. Header values are ASCII on one line, so metadata are percent-encoded."""
    return {
        "content-type": _checked(media_type),
        **{f"{_META}{name}": quote(value, safe="") for name, value in metadata.items()},
    }


def _media_type(response: "httpx.Response") -> str:
    return str(response.headers.get("content-type", "application/octet-stream"))


def _metadata(response: "httpx.Response") -> dict[str, str]:
    return {
        name.removeprefix(_META): unquote(value) for name, value in response.headers.items() if name.startswith(_META)
    }


def _range(first: int | None, last: int | None) -> dict[str, str]:
    """The Range header. S3 takes no notice of one that makes no sense and gives everything: that is a ValueError."""
    if first is None and last is None:
        return {}
    first = first or 0
    if first < 0 or (last is not None and last < first):
        raise ValueError("a range goes from a byte to the same or a later one")
    return {"range": f"bytes={first}-{'' if last is None else last}"}


def _found(pattern: bytes, body: bytes, action: str) -> str:
    """What a pattern finds in S3's answer. Raises AwsError where the answer is none of S3's."""
    match = re.search(pattern, body)
    if match is None:
        raise AwsError("s3", action, "UnreadableAnswer")
    return match[1].decode()


def _listed(row: bytes) -> ListedObject:
    action = "ListObjectsV2"
    modified = datetime.fromisoformat(_found(_LISTED_MODIFIED, row, action))
    size = int(_found(_LISTED_SIZE, row, action))
    etag = _found(_ETAG, row, action)
    return ListedObject(unquote_plus(_found(_LISTED_KEY, row, action)), size, modified, etag)
