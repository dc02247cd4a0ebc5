"""The sandbox's pictures: drawn for images, for raw content and in chat."""

import base64
import io
import json
import time
from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any

import pytest
from google.genai.types import GenerateContentResponse
from PIL import Image as Picture
from shared.providers.sandbox.png import Canvas

from shared.errors import ContentFiltered, GatewayError, InvalidRequest, UnsupportedFeature, UpstreamRejected
from shared.framing import sse_frames
from shared.providers.base import ContentAdapter, ImageAdapter
from shared.providers.sandbox import adapter, lettering
from shared.schemas.chat import ChatRequest, ChatResponse
from shared.schemas.content import Image, Inline, Refusal, Text
from shared.schemas.events import ImageDelta, TextDelta, collect
from shared.schemas.generated_content import ContentRequest, ContentResponse
from shared.schemas.image import ImageRequest, ImageResponse, Size
from shared.schemas.model import Capability
from shared.schemas.usage import FinishReason, Usage
from tests.providers.canonical import user
from tests.providers.sandbox_calls import body, local_answer, model, pieces, sent, upload

pytestmark = pytest.mark.anyio

ARTIST = model("image", Capability.CHAT, Capability.VISION, Capability.IMAGE_OUTPUT)
FOX = ImageRequest(model="sandbox/image", prompt="A fox in the snow", size=Size(96, 64))


def respond(request: ImageRequest) -> ImageResponse:
    return adapter.image_response(json.loads(body(adapter.image(request, ARTIST))))


def drawn(request: ImageRequest) -> list[bytes]:
    sources = [image.source for image in respond(request).images]
    assert all(isinstance(source, Inline) and source.media_type == "image/png" for source in sources)
    return [base64.b64decode(source.data, validate=True) for source in sources if isinstance(source, Inline)]


def opened(png: bytes) -> Picture.Image:
    picture = Picture.open(io.BytesIO(png))
    picture.load()
    assert picture.format == "PNG"
    return picture.convert("RGB")


def encoded(picture_format: str, size: tuple[int, int] = (200, 100)) -> bytes:
    buffer = io.BytesIO()
    Picture.new("RGB", size, "teal").save(buffer, picture_format)
    return buffer.getvalue()


# --- images -----------------------------------------------------------------------------------------------------------


def test_it_makes_images_and_raw_content() -> None:
    assert isinstance(adapter, ImageAdapter)
    assert isinstance(adapter, ContentAdapter)


@pytest.mark.parametrize("size", [(64, 64), (64, 4096), (333, 77), (1024, 1536), (4096, 4096)])
def test_a_picture_is_a_png_of_the_size_asked_for(size: tuple[int, int]) -> None:
    (png,) = drawn(replace(FOX, size=Size(*size)))
    picture = opened(png)
    assert picture.size == size
    assert len(picture.getcolors(1 << 16) or ()) > 20


def test_a_picture_is_1024_pixels_square_unless_told_otherwise() -> None:
    assert opened(drawn(replace(FOX, size=None))[0]).size == (1024, 1024)


def test_what_is_asked_for_decides_the_picture() -> None:
    changed = [
        FOX,
        replace(FOX, prompt="A fox in the rain"),
        replace(FOX, seed=0),
        replace(FOX, seed=1),
        replace(FOX, seed=-1),
        replace(FOX, style="natural"),
        replace(FOX, images=(upload(encoded("PNG")),)),
        replace(FOX, images=(upload(encoded("JPEG")),)),
        replace(FOX, images=(upload(encoded("PNG")),) * 2),
        replace(FOX, images=(upload(encoded("PNG")),), mask=upload(encoded("PNG"))),
    ]
    pictures = [drawn(request)[0] for request in changed]
    assert len(set(pictures)) == len(changed)
    assert [drawn(request)[0] for request in changed] == pictures


def test_the_images_of_one_request_differ() -> None:
    pictures = drawn(replace(FOX, n=10))
    assert len(set(pictures)) == 10
    assert pictures[0] == drawn(FOX)[0]


def test_knobs_that_it_lacks_change_nothing() -> None:
    knobs = replace(FOX, quality="high", background="transparent", moderation="low", user="u", output_format="png")
    assert drawn(knobs) == drawn(FOX)


