"""Images in chat: shown to models, drawn by them in an answer, and shown again when they come back in a later turn."""

import asyncio
import base64
import json
import re
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest
from openai.types.chat import ChatCompletion, ChatCompletionChunk

from shared.stores.images import ImageStore
from shared.stores.keys import KeyStore
from shared.stores.objects import ObjectStore
from shared.stores.stack_secret import StackSecret
from shared.stores.tenants import TenantFolders
from tests.client import BUCKET, KEYS, TENANTS, TOKEN
from tests.contract.image_vendors import (
    DENIED,
    GIF,
    JPEG,
    OTHER_PNG,
    PNG,
    SANDBOX,
    Bucket,
    Studio,
    b64,
    gemini,
    gemini_content,
    gemini_stream,
    inline,
    size_of,
    studio_of,
)
from tests.contract.vendor import answering, hello
from tests.contract.wire import CHATS, asking, assert_broken_stream, assert_error, events

pytestmark = pytest.mark.anyio

CHAT = "/v1/chat/completions"
PAINTER = "gemini-3-pro-image-preview"
PROMPT = "Change this picture to watercolor style and only output the picture"
SHOWN = f"data:image/png;base64,{b64(PNG)}"
_MARKDOWN = re.compile(r"!\[image\]\((http\S+)\)")

on_each_chat = pytest.mark.parametrize("path", CHATS)
streamed_or_not = pytest.mark.parametrize("stream", [False, True])


@pytest.fixture
async def studio(keys: KeyStore) -> AsyncIterator[Studio]:
    async with studio_of(keys) as studio:
        yield studio


@pytest.fixture
def objects(keys: KeyStore) -> ObjectStore:
    """The bucket behind the gateway."""
    return ObjectStore(keys.aws, BUCKET)


@pytest.fixture
def images(keys: KeyStore, objects: ObjectStore) -> ImageStore:
    """What the gateway keeps there."""
    return ImageStore(objects, TenantFolders(StackSecret(keys.aws, TENANTS)), lifetime=3600)


@pytest.fixture
async def url(images: ImageStore) -> str:
    """A stored image of the caller's, as an earlier answer had it."""
    return await images.put(KEYS[TOKEN].tenant, PNG)


IMAGE_FIELD = "messages[0].content[1].image_url.url"


def user(*images: str, text: str = PROMPT) -> list[dict[str, Any]]:
    """A conversation of one message with images."""
    shown = [{"type": "image_url", "image_url": {"url": image}} for image in images]
    return [{"role": "user", "content": [{"type": "text", "text": text}, *shown]}]


def drawing(*images: bytes, text: str = "Here it is: ", then: str = "") -> Any:
    """What Gemini answers, whole or in chunks as it is asked for: some text, images, and perhaps text again."""
    parts = [{"text": text}, *map(inline, images)] + ([{"text": then}] if then else [])
    whole = gemini(*parts)
    chunks = [gemini_content(part, finish="") for part in parts]
    for chunk in chunks:
        del chunk["candidates"][0]["finishReason"]
    streamed = gemini_stream(*chunks, gemini_content({"text": ""}))
    return lambda request: (streamed if "stream" in request.url.path else whole)(request)


async def said(studio: Studio, model: str = PAINTER, *, stream: bool = False, **fields: Any) -> Any:
    """The message of an answer, a streamed one's put together as clients do."""
    body = {"model": model, "messages": user(), "stream": stream, **fields}
    response = await studio.client.post(CHAT, json=body)
    assert response.status_code == 200, response.text
    if not stream:
        return ChatCompletion.model_validate(response.json()).choices[0].message.model_dump(exclude_unset=True)
    *chunks, done = [event.data for event in events(response)]
    assert done == b"[DONE]"
    message: dict[str, Any] = {"content": ""}
    for data in chunks:
        delta = ChatCompletionChunk.model_validate(json.loads(data)).choices[0].delta
        message["content"] += delta.content or ""
        message.setdefault("images", []).extend((delta.model_extra or {}).get("images", []))
    return message


async def stored(markdown: str) -> list[bytes]:
    """The images that a markdown text links to, as a browser gets them."""
    async with httpx.AsyncClient() as browser:
        files = [await browser.get(url) for url in _MARKDOWN.findall(markdown)]
    assert all(file.headers["content-type"].startswith("image/") for file in files)
    return [file.content for file in files]


