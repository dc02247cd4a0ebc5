"""Images by the contract's numbers: generations, edits, the envelope, and the stable dialect's raw content."""

import base64

import httpx
import pytest

from shared.stores.keys import KeyStore
from tests.door import front_door

pytestmark = pytest.mark.anyio
PNG = base64.b64decode(
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
)


def painter(request: httpx.Request) -> httpx.Response:
    return httpx.Response(200, json={"created": 1, "data": [{"b64_json": base64.b64encode(PNG).decode()}]})


async def test_I16_the_url_serves_the_image(keys: KeyStore) -> None:
    async with front_door(keys, {"OPENAI_API_KEY": "sk-vendor-key"}, painter) as client:
        answer = await client.post("/v1/images/generations", json={"model": "gpt-image-1", "prompt": "cat"})
    assert answer.status_code == 200, answer.text
    async with httpx.AsyncClient() as plain:
        image = await plain.get(answer.json()["data"][0]["url"])
    assert image.content == PNG
    assert image.headers["content-type"] == "image/png"
