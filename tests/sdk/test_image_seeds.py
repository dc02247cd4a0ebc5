"""The image samples of the API references that the gateway serves, run as printed: only base URL and key are ours.

The pages' samples are quoted with their indentation restored, which the pages as they were saved have lost. A local
vendor answers for the models that they name.
"""

import base64
import io
import json
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest
from google.genai.types import GenerateContentResponse
from PIL import Image

from tests.sdk.curl import Answer, needs_curl, shell
from tests.sdk.server import TOKEN, environment
from tests.sdk.vendor import Vendor

Run = Callable[[str], Answer]

needs_node = pytest.mark.skipif(shutil.which("node") is None, reason="Node.js is not installed")

_HOSTS = ("https://inference.zenith-ai.one", "https://gateway.iotex.ai", "https://api.azerion.ai")
_KEYS = ("<your-token>", "YOU_KAPI_KEY", "YOUR_ACCESS_TOKEN")


def picture(colour: str, kind: str = "png") -> bytes:
    file = io.BytesIO()
    Image.new("RGB", (8, 8), colour).save(file, kind)
    return file.getvalue()


def text64(data: bytes) -> str:
    return base64.b64encode(data).decode()


PNG, SOURCE, JPEG = picture("red"), picture("blue"), picture("green", "jpeg")

GEMINI = {
    "candidates": [
        {
            "content": {
                "role": "model",
                "parts": [
                    {"inlineData": {"data": text64(PNG), "mimeType": "image/png"}},
                    {"text": "Here is the generated image."},
                ],
            },
            "finishReason": "STOP",
            "index": 0,
        }
    ],
    "usageMetadata": {"promptTokenCount": 9, "totalTokenCount": 9},
    "modelVersion": "the-vendors-model",
    "responseId": "the-vendors-response",
}
STABILITY = {"image": text64(JPEG), "finish_reason": "SUCCESS", "seed": 1}


def ours(printed: str, url: str) -> str:
    """A sample with our base URL and key in the place of its own."""
    for host in _HOSTS:
        printed = printed.replace(host, url)
    for key in _KEYS:
        printed = printed.replace(key, TOKEN)
    return printed


@pytest.fixture
def run(vendor_url: str, tmp_path: Path) -> Run:
    """Runs a printed command line against the gateway that calls `vendor`."""
    return lambda printed: shell(ours(printed, vendor_url), tmp_path)


def say(vendor: Vendor, body: Any, *pieces: Any) -> None:
    stream = "".join(f"data: {json.dumps(piece)}\r\n\r\n" for piece in pieces)
    vendor.say(json.dumps(body).encode(), [stream.encode()])