def inlined(studio: Studio) -> list[bytes]:
    """The images that Gemini was shown, in their order."""
    parts = [part for content in studio.sent["contents"] for part in content["parts"]]
    return [base64.b64decode(part["inlineData"]["data"]) for part in parts if "inlineData" in part]


# --- images in


async def test_I11_the_image_of_a_data_uri_reaches_the_model_after_the_text(studio: Studio) -> None:
    studio.answer = drawing(PNG)
    await said(studio, messages=user(SHOWN), max_tokens=1024)
    assert studio.sent["contents"][0]["parts"] == [
        {"text": PROMPT},
        {"inlineData": {"mimeType": "image/png", "data": b64(PNG)}},
    ]


async def test_a_gif_is_shown_to_gemini_as_a_png(studio: Studio) -> None:
    studio.answer = drawing(PNG)
    await said(studio, messages=user(f"data:image/gif;base64,{b64(GIF)}"))
    (shown,) = inlined(studio)
    assert shown.startswith(b"\x89PNG")
    assert size_of(shown) == size_of(GIF)


# --- images out


@streamed_or_not
async def test_I11_text_and_image_in_give_an_image_out(studio: Studio, stream: bool) -> None:
    studio.answer = drawing(OTHER_PNG)
    message = await said(studio, messages=user(SHOWN), max_tokens=1024, stream=stream)
    assert message["content"].startswith("Here it is: \n\n![image](")
    assert await stored(message["content"]) == [OTHER_PNG]
    assert "base64" not in message["content"]


async def test_an_image_model_is_asked_for_images_and_no_limit_on_text_cuts_them(studio: Studio) -> None:
    studio.answer = drawing(PNG)
    await said(studio, max_tokens=1)
    config = studio.sent["generationConfig"]
    assert sorted(config["responseModalities"]) == ["IMAGE", "TEXT"]
    assert "maxOutputTokens" not in config


@streamed_or_not
async def test_without_image_among_the_modalities_images_are_links_alone(studio: Studio, stream: bool) -> None:
    studio.answer = drawing(PNG, JPEG, then=" Do you like them?")
    for fields in ({}, {"modalities": ["text"]}, {"modalities": None}):
        message = await said(studio, stream=stream, **fields)
        assert not message.get("images")
        assert await stored(message["content"]) == [PNG, JPEG]
        assert message["content"].endswith(")\n\n Do you like them?")


@streamed_or_not
async def test_with_image_among_the_modalities_images_are_beside_the_text_alone(studio: Studio, stream: bool) -> None:
    studio.answer = drawing(PNG, JPEG)
    message = await said(studio, stream=stream, modalities=["text", "image"])
    assert message["content"] == "Here it is: "
    assert [image["type"] for image in message["images"]] == ["image_url", "image_url"]
    urls = [image["image_url"]["url"] for image in message["images"]]
    assert urls[0] == SHOWN
    assert base64.b64decode(urls[1].partition(",")[2], validate=True) == JPEG


async def test_with_image_among_the_modalities_nothing_is_stored(keys: KeyStore, aws_environment: Any) -> None:
    bucket = Bucket(aws_environment, DENIED)
    async with studio_of(keys, aws=bucket.aws) as studio:
        studio.answer = drawing(PNG)
        assert (await said(studio, modalities=["text", "image"]))["images"]
    assert bucket.stored == []


async def test_a_model_that_draws_nothing_refuses_image_among_the_modalities(studio: Studio) -> None:
    body = asking(CHAT, "gemini-2.5-flash", modalities=["text", "image"])
    assert "image output" in assert_error(await studio.client.post(CHAT, json=body), "unsupported")


@on_each_chat
@streamed_or_not
async def test_every_chat_links_to_the_images_of_its_answer(studio: Studio, path: str, stream: bool) -> None:
    studio.answer = drawing(PNG)
    response = await studio.client.post(path, json=asking(path, PAINTER, stream=stream))
    assert response.status_code == 200, response.text
    found = _MARKDOWN.findall(response.text)
    assert len(found) == 1
    assert await stored(f"![image]({found[0]})") == [PNG]


