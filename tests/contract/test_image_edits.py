"""What CONTRACT.md says of /v1/images/edits: a multipart form with one image or several, and perhaps a mask."""

import base64
from collections.abc import AsyncIterator, Sequence
from typing import Any

import httpx
import pytest
from openai.types import ImagesResponse

from shared.stores.keys import KeyStore
from tests.contract.image_vendors import (
    BLOCKED,
    FILES,
    GEMINI,
    GIF,
    JPEG,
    OPENAI,
    OTHER_PNG,
    PNG,
    SANDBOX,
    STABILITY,
    STABILITY_EDITOR,
    SentFile,
    Studio,
    b64,
    form_of,
    size_of,
    studio_of,
)
from tests.contract.wire import assert_error

pytestmark = pytest.mark.anyio

EDITS = "/v1/images/edits"
PROMPT = "Make it night"
EDITORS = [OPENAI, GEMINI, STABILITY_EDITOR, SANDBOX]

Files = Sequence[tuple[str, tuple[str, bytes, str]]]


@pytest.fixture
async def studio(keys: KeyStore) -> AsyncIterator[Studio]:
    async with studio_of(keys) as studio:
        yield studio


def file(name: str, data: bytes, media_type: str = "image/png") -> tuple[str, tuple[str, bytes, str]]:
    return name, (f"a.{media_type[6:]}", data, media_type)


ONE: Files = [file("image", PNG)]


async def edit(studio: Studio, files: Files = ONE, model: str = SANDBOX, **fields: Any) -> httpx.Response:
    return await studio.client.post(EDITS, data={"model": model, "prompt": PROMPT, **fields}, files=files)


async def edited(studio: Studio, files: Files = ONE, model: str = SANDBOX, **fields: Any) -> Any:
    """The images object of an answer."""
    response = await edit(studio, files, model, **fields)
    assert response.status_code == 200, response.text
    ImagesResponse.model_validate(response.json())
    return response.json()


async def drawn(studio: Studio, files: Files, **fields: Any) -> bytes:
    """What the sandbox makes of files."""
    body = await edited(studio, files, response_format="b64_json", **fields)
    return base64.b64decode(body["data"][0]["b64_json"], validate=True)


# --- who edits


@pytest.mark.parametrize("model", EDITORS)
async def test_an_image_is_edited_by_every_provider_and_answered_as_generations_are(studio: Studio, model: str) -> None:
    response = await edit(studio, model=model)
    assert response.status_code == 200, response.text
    assert response.headers["x-gateway-model"] == model
    body = response.json()
    assert body.keys() == {"created", "data", "usage"}
    assert body["usage"].keys() == {"input_tokens", "input_tokens_details", "output_tokens", "total_tokens"}
    (image,) = body["data"]
    assert image.keys() == ({"url", "b64_json"} if model == OPENAI else {"url"})
    async with httpx.AsyncClient() as browser:
        stored = await browser.get(image["url"])
    assert stored.headers["content-type"] == "image/png"
    assert size_of(stored.content)
    (image,) = (await edited(studio, model=model, response_format="b64_json"))["data"]
    assert image.keys() == {"b64_json"}


async def test_openai_gets_one_image_as_image_and_all_fields(studio: Studio) -> None:
    await edited(studio, model=OPENAI, n="2", size="1024x1536", quality="high", user="u-1")
    form = form_of(studio.request)
    backend = form.pop("model")
    assert backend != [OPENAI], "the public id stands for a living model"
    assert form == {
        "prompt": [PROMPT],
        "n": ["2"],
        "size": ["1024x1536"],
        "quality": ["high"],
        "user": ["u-1"],
        "image": [SentFile("a.png", "image/png", PNG)],
    }


async def test_a_field_on_which_nothing_acts_is_a_400(studio: Studio) -> None:
    for name in ("frame_count", "partial_images", "svg[model]"):
        response = await edit(studio, **{name: "2"})
        assert response.status_code == 400
        assert response.json()["error"]["param"] == name.partition("[")[0]
    response = await edit(studio, [*ONE, file("markup", OTHER_PNG)])
    assert response.json()["error"]["param"] == "markup"


