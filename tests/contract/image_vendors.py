"""Vendors of images behind the front door: what OpenAI, Gemini and Stability answer, and what they were asked."""

import base64
import io
import json
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from email.parser import BytesParser
from functools import cache
from typing import Any

import httpx
from PIL import Image

from shared.fetch import RemoteFetcher
from shared.stores.aws import Aws
from shared.stores.keys import KeyStore
from tests.client import TENANT_SECRET, gateway_client
from tests.contract.vendor import ENVIRONMENT as COMPATIBLE
from tests.contract.vendor import HOST, KEY, Handler, answering

ENVIRONMENT = {
    **COMPATIBLE,
    "GEMINI_API_KEY": KEY,
    "GEMINI_BASE_URL": f"https://{HOST}",
    "STABILITY_API_KEY": KEY,
    "STABILITY_BASE_URL": f"https://{HOST}",
    "GATEWAY_SANDBOX": "on",
}
OPENAI = "gpt-image-1"
GEMINI = "gemini-2.5-flash-image"
STABILITY = "stable-image-core-1.1"
STABILITY_EDITOR = "sd3.5-large"  # the core model makes images from text only
SANDBOX = "sandbox/image"
RESPONSE_ID = "the-vendors-response"


# --- pixels


@cache
def picture(kind: str = "png", colour: str = "red", size: tuple[int, int] = (2, 2)) -> bytes:
    """A real image file of one colour."""
    file = io.BytesIO()
    Image.new("RGB", size, colour).save(file, kind)
    return file.getvalue()


def b64(data: bytes) -> str:
    return base64.b64encode(data).decode()


def size_of(data: bytes) -> tuple[int, int]:
    """Width and height in pixels of an image that can be read whole."""
    with Image.open(io.BytesIO(data)) as image:
        image.load()
        return image.size


PNG = picture()
OTHER_PNG = picture(colour="blue")
JPEG = picture("jpeg")
GIF = picture("gif")
WEBP = picture("webp")
FILES = {"image/png": PNG, "image/jpeg": JPEG, "image/gif": GIF, "image/webp": WEBP}


# --- what the vendors answer


def openai_images(*images: bytes, usage: Any = None, revised_prompt: str | None = None) -> Handler:
    """OpenAI's images; `usage` as the vendor counts it."""
    body: dict[str, Any] = {"created": 1700000000, "data": [{"b64_json": b64(image)} for image in images or (PNG,)]}
    if usage is not None:
        body["usage"] = usage
    if revised_prompt is not None:
        body["data"] = [{**item, "revised_prompt": revised_prompt} for item in body["data"]]
    return lambda request: httpx.Response(200, json=body)


def gemini_content(*parts: Any, finish: str = "STOP", **more: Any) -> dict[str, Any]:
    """A GenerateContentResponse with one candidate, as the vendor writes it."""
    return {
        "candidates": [{"content": {"parts": list(parts), "role": "model"}, "finishReason": finish, "index": 0}],
        "usageMetadata": {
            "promptTokenCount": 9,
            "candidatesTokenCount": 1120,
            "totalTokenCount": 1129,
            "promptTokensDetails": [{"modality": "TEXT", "tokenCount": 9}],
            "candidatesTokensDetails": [{"modality": "IMAGE", "tokenCount": 1120}],
        },
        "modelVersion": "the-vendors-model",
        "responseId": RESPONSE_ID,
        **more,
    }


def inline(data: bytes, mime_type: str = "image/png") -> dict[str, Any]:
    """A part that is an image."""
    return {"inlineData": {"mimeType": mime_type, "data": b64(data)}}


def gemini(*parts: Any, **more: Any) -> Handler:
    body = gemini_content(*parts, **more)
    return lambda request: httpx.Response(200, json=body)


def gemini_stream(*chunks: Any) -> Handler:
    body = "".join(f"data: {json.dumps(chunk)}\r\n\r\n" for chunk in chunks).encode()
    return lambda request: httpx.Response(200, content=body, headers={"content-type": "text/event-stream"})


