"""The sandbox's pictures: drawn for images, for raw content and in chat."""

import base64
import io
from dataclasses import replace
from typing import Any

import pytest
from google.genai.types import GenerateContentResponse
from PIL import Image as Pillow

from shared.errors import ContentFiltered, UpstreamRejected
from shared.schemas.chat import ChatRequest, ChatResponse
from shared.schemas.content import Image, Inline, Text
from shared.schemas.events import ImageDelta
from shared.schemas.generated_content import ContentRequest, ContentResponse
from shared.schemas.image import ImageRequest, Size
from shared.schemas.usage import FinishReason, Usage
from tests.providers.canonical import user
from tests.providers.reading import collected
from tests.providers.sandbox_calls import events, response, upload

FOX = ImageRequest(model="sandbox/image", prompt="A fox in the snow", size=Size(96, 64))


def drawn(request: ImageRequest) -> list[bytes]:
    sources = [image.source for image in response("images", request, "image").images]
    return [base64.b64decode(source.data, validate=True) for source in sources]


def opened(png: bytes) -> Pillow.Image:
    picture = Pillow.open(io.BytesIO(png))
    picture.load()
    assert picture.format == "PNG"
    return picture.convert("RGB")


def encoded(picture_format: str, size: tuple[int, int] = (200, 100)) -> bytes:
    buffer = io.BytesIO()
    Pillow.new("RGB", size, "teal").save(buffer, picture_format)
    return buffer.getvalue()


# --- images -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [(64, 64), (64, 4096), (333, 77), (4096, 4096)])
def test_a_picture_is_a_png_of_the_size_asked_for(size: tuple[int, int]) -> None:
    (png,) = drawn(replace(FOX, size=Size(*size)))
    picture = opened(png)
    assert picture.size == size
    assert len(picture.getcolors(1 << 16) or ()) > 20


def test_what_is_asked_for_decides_the_picture() -> None:
    png, jpeg = upload(encoded("PNG")), upload(encoded("JPEG"))
    changed = [
        FOX,
        replace(FOX, prompt="A fox in the rain"),
        replace(FOX, seed=0),
        replace(FOX, seed=1),
        replace(FOX, style="natural"),
        replace(FOX, images=(png,)),
        replace(FOX, images=(jpeg,)),
        replace(FOX, images=(png, png)),
        replace(FOX, images=(png,), mask=png),
    ]
    pictures = [drawn(request)[0] for request in changed]
    assert len(set(pictures)) == len(changed)
    assert [drawn(request)[0] for request in changed] == pictures
    assert len(set(drawn(replace(FOX, n=10)))) == 10


@pytest.mark.parametrize(
    ("images", "size"),
    [
        ([], (1024, 1024)),
        ([encoded("PNG", (300, 80))], (300, 80)),
        ([encoded("PNG", (32, 32))], (1024, 1024)),
        ([encoded("JPEG")], (1024, 1024)),
    ],
)
def test_without_a_size_it_is_that_of_the_png_to_be_edited(images: list[bytes], size: tuple[int, int]) -> None:
    edit = replace(FOX, size=None, images=tuple(map(upload, images)))
    assert opened(drawn(edit)[0]).size == size


@pytest.mark.parametrize(("word", "error"), [("filter", ContentFiltered), ("refuse", UpstreamRejected)])
def test_a_trigger_word_gets_no_image(word: str, error: type[Exception]) -> None:
    with pytest.raises(error):
        drawn(replace(FOX, prompt=f"Draw [sandbox:{word}]"))


def test_images_cost_tokens_by_their_pixels() -> None:
    edit = replace(FOX, size=Size(2048, 1024), n=2, images=(upload(encoded("PNG")),) * 2)
    assert response("images", edit, "image").usage == Usage(
        input_tokens=5 + 512, input_image_tokens=512, output_tokens=1024, output_image_tokens=1024, images=2
    )


# --- raw content ------------------------------------------------------------------------------------------------------

SCENE = ContentRequest(model="sandbox/image", prompt="A lighthouse")


def generate(**changes: Any) -> ContentResponse:
    made = response("content", replace(SCENE, **changes), "image")
    assert isinstance(made, ContentResponse)
    GenerateContentResponse.model_validate(made.body)
    return made


def parts(made: ContentResponse, index: int = 0) -> list[dict[str, Any]]:
    return list(made.body["candidates"][index]["content"]["parts"])


def picture_in(part: dict[str, Any]) -> Pillow.Image:
    assert part["inline_data"]["mime_type"] == "image/png"
    return opened(base64.b64decode(part["inline_data"]["data"], validate=True))


def test_content_is_a_text_and_an_image() -> None:
    made = generate(system_instruction="Be brief.")
    text, image = parts(made)
    assert text == {"text": 'Here is a picture for "A lighthouse".'}
    assert picture_in(image).size == (1024, 1024)
    assert made.usage == Usage(input_tokens=7, output_tokens=266, output_image_tokens=256, images=1)
    assert made.body["usage_metadata"]["total_token_count"] == 7 + 266


