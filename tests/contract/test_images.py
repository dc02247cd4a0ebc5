"""Images by the contract's numbers: the stable dialect's raw content, OpenAI's generations, and the envelope's.

Edits are in test_image_edits.py, images in chat in test_image_chat.py.
"""

import asyncio
import base64
import json
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpcore
import httpx
import pytest
from google.genai.types import FinishReason, GenerateContentResponse
from openai.types import ImagesResponse

from shared.fetch import RemoteFetcher
from shared.stores.aws import Aws
from shared.stores.keys import KeyStore
from tests.client import BUCKET, TOKEN, gateway_client
from tests.contract.image_vendors import (
    BLOCKED,
    DENIED,
    FILES,
    GEMINI,
    GIF,
    JPEG,
    OPENAI,
    OTHER_PNG,
    PNG,
    RESPONSE_ID,
    SANDBOX,
    STABILITY,
    Bucket,
    Studio,
    b64,
    form_of,
    gemini,
    gemini_content,
    inline,
    openai_images,
    size_of,
    stability_image,
    studio_of,
)
from tests.contract.vendor import HOST, KEY, Handler
from tests.contract.wire import assert_error

pytestmark = pytest.mark.anyio

STABLE = "/v1/image/generation/stable"
GENERATIONS = "/v1/images/generations"
ENVELOPE = "/v1/inference/images/generate"
OPENAI_SHAPED = [GENERATIONS, ENVELOPE]
ROUTES = [STABLE, *OPENAI_SHAPED]
CAT = "a cat sitting on a cloud"
SMALL = "64x64"  # the least that the sandbox draws: it takes no time

on_each_route = pytest.mark.parametrize("path", ROUTES)
on_both = pytest.mark.parametrize("path", OPENAI_SHAPED)


@pytest.fixture
async def studio(keys: KeyStore) -> AsyncIterator[Studio]:
    """Every vendor of images and the sandbox, with the gateway in front of them."""
    async with studio_of(keys) as studio:
        yield studio


@pytest.fixture
async def pointed(keys: KeyStore, tmp_path: Path) -> AsyncIterator[httpx.AsyncClient]:
    """A gateway whose operator has pointed gemini-2.5-flash-image to the sandbox."""
    catalog = tmp_path / "catalog.toml"
    catalog.write_text(f'[[models]]\nid = "{GEMINI}"\nprovider = "sandbox"\nupstream = "image"\nquirks = []\n')
    async with gateway_client(keys, {"GATEWAY_SANDBOX": "on", "GATEWAY_CATALOG": str(catalog)}) as client:
        yield client


async def content_of(client: httpx.AsyncClient, **fields: Any) -> Any:
    """The stable route's answer."""
    response = await client.post(STABLE, json={"prompt": CAT, **fields})
    assert response.status_code == 200, response.text
    return response.json()


async def config_of(studio: Studio, **fields: Any) -> Any:
    """The generationConfig that reaches Gemini of a request."""
    await content_of(studio.client, **fields)
    return studio.sent.get("generationConfig", {})


def images_in(content: Any) -> list[bytes]:
    """The images of a stable answer, decoded as the seed's own client does."""
    return [
        base64.b64decode(part["inline_data"]["data"])
        for candidate in content["candidates"]
        for part in candidate["content"]["parts"]
        if part.get("inline_data")
    ]


def texts_in(content: Any) -> list[str]:
    parts = [part for candidate in content["candidates"] for part in candidate["content"]["parts"]]
    return [part["text"] for part in parts if "text" in part]


async def answered(client: httpx.AsyncClient, path: str = GENERATIONS, **fields: Any) -> Any:
    """OpenAI's images object of an answer, out of its envelope where it has one."""
    response = await client.post(path, json={"model": SANDBOX, "prompt": CAT, "size": SMALL, **fields})
    assert response.status_code == 200, response.text
    body = response.json()
    if path == ENVELOPE:
        assert body.keys() == {"status", "data", "meta"}
        assert body["status"] == "ok"
        assert body["meta"] == {"request_id": response.headers["x-request-id"]}
        body = body["data"]
    ImagesResponse.model_validate(body)
    return body


def asking(path: str, model: str = SANDBOX, **fields: Any) -> dict[str, Any]:
    """A body that the route answers."""
    return {"model": GEMINI if path == STABLE else model, "prompt": CAT, **fields}


async def opened(url: str) -> httpx.Response:
    """What a browser gets of a URL, with no token."""
    async with httpx.AsyncClient() as browser:
        return await browser.get(url)


# --- /v1/image/generation/stable: the request


async def test_Z14_the_endpoint_takes_a_prompt_by_POST_and_nothing_else(studio: Studio) -> None:
    response = await studio.client.post(STABLE, json={"prompt": CAT})
    assert response.status_code == 200
    assert response.headers["content-type"] == "application/json"
    assert response.headers["x-gateway-model"] == GEMINI
    assert response.headers["x-gateway-backend"].startswith("gemini/")
    assert response.headers["x-request-id"]
    assert_error(await studio.client.get(STABLE), "method")


@pytest.mark.parametrize("authorization", [None, "", "Bearer", "Bearer ", "Basic c2stdGVzdA==", TOKEN])
async def test_Z15_a_missing_or_malformed_authorization_is_refused(
    stranger: httpx.AsyncClient, authorization: str | None
) -> None:
    headers = {} if authorization is None else {"authorization": authorization}
    assert_error(await stranger.post(STABLE, json={"prompt": CAT}, headers=headers), "token_missing")


@pytest.mark.parametrize("body", [{}, {"prompt": None}, {"prompt": ""}, {"prompt": 5}, {"prompt": ["a cat"]}])
async def test_Z16_the_prompt_is_required(studio: Studio, body: Any) -> None:
    assert_error(await studio.client.post(STABLE, json=body), "validation", field="prompt")
    assert studio.requests == []


@pytest.mark.parametrize("fields", [{}, {"model": None}])
async def test_Z17_the_default_model_is_gemini_2_5_flash_image(studio: Studio, fields: Any) -> None:
    response = await studio.client.post(STABLE, json={"prompt": CAT, **fields})
    assert response.headers["x-gateway-model"] == "gemini-2.5-flash-image"
    backend = response.headers["x-gateway-backend"].removeprefix("gemini/")
    assert studio.request.url.path == f"/v1beta/models/{backend}:generateContent"


@pytest.mark.parametrize("model", ["gemini-2.5-flash-image", "gemini-3-pro-image-preview"])
async def test_Z18_both_models_are_served(studio: Studio, model: str) -> None:
    response = await studio.client.post(STABLE, json={"prompt": CAT, "model": model})
    assert response.status_code == 200
    assert response.headers["x-gateway-model"] == model


@pytest.mark.parametrize("model", ["gemini-2.5-flash", "sandbox/image", OPENAI, "Auto", "no-such-model", "", 5])
async def test_Z18_every_other_model_is_a_wrong_value_and_not_an_unknown_model(studio: Studio, model: Any) -> None:
    response = await studio.client.post(STABLE, json={"prompt": CAT, "model": model})
    assert_error(response, "validation", field="model")


@pytest.mark.parametrize("fields", [{}, {"response_modalities": None}])
async def test_Z19_image_and_text_are_asked_for_by_default(studio: Studio, fields: Any) -> None:
    assert (await config_of(studio, **fields))["responseModalities"] == ["IMAGE", "TEXT"]


