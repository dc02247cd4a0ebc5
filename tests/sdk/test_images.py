"""Images by OpenAI's own SDK, changed in nothing but base URL and key, against the gateway as `make run` starts it.

The tests hold for its newest major version and the one before: `test_openai_2.py` runs them again.
"""

import base64
import io
from typing import Any

import httpx
import openai
import pytest
from openai import AsyncOpenAI, OpenAI
from openai.types import ImagesResponse
from PIL import Image

MODEL = "sandbox/image"
PROMPT = "a fluffy orange tabby cat"
SMALL: Any = "96x64"  # the sandbox takes sizes that the SDK does not know

by_url_or_inline = pytest.mark.parametrize("response_format", ["url", "b64_json"])


def png(colour: str = "red", size: tuple[int, int] = (80, 70)) -> io.BytesIO:
    """A file as a caller opens it."""
    file = io.BytesIO()
    Image.new("RGBA", size, colour).save(file, "png")
    file.seek(0)
    file.name = f"{colour}.png"
    return file


def contents(answer: ImagesResponse) -> list[bytes]:
    """The images of an answer, opened as a browser does where they are given by URL."""
    found: list[bytes] = []
    for image in answer.data or ():
        assert (image.url is None) != (image.b64_json is None)
        if image.b64_json:
            found.append(base64.b64decode(image.b64_json, validate=True))
        else:
            assert image.url
            opened = httpx.get(image.url, trust_env=False)
            assert opened.headers["content-type"] == "image/png"
            found.append(opened.content)
    return found


def size_of(data: bytes) -> tuple[int, int]:
    with Image.open(io.BytesIO(data)) as image:
        image.load()
        assert image.format == "PNG"
        return image.size


@by_url_or_inline
def test_images_are_generated(client: OpenAI, response_format: Any) -> None:
    answer = client.images.generate(
        model=MODEL, prompt=PROMPT, n=2, size=SMALL, quality="high", style="vivid", response_format=response_format
    )
    first, second = contents(answer)
    assert size_of(first) == size_of(second) == (96, 64)
    assert first != second
    assert answer.created > 1_700_000_000
    usage = answer.usage
    assert usage
    assert usage.input_tokens_details.text_tokens + usage.input_tokens_details.image_tokens == usage.input_tokens
    assert usage.total_tokens == usage.input_tokens + usage.output_tokens > 0


def test_the_defaults_are_one_image_by_url(client: OpenAI) -> None:
    answer = client.images.generate(model=MODEL, prompt=PROMPT)
    assert answer.data
    assert answer.data[0].url
    (image,) = contents(answer)
    assert size_of(image) == (1024, 1024)


@by_url_or_inline
def test_an_image_is_edited(client: OpenAI, response_format: Any) -> None:
    answer = client.images.edit(model=MODEL, image=png(), prompt=PROMPT, response_format=response_format)
    (image,) = contents(answer)
    assert size_of(image) == (80, 70)


@by_url_or_inline
def test_several_images_are_edited_together_and_a_mask_makes_a_difference(client: OpenAI, response_format: Any) -> None:
    fields: Any = {"model": MODEL, "prompt": PROMPT, "size": SMALL, "response_format": response_format}
    gather_or_cancel = contents(client.images.edit(image=[png(), png("blue")], **fields))
    masked = contents(client.images.edit(image=[png()], mask=png("green"), **fields))
    alone = contents(client.images.edit(image=[png()], **fields))
    assert len({*gather_or_cancel, *masked, *alone}) == 3


def test_an_image_is_edited_n_times(client: OpenAI) -> None:
    answer = client.images.edit(model=MODEL, image=png().read(), prompt=PROMPT, n=3, response_format="b64_json")
    assert len(set(contents(answer))) == 3


