"""GIFs on their way to vendors that refuse them."""

import io

import httpx
import pytest
from PIL import Image as Picture

from shared.stores.keys import KeyStore
from tests.client import gateway_client

pytestmark = pytest.mark.anyio


def film() -> bytes:
    """A GIF of a red frame and a blue one."""
    frames = [Picture.new("RGB", (64, 48), colour) for colour in ("red", "blue")]
    written = io.BytesIO()
    frames[0].save(written, "GIF", save_all=True, append_images=frames[1:])
    return written.getvalue()


async def test_of_a_gif_the_first_frame_is_sent_as_png(keys: KeyStore) -> None:
    seen: list[bytes] = []

    async def vendor(request: httpx.Request) -> httpx.Response:
        seen.append(await request.aread())
        return httpx.Response(500)

    async with gateway_client(keys, {"STABILITY_API_KEY": "sk-stability"}, vendor) as client:
        form = {"model": "sd3.5-large", "prompt": "more light"}
        await client.post("/v1/images/edits", data=form, files={"image": ("film.gif", film())})
    body = seen[0]
    still = Picture.open(io.BytesIO(body[body.index(b"\x89PNG") :])).convert("RGB")
    assert still.size == (64, 48)
    red, green, blue = still.getpixel((5, 5))  # type: ignore[misc]
    assert red > 250
    assert green + blue < 10


@pytest.mark.parametrize("route", ["/v1/images/edits", "/v1/image/generation/stable"])
async def test_a_damaged_gif_is_the_callers_error(keys: KeyStore, route: str) -> None:
    keys_of_vendors = {"STABILITY_API_KEY": "sk-stability", "GEMINI_API_KEY": "gemini-key"}
    async with gateway_client(keys, keys_of_vendors) as client:
        if route.endswith("edits"):
            form = {"model": "sd3.5-large", "prompt": "more light"}
            answer = await client.post(route, data=form, files={"image": ("film.gif", b"GIF89a-nothing")})
        else:
            answer = await client.post(route, json={"prompt": "x", "images": ["data:image/gif;base64,R0lGODlhLS0t"]})
    assert answer.status_code == 400
    assert answer.json()["error"]["param"] == ("image" if route.endswith("edits") else "images[0]")