async def test_Z19_image_and_text_are_answered_by_default(pointed: httpx.AsyncClient) -> None:
    content = await content_of(pointed)
    assert len(images_in(content)) == 1
    assert CAT in texts_in(content)[0]


ALONE = pytest.mark.parametrize("modalities", [["IMAGE"], ["image"], ["Image", "IMAGE"]])


@ALONE
async def test_Z20_image_alone_is_asked_for(studio: Studio, modalities: Any) -> None:
    assert (await config_of(studio, response_modalities=modalities))["responseModalities"] == ["IMAGE"]


@ALONE
async def test_Z20_image_alone_suppresses_text(pointed: httpx.AsyncClient, modalities: Any) -> None:
    content = await content_of(pointed, response_modalities=modalities)
    assert len(images_in(content)) == 1
    assert texts_in(content) == []


@pytest.mark.parametrize("modalities", [[], ["AUDIO"], ["IMAGE", 1], "IMAGE", ["IMAGE", "TEXT", "IMAGE"]])
async def test_Z19_other_modalities_are_refused(studio: Studio, modalities: Any) -> None:
    response = await studio.client.post(STABLE, json={"prompt": CAT, "response_modalities": modalities})
    assert response.status_code == 400
    assert "response_modalities" in response.json()["error"]["param"]


PASSED_ON = [
    pytest.param("temperature", "temperature", 0.3, id="Z21-temperature"),
    pytest.param("temperature", "temperature", 0, id="Z21-temperature-zero"),
    pytest.param("top_p", "topP", 0.9, id="Z22-top_p"),
    pytest.param("top_k", "topK", 40, id="Z23-top_k"),
    pytest.param("top_k", "topK", 40.0, id="Z23-top_k-a-float-as-the-page-has-it"),
    pytest.param("max_output_tokens", "maxOutputTokens", 4096, id="Z24-max_output_tokens"),
    pytest.param("seed", "seed", 42, id="Z25-seed"),
    pytest.param("seed", "seed", -7, id="Z25-seed-below-zero"),
    pytest.param("stop_sequences", "stopSequences", ["END", "\n\n"], id="Z29-stop_sequences"),
]


@pytest.mark.parametrize(("field", "theirs", "value"), PASSED_ON)
async def test_Z21_Z22_Z23_Z24_Z25_Z29_a_knob_is_passed_upstream(
    studio: Studio, field: str, theirs: str, value: Any
) -> None:
    passed = (await config_of(studio, **{field: value}))[theirs]
    assert passed == value
    assert not isinstance(passed, float) or theirs in ("temperature", "topP"), "Google takes whole numbers only"


async def test_Z21_what_is_left_out_is_left_to_the_vendor(studio: Studio) -> None:
    assert (await config_of(studio)).keys() == {"responseModalities"}
    assert studio.sent.keys() == {"contents", "generationConfig"}


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("temperature", 2.1),
        ("temperature", "warm"),
        ("temperature", True),
        ("top_p", 1.5),
        ("top_k", 0),
        ("top_k", 1.5),
        ("top_k", True),
        ("max_output_tokens", 0),
        ("max_output_tokens", 1.5),
        ("seed", "1"),
        ("seed", 2**64),
        ("candidate_count", 0),
        ("candidate_count", 9),
        ("stop_sequences", ["a"] * 6),
        ("stop_sequences", "END"),
        ("safety_settings", {"category": "HARM_CATEGORY_HARASSMENT", "threshold": "BLOCK_NONE"}),
        ("system_instruction", {"parts": []}),
        ("images", "data:image/png;base64,"),
        ("image_config", []),
    ],
)
async def test_Z21_a_field_of_a_wrong_type_or_out_of_range_is_named(studio: Studio, field: str, value: Any) -> None:
    response = await studio.client.post(STABLE, json={"prompt": CAT, field: value})
    assert_error(response, "validation", field=field)
    assert studio.requests == []


async def test_Z25_the_same_seed_gives_the_same_sandbox_image(pointed: httpx.AsyncClient) -> None:
    seeds = (1, 1, 2)
    first, again, other = [images_in(await content_of(pointed, seed=seed))[0] for seed in seeds]
    assert first == again
    assert first != other
    assert size_of(first) == (1024, 1024)


async def test_Z26_safety_settings_are_passed_upstream(studio: Studio) -> None:
    settings = [
        {"category": "HARM_CATEGORY_HARASSMENT", "threshold": "BLOCK_NONE"},
        {"category": "HARM_CATEGORY_HATE_SPEECH", "threshold": "BLOCK_ONLY_HIGH"},
    ]
    await content_of(studio.client, safety_settings=settings)
    assert studio.sent["safetySettings"] == settings


@pytest.mark.parametrize(
    "setting",
    [{}, {"category": "HARM_CATEGORY_HARASSMENT"}, {"category": "x y", "threshold": "BLOCK_NONE"}, "BLOCK_NONE"],
)
async def test_Z26_a_safety_setting_that_is_none_is_named(studio: Studio, setting: Any) -> None:
    response = await studio.client.post(STABLE, json={"prompt": CAT, "safety_settings": [setting]})
    assert response.status_code == 400
    assert response.json()["error"]["param"].startswith("safety_settings[0]")


async def test_Z27_the_system_instruction_is_applied(studio: Studio) -> None:
    await content_of(studio.client, system_instruction="Paint in oil.")
    assert studio.sent["systemInstruction"] == {"parts": [{"text": "Paint in oil."}]}
    assert "Paint in oil." not in json.dumps(studio.sent["contents"])


async def test_Z28_candidate_count_yields_that_many_candidates_by_as_many_calls(studio: Studio) -> None:
    content = await content_of(studio.client, candidate_count=3, seed=7)
    assert [candidate["index"] for candidate in content["candidates"]] == [0, 1, 2]
    assert images_in(content) == [PNG] * 3
    assert content["response_id"] == RESPONSE_ID
    configs = [json.loads(request.content)["generationConfig"] for request in studio.requests]
    assert sorted(config["seed"] for config in configs) == [7, 8, 9], "one seed would draw one image three times"
    assert all("candidateCount" not in config for config in configs)


async def test_Z28_the_candidates_usage_is_added_up(studio: Studio) -> None:
    usage = (await content_of(studio.client, candidate_count=2))["usage_metadata"]
    assert usage == {
        "prompt_token_count": 18,
        "candidates_token_count": 2240,
        "total_token_count": 2258,
        "prompt_tokens_details": [{"modality": "TEXT", "token_count": 18}],
        "candidates_tokens_details": [{"modality": "IMAGE", "token_count": 2240}],
    }


async def test_Z28_the_sandbox_gives_all_candidates_in_one_call(pointed: httpx.AsyncClient) -> None:
    content = await content_of(pointed, candidate_count=3)
    assert [candidate["index"] for candidate in content["candidates"]] == [0, 1, 2]
    assert len(set(images_in(content))) == 3


async def test_Z28_one_candidate_that_fails_fails_them_all(studio: Studio) -> None:
    failing = iter([False, True, False])

    def answer(request: httpx.Request) -> httpx.Response:
        return httpx.Response(500) if next(failing) else httpx.Response(200, json=gemini_content(inline(PNG)))

    studio.answer = answer
    assert_error(await studio.client.post(STABLE, json={"prompt": CAT, "candidate_count": 3}), "upstream")


