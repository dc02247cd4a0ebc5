"""Proves a gateway that is up, from outside: `make smoke URL=https://…`. Exits with 1 when a step fails.

A client's key comes from GATEWAY_KEY (or KEY) in the environment, or is asked for without being shown. BUFFERED=on
accepts streams that come all at once, as from emulators of API Gateway.
"""

import json
import os
import sys
import time
from collections.abc import Callable, Iterator
from getpass import getpass
from typing import Any

import httpx

_BATCH_SECONDS = 180
_QUESTION = [{"role": "user", "content": "Count from one to twenty in words."}]


def main() -> None:
    """Runs every step, printing one line each."""
    url, key = os.environ.get("URL", "").rstrip("/"), _key()
    if not url or not key:
        sys.exit("usage: make smoke URL=https://… [MODEL=Auto], with a client's key in GATEWAY_KEY")
    model = os.environ.get("MODEL", "Auto")
    failed = 0
    with httpx.Client(base_url=url, timeout=120) as client:
        for step in (_unauthorized, _models, _chat, _dialects, _responses, _stream, _image, _batch):
            failed += not _passes(step, client, {"authorization": f"Bearer {key}"}, model)
    sys.exit(1 if failed else 0)


def _key() -> str:
    given = os.environ.get("KEY") or os.environ.get("GATEWAY_KEY")
    if given or not sys.stdin.isatty():
        return given or ""
    return getpass("A client's key, not shown: ").strip()


Step = Callable[[httpx.Client, dict[str, str], str], str]


def _passes(step: Step, client: httpx.Client, headers: dict[str, str], model: str) -> bool:
    try:
        print(f"ok    {step(client, headers, model)}")
    except (AssertionError, httpx.HTTPError, KeyError, ValueError) as error:
        print(f"FAIL  {step.__name__.strip('_')}: {error or type(error).__name__}")
        return False
    return True


def _ask(client: httpx.Client, headers: dict[str, str], path: str, body: dict[str, Any]) -> Any:
    response = client.post(path, json=body, headers=headers)
    assert response.status_code == 200, f"{path} answered {response.status_code}: {response.text[:300]}"
    return response.json()


def _unauthorized(client: httpx.Client, headers: dict[str, str], model: str) -> str:
    for given in ({}, {"authorization": "Bearer sk-this-is-no-key"}):
        status = client.post("/v1/chat/completions", json={}, headers=given).status_code
        assert status == 401, f"a request without a valid key was answered {status}"
    return "requests without a valid key are refused"


def _models(client: httpx.Client, headers: dict[str, str], model: str) -> str:
    response = client.get("/v1/models", headers=headers)
    assert response.status_code == 200, f"/v1/models answered {response.status_code}"
    names = [row["id"] for row in response.json()["data"]]
    assert names, "no model is configured"
    return f"{len(names)} models are configured, {names[0]} first"


def _chat(client: httpx.Client, headers: dict[str, str], model: str) -> str:
    answer = _ask(client, headers, "/v1/chat/completions", {"model": model, "messages": _QUESTION})
    assert answer["choices"][0]["message"]["content"], "the answer is empty"
    assert answer["usage"]["total_tokens"] > 0, "no usage was reported"
    return f"{answer['model']} answered a chat with {answer['usage']['completion_tokens']} tokens"


def _dialects(client: httpx.Client, headers: dict[str, str], model: str) -> str:
    body = {"model": model, "messages": _QUESTION}
    assert _ask(client, headers, "/v1/chat/completions/stable", body)["choices"][0]["message"]["content"]
    assert _ask(client, headers, "/ai/chat", body)["message"]["content"]
    assert _ask(client, headers, "/v1/inference/chat", body)["data"]["choices"][0]["message"]["content"]
    # Anthropic's clients send their key in a header of their own.
    key = headers["authorization"].removeprefix("Bearer ")
    assert _ask(client, {"x-api-key": key}, "/v1/messages", {**body, "max_tokens": 4000})["content"]
    return "the other dialects answer too"


def _responses(client: httpx.Client, headers: dict[str, str], model: str) -> str:
    first = _ask(client, headers, "/v1/responses", {"model": model, "input": _QUESTION})
    assert first["output"], "the response is empty"
    if not first["store"]:
        return "a response was answered; none is stored here"
    body = {"model": model, "input": "And backwards?", "previous_response_id": first["id"]}
    second = _ask(client, headers, "/v1/responses", body)
    assert client.get(f"/v1/responses/{second['id']}", headers=headers).json() == second, "it is not as it was answered"
    for response in (first, second):
        status = client.delete(f"/v1/responses/{response['id']}", headers=headers).status_code
        assert status == 200, f"deleting a response answered {status}"
    return "a response was stored, continued and deleted"


def _stream(client: httpx.Client, headers: dict[str, str], model: str) -> str:
    body = {"model": model, "messages": _QUESTION, "stream": True}
    with client.stream("POST", "/v1/chat/completions", json=body, headers=headers) as response:
        assert response.status_code == 200, f"a stream answered {response.status_code}"
        arrivals = list(_arrivals(response))
    assert len(arrivals) > 2, f"the stream came in {len(arrivals)} pieces"
    spread = arrivals[-1] - arrivals[0]
    streams = spread > 0.01 or os.environ.get("BUFFERED") == "on"
    assert streams, "the stream's pieces all came at once: something on the way buffers"
    return f"a stream came in {len(arrivals)} pieces over {spread:.2f} s"


def _image(client: httpx.Client, headers: dict[str, str], model: str) -> str:
    rows = client.get("/v1/models", headers=headers).json()["data"]
    painters = [row["id"] for row in rows if "image_generation" in row["capabilities"]]
    if not painters:
        return "no image model is configured: images were not tried"
    body = {"model": painters[0], "prompt": "a red circle on white"}
    url = _ask(client, headers, "/v1/images/generations", body)["data"][0]["url"]
    image = httpx.get(url, timeout=60)
    assert image.status_code == 200, f"the image's URL answered {image.status_code}"
    assert image.headers["content-type"].startswith("image/"), f"the image is {image.headers['content-type']}"
    return f"{painters[0]} drew an image, and its URL opens"


def _batch(client: httpx.Client, headers: dict[str, str], model: str) -> str:
    line = {"method": "POST", "url": "/v1/inference/chat", "body": {"model": model, "messages": _QUESTION}}
    order = {"requests": [{"custom_id": name, **line} for name in ("one", "two")]}
    batch = _ask(client, headers, "/v1/inference/batch", order)["data"]
    until = time.monotonic() + _BATCH_SECONDS
    while batch["status"] not in ("completed", "failed", "expired", "cancelled"):
        assert time.monotonic() < until, f"the batch is still {batch['status']} after {_BATCH_SECONDS} seconds"
        time.sleep(0.5)
        batch = client.get(f"/v1/inference/batch/{batch['id']}", headers=headers).json()["data"]
    counts = batch["request_counts"]
    assert counts["completed"] == 2, f"of two lines of a batch {counts['failed']} failed"
    assert len(httpx.get(batch["output_file_url"], timeout=60).text.splitlines()) == 2, "the results are incomplete"
    return "a batch of two was answered, and its results open"


def _arrivals(response: httpx.Response) -> Iterator[float]:
    """When each piece of content came; a stream must say that it is complete."""
    for line in response.iter_lines():
        if line == "data: [DONE]":
            return
        if line.startswith("data: ") and json.loads(line[6:])["choices"]:
            yield time.perf_counter()
    raise AssertionError("the stream ended before it was complete")


if __name__ == "__main__":
    main()