@pytest.mark.parametrize("name", ["image", "image[]"])
async def test_openai_gets_several_images_in_their_order_and_the_mask(studio: Studio, name: str) -> None:
    files = [file(name, PNG), file(name, JPEG, "image/jpeg"), file("mask", OTHER_PNG)]
    await edited(studio, files, OPENAI)
    form = form_of(studio.request)
    assert form["image[]"] == [SentFile("a.png", "image/png", PNG), SentFile("a.jpeg", "image/jpeg", JPEG)]
    assert form["mask"] == [SentFile("a.png", "image/png", OTHER_PNG)]


async def test_gemini_gets_the_images_before_the_prompt(studio: Studio) -> None:
    await edited(studio, [file("image[]", PNG), file("image[]", JPEG, "image/jpeg")], GEMINI)
    assert studio.sent["contents"][0]["parts"] == [
        {"inlineData": {"mimeType": "image/png", "data": b64(PNG)}},
        {"inlineData": {"mimeType": "image/jpeg", "data": b64(JPEG)}},
        {"text": PROMPT},
    ]


async def test_stability_gets_the_image_once_for_each_of_n_calls(studio: Studio) -> None:
    body = await edited(studio, model=STABILITY_EDITOR, n="3")
    assert len(body["data"]) == 3
    forms = [form_of(request) for request in studio.requests]
    assert [form["image"] for form in forms] == [[SentFile("a.png", "image/png", PNG)]] * 3


async def test_the_sandbox_draws_something_else_for_other_images_and_masks(studio: Studio) -> None:
    one = await drawn(studio, ONE, size="64x64")
    assert one == await drawn(studio, ONE, size="64x64")
    two = await drawn(studio, [*ONE, file("image", OTHER_PNG)], size="64x64")
    masked = await drawn(studio, [*ONE, file("mask", OTHER_PNG)], size="64x64")
    assert len({one, two, masked}) == 3
    assert size_of(one) == (64, 64)


@pytest.mark.parametrize("media_type", FILES)
async def test_every_promised_type_is_taken_by_every_provider(studio: Studio, media_type: str) -> None:
    for model in EDITORS:
        await edited(studio, [file("image", FILES[media_type], media_type)], model)


async def test_a_gif_reaches_gemini_and_stability_as_a_png_of_its_first_frame(studio: Studio) -> None:
    gif = [file("image", GIF, "image/gif")]
    await edited(studio, gif, GEMINI)
    shown = studio.sent["contents"][0]["parts"][0]["inlineData"]
    assert shown["mimeType"] == "image/png"
    assert size_of(base64.b64decode(shown["data"])) == size_of(GIF)
    studio.requests.clear()
    await edited(studio, gif, STABILITY_EDITOR)
    (sent,) = form_of(studio.request)["image"]
    assert isinstance(sent, SentFile)
    assert sent.media_type == "image/png"
    assert size_of(sent.content) == size_of(GIF)


async def test_a_gif_reaches_openai_as_something_that_it_takes(studio: Studio) -> None:
    """https://developers.openai.com/api/reference/resources/images/methods/edit: png, webp or jpg."""
    await edited(studio, [file("image", GIF, "image/gif"), file("image", PNG)], OPENAI)
    first, second = form_of(studio.request)["image[]"]
    assert isinstance(first, SentFile)
    assert first.media_type == "image/png"
    assert size_of(first.content) == size_of(GIF)
    assert second == SentFile("a.png", "image/png", PNG)


# --- what is refused


@pytest.mark.parametrize("authorization", [None, "Bearer", "Bearer sk-nobody"])
async def test_authentication_is_required(stranger: httpx.AsyncClient, authorization: str | None) -> None:
    headers = {} if authorization is None else {"authorization": authorization}
    response = await stranger.post(EDITS, data={"model": SANDBOX, "prompt": PROMPT}, files=ONE, headers=headers)
    assert_error(response, "token_invalid" if authorization == "Bearer sk-nobody" else "token_missing")