@pytest.mark.parametrize("fields", [{}, {"images": []}, {"images": None}])
async def test_Z30_there_are_no_images_by_default(studio: Studio, fields: Any) -> None:
    await content_of(studio.client, **fields)
    assert studio.sent["contents"] == [{"role": "user", "parts": [{"text": CAT}]}]


async def test_Z31_an_object_with_data_and_mime_type_is_accepted(studio: Studio) -> None:
    await content_of(studio.client, images=[{"data": b64(PNG), "mime_type": "image/png"}])
    shown = {"inlineData": {"mimeType": "image/png", "data": b64(PNG)}}
    assert studio.sent["contents"] == [{"role": "user", "parts": [shown, {"text": CAT}]}]


async def test_Z32_a_data_uri_is_accepted_and_may_stand_beside_objects(studio: Studio) -> None:
    uri = f"data:image/jpeg;base64,{b64(JPEG)}"
    await content_of(studio.client, images=[uri, {"data": b64(PNG), "mime_type": "image/png"}])
    *shown, _ = studio.sent["contents"][0]["parts"]
    assert [part["inlineData"] for part in shown] == [
        {"mimeType": "image/jpeg", "data": b64(JPEG)},
        {"mimeType": "image/png", "data": b64(PNG)},
    ]


@pytest.mark.parametrize("media_type", FILES)
@pytest.mark.parametrize("as_uri", [False, True])
async def test_Z33_png_jpeg_gif_and_webp_are_supported(studio: Studio, media_type: str, as_uri: bool) -> None:
    data = b64(FILES[media_type])
    image = f"data:{media_type};base64,{data}" if as_uri else {"data": data, "mime_type": media_type}
    await content_of(studio.client, images=[image])
    shown = studio.sent["contents"][0]["parts"][0]["inlineData"]
    if media_type == "image/gif":  # the vendor refuses it: its first frame goes as PNG
        assert shown["mimeType"] == "image/png"
        assert size_of(base64.b64decode(shown["data"])) == size_of(GIF)
    else:
        assert shown == {"mimeType": media_type, "data": data}


HTML = b"<!DOCTYPE html><html><body>404</body></html>"
WRONG_TYPES = {
    "bmp": {"data": b64(b"BM" + bytes(60)), "mime_type": "image/bmp"},
    "svg": "data:image/svg+xml;base64," + b64(b"<svg xmlns='http://www.w3.org/2000/svg'/>"),
    "pdf": {"data": b64(b"%PDF-1.7\n"), "mime_type": "application/pdf"},
    "no type": f"data:;base64,{b64(PNG)}",
    "a GIF that is really HTML": {"data": b64(HTML), "mime_type": "image/gif"},
    "a GIF by its name alone": {"data": b64(b"GIF89"), "mime_type": "image/gif"},
    "a PNG declared as JPEG": {"data": b64(PNG), "mime_type": "image/jpeg"},
    "a JPEG declared as PNG": f"data:image/png;base64,{b64(JPEG)}",
    "nothing at all": {"data": "", "mime_type": "image/png"},
    "an empty data URI": "data:image/png;base64,",
    "a URL": "https://example.com/cat.png",
    "a number": 5,
    "an object without a type": {"data": b64(PNG)},
    "an object without data": {"mime_type": "image/png"},
    "data that is no text": {"data": 5, "mime_type": "image/png"},
    "a list": [b64(PNG)],
    "null": None,
}


@pytest.mark.parametrize("image", WRONG_TYPES.values(), ids=WRONG_TYPES)
async def test_Z33_other_types_and_bytes_of_another_type_are_refused_by_index(studio: Studio, image: Any) -> None:
    fine = {"data": b64(PNG), "mime_type": "image/png"}
    response = await studio.client.post(STABLE, json={"prompt": CAT, "images": [fine, image]})
    assert_error(response, "validation", field="images[1]")
    assert studio.requests == []


async def test_Z33_a_gif_that_cannot_be_read_is_refused_by_index(studio: Studio) -> None:
    broken = {"data": b64(GIF[:20]), "mime_type": "image/gif"}
    response = await studio.client.post(STABLE, json={"prompt": CAT, "images": [broken]})
    assert_error(response, "validation", field="images[0]")
    assert studio.requests == []


# A PNG with something behind it: its base64 has one sign of padding, and characters in which the two alphabets differ.
ODD = PNG + bytes(range(256))
STANDARD = b64(ODD)
URL_SAFE = base64.urlsafe_b64encode(ODD).decode()


def test_the_odd_image_shows_what_there_is_to_see() -> None:
    assert STANDARD.endswith("=")
    assert not STANDARD.endswith("==")
    assert {"+", "/"} <= set(STANDARD)


READABLE = {
    "standard": STANDARD,
    "URL-safe": URL_SAFE,
    "without padding": STANDARD.rstrip("="),
    "URL-safe without padding": URL_SAFE.rstrip("="),
    "in lines as MIME has them": "\r\n".join(STANDARD[at : at + 76] for at in range(0, len(STANDARD), 76)),
    "with a line break at its end": STANDARD + "\n",
    "with spaces around it": f"  {STANDARD} ",
}


@pytest.mark.parametrize("data", READABLE.values(), ids=READABLE)
@pytest.mark.parametrize("as_uri", [False, True])
async def test_Z34_base64_is_read_in_every_spelling_and_sent_in_the_standard_one(
    studio: Studio, data: str, as_uri: bool
) -> None:
    image = f"data:image/png;base64,{data}" if as_uri else {"data": data, "mime_type": "image/png"}
    await content_of(studio.client, images=[image])
    assert studio.sent["contents"][0]["parts"][0]["inlineData"]["data"] == STANDARD


INVALID = {
    "a character of no alphabet": STANDARD[:50] + "*" + STANDARD[51:],
    "text outside of ASCII": STANDARD[:50] + "é" + STANDARD[51:],
    "padding in the middle": STANDARD[:40] + "=" + STANDARD[41:],
    "too much padding": STANDARD + "=",
    "half of the padding": b64(ODD + b"12")[:-1],
    "a single character left over": STANDARD.rstrip("=")[:-2],
    "bits left over at the end": STANDARD[:-2] + chr(ord(STANDARD[-2]) + 1) + "=",
    "a NUL": STANDARD[:50] + "\0" + STANDARD[51:],
    "the seed's placeholder": "<base64-encoded PNG>",
}


@pytest.mark.parametrize("data", INVALID.values(), ids=INVALID)
@pytest.mark.parametrize("as_uri", [False, True])
async def test_Z34_invalid_base64_is_refused_by_index(studio: Studio, data: str, as_uri: bool) -> None:
    image = f"data:image/png;base64,{data}" if as_uri else {"data": data, "mime_type": "image/png"}
    response = await studio.client.post(STABLE, json={"prompt": CAT, "images": [image]})
    message = assert_error(response, "validation", field="images[0]")
    assert "base64" in message or "data URI" in message
    assert data[:20] not in message, "the caller's bytes are no part of a message"
    assert studio.requests == []