@pytest.mark.anyio
async def test_the_asynchronous_client_gets_the_same(async_client: AsyncOpenAI) -> None:
    fields: Any = {"model": MODEL, "prompt": PROMPT, "size": SMALL, "response_format": "b64_json"}
    made = await async_client.images.generate(**fields)
    assert contents(made) == contents(await async_client.images.generate(**fields))
    edited = await async_client.images.edit(image=("cat.png", png().read(), "image/png"), **fields)
    assert contents(edited) != contents(made)


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"prompt": "x" * 4001}, "prompt"),
        ({"n": 11}, "n"),
        ({"size": "huge"}, "size"),
        ({"response_format": "png"}, "response_format"),
    ],
)
def test_a_wrong_request_is_the_sdks_bad_request_naming_the_field(client: OpenAI, fields: Any, param: str) -> None:
    with pytest.raises(openai.BadRequestError) as caught:
        client.images.generate(**{"model": MODEL, "prompt": PROMPT, **fields})
    assert caught.value.param == param


def test_a_file_that_is_no_image_is_the_sdks_bad_request(client: OpenAI) -> None:
    with pytest.raises(openai.BadRequestError) as caught:
        client.images.edit(model=MODEL, image=("cat.png", b"<html>", "image/png"), prompt=PROMPT)
    assert caught.value.param == "image"


@pytest.mark.parametrize(
    ("model", "error"),
    [
        ("no-such-model", openai.NotFoundError),
        ("sandbox/fail-429", openai.RateLimitError),
        ("sandbox/fail-500", openai.InternalServerError),
        ("sandbox/chat", openai.BadRequestError),
    ],
)
def test_a_failure_is_the_sdks_own(client: OpenAI, model: str, error: type[Exception]) -> None:
    with pytest.raises(error):
        client.images.generate(model=model, prompt=PROMPT)
    with pytest.raises(error):
        client.images.edit(model=model, image=png(), prompt=PROMPT)


def test_a_blocked_prompt_is_the_sdks_bad_request(client: OpenAI) -> None:
    with pytest.raises(openai.BadRequestError) as caught:
        client.images.generate(model=MODEL, prompt="[sandbox:filter] a cat")
    assert caught.value.code == "content_filter"


def test_a_key_that_is_not_known_is_the_sdks_authentication_error(sandbox_url: str) -> None:
    with OpenAI(base_url=f"{sandbox_url}/v1", api_key="sk-nobody") as client, pytest.raises(openai.AuthenticationError):
        client.images.generate(model=MODEL, prompt=PROMPT)


def test_an_image_drawn_in_chat_is_seen_in_the_next_turn(client: OpenAI) -> None:
    messages: Any = [{"role": "user", "content": "Draw a cat"}]
    first = client.chat.completions.create(model=MODEL, messages=messages)
    drawn = first.choices[0].message
    assert "![image](http" in (drawn.content or "")
    messages += [drawn.model_dump(exclude_none=True), {"role": "user", "content": "What did you draw?"}]
    second = client.chat.completions.create(model=MODEL, messages=messages)
    assert first.usage
    assert second.usage
    text = len(drawn.content or "") // 3
    assert second.usage.prompt_tokens > first.usage.prompt_tokens
    details: Any = second.usage.prompt_tokens_details
    assert details.image_tokens > 0
    assert second.usage.prompt_tokens < details.image_tokens + text + 100, "the image is no text any more"


@pytest.mark.parametrize("stream", [False, True])
def test_images_come_beside_the_text_where_they_are_asked_for(client: OpenAI, stream: bool) -> None:
    fields: Any = {"model": MODEL, "messages": [{"role": "user", "content": "Draw"}], "modalities": ["text", "image"]}
    images: list[Any] = []
    if stream:
        for chunk in client.chat.completions.create(stream=True, **fields):
            images += (chunk.choices[0].delta.model_extra or {}).get("images", [])
    else:
        message = client.chat.completions.create(**fields).choices[0].message
        images = (message.model_extra or {})["images"]
    (image,) = images
    head, _, data = image["image_url"]["url"].partition(",")
    assert head == "data:image/png;base64"
    assert size_of(base64.b64decode(data, validate=True)) == (1024, 1024)
