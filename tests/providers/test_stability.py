"""What is peculiar to Stability AI; what every image provider must do is in test_operation_contract.py."""

import json
from typing import Any

import httpx
import pytest

from shared.catalog import Catalog
from shared.errors import ContentFiltered, GatewayError, InvalidRequest, UnsupportedFeature
from shared.providers import load_vendor
from shared.providers.base import Call
from shared.providers.stability.images import adapter
from shared.schemas.image import ImageRequest, Size
from shared.schemas.model import Model
from shared.schemas.upload import Upload
from shared.settings import Settings
from tests.providers.operation_wire import FormFile, Sent
from tests.providers.operations.stability import (
    CORE,
    GENERATE_SD3,
    INPAINT,
    JPEG,
    LARGE,
    OPENAI_MASK,
    PHOTO,
    ULTRA,
    WEBP,
    body,
    drawn,
    images,
    upload,
    validate_request,
)

VENDOR = load_vendor("stability")


def model_of(model_id: str) -> Model:
    return Catalog.load(Settings.from_environment(images.env)).find(model_id)


def parts(made: Call) -> list[tuple[str, str | FormFile]]:
    """The form with its files read."""
    assert made.form is not None
    return [
        (name, FormFile(value.filename, value.media_type, value.read()) if isinstance(value, Upload) else value)
        for name, value in made.form
    ]


def call(model_id: str = CORE, **fields: Any) -> Sent:
    """What is sent for a request with these fields; checked against the vendor's document."""
    request = ImageRequest(model=model_id, prompt="cat", **fields)
    made = adapter.call(request, model_of(model_id))
    sent = Sent(request, made.path, made.json, parts(made))
    validate_request(sent)
    return sent


def field(sent: Sent, name: str) -> Any:
    return dict(sent.form or ()).get(name)


@pytest.mark.parametrize("name", images.sent)
def test_the_test_data_is_what_is_sent_and_is_valid(name: str) -> None:
    sent = images.sent[name]
    validate_request(sent)
    made = adapter.call(sent.request, model_of(sent.request.model))
    assert (made.path, made.json, parts(made)) == (sent.path, None, sent.form)
    assert made.headers == {"accept": "application/json"}


@pytest.mark.parametrize("name", images.answers)
def test_the_test_data_means_what_it_says(name: str) -> None:
    answer = images.answers[name]
    images.validate_answer(answer)
    assert adapter.response(json.loads(answer.body)) == answer.means


@pytest.mark.parametrize("name", images.failures)
def test_a_failure_is_told_from_others(name: str) -> None:
    failure = images.failures[name]
    error = VENDOR.error(failure.status, failure.headers, failure.body)
    assert type(error) is failure.raises
    assert error.retry_after == failure.retry_after
    assert (failure.message or "") in error.message
    assert failure.secret is None or failure.secret not in error.message


@pytest.mark.parametrize("name", images.refused)
def test_what_cannot_be_expressed_is_refused_by_its_field(name: str) -> None:
    request, word = images.refused[name]
    with pytest.raises(InvalidRequest) as raised:
        adapter.call(request, model_of(request.model))
    assert raised.value.param == word
    assert word in raised.value.message


def test_the_key_goes_into_a_header() -> None:
    assert adapter.vendor is VENDOR
    auth = VENDOR.auth("sk-x")
    assert auth is not None
    sent = next(auth.auth_flow(httpx.Request("POST", "https://vendor.test")))
    assert sent.headers["authorization"] == "Bearer sk-x"
    assert "sk-x" not in repr(auth)
    assert VENDOR.auth(None) is None


@pytest.mark.parametrize("model_id", [CORE, ULTRA, LARGE, "stability/sd3.5-flash"])
def test_the_vendor_makes_one_image_a_call(model_id: str) -> None:
    assert "single_candidate" in model_of(model_id).quirks


@pytest.mark.parametrize(
    ("size", "ratio"),
    [
        (Size(256, 256), "1:1"),
        (Size(1024, 1024), "1:1"),
        (Size(1020, 1040), "1:1"),
        (Size(1536, 1024), "3:2"),
        (Size(1024, 1536), "2:3"),
        (Size(1792, 1024), "16:9"),
        (Size(1024, 1792), "9:16"),
        (Size(1280, 1024), "5:4"),
        (Size(1024, 1280), "4:5"),
        (Size(2560, 1080), "21:9"),
        (Size(1080, 2560), "9:21"),
    ],
    ids=str,
)
def test_a_size_becomes_the_nearest_aspect_ratio(size: Size, ratio: str) -> None:
    assert field(call(size=size), "aspect_ratio") == ratio


