"""What is peculiar to Gemini beyond chat; what every provider's operations must do is in test_operation_contract.py."""

import json
from typing import Any

import pytest
from google.genai import types

from shared.catalog import Catalog
from shared.errors import InvalidRequest
from shared.providers.base import ContentAdapter, ImageAdapter
from shared.providers.gemini import adapter
from shared.schemas.image import ImageRequest, Size
from shared.schemas.model import Model
from shared.settings import Settings
from tests.providers.operation_wire import Answer
from tests.providers.operations.gemini import (
    CONTENT,
    COUNTS,
    ENV,
    FLASH,
    IMAGES,
    PNG,
    answer,
    blob,
    candidate,
    content,
    image,
)

CATALOG = Catalog.load(Settings.from_environment(ENV))


def model(model_id: str = FLASH, *rules: str) -> Model:
    found = CATALOG.find(model_id)
    return found.model_copy(update={"rules": found.rules | set(rules)})


def test_adapter_has_every_operation() -> None:
    assert isinstance(adapter, ImageAdapter)
    assert isinstance(adapter, ContentAdapter)


# --- images


def image_config(size: Size, *rules: str) -> Any:
    request = ImageRequest(model=FLASH, prompt="x", size=size)
    return adapter.image(request, model(FLASH, *rules)).json["generationConfig"]["imageConfig"]


@pytest.mark.parametrize(
    ("size", "expected"),
    [
        (Size(848, 1264), {"aspectRatio": "2:3"}),
        (Size(6336, 2688), {"aspectRatio": "21:9", "imageSize": "4K"}),
        (Size(1152, 928), {"aspectRatio": "5:4"}),
        (Size(1280, 720), {"aspectRatio": "16:9"}),
        (Size(768, 768), {"aspectRatio": "1:1"}),
        (Size(1500, 1500), {"aspectRatio": "1:1", "imageSize": "2K"}),
    ],
)
def test_size_becomes_the_nearest_ratio_and_resolution(size: Size, expected: Any) -> None:
    assert image_config(size) == expected


@pytest.mark.parametrize("size", [Size(512, 512), Size(8192, 8192), Size(1024, 1100), Size(1, 100_000)])
def test_size_that_is_near_none_is_refused_with_those_there_are(size: Size) -> None:
    with pytest.raises(InvalidRequest, match="1024x1024, 848x1264") as caught:
        image_config(size)
    assert caught.value.param == "size"
    assert len(caught.value.message) < 1000


def test_several_images_are_asked_for_at_once_where_the_model_can() -> None:
    sent = adapter.image(image(n=2), model()).json
    assert sent["generationConfig"]["candidateCount"] == 2


def test_image_that_is_standard_base64_already_is_not_copied() -> None:
    data = "".join(["AAAA"] * 100) + PNG
    response = adapter.image_response(answer(candidate(blob(data))))
    assert response.images[0].source.data is data  # type: ignore[union-attr]


@pytest.mark.parametrize("data", ["not base64!", "A", None])
def test_image_that_is_no_base64_is_not_passed_on(data: Any) -> None:
    with pytest.raises((ValueError, TypeError)):
        adapter.image_response(answer(candidate(blob(data))))


# --- raw content


@pytest.mark.parametrize("given", CONTENT.answers.values(), ids=CONTENT.answers)
def test_content_is_what_googles_own_client_understands(given: Answer) -> None:
    response = adapter.content_response(json.loads(given.body))
    typed = types.GenerateContentResponse.model_validate(response.body)
    assert typed.candidates
    assert all(each.content and each.content.parts is not None for each in typed.candidates)


def test_content_changes_the_names_that_are_googles_and_no_others() -> None:
    call = {"functionCall": {"name": "f", "args": {"someArg": {"innerArg": None}}}, "partMetadata": {"ownKey": 1}}
    result = {"functionResponse": {"name": "f", "response": {"ownKey": None}, "willContinue": False}}
    grounding = {"groundingChunks": [{"web": {"uri": "x", "title": None}}], "searchEntryPoint": {"sdkBlob": "-_-_AA"}}
    response = adapter.content_response(answer(candidate(call, result, groundingMetadata=grounding)))
    seen = response.body["candidates"][0]
    assert seen["content"]["parts"] == [
        {"function_call": {"name": "f", "args": {"someArg": {"innerArg": None}}}, "part_metadata": {"ownKey": 1}},
        {"function_response": {"name": "f", "response": {"ownKey": None}, "will_continue": False}},
    ]
    assert seen["grounding_metadata"] == {
        "grounding_chunks": [{"web": {"uri": "x"}}],
        "search_entry_point": {"sdk_blob": "+/+/AA=="},
    }


def test_content_keeps_thoughts_and_does_not_copy_images() -> None:
    data = "".join(["AAAA"] * 100) + PNG
    response = adapter.content_response(answer(candidate({"text": "Hm", "thought": True}, blob(data))))
    parts = response.body["candidates"][0]["content"]["parts"]
    assert parts[0] == {"text": "Hm", "thought": True}
    assert parts[1]["inline_data"]["data"] is data


@pytest.mark.parametrize(
    ("reason", "finish"),
    [
        ("SAFETY", "SAFETY"),
        ("BLOCKLIST", "BLOCKLIST"),
        ("IMAGE_SAFETY", "IMAGE_SAFETY"),
        ("JAILBREAK", "PROHIBITED_CONTENT"),
        ("OTHER", "OTHER"),
        ("BLOCKED_REASON_UNSPECIFIED", "OTHER"),
        ("SOMETHING_NEW", "OTHER"),
    ],
)
def test_blocked_prompt_ends_its_one_candidate_with_a_finish_reason(reason: str, finish: str) -> None:
    response = adapter.content_response({"promptFeedback": {"blockReason": reason}})
    assert response.body["candidates"][0]["finish_reason"] == finish
    assert finish in types.FinishReason.__members__
    assert response.body["usage_metadata"] == {
        "prompt_token_count": 0,
        "candidates_token_count": 0,
        "total_token_count": 0,
    }


def test_candidates_of_one_call_are_numbered() -> None:
    first, second = ({"content": {"parts": [{"text": text}]}} for text in "ab")
    body = adapter.content_response(answer(first, second, usageMetadata=dict(COUNTS))).body
    assert [(each["index"], each["content"]["role"]) for each in body["candidates"]] == [(0, "model"), (1, "model")]
    sent = adapter.content(content(candidate_count=2), model()).json
    assert sent["generationConfig"]["candidateCount"] == 2


# --- the test data, until the shared suite runs it


@pytest.mark.parametrize("name", IMAGES.sent)
def test_image_requests(name: str) -> None:
    sent = IMAGES.sent[name]
    call = adapter.image(sent.request, model(sent.request.model))
    assert (call.path, call.json) == (sent.path, sent.json)
    IMAGES.validate_request(sent)


@pytest.mark.parametrize("name", IMAGES.answers)
def test_image_answers(name: str) -> None:
    given = IMAGES.answers[name]
    assert adapter.image_response(json.loads(given.body)) == given.means
    IMAGES.validate_answer(given)


@pytest.mark.parametrize("name", CONTENT.sent)
def test_content_requests(name: str) -> None:
    sent = CONTENT.sent[name]
    call = adapter.content(sent.request, model(sent.request.model))
    assert (call.path, call.json) == (sent.path, sent.json)
    CONTENT.validate_request(sent)


@pytest.mark.parametrize("name", CONTENT.answers)
def test_content_answers(name: str) -> None:
    given = CONTENT.answers[name]
    assert adapter.content_response(json.loads(given.body)) == given.means
    CONTENT.validate_answer(given)