BLOCKED = {
    "promptFeedback": {"blockReason": "PROHIBITED_CONTENT"},
    "usageMetadata": {"promptTokenCount": 9, "totalTokenCount": 9},
    "modelVersion": "the-vendors-model",
    "responseId": RESPONSE_ID,
}


def stability_image(data: bytes = PNG, finish_reason: str = "SUCCESS") -> Handler:
    return lambda request: httpx.Response(
        200, json={"image": b64(data), "finish_reason": finish_reason, "seed": 343940597}
    )


def paint(request: httpx.Request) -> httpx.Response:
    """One red PNG, in the words of the vendor that is asked."""
    path = request.url.path
    if ":generateContent" in path:
        answer = gemini(inline(PNG), {"text": "Here it is."})
    elif path.startswith("/v2beta/"):
        answer = stability_image()
    elif path.startswith("/v1/images/"):
        answer = openai_images()
    else:
        answer = answering(404)
    response = answer(request)
    assert isinstance(response, httpx.Response)
    return response


# --- where images are kept


def _taken(request: httpx.Request) -> httpx.Response:
    return httpx.Response(200)


@dataclass
class Bucket:
    """What stands in for S3; it takes everything, unless `answer` says otherwise."""

    environment: Mapping[str, str]
    answer: Handler = _taken
    stored: list[httpx.Request] = field(default_factory=list)

    def __call__(self, request: httpx.Request) -> Any:
        if request.headers.get("x-amz-target") == "secretsmanager.GetSecretValue":
            return httpx.Response(200, json={"SecretString": TENANT_SECRET})
        if "x-amz-target" in request.headers:  # DynamoDB, which takes down what was used
            return httpx.Response(200, json={"Attributes": {}})
        self.stored.append(request)
        return self.answer(request)

    @property
    def aws(self) -> Aws:
        return Aws(self.environment, transport=httpx.MockTransport(self))


DENIED = answering(403, b"<Error><Code>AccessDenied</Code></Error>")


# --- who is asked


@dataclass
class Studio:
    """What stands in for every vendor of images; `client` reaches the gateway in front of it."""

    answer: Handler = paint
    requests: list[httpx.Request] = field(default_factory=list)
    client: httpx.AsyncClient = field(init=False)

    def __call__(self, request: httpx.Request) -> Any:
        self.requests.append(request)
        return self.answer(request)

    @property
    def request(self) -> httpx.Request:
        """The one call that was made."""
        (request,) = self.requests
        return request

    @property
    def sent(self) -> Any:
        """The JSON of the one call that was made."""
        return json.loads(self.request.content)


@asynccontextmanager
async def studio_of(
    keys: KeyStore,
    environment: Mapping[str, str] = {},
    *,
    aws: Aws | None = None,
    fetcher: RemoteFetcher | None = None,
) -> AsyncIterator[Studio]:
    """A studio behind a gateway with further settings, another AWS for its images, or another internet."""
    studio = Studio()
    async with gateway_client(keys, {**ENVIRONMENT, **environment}, studio, aws=aws, fetcher=fetcher) as studio.client:
        yield studio


@dataclass(frozen=True)
class SentFile:
    filename: str
    media_type: str
    content: bytes


def form_of(request: httpx.Request) -> dict[str, list[str | SentFile]]:
    """The fields and files that a vendor got, by name, read by another library than the one that wrote them."""
    head = f"content-type: {request.headers['content-type']}\r\n\r\n".encode()
    found: dict[str, list[str | SentFile]] = {}
    for name, value in _parts(BytesParser().parsebytes(head + request.content).get_payload()):
        found.setdefault(name, []).append(value)
    return found


def _parts(payload: Any) -> Iterator[tuple[str, str | SentFile]]:
    for part in payload:
        name = part.get_param("name", header="content-disposition")
        content = part.get_payload(decode=True)
        filename = part.get_filename()
        yield name, content.decode() if filename is None else SentFile(filename, part.get_content_type(), content)