async def test_drafts_among_a_models_thoughts_are_no_images_of_its_answer(studio: Studio) -> None:
    draft = {**inline(JPEG), "thought": True}
    studio.answer = gemini({"text": "Let me see", "thought": True}, draft, inline(PNG))
    message = await said(studio, reasoning_effort="high")
    assert await stored(message["content"]) == [PNG]


@streamed_or_not
async def test_the_type_is_that_of_the_bytes_whatever_the_vendor_claims(studio: Studio, stream: bool) -> None:
    studio.answer = drawing(JPEG)  # as image/png
    message = await said(studio, stream=stream)
    (url,) = _MARKDOWN.findall(message["content"])
    async with httpx.AsyncClient() as browser:
        assert (await browser.get(url)).headers["content-type"] == "image/jpeg"


@streamed_or_not
async def test_the_sandbox_draws_in_chat_and_no_limit_cuts_its_picture(studio: Studio, stream: bool) -> None:
    message = await said(studio, SANDBOX, stream=stream, max_tokens=1)
    (picture,) = await stored(message["content"])
    assert size_of(picture) == (1024, 1024)
    (image,) = (await said(studio, SANDBOX, stream=stream, max_tokens=1, modalities=["image", "text"]))["images"]
    assert base64.b64decode(image["image_url"]["url"].partition(",")[2]) == picture


@streamed_or_not
async def test_several_candidates_have_each_their_image(studio: Studio, stream: bool) -> None:
    studio.answer = drawing(PNG)
    response = await studio.client.post(CHAT, json=asking(CHAT, PAINTER, n=2, stream=stream))
    choices: list[Any] = [{"index": 0, "text": ""}, {"index": 1, "text": ""}]
    if stream:
        for event in events(response)[:-1]:
            for choice in json.loads(event.data)["choices"]:
                choices[choice["index"]]["text"] += choice["delta"].get("content") or ""
    else:
        choices = [{**choice, "text": choice["message"]["content"]} for choice in response.json()["choices"]]
    for choice in choices:
        assert await stored(choice["text"]) == [PNG]
    assert len(studio.requests) == 2


async def test_images_of_one_answer_are_stored_at_once(keys: KeyStore, aws_environment: Any) -> None:
    everybody = asyncio.Barrier(2)

    async def answer(request: httpx.Request) -> httpx.Response:
        async with asyncio.timeout(5):
            await everybody.wait()
        return httpx.Response(200)

    async with studio_of(keys, aws=Bucket(aws_environment, answer).aws) as studio:
        studio.answer = drawing(PNG, JPEG)
        message = await said(studio)
    assert len(_MARKDOWN.findall(message["content"])) == 2


async def test_tokens_of_images_are_counted(studio: Studio) -> None:
    studio.answer = drawing(PNG)
    response = await studio.client.post(CHAT, json=asking(CHAT, PAINTER))
    usage = response.json()["usage"]
    assert (usage["prompt_tokens"], usage["completion_tokens"], usage["total_tokens"]) == (9, 1120, 1129)
    assert usage["completion_tokens_details"]["image_tokens"] == 1120


# --- a store that fails


@on_each_chat
async def test_an_image_that_cannot_be_stored_is_unavailable(keys: KeyStore, aws_environment: Any, path: str) -> None:
    async with studio_of(keys, aws=Bucket(aws_environment, DENIED).aws) as studio:
        studio.answer = drawing(PNG)
        response = await studio.client.post(path, json=asking(path, PAINTER))
    assert "AccessDenied" not in assert_error(response, "unavailable", retry_after=1)


@on_each_chat
async def test_a_stream_whose_first_event_is_such_an_image_keeps_its_real_status(
    keys: KeyStore, aws_environment: Any, path: str
) -> None:
    async with studio_of(keys, aws=Bucket(aws_environment, DENIED).aws) as studio:
        studio.answer = gemini_stream(gemini_content(inline(PNG)))
        response = await studio.client.post(path, json=asking(path, PAINTER, stream=True))
    assert_error(response, "unavailable", retry_after=1)


@on_each_chat
async def test_a_stream_that_has_begun_ends_with_the_error_where_the_image_would_be(
    keys: KeyStore, aws_environment: Any, path: str
) -> None:
    async with studio_of(keys, aws=Bucket(aws_environment, DENIED).aws) as studio:
        studio.answer = drawing(PNG)
        response = await studio.client.post(path, json=asking(path, PAINTER, stream=True))
    assert_broken_stream(response, "unavailable")
    assert "![image]" not in response.text