@pytest.mark.parametrize(
    ("modalities", "kinds"), [(("IMAGE",), ["inline_data"]), (("TEXT",), ["text"]), (("TEXT", "IMAGE"), None)]
)
def test_only_what_was_asked_for_is_given(modalities: Any, kinds: list[str] | None) -> None:
    assert [next(iter(part)) for part in parts(generate(modalities=modalities))] == (kinds or ["text", "inline_data"])


def test_candidates_seeds_and_images_make_other_pictures() -> None:
    png = Inline(media_type="image/png", data=base64.b64encode(encoded("PNG")).decode())
    several = generate(candidate_count=3, modalities=("IMAGE",))
    others = [generate(modalities=("IMAGE",), **change) for change in ({"seed": 1}, {"images": (png,)})]
    made = [parts(several, index) for index in range(3)] + [parts(other) for other in others]
    assert len({part["inline_data"]["data"] for (part,) in made}) == 5
    assert others[1].usage.input_image_tokens == 256


@pytest.mark.parametrize(
    ("aspect_ratio", "image_size", "pixels"),
    [("16:9", None, (1024, 576)), ("9:16", "2K", (1152, 2048)), (None, "4K", (4096, 4096))],
)
def test_the_image_config_decides_the_pixels(aspect_ratio: Any, image_size: Any, pixels: tuple[int, int]) -> None:
    made = generate(aspect_ratio=aspect_ratio, image_size=image_size, modalities=("IMAGE",))
    assert picture_in(parts(made)[0]).size == pixels


@pytest.mark.parametrize(
    "change", [{"aspect_ratio": "wide"}, {"aspect_ratio": "0:1"}, {"aspect_ratio": "1:"}, {"image_size": "8K"}]
)
def test_an_image_config_that_it_does_not_have_is_refused(change: dict[str, Any]) -> None:
    with pytest.raises(UpstreamRejected, match=next(iter(change))):
        generate(**change)


@pytest.mark.parametrize("limit", [{"max_output_tokens": 2}, {"stop_sequences": ("x", " a")}])
def test_limits_cut_the_text_and_not_the_image(limit: dict[str, Any]) -> None:
    text, image = parts(generate(**limit))
    assert text == {"text": "Here is"}
    assert picture_in(image)


@pytest.mark.parametrize(
    ("word", "modalities", "count", "reason"),
    [
        ("filter", ("IMAGE", "TEXT"), 0, "IMAGE_SAFETY"),
        ("refuse", ("IMAGE", "TEXT"), 1, "STOP"),
        ("refuse", ("IMAGE",), 0, "NO_IMAGE"),
    ],
)
def test_a_trigger_word_gets_words_or_nothing(word: str, modalities: Any, count: int, reason: str) -> None:
    made = generate(prompt=f"[sandbox:{word}]", modalities=modalities)
    assert len(parts(made)) == count
    assert made.body["candidates"][0]["finish_reason"] == reason
    assert ("prompt_feedback" in made.body) == (word == "filter")
    assert made.usage.images == 0


# --- chat -------------------------------------------------------------------------------------------------------------


def ask(*content: Image | str, **more: Any) -> ChatRequest:
    return ChatRequest(model="sandbox/image", messages=(user(*(content or ("Draw a fox",))),), **more)


def chat(request: ChatRequest) -> ChatResponse:
    return collected(events("chat", request, "image"))


def image_of(answer: ChatResponse, index: int = 0) -> str:
    (image,) = (part for part in answer.candidates[index].parts if isinstance(part, Image))
    assert isinstance(image.source, Inline)
    assert opened(base64.b64decode(image.source.data)).size == (1024, 1024)
    return image.source.data


def test_the_image_model_talks_and_draws() -> None:
    answer = chat(ask())
    assert [type(part) for part in answer.candidates[0].parts] == [Text, Image]
    assert (answer.usage.output_image_tokens, answer.usage.images) == (256, 1)
    told = events("chat", ask(stream=True), "image")
    assert isinstance(told[-2], ImageDelta)
    assert collected(told) == answer


def test_no_limit_on_words_cuts_a_picture() -> None:
    cut = chat(ask(max_tokens=2))
    assert cut.candidates[0].finish_reason is FinishReason.LENGTH
    assert cut.candidates[0].parts[0] == Text(text="You said")
    assert image_of(cut) == image_of(chat(ask())) == image_of(chat(ask(stop=("said",))))


def test_candidates_seeds_and_what_was_shown_make_other_pictures_in_chat() -> None:
    shown = [
        Image(source=Inline(media_type="image/png", data=base64.b64encode(encoded("PNG", size)).decode()))
        for size in ((9, 9), (9, 8))
    ]
    several = chat(ask(n=2))
    made = [image_of(several), image_of(several, 1), image_of(chat(ask(seed=3)))]
    made += [image_of(chat(ask("Draw a fox", image))) for image in shown]
    assert len(set(made)) == 5
    assert "one image (image/png, 9x8 pixels)" in str(chat(ask(shown[1])).candidates[0].parts[0])


@pytest.mark.parametrize("word", ["refuse", "filter"])
def test_nothing_is_drawn_for_a_prompt_that_is_refused_or_filtered(word: str) -> None:
    assert not any(isinstance(part, Image) for part in chat(ask(f"Draw [sandbox:{word}]")).candidates[0].parts)