@pytest.mark.parametrize("field", ["model", "prompt"])
async def test_model_and_prompt_are_required(studio: Studio, field: str) -> None:
    fields = {"model": SANDBOX, "prompt": PROMPT}
    for data in ({**fields, field: ""}, {name: value for name, value in fields.items() if name != field}):
        assert_error(await studio.client.post(EDITS, data=data, files=ONE), "validation", field=field)


async def test_an_image_is_required(studio: Studio) -> None:
    assert_error(await edit(studio, [file("mask", PNG)]), "validation", field="image")
    assert_error(await edit(studio, [file("picture", PNG)]), "validation", field="image")


@pytest.mark.parametrize("name", ["image", "image[]", "mask"])
async def test_an_empty_file_is_refused(studio: Studio, name: str) -> None:
    assert_error(await edit(studio, [*ONE, file(name, b"")]), "validation", field=name)


@pytest.mark.parametrize("name", ["image", "image[]", "mask"])
async def test_text_in_the_place_of_a_file_is_refused(studio: Studio, name: str) -> None:
    for value in ("https://example.com/cat.png", f"data:image/png;base64,{b64(PNG)}", ""):
        data = {"model": SANDBOX, "prompt": PROMPT, name: value}
        response = await studio.client.post(EDITS, data=data, files=ONE)
        assert "file" in assert_error(response, "validation", field=name)


async def test_two_masks_are_refused(studio: Studio) -> None:
    response = await edit(studio, [*ONE, file("mask", PNG), file("mask", OTHER_PNG)])
    assert_error(response, "validation", field="mask")


@pytest.mark.parametrize("name", ["image", "image[]", "mask"])
@pytest.mark.parametrize("data", [b"<html>", b"%PDF-1.7\n", b"BM" + bytes(60), b"\x89PN"])
async def test_a_file_that_is_no_image_is_refused_whatever_it_is_called(studio: Studio, name: str, data: bytes) -> None:
    response = await edit(studio, [*ONE, file(name, data)])
    assert "PNG" in assert_error(response, "validation", field=name)


async def test_the_type_is_that_of_the_bytes_whatever_the_form_says(studio: Studio) -> None:
    await edited(studio, [("image", ("cat.gif", JPEG, "text/html"))], OPENAI)
    assert form_of(studio.request)["image"] == [SentFile("cat.gif", "image/jpeg", JPEG)]


async def test_16_images_are_taken_and_17_are_not(studio: Studio) -> None:
    await edited(studio, [file("image[]", PNG)] * 16, OPENAI)
    assert len(form_of(studio.request)["image[]"]) == 16
    assert "16" in assert_error(await edit(studio, [file("image[]", PNG)] * 17, OPENAI), "validation", field="image")


@pytest.mark.parametrize("n", ["x", "0", "11", "1.5", "-1", "true"])
async def test_n_is_a_whole_number_from_1_to_10(studio: Studio, n: str) -> None:
    assert_error(await edit(studio, n=n), "validation", field="n")


@pytest.mark.parametrize("size", ["huge", "0x0", "1024"])
async def test_a_size_that_is_none_is_refused(studio: Studio, size: str) -> None:
    assert_error(await edit(studio, size=size), "validation", field="size")


@pytest.mark.parametrize(
    ("field", "value"),
    [("response_format", "png"), ("quality", "ultra"), ("stream", "true"), ("output_compression", "101")],
)
async def test_a_field_that_is_wrong_is_named(studio: Studio, field: str, value: str) -> None:
    wrong: Any = {field: value}
    assert_error(await edit(studio, **wrong), "validation", field=field)


async def test_an_empty_field_is_one_that_was_left_out(studio: Studio) -> None:
    assert len((await edited(studio, n="", size="", response_format=""))["data"]) == 1


