"""A multipart body is read as fields and files: bounded, whatever pieces it comes in, and never half of it."""

import tempfile
from collections.abc import AsyncIterator, Iterable
from contextlib import AbstractAsyncContextManager, suppress
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from shared.dialects.base import Form
from shared.errors import GatewayError, InvalidRequest, MalformedRequest, PayloadTooLarge
from shared.schemas.context import Meter
from shared.web.form import form_body
from shared.web.http import ClientDisconnect, Request

pytestmark = pytest.mark.anyio

CONTENT_TYPE = "multipart/form-data; boundary=B"
LIMIT = 8 * 2**20
PNG = b"\x89PNG\r\n\x1a\n" + bytes(20)
LEFT = object()


def part(name: str, content: bytes, filename: str | None = None) -> bytes:
    told = "" if filename is None else f'; filename="{filename}"'
    head = f'--B\r\nContent-Disposition: form-data; name="{name}"{told}\r\n\r\n'
    return head.encode() + content + b"\r\n"


def body(*parts: bytes) -> bytes:
    return b"".join(parts) + b"--B--\r\n"


def request(pieces: Iterable[Any], content_type: str = CONTENT_TYPE, **headers: str) -> Request:
    """A request whose body comes in these pieces; at LEFT the client goes away."""
    messages: AsyncIterator[dict[str, Any]] = _messages(pieces)

    async def receive() -> dict[str, Any]:
        return await anext(messages)

    given_headers = {"content-type": content_type, **{name.replace("_", "-"): text for name, text in headers.items()}}
    encoded = [(name.encode(), text.encode()) for name, text in given_headers.items()]
    return Request({"type": "http", "method": "POST", "headers": encoded, "state": {"meter": Meter()}}, receive)


async def _messages(pieces: Iterable[Any]) -> AsyncIterator[dict[str, Any]]:
    for piece in pieces:
        if piece is LEFT:
            yield {"type": "http.disconnect"}
        yield {"type": "http.request", "body": piece, "more_body": True}
    yield {"type": "http.request", "body": b"", "more_body": False}


def reading(*pieces: Any, limit: int = LIMIT, **options: str) -> AbstractAsyncContextManager[Form]:
    return form_body(request(pieces, **options), limit, "Send less.")


async def refused(*pieces: Any, limit: int = LIMIT, **options: str) -> GatewayError:
    """The error of a body that is refused before anything is done with it."""
    with pytest.raises(GatewayError) as caught:
        async with reading(*pieces, limit=limit, **options):
            raise AssertionError("it was read")
    return caught.value


WHOLE = body(part("model", b"m"), part("tag", b"1"), part("image", PNG, "a.png"), part("tag", "é".encode()))


async def test_fields_and_files_come_in_the_order_in_which_they_were_sent() -> None:
    async with reading(WHOLE) as form:
        assert form.fields == {"model": ["m"], "tag": ["1", "é"]}
        (image,) = form.files["image"]
        assert (image.filename, image.media_type, image.size) == ("a.png", "image/png", len(PNG))
        assert image.read() == PNG
        assert image.read() == PNG, "a second call may send it again"


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
@given(cuts=st.sets(st.integers(1, len(WHOLE) - 1)))
async def test_the_pieces_in_which_it_comes_make_no_difference(cuts: set[int]) -> None:
    ends = [0, *sorted(cuts), len(WHOLE)]
    pieces = [WHOLE[start:end] for start, end in pairwise(ends)]
    async with reading(*pieces) as form:
        assert form.fields == {"model": ["m"], "tag": ["1", "é"]}
        assert form.files["image"][0].read() == PNG


@pytest.mark.parametrize("length", range(len(WHOLE) - 4))
async def test_a_body_that_is_cut_off_anywhere_is_refused(length: int) -> None:
    assert isinstance(await refused(WHOLE[:length]), MalformedRequest)


async def test_a_large_file_is_whole_and_can_be_read_by_several_at_once() -> None:
    content = PNG + bytes(range(256)) * 16_000  # beyond what is kept in memory
    async with reading(body(part("image", content, "a.png"))) as form:
        (image,) = form.files["image"]
        one, other = image.open(), image.open()
        assert one.read(1000) + other.read(1000) == content[:1000] * 2
        assert one.read() == content[1000:]
        assert other.read() == content[1000:]
        assert image.size == len(content)


@pytest.mark.parametrize("failure", [None, RuntimeError()])
async def test_files_are_closed_when_the_work_is_done_or_has_failed(failure: Exception | None) -> None:
    with suppress(RuntimeError):
        async with reading(WHOLE) as form:
            file = form.files["image"][0].file
            assert not file.closed
            if failure:
                raise failure
    assert file.closed