def test_a_natural_picture_is_less_saturated() -> None:
    def saturation(png: bytes) -> float:
        values = opened(png).convert("HSV").getchannel("S").histogram()
        return sum(value * count for value, count in enumerate(values)) / sum(values)

    vivid, natural = (replace(FOX, style=style) for style in ("vivid", "natural"))
    assert saturation(drawn(natural)[0]) < 0.8 * saturation(drawn(vivid)[0])
    assert respond(natural).images[0].revised_prompt == "A fox in the snow, in a natural style"
    assert respond(FOX).images[0].revised_prompt is None


def test_an_edit_without_a_size_has_that_of_the_first_png() -> None:
    def size(*images: bytes) -> tuple[int, int]:
        edit = replace(FOX, size=None, images=tuple(map(upload, images)))
        return opened(drawn(edit)[0]).size

    assert size(encoded("JPEG"), encoded("PNG", (300, 80))) == (300, 80)
    assert size(encoded("JPEG")) == (1024, 1024)
    assert size(encoded("PNG", (32, 32))) == (1024, 1024)
    assert opened(drawn(replace(FOX, images=(upload(encoded("PNG")),)))[0]).size == (96, 64)


def test_the_prompt_stands_under_the_picture_in_capitals() -> None:
    assert lettering.written("Ein Grüße-Fuchs (2x) im tiefen Schnee", 24) == "EIN GRUSSE-FUCHS 2X IM"
    assert lettering.written("日本" * 100, 24) == ""
    canvas = Canvas(9, [0] * 5)
    lettering.write(canvas, "H2", 1, 0, 1, 1)
    picture = Picture.open(io.BytesIO(canvas.png([(0, 0, 0), (255, 255, 255)])))
    rows = [[picture.getpixel((x, y)) for x in range(9)] for y in range(5)]
    assert ["".join(".#"[bool(pixel)] for pixel in row) for row in rows] == [
        ".#.#.##..",
        ".#.#...#.",
        ".###..#..",
        ".#.#.#...",
        ".#.#.###.",
    ]


@pytest.mark.parametrize(
    ("change", "param"),
    [
        ({"size": Size(63, 64)}, "size"),
        ({"size": Size(64, 4097)}, "size"),
        ({"n": 11}, "n"),
        ({"output_format": "jpeg"}, "output_format"),
        ({"output_format": "webp"}, "output_format"),
    ],
)
def test_what_it_cannot_draw_is_refused_by_name(change: dict[str, Any], param: str) -> None:
    with pytest.raises(InvalidRequest) as raised:
        adapter.image(replace(FOX, **change), ARTIST)
    assert raised.value.param == param
    assert isinstance(raised.value, UnsupportedFeature) == (param == "output_format")


def test_a_trigger_word_runs_into_the_content_filter() -> None:
    with pytest.raises(ContentFiltered, match="content filter"):
        respond(replace(FOX, prompt="Draw [sandbox:filter]"))


def test_a_trigger_word_gets_words_instead_of_an_image() -> None:
    with pytest.raises(UpstreamRejected, match="without an image: I am sorry"):
        respond(replace(FOX, prompt="Draw [sandbox:refuse]"))


def test_images_cost_tokens_by_their_pixels() -> None:
    assert respond(replace(FOX, size=None, n=2)).usage == Usage(
        input_tokens=5, output_tokens=512, output_image_tokens=512, images=2
    )
    edit = respond(replace(FOX, size=Size(2048, 1024), images=(upload(encoded("PNG")),) * 2)).usage
    assert (edit.input_image_tokens, edit.input_tokens, edit.output_tokens) == (512, 517, 512)


def test_a_picture_is_soon_drawn() -> None:
    call = adapter.image(replace(FOX, size=None, n=10), ARTIST)
    start = time.process_time()
    body(call)
    assert time.process_time() - start < 1.5  # about 0.15


@pytest.mark.parametrize(
    "order", [b"{}", b'{"model":"image","prompt":"x","n":0}', b'{"model":"image","prompt":"x","n":99}']
)
def test_what_is_no_order_is_refused(order: bytes) -> None:
    assert adapter.answer("/images", order).status == 400


# --- raw content ------------------------------------------------------------------------------------------------------