async def test_an_image_of_more_than_20_MB_and_a_body_of_more_than_32_are_too_large(studio: Studio) -> None:
    large = PNG + bytes(20 * 2**20)
    assert "20 MB" in assert_error(await edit(studio, [file("image", large)]), "too_large")
    assert "20 MB" in assert_error(await edit(studio, [*ONE, file("mask", large)]), "too_large")
    assert "32 MB" in assert_error(await edit(studio, [file("image", large)] * 2), "too_large")


async def test_what_a_model_cannot_express_is_a_clear_refusal(studio: Studio) -> None:
    refused = [
        (STABILITY, ONE, "image"),  # text to image only
        (STABILITY_EDITOR, [*ONE, *ONE], "image"),
        (GEMINI, [*ONE, file("mask", PNG)], "mask"),
        ("deepinfra/black-forest-labs/FLUX-2-max", ONE, "image editing"),
    ]
    for model, files, word in refused:
        response = await edit(studio, files, model)
        assert word in assert_unsupported(response), model
    assert studio.requests == []


def assert_unsupported(response: httpx.Response) -> str:
    error = response.json()["error"]
    assert (response.status_code, error["type"]) == (400, "invalid_request_error"), response.text
    assert error["code"] == "unsupported_feature"
    message: str = error["message"]
    return message


async def test_a_blocked_prompt_is_a_bad_request(studio: Studio) -> None:
    studio.answer = lambda request: httpx.Response(200, json=BLOCKED)
    assert_error(await edit(studio, model=GEMINI), "filtered")
    assert_error(await edit(studio, prompt="[sandbox:filter] a cat"), "filtered")


async def test_a_vendors_own_refusal_of_an_image_is_told(studio: Studio) -> None:
    studio.answer = lambda request: httpx.Response(400, json={"error": {"message": "Invalid image file."}})
    assert "Invalid image file" in assert_error(await edit(studio, model=OPENAI), "rejected")


# --- the form


def raw(*parts: str | bytes, end: bool = True) -> bytes:
    """A body with the boundary B, each part its head and its content."""
    body = b"".join(b"--B\r\n" + (part if isinstance(part, bytes) else part.encode()) + b"\r\n" for part in parts)
    return body + b"--B--\r\n" if end else body


def text(name: str, value: str) -> str:
    return f'Content-Disposition: form-data; name="{name}"\r\n\r\n{value}'


IMAGE = b'Content-Disposition: form-data; name="image"; filename="a.png"\r\n\r\n' + PNG
WHOLE = raw(text("model", SANDBOX), text("prompt", PROMPT), text("size", "64x64"), IMAGE)


async def post_raw(
    studio: Studio, body: bytes, content_type: str = "multipart/form-data; boundary=B"
) -> httpx.Response:
    return await studio.client.post(EDITS, content=body, headers={"content-type": content_type})


async def test_a_form_as_it_stands_on_the_wire_is_read(studio: Studio) -> None:
    for content_type in ("multipart/form-data; boundary=B", 'Multipart/Form-Data; Boundary="B"; charset=utf-8'):
        response = await post_raw(studio, WHOLE, content_type)
        assert response.status_code == 200, response.text


MALFORMED = {
    "not multipart at all": (b'{"model": "sandbox/image"}', "application/json"),
    "JSON under the type of a form": (b'{"model": "sandbox/image"}', "multipart/form-data; boundary=B"),
    "a form of another kind": (b"model=x&prompt=y", "application/x-www-form-urlencoded"),
    "no boundary": (WHOLE, "multipart/form-data"),
    "an empty boundary": (WHOLE, "multipart/form-data; boundary="),
    "another boundary": (WHOLE, "multipart/form-data; boundary=C"),
    "no content type": (WHOLE, ""),
    "a part without a name": (raw("Content-Disposition: form-data\r\n\r\nx"), "multipart/form-data; boundary=B"),
    "a part without a head": (raw("\r\nx"), "multipart/form-data; boundary=B"),
    "a head that never ends": (b"--B\r\n" + b"X-A: " + b"a" * 10**6, "multipart/form-data; boundary=B"),
    "an endless row of heads": (b"--B\r\n" + b"X-A: a\r\n" * 10**5, "multipart/form-data; boundary=B"),
    "bytes that are no text in a head": (raw(b'\xff\xfe: "\xff"\r\n\r\nx'), "multipart/form-data; boundary=B"),
    "nothing": (b"", "multipart/form-data; boundary=B"),
}


