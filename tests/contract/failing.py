"""Vendors that fail as they are told, each behind a model of its own, and the catalog rows of these models."""

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx

from tests.contract.accounts import catalog
from tests.contract.vendor import BEGINNING, ENDING, ENVIRONMENT, hello

_ROW = """
[[models]]
id = "{id}"
provider = "deepinfra"
upstream = "up-{id}"
capabilities = [{capabilities}]
price = {{ input = "{price}", output = "{price}", characters = "1" }}
{more}
"""
_EVERYTHING = "chat function_calling embeddings image_generation image_editing speech transcription"


def row(name: str, *, capabilities: str = _EVERYTHING, price: int = 1, more: str = "") -> str:
    """A row of the catalog; `capabilities` are separated by spaces, `price` is in dollars for a million tokens."""
    quoted = ", ".join(f'"{capability}"' for capability in capabilities.split())
    return _ROW.format(id=name, capabilities=quoted, price=price, more=more)


def environment(folder: Path, *rows: str) -> dict[str, str]:
    """The gateway's, with these rows or those of the models `a`, `b` and `c`."""
    return ENVIRONMENT | catalog(folder, "\n".join(rows or (row("a"), row("b"), row("c"))))


Answer = Callable[[httpx.Request], httpx.Response | Awaitable[httpx.Response]]


def status(code: int, **headers: str) -> Answer:
    return lambda request: httpx.Response(
        code,
        json={"error": {"message": "Failed on purpose."}},
        headers={k.replace("_", "-"): v for k, v in headers.items()},
    )


def raising(error: Exception) -> Answer:
    def answer(request: httpx.Request) -> httpx.Response:
        raise error

    return answer


def garbage(request: httpx.Request) -> httpx.Response:
    return httpx.Response(200, content=b'{"choices": [{"mess')


def cut(beginning: bytes = b"", error: Exception | None = None) -> Answer:
    """A stream that breaks after this beginning."""

    async def body() -> AsyncIterator[bytes]:
        yield beginning
        raise error or httpx.ReadError("broken")

    return lambda request: httpx.Response(200, content=body())


def silent(beginning: bytes = b"") -> Answer:
    """A stream that never says anything after this beginning."""

    async def body() -> AsyncIterator[bytes]:
        yield beginning
        await asyncio.Event().wait()

    return lambda request: httpx.Response(200, content=body())


SAID_HELLO = BEGINNING


@dataclass
class Vendors:
    """Answers by upstream model: each list is worked off, its last item is repeated; "Hello there" is the default."""

    scripts: dict[str, list[Answer]] = field(default_factory=dict)
    asked: list[str] = field(default_factory=list)
    bodies: list[Any] = field(default_factory=list)

    def script(self, model: str, *answers: Answer) -> None:
        self.scripts[f"up-{model}"] = list(answers)

    async def __call__(self, request: httpx.Request) -> httpx.Response:
        content = await request.aread()
        if request.headers["content-type"] == "application/json":
            body = json.loads(content)
            upstream = body["model"]
        else:
            body = content
            upstream = next(
                name for name in (*self.scripts, "up-a", "up-b", "up-c") if f"\r\n{name}\r\n".encode() in content
            )
        self.asked.append(upstream.removeprefix("up-"))
        self.bodies.append(body)
        answers = self.scripts.get(upstream, [good])
        answer = answers.pop(0) if len(answers) > 1 else answers[0]
        response = answer(request)
        return response if isinstance(response, httpx.Response) else await response


def good(request: httpx.Request) -> httpx.Response:
    """What an OpenAI-compatible vendor answers to each kind of request."""
    path = request.url.path
    if path.endswith("/embeddings"):
        count = len(json.loads(request.content)["input"])
        data = [{"object": "embedding", "index": at, "embedding": [0.5, 0.25]} for at in range(count)]
        return httpx.Response(200, json={"data": data, "usage": {"prompt_tokens": 3, "total_tokens": 3}})
    if "/images/" in path:
        return httpx.Response(200, json={"created": 1, "data": [{"b64_json": _PNG}]})
    if path.endswith("/speech"):
        return httpx.Response(200, content=b"ID3 audio", headers={"content-type": "audio/mpeg"})
    if path.endswith("/transcriptions"):
        return httpx.Response(200, json={"text": "Hello", "duration": 0.5, "language": "en", "segments": []})
    return hello(request)


_PNG = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAIAAACQd1PeAAAADElEQVR4nGNgYGAAAAAEAAH2FzhVAAAAAElFTkSuQmCC"


class Slow:
    """A vendor that answers when it is told to, and knows whether it was asked and cancelled."""

    def __init__(self, answer: Answer = good, *, opening: bytes | None = None) -> None:
        self._answer = answer
        self._opening = opening
        self.asked, self.may_answer, self.cancelled = asyncio.Event(), asyncio.Event(), asyncio.Event()

    async def __call__(self, request: httpx.Request) -> httpx.Response:
        self.asked.set()
        if self._opening is not None:
            return httpx.Response(200, content=self._body(self._opening))
        await self._wait()
        answer = self._answer(request)
        return answer if isinstance(answer, httpx.Response) else await answer

    async def _body(self, opening: bytes) -> AsyncIterator[bytes]:
        yield opening
        await self._wait()
        yield BEGINNING + ENDING

    async def _wait(self) -> None:
        try:
            await self.may_answer.wait()
        except BaseException:
            self.cancelled.set()
            raise