SCENE = ContentRequest(model="sandbox/image", prompt="A lighthouse")


def generate(**changes: Any) -> ContentResponse:
    return adapter.content_response(json.loads(body(adapter.content(replace(SCENE, **changes), ARTIST))))


def parts(response: ContentResponse, index: int = 0) -> list[dict[str, Any]]:
    content = response.body["candidates"][index]["content"]
    assert content["role"] == "model"
    return list(content["parts"])


def picture_in(part: dict[str, Any]) -> Picture.Image:
    assert part["inline_data"]["mime_type"] == "image/png"
    return opened(base64.b64decode(part["inline_data"]["data"], validate=True))


def test_content_is_text_and_an_image_as_gemini_has_them() -> None:
    response = generate(system_instruction="Be brief.")
    text, image = parts(response)
    assert text == {"text": 'Here is a picture for "A lighthouse".'}
    assert picture_in(image).size == (1024, 1024)
    read = GenerateContentResponse.model_validate(response.body)
    assert read.candidates is not None
    assert read.candidates[0].finish_reason == "STOP"
    assert read.usage_metadata is not None
    counted = read.usage_metadata
    assert counted.total_token_count == (counted.prompt_token_count or 0) + (counted.candidates_token_count or 0)
    assert response.usage == Usage(input_tokens=7, output_tokens=266, output_image_tokens=256, images=1)
    assert generate(system_instruction="Be brief.").body == response.body


@pytest.mark.parametrize(
    ("modalities", "kinds"),
    [(("IMAGE", "TEXT"), ["text", "inline_data"]), (("IMAGE",), ["inline_data"]), (("TEXT",), ["text"])],
)
def test_only_what_was_asked_for_is_given(modalities: Any, kinds: list[str]) -> None:
    assert [next(iter(part)) for part in parts(generate(modalities=modalities))] == kinds


def test_candidates_and_seeds_and_input_images_make_other_pictures() -> None:
    several = generate(candidate_count=3, modalities=("IMAGE",))
    assert [candidate["index"] for candidate in several.body["candidates"]] == [0, 1, 2]
    png = Inline(media_type="image/png", data=base64.b64encode(encoded("PNG")).decode())
    others = [generate(modalities=("IMAGE",), **change) for change in ({"seed": 1}, {"images": (png,)})]
    made = [parts(several, index)[0]["inline_data"]["data"] for index in range(3)]
    made += [parts(other)[0]["inline_data"]["data"] for other in others]
    assert len(set(made)) == 5
    assert others[1].usage.input_image_tokens == 256
    assert len({response.body["response_id"] for response in (several, *others)}) == 3


@pytest.mark.parametrize(
    ("aspect_ratio", "image_size", "pixels"),
    [
        ("16:9", None, (1024, 576)),
        ("9:16", "2K", (1152, 2048)),
        (None, "4K", (4096, 4096)),
        ("1:1", "1K", (1024, 1024)),
    ],
)
def test_the_image_config_decides_the_pixels(aspect_ratio: Any, image_size: Any, pixels: tuple[int, int]) -> None:
    response = generate(aspect_ratio=aspect_ratio, image_size=image_size, modalities=("IMAGE",))
    assert picture_in(parts(response)[0]).size == pixels


@pytest.mark.parametrize(
    "change",
    [
        {"aspect_ratio": "wide"},
        {"aspect_ratio": "0:1"},
        {"aspect_ratio": "99:1"},
        {"aspect_ratio": "1:"},
        {"image_size": "8K"},
        {"candidate_count": 9},
    ],
)
def test_what_it_cannot_make_is_the_callers_error(change: dict[str, Any]) -> None:
    with pytest.raises(UpstreamRejected, match=next(iter(change))):
        generate(**change)


def test_limits_touch_the_text_and_never_the_image() -> None:
    for limit, left in (({"max_output_tokens": 2}, "Here is"), ({"stop_sequences": ("x", " a")}, "Here is")):
        text, image = parts(generate(**limit))
        assert text == {"text": left}
        picture_in(image)
    assert [next(iter(part)) for part in parts(generate(max_output_tokens=0))] == ["inline_data"]