@pytest.mark.parametrize("size", [Size(1024, 768), Size(768, 1024), Size(1000, 1030), Size(3000, 1000)], ids=str)
def test_a_size_of_another_ratio_is_refused_naming_those_supported(size: Size) -> None:
    with pytest.raises(InvalidRequest, match=rf"{size}.*21:9, 16:9, 3:2, 5:4, 1:1, 4:5, 2:3, 9:16, 9:21"):
        call(size=size)


@pytest.mark.parametrize("seed", [1, 343940597, 4294967294])
def test_a_seed_of_the_vendors_is_sent_as_it_is(seed: int) -> None:
    assert field(call(seed=seed), "seed") == str(seed)


@pytest.mark.parametrize("seed", [-(2**63), -1, 0, 4294967295, 2**63])
def test_any_other_seed_is_folded_into_the_range_and_is_never_the_random_one(seed: int) -> None:
    folded = field(call(seed=seed), "seed")
    assert folded != "0"
    assert folded == field(call(seed=seed), "seed")
    assert folded != field(call(seed=seed + 1), "seed")


def test_an_unlisted_model_goes_to_the_endpoint_that_takes_names() -> None:
    request = ImageRequest(model="stability/sd3.5-flash", prompt="cat", images=(upload(PHOTO),))
    made = adapter.call(request, model_of("stability/sd3.5-flash"))
    assert made.path == GENERATE_SD3
    assert dict(made.form or ()).items() >= {"model": "sd3.5-flash", "strength": "0.95"}.items()


def test_core_edits_only_by_a_mask() -> None:
    with pytest.raises(UnsupportedFeature, match="from text only") as raised:
        call(images=(upload(PHOTO),))
    assert raised.value.param == "image"


@pytest.mark.parametrize(
    "mask",
    [drawn("L", "PNG", 255), drawn("RGB", "PNG"), drawn("P", "PNG"), JPEG],
    ids=["grey", "rgb", "palette", "jpeg"],
)
@pytest.mark.parametrize("model_id", [ULTRA, LARGE])
def test_a_mask_without_transparency_goes_to_inpainting_as_it_is(mask: bytes, model_id: str) -> None:
    sent = call(model_id, images=(upload(WEBP),), mask=upload(mask, "mask"))
    assert sent.path == INPAINT
    assert field(sent, "mask").content == mask


@pytest.mark.parametrize(
    "mask",
    [
        OPENAI_MASK,
        drawn("LA", "PNG"),
        drawn("P", "PNG", transparency=0),
        drawn("RGB", "PNG", transparency=(0, 0, 0)),
        drawn("RGBA", "WEBP"),
        drawn("P", "GIF"),
        OPENAI_MASK[:20],
    ],
    ids=["rgba", "grey with alpha", "palette with tRNS", "rgb with tRNS", "webp", "gif", "cut off"],
)
def test_a_mask_that_the_vendor_might_read_the_other_way_round_is_refused(mask: bytes) -> None:
    with pytest.raises(UnsupportedFeature, match="PNG, transparent where the image is to be edited") as raised:
        call(LARGE, images=(upload(PHOTO),), mask=upload(mask))
    assert raised.value.param == "mask"


def test_inpainting_keeps_the_images_shape() -> None:
    with pytest.raises(InvalidRequest, match="size"):
        call(ULTRA, images=(upload(PHOTO),), mask=upload(JPEG), size=Size(1024, 1024))


def test_a_blurred_image_is_a_refusal() -> None:
    with pytest.raises(ContentFiltered):
        adapter.response(json.loads(body(PHOTO, "CONTENT_FILTERED")))


@pytest.mark.parametrize(
    "wrong",
    [
        {},
        [],
        None,
        {"finish_reason": "SUCCESS", "seed": 1},
        {"finish_reason": "SUCCESS", "image": None},
        {"finish_reason": "SUCCESS", "image": "no base64"},
        {"finish_reason": "SUCCESS", "image": "bm8gaW1hZ2U="},
    ],
    ids=str,
)
def test_a_body_of_another_format_is_not_taken_for_an_image(wrong: Any) -> None:
    with pytest.raises((KeyError, TypeError, ValueError)):
        adapter.response(wrong)


@pytest.mark.parametrize(
    "wrong", [b"[]", b"7", b'{"name": 3, "errors": "x"}', b'{"errors": [1, {}]}', b"", b"\xff"], ids=str
)
def test_an_error_body_of_another_format_is_still_an_error(wrong: bytes) -> None:
    error = VENDOR.error(400, {}, wrong)
    assert isinstance(error, GatewayError)
    assert error.message == "The provider refused the request."