@pytest.mark.parametrize(("body", "content_type"), MALFORMED.values(), ids=MALFORMED)
async def test_a_body_that_is_no_form_is_refused(studio: Studio, body: bytes, content_type: str) -> None:
    response = await post_raw(studio, body, content_type)
    assert response.status_code == 400, response.text
    assert response.json()["error"]["type"] == "invalid_request_error"


async def test_a_form_that_was_cut_off_is_refused(studio: Studio) -> None:
    """What is missing may be the mask: a form without it would be edited everywhere."""
    for body in (
        WHOLE[:-20],
        WHOLE[: len(WHOLE) // 2],
        raw(text("model", SANDBOX), IMAGE, text("prompt", "x"), end=False),
    ):
        assert (await post_raw(studio, body)).status_code == 400


async def test_a_file_without_a_filename_is_text_and_refused_as_such(studio: Studio) -> None:
    nameless = b'Content-Disposition: form-data; name="image"\r\nContent-Type: image/png\r\n\r\n' + PNG
    body = raw(text("model", SANDBOX), text("prompt", PROMPT), nameless)
    assert "filename" in assert_error(await post_raw(studio, body), "validation", field="image")


async def test_an_empty_filename_will_do(studio: Studio) -> None:
    unnamed = b'Content-Disposition: form-data; name="image"; filename=""\r\n\r\n' + PNG
    response = await post_raw(studio, raw(text("model", OPENAI), text("prompt", PROMPT), unnamed))
    assert response.status_code == 200, response.text
    assert form_of(studio.request)["image"] == [SentFile("upload", "image/png", PNG)]


async def test_a_filename_cannot_break_out_of_the_vendors_form(studio: Studio) -> None:
    name = 'x\\"; name=\\"mask\\"; filename=\\"../../etc/passwd%0d%0aX-Evil: 1'
    hostile = f'Content-Disposition: form-data; name="image"; filename="{name}"\r\n\r\n'.encode() + PNG
    response = await post_raw(studio, raw(text("model", OPENAI), text("prompt", PROMPT), hostile))
    assert response.status_code == 200, response.text
    form = form_of(studio.request)
    (sent,) = form["image"]
    assert isinstance(sent, SentFile)
    assert not set(sent.filename) & set('/\\"\r\n;%:')
    assert "mask" not in form


async def test_too_many_files_and_too_many_fields_are_refused(studio: Studio) -> None:
    assert (await edit(studio, [file("image[]", PNG)] * 21)).status_code == 400
    body = raw(text("model", SANDBOX), text("prompt", PROMPT), IMAGE, *[text("x", "y")] * 101)
    assert (await post_raw(studio, body)).status_code == 400


async def test_a_huge_field_is_refused(studio: Studio) -> None:
    response = await edit(studio, prompt="x" * 300_000)
    assert response.status_code == 400
    assert_error(await edit(studio, prompt="x" * 32_001), "validation", field="prompt")


async def test_a_form_that_names_something_unknown_is_read(studio: Studio) -> None:
    response = await edit(studio, [*ONE, file("attachment", b"anything")], nonsense="1", size="64x64")
    assert response.status_code == 200, response.text


async def test_a_field_given_twice_counts_as_given_last(studio: Studio) -> None:
    body = raw(
        text("model", "no-such-model"), text("model", SANDBOX), text("prompt", PROMPT), text("size", "64x64"), IMAGE
    )
    response = await post_raw(studio, body)
    assert response.headers["x-gateway-model"] == SANDBOX