def executed(command: list[str], home: Path, **settings: str) -> str:
    """What a program prints, which must end well and complain of nothing."""
    result = subprocess.run(
        command,
        cwd=home,
        env=environment(home, **settings),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (result.returncode, result.stderr) == (0, ""), result.stderr
    return result.stdout


# --- /v1/image/generation/stable

STABLE_CURL = r"""curl -X POST https://inference.zenith-ai.one/v1/image/generation/stable \
-H "Authorization: Bearer <your-token>" \
-H "Content-Type: application/json" \
-d '{"prompt": "a futuristic city at sunset, photorealistic"}'"""
STABLE_EDIT_CURL = r"""curl -X POST https://inference.zenith-ai.one/v1/image/generation/stable \
-H "Authorization: Bearer <your-token>" \
-H "Content-Type: application/json" \
-d '{
"prompt": "Change the sky to a dramatic purple sunset",
"images": [
{"data": "<base64-encoded PNG>", "mime_type": "image/png"}
]
}'"""
STABLE_DATA_URI = """{
"prompt": "Make the background a beach",
"images": ["data:image/jpeg;base64,<base64-encoded JPEG>"]
}"""
STABLE_PYTHON = """import requests, base64
# Text-to-image
resp = requests.post(
    "https://inference.zenith-ai.one/v1/image/generation/stable",
    headers={"Authorization": "Bearer <your-token>"},
    json={"prompt": "a cat sitting on a cloud"},
).json()
# Image-to-image (pass base64-encoded source image)
with open("source.png", "rb") as f:
    b64_image = base64.b64encode(f.read()).decode()
resp = requests.post(
    "https://inference.zenith-ai.one/v1/image/generation/stable",
    headers={"Authorization": "Bearer <your-token>"},
    json={
        "prompt": "make the background a snowy mountain",
        "images": [{"data": b64_image, "mime_type": "image/png"}],
    },
).json()
for i, candidate in enumerate(resp.get("candidates", [])):
    for j, part in enumerate(candidate["content"]["parts"]):
        if part.get("inline_data"):
            img_bytes = base64.b64decode(part["inline_data"]["data"])
            open(f"image_{i}_{j}.png", "wb").write(img_bytes)
        elif part.get("text"):
            print("Text:", part["text"])
"""


def assert_stable(answer: Answer) -> None:
    """That an answer is the page's own, and one that Google's SDK reads."""
    assert answer.status == 200, answer.body
    body = answer.json()
    assert body["candidates"][0]["content"] == {
        "role": "model",
        "parts": [
            {"inline_data": {"data": text64(PNG), "mime_type": "image/png"}},
            {"text": "Here is the generated image."},
        ],
    }
    assert body["candidates"][0]["finish_reason"] == "STOP"
    counts = body["usage_metadata"]
    assert (counts["prompt_token_count"], counts["candidates_token_count"]) == (9, 0)
    read = GenerateContentResponse.model_validate(body)
    assert read.candidates
    assert read.candidates[0].content
    assert read.candidates[0].content.parts
    blob = read.candidates[0].content.parts[0].inline_data
    assert blob
    assert blob.data == PNG


@needs_curl
def test_the_stable_sample_makes_an_image_of_text(run: Run, vendor: Vendor) -> None:
    say(vendor, GEMINI)
    assert_stable(run(STABLE_CURL))
    (part,) = vendor.seen[0].json["contents"][0]["parts"]
    assert part == {"text": "a futuristic city at sunset, photorealistic"}


@needs_curl
def test_the_stable_sample_makes_an_image_of_an_image(run: Run, vendor: Vendor) -> None:
    say(vendor, GEMINI)
    assert_stable(run(STABLE_EDIT_CURL.replace("<base64-encoded PNG>", text64(SOURCE))))
    shown, _ = vendor.seen[0].json["contents"][0]["parts"]
    assert shown == {"inlineData": {"mimeType": "image/png", "data": text64(SOURCE)}}


@needs_curl
def test_the_stable_sample_as_printed_with_its_placeholder_is_refused(run: Run, vendor: Vendor) -> None:
    answer = run(STABLE_EDIT_CURL)
    assert answer.status == 400
    assert answer.json()["error"]["param"] == "images[0]"
    assert vendor.seen == []


@needs_curl
def test_the_stable_body_with_a_data_uri_is_taken(run: Run, vendor: Vendor) -> None:
    say(vendor, GEMINI)
    body = STABLE_DATA_URI.replace("<base64-encoded JPEG>", text64(JPEG))
    assert_stable(run(STABLE_CURL.partition("-d ")[0] + "-d " + shlex.quote(body)))
    shown, _ = vendor.seen[0].json["contents"][0]["parts"]
    assert shown == {"inlineData": {"mimeType": "image/jpeg", "data": text64(JPEG)}}


def test_Z41_the_stable_pages_python_script_runs(vendor_url: str, vendor: Vendor, tmp_path: Path) -> None:
    say(vendor, GEMINI)
    (tmp_path / "source.png").write_bytes(SOURCE)
    script = tmp_path / "sample.py"
    script.write_text(ours(STABLE_PYTHON, vendor_url), "utf-8")
    printed = executed([sys.executable, str(script)], tmp_path)
    assert printed == "Text: Here is the generated image.\n"
    assert (tmp_path / "image_0_0.png").read_bytes() == PNG
    first, second = vendor.seen
    assert [part["text"] for part in first.json["contents"][0]["parts"]] == ["a cat sitting on a cloud"]
    assert second.json["contents"][0]["parts"][0]["inlineData"]["data"] == text64(SOURCE)


def test_Z41_the_stable_pages_python_script_survives_a_blocked_prompt(
    vendor_url: str, vendor: Vendor, tmp_path: Path
) -> None:
    """It indexes content and parts unguarded."""
    say(vendor, {"promptFeedback": {"blockReason": "SAFETY"}, "usageMetadata": {"promptTokenCount": 9}})
    (tmp_path / "source.png").write_bytes(SOURCE)
    script = tmp_path / "sample.py"
    script.write_text(ours(STABLE_PYTHON, vendor_url), "utf-8")
    assert executed([sys.executable, str(script)], tmp_path) == ""
    assert list(tmp_path.glob("image_*")) == []


def test_an_answer_of_12_MB_arrives_whole(vendor_url: str, vendor: Vendor) -> None:
    noise = PNG + bytes(range(256)) * (9 * 2**20 // 256)
    large = json.loads(json.dumps(GEMINI).replace(text64(PNG), text64(noise)))
    say(vendor, large)
    answer = httpx.post(
        f"{vendor_url}/v1/image/generation/stable",
        headers={"authorization": f"Bearer {TOKEN}"},
        json={"prompt": "a cat"},
        trust_env=False,
    )
    assert answer.status_code == 200
    assert len(answer.content) > 12 * 2**20
    data = answer.json()["candidates"][0]["content"]["parts"][0]["inline_data"]["data"]
    assert base64.b64decode(data) == noise


# --- /v1/chat/completions and /v1/images/generations

TEXT_AND_IMAGE_TO_IMAGE = r"""curl -N -X POST "https://gateway.iotex.ai/v1/chat/completions" \
  -H "Authorization: Bearer YOU_KAPI_KEY" \
  -H "Content-Type: application/json" \
  -d '{
    "model": "gemini-3-pro-image-preview",
    "stream": true,
    "messages": [
      {
        "role": "user",
        "content": [
          { "type": "text", "text": "Change this picture to watercolor style and only output the picture" },
          {
            "type": "image_url",
            "image_url": {
              "url": "data:image/png;base64,<Your input image base64>"
            }
          }
        ]
      }
    ],
    "max_tokens": 1024
  }'"""
GENERATIONS = r"""curl -X POST "https://gateway.iotex.ai/v1/images/generations" \
  -H "Authorization: Bearer YOU_KAPI_KEY" \
  -H "Content-Type: application/json" \
  -d '{
    "model": "gemini-3-pro-image-preview",
    "prompt": "A cyberpunk cat in a neon-lit street",
    "n": 1,
    "size": "1024x1024"
  }'"""


def opened(url: str) -> httpx.Response:
    return httpx.get(url, trust_env=False)


@needs_curl
def test_I11_the_sample_gets_an_image_for_text_and_an_image_streamed(run: Run, vendor: Vendor) -> None:
    say(vendor, GEMINI, GEMINI)
    answer = run(TEXT_AND_IMAGE_TO_IMAGE.replace("<Your input image base64>", text64(SOURCE)))
    *chunks, done = answer.frames()
    assert done == "[DONE]"
    said = "".join(chunk["choices"][0]["delta"].get("content") or "" for chunk in chunks)
    (url,) = re.findall(r"!\[image\]\((http\S+)\)", said)
    assert opened(url).content == PNG
    assert said.endswith("Here is the generated image.")
    assert chunks[-1]["choices"][0]["finish_reason"] == "stop"
    (seen,) = vendor.seen
    assert seen.path.endswith(":streamGenerateContent?alt=sse")
    _, shown = seen.json["contents"][0]["parts"]
    assert shown["inlineData"]["data"] == text64(SOURCE)
    assert "maxOutputTokens" not in seen.json["generationConfig"]


@needs_curl
def test_I15_I16_the_sample_gets_a_url_that_serves_the_image(run: Run, vendor: Vendor) -> None:
    say(vendor, GEMINI)
    answer = run(GENERATIONS)
    assert answer.status == 200
    body = answer.json()
    assert isinstance(body["created"], int)
    (image,) = body["data"]
    assert image.keys() == {"url"}
    file = opened(image["url"])
    assert (file.status_code, file.headers["content-type"], file.content) == (200, "image/png", PNG)
    assert vendor.seen[0].json["generationConfig"]["imageConfig"] == {"aspectRatio": "1:1"}


# --- /v1/images/generations with Stability's model

AZERION_CURL = r"""curl https://api.azerion.ai/v1/images/generations \
-H "Content-Type: application/json" \
-H "Authorization: Bearer YOUR_ACCESS_TOKEN" \
-d '{
"model": "stable-image-core-1.1",
"prompt": "cat",
"style": "vivid",
"response_format": "b64_json"
}'"""
AZERION_PYTHON = """import requests
import os
api_key = os.environ.get("AZERION_API_KEY") # Or AZERION_ACCESS_TOKEN
url = "https://api.azerion.ai/v1/images/generations" # Replace with your actual base URL if different
headers = {
    "Content-Type": "application/json",
    "Authorization": f"Bearer {api_key}"
}
data = {
    "model": "stable-image-core-1.1",
    "prompt": "cat",
    "style": "vivid",
    "response_format": "b64_json"
}
response = requests.post(url, headers=headers, json=data)
result = response.json()
# Get the base64 image data
image_data = result['data'][0]['b64_json']
print(f"Generated image data: {image_data[:50]}...") # Print first 50 characters
print(f"Usage: {result['usage']}")
"""
AZERION_NODE = """const fetch = require('node-fetch');
const apiKey = process.env.AZERION_API_KEY; // Or AZERION_ACCESS_TOKEN
const url = 'https://api.azerion.ai/v1/images/generations'; // Replace with your actual base URL if different
const headers = {
'Content-Type': 'application/json',
'Authorization': `Bearer ${apiKey}`
};
const data = {
model: 'stable-image-core-1.1',
prompt: 'cat',
style: 'vivid',
response_format: 'b64_json'
};
fetch(url, {
method: 'POST',
headers: headers,
body: JSON.stringify(data)
})
.then(response => response.json())
.then(result => {
const imageData = result.data[0].b64_json;
console.log('Generated image data:', imageData.substring(0, 50) + '...');
console.log('Usage:', result.usage);
})
.catch(error => console.error('Error:', error));
"""
# What `node-fetch` is to the sample: Node has had the same function built in since version 18.
NODE_FETCH = "module.exports = fetch;\n"

NO_TOKENS = {
    "input_tokens": 0,
    "input_tokens_details": {"image_tokens": 0, "text_tokens": 0},
    "output_tokens": 0,
    "total_tokens": 0,
}


@needs_curl
def test_A16_the_curl_sample_gets_the_pages_answer(run: Run, vendor: Vendor) -> None:
    say(vendor, STABILITY)
    answer = run(AZERION_CURL)
    assert answer.status == 200
    body = answer.json()
    assert isinstance(body.pop("created"), int)
    assert body == {"data": [{"b64_json": text64(JPEG)}], "usage": NO_TOKENS}
    assert body["data"][0]["b64_json"].startswith("/9j/4AAQS"), "as the page prints it"
    (seen,) = vendor.seen
    assert seen.path == "/v2beta/stable-image/generate/core"
    assert b'name="prompt"\r\n\r\ncat\r\n' in seen.body


def test_A16_the_python_sample_prints_the_image_and_the_usage(vendor_url: str, vendor: Vendor, tmp_path: Path) -> None:
    say(vendor, STABILITY)
    script = tmp_path / "sample.py"
    script.write_text(ours(AZERION_PYTHON, vendor_url), "utf-8")
    printed = executed([sys.executable, str(script)], tmp_path, AZERION_API_KEY=TOKEN)
    assert printed == f"Generated image data: {text64(JPEG)[:50]}...\nUsage: {NO_TOKENS}\n"


@needs_node
def test_A16_the_node_sample_prints_the_image_and_the_usage(vendor_url: str, vendor: Vendor, tmp_path: Path) -> None:
    say(vendor, STABILITY)
    modules = tmp_path / "node_modules" / "node-fetch"
    modules.mkdir(parents=True)
    (modules / "index.js").write_text(NODE_FETCH)
    script = tmp_path / "sample.js"
    script.write_text(ours(AZERION_NODE, vendor_url), "utf-8")
    first, usage = executed(["node", str(script)], tmp_path, AZERION_API_KEY=TOKEN).split("\n", 1)
    assert first == f"Generated image data: {text64(JPEG)[:50]}..."
    assert usage.startswith("Usage: {")
    assert "total_tokens: 0" in usage