@streamed_or_not
async def test_a_store_that_hangs_is_a_time_out(keys: KeyStore, aws_environment: Any, stream: bool) -> None:
    async def answer(request: httpx.Request) -> httpx.Response:
        await asyncio.Event().wait()
        raise AssertionError

    hanging = Bucket(aws_environment, answer).aws
    async with studio_of(keys, {"GATEWAY_UPSTREAM_TIMEOUT": "0.3"}, aws=hanging) as studio:
        studio.answer = gemini_stream(gemini_content(inline(PNG))) if stream else drawing(PNG)
        async with asyncio.timeout(5):
            response = await studio.client.post(CHAT, json=asking(CHAT, PAINTER, stream=stream))
    assert_error(response, "timeout")


@streamed_or_not
async def test_bytes_that_are_no_image_are_a_bad_gateway(studio: Studio, stream: bool) -> None:
    studio.answer = drawing(b"<html>") if not stream else gemini_stream(gemini_content(inline(b"<html>")))
    assert_error(await studio.client.post(CHAT, json=asking(CHAT, PAINTER, stream=stream)), "upstream")


# --- a stored image that comes back


def history(content: Any) -> list[dict[str, Any]]:
    """A conversation whose earlier answer was `content`."""
    return [
        {"role": "user", "content": "Draw a cat"},
        {"role": "assistant", "content": content},
        {"role": "user", "content": "Now make it blue"},
    ]


def expired(url: str) -> str:
    """The URL as it is long after it was made: its signature holds no more."""
    return str(httpx.URL(url).copy_merge_params({"X-Amz-Date": "20200101T000000Z", "X-Amz-Expires": "1"}))


@pytest.mark.parametrize("age", [str, expired, lambda url: url.partition("?")[0]], ids=["fresh", "expired", "bare"])
async def test_a_stored_image_in_a_users_message_is_read_from_the_store(studio: Studio, url: str, age: Any) -> None:
    studio.answer = drawing(PNG)
    await said(studio, messages=user(age(url)))
    assert inlined(studio) == [PNG]


@pytest.mark.parametrize("age", [str, expired], ids=["fresh", "expired"])
async def test_a_stored_image_in_the_markdown_of_an_earlier_answer_is_shown_in_its_place(
    studio: Studio, url: str, age: Any
) -> None:
    studio.answer = drawing(PNG)
    await said(studio, messages=history(f"Here is one:\n\n![image]({age(url)})\n\nDo you like it?"))
    model = next(content for content in studio.sent["contents"] if content["role"] == "model")
    text, image, after = model["parts"]
    assert (text["text"], after["text"]) == ("Here is one:", "Do you like it?")
    assert base64.b64decode(image["inlineData"]["data"]) == PNG
    assert url.partition("?")[0] not in json.dumps(studio.sent)


async def test_a_whole_conversation_with_the_gateways_own_answers_goes_on(studio: Studio) -> None:
    studio.answer = drawing(OTHER_PNG)
    first = await said(studio)
    studio.requests.clear()
    await said(studio, messages=history(first["content"]))
    assert inlined(studio) == [OTHER_PNG]


async def test_images_of_an_answer_that_came_beside_the_text_come_back_as_image_urls(studio: Studio) -> None:
    studio.answer = drawing(PNG)
    content = [{"type": "text", "text": "Here"}, {"type": "image_url", "image_url": {"url": SHOWN}}]
    await said(studio, messages=history(content))
    assert inlined(studio) == [PNG]


async def test_a_vendor_whose_assistants_show_no_images_gets_it_with_the_users_words(studio: Studio, url: str) -> None:
    studio.answer = hello
    await said(studio, "gpt-4o-mini", messages=history(f"![image]({url})"))
    shown = [
        (message["role"], part["image_url"])
        for message in studio.sent["input"]
        if isinstance(message["content"], list)
        for part in message["content"]
        if part["type"] == "input_image"
    ]
    assert shown == [("user", SHOWN)]


async def test_a_model_without_eyes_gets_the_text_as_it_was(studio: Studio, url: str) -> None:
    studio.answer = hello
    await said(studio, "deepseek-ai/DeepSeek-V3-0324", messages=history(f"![image]({url})"))
    assert studio.sent["messages"][1]["content"] == f"![image]({url})"


