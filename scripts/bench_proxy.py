"""The baseline of `make bench`: a typical OpenAI proxy with FastAPI and httpx."""

import os
from collections.abc import AsyncIterator

import httpx
from fastapi import FastAPI, HTTPException, Request, Response
from fastapi.responses import StreamingResponse

app = FastAPI()
upstream = httpx.AsyncClient(
    base_url=os.environ["OPENAI_BASE_URL"],
    headers={"Authorization": f"Bearer {os.environ['OPENAI_API_KEY']}"},
    timeout=300,
    limits=httpx.Limits(max_connections=int(os.environ.get("MAX_CONNECTIONS", "100"))),
)


@app.post("/v1/chat/completions")
async def chat(request: Request) -> Response:
    return await forward("/chat/completions", request)


@app.post("/v1/embeddings")
async def embeddings(request: Request) -> Response:
    return await forward("/embeddings", request)


async def forward(path: str, request: Request) -> Response:
    if request.headers.get("authorization") != f"Bearer {os.environ['PROXY_KEY']}":
        raise HTTPException(401)
    body = await request.json()
    if body.get("stream"):
        sent = await upstream.send(upstream.build_request("POST", path, json=body), stream=True)
        return StreamingResponse(relay(sent), sent.status_code, media_type=sent.headers["content-type"])
    answer = await upstream.post(path, json=body)
    return Response(answer.content, answer.status_code, media_type=answer.headers["content-type"])


async def relay(sent: httpx.Response) -> AsyncIterator[bytes]:
    try:
        async for chunk in sent.aiter_bytes():
            yield chunk
    finally:
        await sent.aclose()