def test_a_blocked_prompt_has_candidates_without_parts() -> None:
    response = generate(prompt="[sandbox:filter]", candidate_count=2)
    assert parts(response, 0) == parts(response, 1) == []
    read = GenerateContentResponse.model_validate(response.body)
    assert read.candidates is not None
    assert read.candidates[1].finish_reason == "IMAGE_SAFETY"
    assert read.prompt_feedback is not None
    assert read.prompt_feedback.block_reason == "IMAGE_SAFETY"
    assert response.usage.images == response.usage.output_tokens == 0


def test_a_refused_prompt_has_words_or_nothing() -> None:
    (said,) = parts(generate(prompt="[sandbox:refuse]"))
    assert said["text"].startswith("I am sorry")
    silent = generate(prompt="[sandbox:refuse]", modalities=("IMAGE",))
    assert parts(silent) == []
    assert silent.body["candidates"][0]["finish_reason"] == "NO_IMAGE"


# --- chat -------------------------------------------------------------------------------------------------------------


def ask(prompt: str = "Draw a fox", **more: Any) -> ChatRequest:
    return ChatRequest(model="sandbox/image", messages=(user(prompt),), **more)


def chat(request: ChatRequest) -> ChatResponse:
    return adapter.chat_response(json.loads(body(adapter.chat(request, ARTIST))))


async def frames_of(request: ChatRequest) -> AsyncIterator[Any]:
    answer = local_answer(adapter.chat(request.model_copy(update={"stream": True}), ARTIST))
    async for event in adapter.chat_events(sse_frames(pieces(sent(answer.chunks), 1 << 16))):
        yield event


def image_of(response: ChatResponse, index: int = 0) -> str:
    (image,) = (part for part in response.candidates[index].parts if isinstance(part, Image))
    assert isinstance(image.source, Inline)
    assert opened(base64.b64decode(image.source.data)).size == (1024, 1024)
    return image.source.data


@pytest.mark.parametrize("image_output", [True, False])
async def test_the_image_model_talks_and_draws_whole_and_streamed(image_output: bool) -> None:
    request = ask(image_output=image_output)
    response = chat(request)
    text, image = response.candidates[0].parts
    assert isinstance(text, Text)
    assert text.text == 'You said: "Draw a fox". I drew a picture of it. How may I help you further?'
    assert isinstance(image, Image)
    assert response.usage.output_image_tokens == 256
    assert response.usage.images == 1
    assert await collect(frames_of(request)) == response
    kinds = [type(event) for event in [event async for event in frames_of(request)]]
    assert kinds[1:-1] == [TextDelta] * (len(kinds) - 3) + [ImageDelta]


def test_no_limit_on_words_cuts_a_picture() -> None:
    cut = chat(ask(max_tokens=2))
    assert cut.candidates[0].finish_reason is FinishReason.LENGTH
    assert cut.candidates[0].parts[0] == Text(text="You said")
    assert image_of(cut) == image_of(chat(ask())) == image_of(chat(ask(stop=("said",))))


def test_candidates_seeds_and_what_was_shown_make_other_pictures() -> None:
    png = Image(source=Inline(media_type="image/png", data=base64.b64encode(encoded("PNG")).decode()))
    several = chat(ask(n=2))
    shown = chat(ChatRequest(model="sandbox/image", messages=(user("Draw a fox", png),)))
    made = [image_of(several), image_of(several, 1), image_of(chat(ask(seed=3))), image_of(shown)]
    assert len(set(made)) == 4
    assert "I was shown an image (image/png, 200x100 pixels" in str(shown.candidates[0].parts[0])


def test_nothing_is_drawn_for_a_prompt_that_is_refused_or_filtered() -> None:
    refused, filtered = (chat(ask(f"Draw [sandbox:{word}]")).candidates[0] for word in ("refuse", "filter"))
    assert [type(part) for part in refused.parts] == [Refusal]
    assert [type(part) for part in filtered.parts] == [Text]
    assert filtered.finish_reason is FinishReason.CONTENT_FILTER


def test_too_many_pictures_are_not_drawn() -> None:
    with pytest.raises(UpstreamRejected, match="at most 10 pictures"):
        chat(ask(n=11))


def test_other_models_refuse_to_draw() -> None:
    with pytest.raises(GatewayError, match="does not generate images"):
        adapter.chat(ask(image_output=True), model("chat", Capability.CHAT))