async def test_an_image_of_elsewhere_in_markdown_stays_text(studio: Studio) -> None:
    studio.answer = drawing(PNG)
    text = "![a cat](https://example.com/cat.png)"
    await said(studio, messages=history(text))
    assert inlined(studio) == []
    assert text in json.dumps(studio.sent)


async def test_markdown_of_a_user_stays_text(studio: Studio, url: str) -> None:
    """Only answers of the gateway have images for their markdown: a user's may be pasted from anywhere."""
    studio.answer = drawing(PNG)
    await said(studio, messages=[{"role": "user", "content": f"![image]({url})"}])
    assert inlined(studio) == []


@pytest.mark.parametrize("path", ["/v1/chat/completions/stable", "/ai/chat", "/v1/inference/chat"])
async def test_it_is_so_in_every_dialect(studio: Studio, url: str, path: str) -> None:
    studio.answer = drawing(PNG)
    messages = [*history(f"![image]({expired(url)})")[:-1], *user(url)]
    response = await studio.client.post(path, json={"model": PAINTER, "messages": messages})
    assert response.status_code == 200, response.text
    assert inlined(studio) == [PNG, PNG]


async def test_another_tenants_image_is_not_read_from_the_store(studio: Studio, images: ImageStore) -> None:
    theirs = await images.put("another tenant", JPEG)
    studio.answer = drawing(PNG)
    response = await studio.client.post(CHAT, json={"model": PAINTER, "messages": user(expired(theirs))})
    assert response.status_code == 400
    assert_error(response, "validation", field=IMAGE_FIELD)
    assert studio.requests == []
    await said(studio, messages=history(f"![image]({theirs})"))
    assert inlined(studio) == []


async def test_nothing_but_images_is_read_from_the_store(studio: Studio, objects: ObjectStore, url: str) -> None:
    await objects.put("files/t/secret.png", PNG, "image/png")
    elsewhere = re.sub(r"/images/[^?]+", "/files/t/secret.png", url)
    climbing = re.sub(r"/images/([^/]+)/[^?]+", r"/images/\1/../../files/t/secret.png", url)
    encoded = re.sub(r"/images/([^/]+)/[^?]+", r"/images/\1/%2e%2e/%2E%2E/files/t/secret.png", url)
    studio.answer = drawing(PNG)
    for hostile in (elsewhere, climbing, encoded):
        response = await studio.client.post(CHAT, json={"model": PAINTER, "messages": user(hostile)})
        assert response.status_code == 400, hostile
    assert studio.requests == []


async def test_a_deleted_image_of_an_earlier_answer_is_told_to_the_model(
    studio: Studio, objects: ObjectStore, images: ImageStore
) -> None:
    url = await images.put(KEYS[TOKEN].tenant, b"\x89PNG\r\n\x1a\n deleted soon")
    await objects.delete(str(objects.key_of(url)))
    studio.answer = drawing(PNG)
    await said(studio, messages=history(f"Here: ![image]({url})"))
    assert inlined(studio) == []
    assert "no longer stored" in json.dumps(studio.sent["contents"])
    studio.requests.clear()
    response = await studio.client.post(CHAT, json={"model": PAINTER, "messages": user(url)})
    assert_error(response, "validation", field=IMAGE_FIELD)
    assert studio.requests == []


async def test_a_store_that_cannot_be_read_is_unavailable(keys: KeyStore, aws_environment: Any, url: str) -> None:
    async with studio_of(keys, aws=Bucket(aws_environment, answering(500)).aws) as studio:
        studio.answer = drawing(PNG)
        response = await studio.client.post(CHAT, json={"model": PAINTER, "messages": user(url)})
    assert_error(response, "unavailable", retry_after=1)
    assert studio.requests == []


async def test_an_image_is_stored_under_a_name_that_does_not_tell_its_tenant(studio: Studio, url: str) -> None:
    studio.answer = drawing(PNG)
    (linked,) = _MARKDOWN.findall((await said(studio))["content"])
    assert httpx.URL(linked).path == httpx.URL(url).path, "the same image is stored once"
    assert f"/{KEYS[TOKEN].tenant}/" not in linked