async def test_a_data_uri_of_30_MB_is_too_large_and_says_so(studio: Studio) -> None:
    uri = "data:image/png;base64," + b64(PNG + bytes(30 * 2**20 * 3 // 4))
    response = await studio.client.post(STABLE, json={"prompt": CAT, "images": [uri]})
    assert "20 MB" in assert_error(response, "too_large")
    response = await studio.client.post(STABLE, json={"prompt": CAT, "images": [uri + "A" * 4 * 2**20]})
    assert "32 MB" in assert_error(response, "too_large")
    assert studio.requests == []


async def test_11_images_are_taken_and_15_are_not(studio: Studio) -> None:
    image = {"data": b64(PNG), "mime_type": "image/png"}
    await content_of(studio.client, images=[image] * 11)
    assert len(studio.sent["contents"][0]["parts"]) == 12
    response = await studio.client.post(STABLE, json={"prompt": CAT, "images": [image] * 15})
    assert "14" in assert_error(response, "validation", field="images")


async def test_an_image_config_is_passed_upstream(studio: Studio) -> None:
    config = await config_of(studio, image_config={"aspect_ratio": "16:9", "image_size": "2K"})
    assert config["imageConfig"] == {"aspectRatio": "16:9", "imageSize": "2K"}


async def test_unknown_fields_are_ignored(studio: Studio) -> None:
    await content_of(studio.client, nonsense=1, user="somebody")
    assert "nonsense" not in json.dumps(studio.sent)


# --- /v1/image/generation/stable: the answer


async def test_Z35_the_response_is_the_vendors_own_whole_and_in_snake_case(studio: Studio) -> None:
    rating = {"category": "HARM_CATEGORY_HARASSMENT", "probability": "NEGLIGIBLE", "blocked": None}
    body = gemini_content(inline(PNG), {"text": "Here.", "thoughtSignature": "AQID"}, somethingNew={"isKept": 1})
    body["candidates"][0]["safetyRatings"] = [rating]
    body["candidates"][0]["finishMessage"] = None
    studio.answer = lambda request: httpx.Response(200, json=body)
    assert await content_of(studio.client) == {
        "candidates": [
            {
                "content": {
                    "parts": [
                        {"inline_data": {"mime_type": "image/png", "data": b64(PNG)}},
                        {"text": "Here.", "thought_signature": "AQID"},
                    ],
                    "role": "model",
                },
                "finish_reason": "STOP",
                "index": 0,
                "safety_ratings": [{"category": "HARM_CATEGORY_HARASSMENT", "probability": "NEGLIGIBLE"}],
            }
        ],
        "usage_metadata": {
            "prompt_token_count": 9,
            "candidates_token_count": 1120,
            "total_token_count": 1129,
            "prompt_tokens_details": [{"modality": "TEXT", "token_count": 9}],
            "candidates_tokens_details": [{"modality": "IMAGE", "token_count": 1120}],
        },
        "model_version": "the-vendors-model",
        "response_id": RESPONSE_ID,
        "something_new": {"is_kept": 1},
    }


def as_google_reads(content: Any) -> GenerateContentResponse:
    """The answer as Google's own SDK sees it, with an image in it."""
    read = GenerateContentResponse.model_validate(content)
    assert read.candidates
    candidate = read.candidates[0]
    assert candidate.finish_reason is FinishReason.STOP
    assert candidate.content
    assert candidate.content.parts
    blobs = [part.inline_data for part in candidate.content.parts if part.inline_data]
    assert [blob.mime_type for blob in blobs] == ["image/png"]
    assert blobs[0].data == images_in(content)[0]
    return read


async def test_Z35_googles_own_SDK_reads_the_response(studio: Studio) -> None:
    read = as_google_reads(await content_of(studio.client))
    assert read.usage_metadata
    assert read.usage_metadata.candidates_token_count == 1120
    assert read.response_id == RESPONSE_ID


async def test_Z35_googles_own_SDK_reads_the_sandboxes_response(pointed: httpx.AsyncClient) -> None:
    as_google_reads(await content_of(pointed))


@pytest.mark.parametrize("spelling", [STANDARD, URL_SAFE, STANDARD.rstrip("="), URL_SAFE.rstrip("=")])
async def test_Z36_data_decodes_with_plain_b64decode_to_the_exact_bytes(studio: Studio, spelling: str) -> None:
    studio.answer = gemini({"inlineData": {"mimeType": "image/png", "data": spelling}})
    content = await content_of(studio.client)
    assert images_in(content) == [ODD]
    assert content["candidates"][0]["content"]["parts"][0]["inline_data"]["data"] == STANDARD


async def test_Z36_large_images_arrive_byte_for_byte(studio: Studio) -> None:
    noise = PNG + bytes(range(256)) * 40_000  # 10 MB
    studio.answer = gemini(inline(noise), {"text": "é" * 70_000 + '"\\\n'})
    content = await content_of(studio.client)
    assert images_in(content) == [noise]
    assert texts_in(content) == ["é" * 70_000 + '"\\\n']


@pytest.mark.parametrize("role", ["model", None])
async def test_Z37_the_contents_role_is_model_also_where_the_vendor_leaves_it_out(
    studio: Studio, role: str | None
) -> None:
    body = gemini_content(inline(PNG))
    body["candidates"][0]["content"]["role"] = role
    studio.answer = lambda request: httpx.Response(200, json=body)
    assert (await content_of(studio.client))["candidates"][0]["content"]["role"] == "model"


async def test_Z38_the_finish_reason_is_STOP(studio: Studio) -> None:
    (candidate,) = (await content_of(studio.client))["candidates"]
    assert candidate["finish_reason"] == "STOP"


async def test_Z39_the_usage_has_prompt_and_candidates_token_counts(studio: Studio) -> None:
    usage = (await content_of(studio.client))["usage_metadata"]
    assert (usage["prompt_token_count"], usage["candidates_token_count"]) == (9, 1120)


async def test_Z38_Z39_so_it_is_with_the_sandbox(pointed: httpx.AsyncClient) -> None:
    content = await content_of(pointed)
    assert content["candidates"][0]["finish_reason"] == "STOP"
    usage = content["usage_metadata"]
    assert usage["prompt_token_count"] > 0
    assert usage["total_token_count"] == usage["prompt_token_count"] + usage["candidates_token_count"]


async def test_Z39_a_count_that_the_vendor_leaves_out_is_zero(studio: Studio) -> None:
    studio.answer = gemini(inline(PNG), usageMetadata={"promptTokenCount": 9, "totalTokenCount": 9})
    usage = (await content_of(studio.client))["usage_metadata"]
    assert usage == {"prompt_token_count": 9, "candidates_token_count": 0, "total_token_count": 9}


async def test_Z40_text_to_image_and_image_to_image_share_the_endpoint(pointed: httpx.AsyncClient) -> None:
    made = images_in(await content_of(pointed, seed=1))
    changed = images_in(await content_of(pointed, seed=1, images=[{"data": b64(PNG), "mime_type": "image/png"}]))
    otherwise = images_in(await content_of(pointed, seed=1, images=[f"data:image/png;base64,{b64(OTHER_PNG)}"]))
    assert len({*made, *changed, *otherwise}) == 3


# --- what is answered instead of an image


async def test_a_blocked_prompt_is_answered_whole_and_can_be_indexed_as_the_seeds_client_does(studio: Studio) -> None:
    studio.answer = lambda request: httpx.Response(200, json=BLOCKED)
    content = await content_of(studio.client)
    assert content == {
        "candidates": [{"content": {"role": "model", "parts": []}, "finish_reason": "PROHIBITED_CONTENT", "index": 0}],
        "prompt_feedback": {"block_reason": "PROHIBITED_CONTENT"},
        "usage_metadata": {"prompt_token_count": 9, "candidates_token_count": 0, "total_token_count": 9},
        "model_version": "the-vendors-model",
        "response_id": RESPONSE_ID,
    }
    assert images_in(content) == []
    GenerateContentResponse.model_validate(content)


async def test_a_blocked_answer_keeps_its_finish_reason_and_has_a_list_of_parts(studio: Studio) -> None:
    body = gemini_content()
    body["candidates"] = [{"finishReason": "IMAGE_SAFETY", "index": 0, "finishMessage": "Unsafe."}]
    studio.answer = lambda request: httpx.Response(200, json=body)
    (candidate,) = (await content_of(studio.client))["candidates"]
    assert candidate == {
        "content": {"role": "model", "parts": []},
        "finish_reason": "IMAGE_SAFETY",
        "finish_message": "Unsafe.",
        "index": 0,
    }


async def test_the_sandboxes_blocked_prompt_is_answered_whole_too(pointed: httpx.AsyncClient) -> None:
    content = await content_of(pointed, prompt="[sandbox:filter] a cat")
    (candidate,) = content["candidates"]
    assert candidate["content"] == {"role": "model", "parts": []}
    assert candidate["finish_reason"] == "IMAGE_SAFETY"
    assert content["prompt_feedback"]["block_reason"]


async def test_a_vendor_that_answers_in_words_only_is_passed_on_as_it_is(studio: Studio) -> None:
    studio.answer = gemini({"text": "What colour should the cat have?"})
    content = await content_of(studio.client)
    assert images_in(content) == []
    assert texts_in(content) == ["What colour should the cat have?"]


@pytest.mark.parametrize("body", [b"", b"null", b"[]", b"{}", b"<html>", b'{"candidates":[1]}', b'{"candidates":[]}'])
async def test_an_answer_that_cannot_be_read_is_a_bad_gateway(studio: Studio, body: bytes) -> None:
    studio.answer = lambda request: httpx.Response(200, content=body)
    for path in ROUTES:
        assert_error(await studio.client.post(path, json=asking(path, GEMINI)), "upstream")


@on_both
async def test_a_blocked_prompt_is_a_bad_request_on_the_other_routes(studio: Studio, path: str) -> None:
    studio.answer = lambda request: httpx.Response(200, json=BLOCKED)
    assert_error(await studio.client.post(path, json=asking(path, GEMINI)), "filtered")
    studio.answer = stability_image(finish_reason="CONTENT_FILTERED")
    assert_error(await studio.client.post(path, json=asking(path, STABILITY)), "filtered")
    refusal = {"error": {"message": "Your request was rejected.", "type": "x", "code": "moderation_blocked"}}
    studio.answer = lambda request: httpx.Response(400, json=refusal)
    assert_error(await studio.client.post(path, json=asking(path, OPENAI)), "filtered")
    response = await studio.client.post(path, json=asking(path, SANDBOX, prompt="[sandbox:filter] a cat"))
    assert_error(response, "filtered")


@on_both
async def test_a_vendor_that_answers_in_words_only_is_told_in_its_words(studio: Studio, path: str) -> None:
    studio.answer = gemini({"text": "What colour should the cat have?"})
    response = await studio.client.post(path, json=asking(path, GEMINI))
    assert "What colour should the cat have?" in assert_error(response, "rejected")


# --- /v1/images/generations and /v1/inference/images/generate: the request


@on_both
async def test_A01_I15_S15_a_model_makes_images_of_a_prompt(studio: Studio, path: str) -> None:
    for model, provider in ((STABILITY, "stability"), (OPENAI, "openai"), (GEMINI, "gemini"), (SANDBOX, "sandbox")):
        response = await studio.client.post(path, json={"model": model, "prompt": CAT})
        assert response.status_code == 200, response.text
        assert response.headers["x-gateway-model"] == model
        assert response.headers["x-gateway-backend"].startswith(f"{provider}/")
        assert_error(await studio.client.get(path), "method")


@on_both
@pytest.mark.parametrize("authorization", [None, "Bearer", "Basic c2stdGVzdA==", "Bearer sk-nobody"])
async def test_A02_authentication_is_required(
    stranger: httpx.AsyncClient, path: str, authorization: str | None
) -> None:
    headers = {} if authorization is None else {"authorization": authorization}
    kind = "token_invalid" if authorization == "Bearer sk-nobody" else "token_missing"
    assert_error(await stranger.post(path, json=asking(path), headers=headers), kind)


@on_both
async def test_A02_a_key_without_the_permission_is_refused(stranger: httpx.AsyncClient, path: str) -> None:
    response = await stranger.post(path, json=asking(path), headers={"authorization": "Bearer sk-powerless"})
    assert_error(response, "permission")


@on_both
@pytest.mark.parametrize("model", [None, "", 5])
async def test_A03_the_model_is_required(client: httpx.AsyncClient, path: str, model: Any) -> None:
    assert_error(await client.post(path, json={"model": model, "prompt": CAT}), "validation", field="model")
    assert_error(await client.post(path, json={"prompt": CAT}), "validation", field="model")


@on_both
async def test_A03_a_model_that_does_not_exist_or_makes_no_images_is_told(studio: Studio, path: str) -> None:
    response = await studio.client.post(path, json=asking(path, "no-such-model"))
    assert_error(response, "model_not_found")
    response = await studio.client.post(path, json=asking(path, "gpt-4o-mini"))
    assert "image generation" in assert_error(response, "unsupported")


@on_both
@pytest.mark.parametrize("prompt", [None, "", 5, ["a cat"]])
async def test_A04_the_prompt_is_required(client: httpx.AsyncClient, path: str, prompt: Any) -> None:
    assert_error(await client.post(path, json=asking(path, prompt=prompt)), "validation", field="prompt")
    assert_error(await client.post(path, json={"model": SANDBOX}), "validation", field="prompt")


@on_both
async def test_A05_a_prompt_has_at_most_4000_characters(client: httpx.AsyncClient, path: str) -> None:
    await answered(client, path, prompt="ß" * 4000)
    response = await client.post(path, json=asking(path, prompt="x" * 4001))
    assert "4000" in assert_error(response, "validation", field="prompt")


@on_both
@pytest.mark.parametrize("style", ["vivid", "natural", None])
async def test_A06_a_style_is_accepted_also_by_vendors_without_one(
    studio: Studio, path: str, style: str | None
) -> None:
    for model in (STABILITY, OPENAI, GEMINI):
        response = await studio.client.post(path, json=asking(path, model, style=style))
        assert response.status_code == 200, response.text


@on_both
async def test_A06_another_style_is_refused(client: httpx.AsyncClient, path: str) -> None:
    assert_error(await client.post(path, json=asking(path, style="cubist")), "validation", field="style")


MODELS = [OPENAI, GEMINI, STABILITY, SANDBOX]


@on_both
@pytest.mark.parametrize("model", MODELS)
async def test_A07_A15_b64_json_is_the_image_itself_and_no_url(studio: Studio, path: str, model: str) -> None:
    size = SMALL if model == SANDBOX else None
    body = await answered(studio.client, path, model=model, size=size, response_format="b64_json")
    (image,) = body["data"]
    assert image.keys() == {"b64_json"}
    data = base64.b64decode(image["b64_json"], validate=True)
    assert size_of(data) == ((64, 64) if model == SANDBOX else (2, 2))


@on_both
@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize("fields", [{}, {"response_format": "url"}, {"response_format": None}])
async def test_A08_I16_a_url_serves_the_image_and_is_the_default(
    studio: Studio, path: str, model: str, fields: Any
) -> None:
    size = SMALL if model == SANDBOX else None
    body = await answered(studio.client, path, model=model, size=size, **fields)
    (image,) = body["data"]
    is_asked = fields.get("response_format") is not None
    assert image.keys() == (
        {"url", "b64_json"} if model == OPENAI and path == GENERATIONS and not is_asked else {"url"}
    )
    file = await opened(image["url"])
    assert file.status_code == 200
    assert file.headers["content-type"] == "image/png"
    assert size_of(file.content) == ((64, 64) if model == SANDBOX else (2, 2))


async def test_gpt_image_models_answer_both_ways_where_neither_is_asked_for(studio: Studio) -> None:
    """OpenAI's own example reads `b64_json` there, the seeds' clients read `url`."""
    studio.answer = openai_images(OTHER_PNG, revised_prompt="a fluffy orange cat")
    response = await studio.client.post(GENERATIONS, json={"model": OPENAI, "prompt": "a cat"})
    (image,) = ImagesResponse.model_validate(response.json()).data or ()
    assert base64.b64decode(image.b64_json or "") == OTHER_PNG
    assert (await opened(image.url or "")).content == OTHER_PNG
    assert image.revised_prompt == "a fluffy orange cat"


@on_both
async def test_A08_another_response_format_is_refused(client: httpx.AsyncClient, path: str) -> None:
    response = await client.post(path, json=asking(path, response_format="png"))
    assert_error(response, "validation", field="response_format")


async def test_A09_A10_A11_the_answer_is_json_with_created_and_data(client: httpx.AsyncClient) -> None:
    before = int(time.time())
    response = await client.post(GENERATIONS, json=asking(GENERATIONS, size=SMALL))
    assert response.status_code == 200
    assert response.headers["content-type"] == "application/json"
    body = response.json()
    assert body.keys() == {"created", "data", "usage"}
    assert type(body["created"]) is int
    assert before <= body["created"] <= time.time()
    assert isinstance(body["data"], list)
    assert len(body["data"]) == 1


@on_both
async def test_A12_a_prompt_that_was_revised_is_told_and_only_then(studio: Studio, path: str) -> None:
    for format_ in ("url", "b64_json"):
        studio.answer = openai_images(revised_prompt="a fluffy orange cat")
        (image,) = (await answered(studio.client, path, model=OPENAI, size=None, response_format=format_))["data"]
        assert image["revised_prompt"] == "a fluffy orange cat"
        studio.answer = openai_images()
        (image,) = (await answered(studio.client, path, model=OPENAI, size=None, response_format=format_))["data"]
        assert "revised_prompt" not in image


def five_parts(images: int, text: int, output: int) -> dict[str, Any]:
    return {
        "input_tokens": images + text,
        "input_tokens_details": {"image_tokens": images, "text_tokens": text},
        "output_tokens": output,
        "total_tokens": images + text + output,
    }


@on_both
async def test_A13_A14_the_usage_has_its_five_parts_also_where_the_vendor_counts_nothing(
    studio: Studio, path: str
) -> None:
    theirs = {
        "input_tokens": 60,
        "input_tokens_details": {"image_tokens": 50, "text_tokens": 10},
        "output_tokens": 1000,
        "total_tokens": 1060,
    }
    studio.answer = openai_images(usage=theirs)
    assert (await answered(studio.client, path, model=OPENAI, size=None))["usage"] == five_parts(50, 10, 1000)
    studio.answer = openai_images()
    assert (await answered(studio.client, path, model=OPENAI, size=None))["usage"] == five_parts(0, 0, 0)
    studio.answer = stability_image()
    assert (await answered(studio.client, path, model=STABILITY, size=None))["usage"] == five_parts(0, 0, 0)
    studio.answer = gemini(inline(PNG))
    assert (await answered(studio.client, path, model=GEMINI, size=None))["usage"] == five_parts(0, 9, 1120)


async def test_A14_the_usage_of_several_calls_is_added_up(studio: Studio) -> None:
    assert (await answered(studio.client, model=GEMINI, size=None, n=3))["usage"] == five_parts(0, 27, 3360)


async def test_A17_a_listed_model_with_the_capability_makes_images(studio: Studio) -> None:
    rows = (await studio.client.get("/v1/models")).json()["data"]
    able = [row["id"] for row in rows if "image_generation" in row["capabilities"]]
    assert {OPENAI, GEMINI, STABILITY, SANDBOX} <= set(able)
    for model in (OPENAI, GEMINI, STABILITY):
        assert len((await answered(studio.client, model=model, size=None))["data"]) == 1


# --- n and size


@on_both
async def test_I15_n_images_by_as_many_calls_as_the_vendor_takes(studio: Studio, path: str) -> None:
    for model, calls in ((GEMINI, 3), (STABILITY, 3), (OPENAI, 1)):
        studio.requests.clear()
        studio.answer = openai_images(PNG, OTHER_PNG, JPEG) if model == OPENAI else Studio().answer
        body = await answered(studio.client, path, model=model, size=None, n=3, response_format="b64_json")
        assert len(body["data"]) == 3
        assert len(studio.requests) == calls
    assert json.loads(studio.request.content)["n"] == 3
    drawn = (await answered(studio.client, path, n=10, response_format="b64_json"))["data"]
    assert len({image["b64_json"] for image in drawn}) == 10


@on_both
@pytest.mark.parametrize("n", [0, 11, -1, 1.5, "2", "x", True])
async def test_I15_n_is_a_whole_number_from_1_to_10(client: httpx.AsyncClient, path: str, n: Any) -> None:
    assert_error(await client.post(path, json=asking(path, n=n)), "validation", field="n")


async def test_I15_the_calls_of_one_request_run_at_once(studio: Studio) -> None:
    """Each call waits for all the others: one after the other they would never end."""
    everybody = asyncio.Barrier(4)

    async def answer(request: httpx.Request) -> httpx.Response:
        async with asyncio.timeout(5):
            await everybody.wait()
        return httpx.Response(200, json=gemini_content(inline(PNG)))

    studio.answer = answer
    assert len((await answered(studio.client, model=GEMINI, size=None, n=4))["data"]) == 4


@on_both
@pytest.mark.parametrize(
    ("size", "expected"),
    [
        ("1024x1024", {"aspectRatio": "1:1"}),
        ("1792x1024", {"aspectRatio": "16:9"}),
        ("2048x2048", {"aspectRatio": "1:1", "imageSize": "2K"}),
        ("auto", None),
        (None, {"aspectRatio": "1:1"}),
    ],
)
async def test_I15_a_size_becomes_geminis_aspect_ratio_and_resolution(
    studio: Studio, path: str, size: str | None, expected: Any
) -> None:
    await answered(studio.client, path, model=GEMINI, size=size)
    assert studio.sent["generationConfig"].get("imageConfig") == expected


@on_both
async def test_I15_a_size_is_each_vendors_own(studio: Studio, path: str) -> None:
    await answered(studio.client, path, model=OPENAI, size="1536x1024")
    assert studio.sent["size"] == "1536x1024"
    studio.requests.clear()
    await answered(studio.client, path, model=STABILITY, size="1024x1024")
    assert form_of(studio.request)["aspect_ratio"] == ["1:1"]
    body = await answered(studio.client, path, size="96x64", response_format="b64_json")
    assert size_of(base64.b64decode(body["data"][0]["b64_json"])) == (96, 64)


@on_both
@pytest.mark.parametrize("size", ["huge", "1024", "1024x", "x1024", "1024X1024", "0x0", "-1x5", "1024x1024 ", "9" * 50])
async def test_a_size_that_is_none_is_refused(studio: Studio, path: str, size: str) -> None:
    for model in MODELS:
        response = await studio.client.post(path, json=asking(path, model, size=size))
        assert_error(response, "validation", field="size")
    response = await studio.client.post(path, json=asking(path, size=1024))
    assert_error(response, "validation", field="size")


@on_both
@pytest.mark.parametrize(
    ("model", "size"), [(GEMINI, "1000x3000"), (OPENAI, "1000x1000"), (STABILITY, "1000x3000"), (SANDBOX, "32x32")]
)
async def test_a_size_that_the_vendor_does_not_have_is_refused_before_it_is_asked(
    studio: Studio, path: str, model: str, size: str
) -> None:
    response = await studio.client.post(path, json=asking(path, model, size=size))
    assert_error(response, "validation", field="size")
    assert studio.requests == []


async def test_what_a_vendor_cannot_express_is_a_clear_refusal(studio: Studio) -> None:
    response = await studio.client.post(GENERATIONS, json=asking(GENERATIONS, GEMINI, output_format="webp"))
    assert response.status_code == 400
    assert "output_format" in response.json()["error"]["message"]
    response = await studio.client.post(GENERATIONS, json=asking(GENERATIONS, stream=True))
    assert_error(response, "validation", field="stream")
    assert studio.requests == []


async def test_complexity_and_safety_identifier_reach_openai(studio: Studio) -> None:
    fields = {"complexity": "high", "safety_identifier": "u-1"}
    await answered(studio.client, GENERATIONS, model=OPENAI, size=None, **fields)
    sent = json.loads(studio.request.content)
    assert (sent["complexity"], sent["user"]) == ("high", "u-1")


@pytest.mark.parametrize(
    ("field", "value"),
    [("frame_count", 4), ("frame_duration_ms", 100), ("partial_images", 2), ("svg", {"model": "gpt-6-sol"})],
)
async def test_a_field_on_which_nothing_acts_is_a_400(studio: Studio, field: str, value: Any) -> None:
    response = await studio.client.post(GENERATIONS, json=asking(GENERATIONS, OPENAI, **{field: value}))
    assert_error(response, "validation", field=field)


async def test_quality_and_format_reach_openai(studio: Studio) -> None:
    fields = {"quality": "high", "background": "transparent", "output_format": "webp", "user": "u-1"}
    await answered(studio.client, model=OPENAI, size=None, **fields)
    assert {name: studio.sent.get(name) for name in fields} == fields


async def test_the_envelope_takes_metadata_and_ignores_what_it_does_not_know(client: httpx.AsyncClient) -> None:
    await answered(client, ENVELOPE, metadata={"team": "a", "run": 7}, nonsense=1)
    response = await client.post(ENVELOPE, json=asking(ENVELOPE, metadata="x"))
    assert_error(response, "validation", field="metadata")


# --- failures


@on_each_route
@pytest.mark.parametrize(
    ("status", "kind", "retry_after"),
    [(429, "rate_limited", 9), (500, "upstream", None), (503, "upstream", None), (401, "upstream", None)],
)
async def test_a_vendors_failure_is_told_in_the_routes_dialect(
    studio: Studio, path: str, status: int, kind: str, retry_after: int | None
) -> None:
    headers = {} if retry_after is None else {"retry-after": str(retry_after)}
    studio.answer = lambda request: httpx.Response(status, json={"error": {"message": "no"}}, headers=headers)
    response = await studio.client.post(path, json=asking(path, GEMINI))
    assert_error(response, kind, retry_after=retry_after)


@on_each_route
async def test_a_vendor_that_is_slow_is_a_time_out(studio: Studio, path: str) -> None:
    def answer(request: httpx.Request) -> httpx.Response:
        raise httpx.ReadTimeout("too slow")

    studio.answer = answer
    assert_error(await studio.client.post(path, json=asking(path, GEMINI)), "timeout")


@on_each_route
@pytest.mark.parametrize(
    ("content", "headers"),
    [
        (b"", {}),
        (b"{", {}),
        (b"[]", {}),
        (b"\xff\xfe", {}),
        (b"{}", {"content-type": "text/plain"}),
        (b"{}", {"content-type": "multipart/form-data; boundary=x"}),
    ],
)
async def test_a_body_that_is_not_json_is_malformed(
    client: httpx.AsyncClient, path: str, content: bytes, headers: dict[str, str]
) -> None:
    assert_error(await client.post(path, content=content, headers=headers), "malformed")


# --- the store


@on_both
@pytest.mark.parametrize(("media_type", "claimed"), [("image/jpeg", "image/png"), ("image/webp", "image/png")])
async def test_the_content_type_is_that_of_the_bytes_whatever_the_vendor_claims(
    studio: Studio, path: str, media_type: str, claimed: str
) -> None:
    studio.answer = gemini(inline(FILES[media_type], claimed))
    (image,) = (await answered(studio.client, path, model=GEMINI, size=None))["data"]
    file = await opened(image["url"])
    assert file.headers["content-type"] == media_type
    assert file.content == FILES[media_type]


async def test_bytes_that_are_no_image_are_never_stored(studio: Studio) -> None:
    for answer in (gemini(inline(HTML)), stability_image(HTML), openai_images(HTML)):
        studio.answer = answer
        model = {0: GEMINI, 1: STABILITY, 2: OPENAI}[len(studio.requests)]
        assert_error(await studio.client.post(GENERATIONS, json=asking(GENERATIONS, model)), "upstream")


async def test_a_url_is_signed_for_an_hour_and_tells_nothing_of_the_caller(studio: Studio) -> None:
    (image,) = (await answered(studio.client, model=OPENAI, size=None))["data"]
    url = httpx.URL(image["url"])
    assert url.params["X-Amz-Expires"] == "3600"
    assert url.path.startswith(f"/{BUCKET}/images/")
    assert url.path.endswith(".png")
    assert TOKEN not in image["url"]


async def test_the_lifetime_of_urls_is_a_setting(keys: KeyStore) -> None:
    for seconds, signed in (("60", "60"), ("9999999", "604800")):
        async with gateway_client(keys, {"GATEWAY_SANDBOX": "on", "GATEWAY_IMAGE_URL_LIFETIME": seconds}) as client:
            (image,) = (await answered(client))["data"]
        assert httpx.URL(image["url"]).params["X-Amz-Expires"] == signed


async def test_the_same_image_is_stored_once_for_each_tenant(studio: Studio) -> None:
    studio.answer = openai_images(PNG, PNG, OTHER_PNG)
    images = (await answered(studio.client, model=OPENAI, size=None, n=3))["data"]
    first, again, other = [httpx.URL(image["url"]).path for image in images]
    assert first == again
    assert first != other


@on_both
async def test_images_of_one_answer_are_stored_at_once(keys: KeyStore, aws_environment: Any, path: str) -> None:
    everybody = asyncio.Barrier(3)

    async def answer(request: httpx.Request) -> httpx.Response:
        async with asyncio.timeout(5):
            await everybody.wait()
        return httpx.Response(200)

    bucket = Bucket(aws_environment, answer)
    async with studio_of(keys, aws=bucket.aws) as studio:
        studio.answer = openai_images(PNG, OTHER_PNG, JPEG)
        body = await answered(studio.client, path, model=OPENAI, size=None, n=3)
    assert len(body["data"]) == 3
    assert {request.content for request in bucket.stored} == {PNG, OTHER_PNG, JPEG}
    assert {request.headers["content-type"] for request in bucket.stored} == {"image/png", "image/jpeg"}


@on_both
async def test_an_image_that_cannot_be_stored_is_unavailable_and_nothing_is_half_said(
    keys: KeyStore, aws_environment: Any, path: str
) -> None:
    def answer(request: httpx.Request) -> Any:
        return DENIED(request) if request.content == OTHER_PNG else httpx.Response(200)

    bucket = Bucket(aws_environment, answer)
    async with studio_of(keys, aws=bucket.aws) as studio:
        studio.answer = openai_images(PNG, OTHER_PNG, JPEG)
        response = await studio.client.post(path, json=asking(path, OPENAI, n=3))
        message = assert_error(response, "unavailable", retry_after=1)
        for word in ("AccessDenied", "s3", BUCKET, "127.0.0.1"):
            assert word not in message
        # Who wants the images themselves needs no store.
        body = await answered(studio.client, path, model=OPENAI, size=None, n=3, response_format="b64_json")
    assert len(body["data"]) == 3


@on_both
async def test_a_store_that_cannot_be_reached_is_unavailable(
    keys: KeyStore, aws_environment: dict[str, str], path: str
) -> None:
    nowhere = Aws({**aws_environment, "AWS_ENDPOINT_URL": "http://127.0.0.1:9"})
    async with studio_of(keys, aws=nowhere) as studio:
        assert_error(await studio.client.post(path, json=asking(path, OPENAI)), "unavailable", retry_after=1)


@on_both
async def test_a_store_that_hangs_is_a_time_out(keys: KeyStore, aws_environment: Any, path: str) -> None:
    async def answer(request: httpx.Request) -> httpx.Response:
        await asyncio.Event().wait()
        raise AssertionError

    bucket = Bucket(aws_environment, answer)
    async with studio_of(keys, {"GATEWAY_UPSTREAM_TIMEOUT": "0.3"}, aws=bucket.aws) as studio:
        assert_error(await studio.client.post(path, json=asking(path, OPENAI)), "timeout")


# --- vendors that give URLs


def given_by_url(url: str) -> Handler:
    return lambda request: httpx.Response(200, json={"created": 1, "data": [{"url": url}]})


def internet(content: bytes) -> RemoteFetcher:
    """One address, that serves `content` over and over."""
    head = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\nContent-Type: text/html\r\n\r\n" % len(content)

    async def resolve(host: str, port: int) -> list[str]:
        return ["93.184.215.14"]

    return RemoteFetcher(resolve=resolve, network=httpcore.AsyncMockBackend([head, content]))


FLUX = "deepinfra/black-forest-labs/FLUX-2-max"


@on_both
async def test_an_image_that_the_vendor_gives_by_url_becomes_ours(keys: KeyStore, path: str) -> None:
    async with studio_of(keys, fetcher=internet(JPEG)) as studio:
        studio.answer = given_by_url("https://cdn.vendor.example/a.png")
        (image,) = (await answered(studio.client, path, model=FLUX, size=None))["data"]
        assert "vendor" not in image["url"]
        file = await opened(image["url"])
        assert (file.content, file.headers["content-type"]) == (JPEG, "image/jpeg")
        fields = {"size": None, "response_format": "b64_json"}
        (image,) = (await answered(studio.client, path, model=FLUX, **fields))["data"]
        assert image == {"b64_json": b64(JPEG)}


@on_both
@pytest.mark.parametrize("url", ["https://cdn.vendor.example/a.png", "http://169.254.169.254/latest", "file:///etc"])
async def test_an_image_that_cannot_be_fetched_from_the_vendor_is_a_bad_gateway(
    keys: KeyStore, path: str, url: str
) -> None:
    async with studio_of(keys, fetcher=internet(HTML)) as studio:
        studio.answer = given_by_url(url)
        for format_ in ("url", "b64_json"):
            response = await studio.client.post(path, json=asking(path, FLUX, response_format=format_))
            message = assert_error(response, "upstream")
            assert "vendor.example" not in message
            assert "169.254" not in message


# --- who may ask, and of whom


@on_each_route
async def test_a_key_for_other_models_is_refused(studio: Studio, path: str) -> None:
    headers = {"authorization": "Bearer sk-one-model"}
    assert_error(await studio.client.post(path, json=asking(path, GEMINI), headers=headers), "model_access")
    assert studio.requests == []


@on_both
async def test_auto_chooses_a_model_that_makes_images_and_not_the_sandbox(studio: Studio, path: str) -> None:
    response = await studio.client.post(path, json=asking(path, "Auto"))
    assert response.status_code == 200, response.text
    assert not response.headers["x-gateway-backend"].startswith("sandbox/")


async def test_a_model_that_an_operator_points_to_a_provider_without_raw_content_is_a_clear_refusal(
    keys: KeyStore, tmp_path: Path
) -> None:
    catalog = tmp_path / "catalog.toml"
    row = f'[[models]]\nid = "{GEMINI}"\nprovider = "stability"\nupstream = "core"\nquirks = []\n'
    catalog.write_text(row + 'capabilities = ["image_generation"]\n')
    async with studio_of(keys, {"GATEWAY_CATALOG": str(catalog)}) as studio:
        response = await studio.client.post(STABLE, json={"prompt": CAT})
        assert_error(response, "validation", field="model")
        assert studio.requests == []
        # The other routes have a use for it.
        assert (await studio.client.post(GENERATIONS, json=asking(GENERATIONS, GEMINI))).status_code == 200


SANDBOX_FAILURES = [
    ("fail-400", "rejected", None),
    ("fail-401", "upstream", None),
    ("fail-429", "rate_limited", 7),
    ("fail-500", "upstream", None),
    ("fail-garbage", "upstream", None),
    ("fail-truncated", "upstream", None),
    ("fail-midstream", "upstream", None),
    ("fail-timeout", "timeout", None),
]


@on_both
@pytest.mark.parametrize(("upstream", "kind", "retry_after"), SANDBOX_FAILURES)
async def test_the_sandbox_fails_on_purpose_in_the_routes_dialect(
    keys: KeyStore, path: str, upstream: str, kind: str, retry_after: int | None
) -> None:
    async with studio_of(keys, {"GATEWAY_UPSTREAM_TIMEOUT": "0.3"}) as studio:
        response = await studio.client.post(path, json=asking(path, f"sandbox/{upstream}", size=SMALL))
    assert_error(response, kind, retry_after=retry_after)


@on_each_route
async def test_neither_our_key_nor_the_vendors_host_is_told_to_a_caller(studio: Studio, path: str) -> None:
    told = {"error": {"message": f"Key {KEY} is not good at {HOST} (10.0.0.7)", "code": 400, "status": "x"}}
    studio.answer = lambda request: httpx.Response(400, json=told)
    response = await studio.client.post(path, json=asking(path, GEMINI))
    assert response.status_code in (400, 502)
    for secret in (KEY, HOST, "10.0.0.7"):
        assert secret not in response.text


@on_each_route
async def test_a_callers_token_does_not_reach_the_vendor(studio: Studio, path: str) -> None:
    await studio.client.post(path, json=asking(path, GEMINI))
    assert TOKEN not in f"{studio.request.url}{studio.request.headers.raw!r}{studio.request.content!r}"
    assert KEY not in str(studio.request.url)