async def test_files_are_closed_when_the_form_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    opened: list[Any] = []
    temporary_file = tempfile.SpooledTemporaryFile

    def remembered(*args: Any, **options: Any) -> Any:
        opened.append(temporary_file(*args, **options))
        return opened[-1]

    monkeypatch.setattr("starlette.formparsers.SpooledTemporaryFile", remembered)
    start = part("image", PNG, "a.png")
    await refused(body(start, part("image", b"", "b.png")))
    await refused(start + part("image", PNG, "b.png")[:-10])
    await refused(start, bytes(LIMIT))
    with pytest.raises(ClientDisconnect):
        async with reading(start, LEFT):
            pass
    assert len(opened) == 6
    assert all(file.closed for file in opened)


async def test_a_client_that_leaves_amidst_its_body_is_no_form() -> None:
    with pytest.raises(ClientDisconnect):
        async with reading(WHOLE[:-10], LEFT):
            raise AssertionError("it was read")


@pytest.mark.parametrize("declared", [{}, {"content_length": str(2**40)}])
async def test_a_body_past_the_limit_is_refused_with_the_way_around_it(declared: dict[str, str]) -> None:
    error = await refused(body(part("image", PNG + bytes(3 * 2**20), "a.png")), limit=2**20, **declared)
    assert isinstance(error, PayloadTooLarge)
    assert error.message == "The request body is larger than 1 MB. Send less."


async def test_a_body_of_exactly_the_limit_is_read() -> None:
    async with reading(WHOLE, limit=len(WHOLE)) as form:
        assert form.files
    assert isinstance(await refused(WHOLE, limit=len(WHOLE) - 1), PayloadTooLarge)


@pytest.mark.parametrize(
    "content_type",
    [
        "",
        "application/json",
        "text/plain; boundary=B",
        "multipart/mixed; boundary=B",
        "multipart/form-data",
        "x" * 9999,
    ],
)
async def test_another_content_type_or_no_boundary_is_refused(content_type: str) -> None:
    assert isinstance(await refused(WHOLE, content_type=content_type), MalformedRequest)


@pytest.mark.parametrize(
    "content_type", ["MULTIPART/FORM-DATA; BOUNDARY=B", 'multipart/form-data; charset=nonsense; boundary="B"']
)
async def test_a_content_type_may_be_spelled_otherwise(content_type: str) -> None:
    async with reading(WHOLE, content_type=content_type) as form:
        assert form.fields["model"] == ["m"]


async def test_an_empty_file_is_named() -> None:
    error = await refused(body(part("image", b"", "a.png")))
    assert isinstance(error, InvalidRequest)
    assert error.param == "image"


async def test_a_part_that_is_no_text_is_read_as_one_that_nobody_asked_for() -> None:
    async with reading(body(part("note", b"\xff\xfe"))) as form:
        assert form.fields == {"note": ["ÿþ"]}


async def test_counts_and_sizes_are_bounded() -> None:
    for parts in ([part("image", PNG, "a.png")] * 21, [part("x", b"y")] * 101, [part("x", b"y" * 300_000)]):
        assert isinstance(await refused(body(*parts)), MalformedRequest)


@pytest.mark.parametrize(
    ("given_name", "kept"),
    [
        ("cat.png", "cat.png"),
        ("Füße (2).png", "Füße (2).png"),
        ("../../etc/passwd", "passwd"),
        ("C:\\\\fakepath\\\\cat.png", "cat.png"),
        ("", "upload"),
        ("..", ".."),
        ("a" * 300 + ".png", "a" * 96 + ".png"),
        ("x;name=y%0d%0a'.png", "x_name_y_0d_0a_.png"),
    ],
)
async def test_a_file_name_is_fit_for_a_header(given_name: str, kept: str) -> None:
    async with reading(body(part("image", PNG, given_name))) as form:
        assert form.files["image"][0].filename == kept


@pytest.mark.parametrize(
    ("content", "media_type"),
    [(PNG, "image/png"), (b"\xff\xd8\xff\xe0", "image/jpeg"), (b"<html>", "application/octet-stream")],
)
async def test_a_files_type_is_that_of_its_bytes(content: bytes, media_type: str) -> None:
    lying = b'--B\r\nContent-Disposition: form-data; name="f"; filename="a.gif"\r\nContent-Type: image/gif\r\n\r\n'
    async with reading(body(lying + content + b"\r\n")) as form:
        assert form.files["f"][0].media_type == media_type
