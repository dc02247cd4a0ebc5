"""AWS for `make bench`: a proxy for moto that keeps connections open, as AWS does and moto does not."""

import os

import httpx
from fastapi import FastAPI, Request, Response

app = FastAPI()
moto = httpx.AsyncClient(base_url=os.environ["MOTO_URL"], timeout=60)


@app.post("/")
async def call(request: Request) -> Response:
    headers = {name: value for name, value in request.headers.items() if name not in ("host", "connection")}
    answer = await moto.post("/", content=await request.body(), headers=headers)
    return Response(answer.content, answer.status_code, media_type=answer.headers["content-type"])
