"""AWS for `make bench`: DynamoDB in memory, since moto's is slow, and a proxy for moto's other services.

It keeps connections open, as AWS does and moto does not.
"""

import os

import httpx
from fastapi import FastAPI, Request, Response

from scripts.memory_dynamodb import TARGET, MemoryDynamoDb
from shared.gateway.services import Services
from shared.stores.aws import Aws

app = FastAPI()
moto = httpx.AsyncClient(base_url=os.environ["MOTO_URL"], timeout=60)
dynamodb = MemoryDynamoDb()
has_tables = False
_CREDENTIALS = {"AWS_REGION": "us-east-1", "AWS_ACCESS_KEY_ID": "bench", "AWS_SECRET_ACCESS_KEY": "bench"}


@app.post("/")
async def call(request: Request) -> Response:
    target = request.headers.get("x-amz-target", "")
    content = await request.body()
    if target.startswith(TARGET):
        await _make_tables()
        status, answer = dynamodb.answer(target, content)
        return Response(answer, status, media_type="application/x-amz-json-1.0")
    headers = {name: value for name, value in request.headers.items() if name not in ("host", "connection")}
    response = await moto.post("/", content=content, headers=headers)
    return Response(response.content, response.status_code, media_type=response.headers["content-type"])


async def _make_tables() -> None:
    """Makes the tables that the local server of a checkout makes, before the first call."""
    global has_tables
    if has_tables:
        return
    has_tables = True
    aws = Aws(_CREDENTIALS, transport=dynamodb)
    services = Services.from_environment({"GATEWAY_LIMITS_TABLE": "gateway-limits"}, aws)
    await services.keys.create_table()
    assert services.limits is not None
    await services.limits.create_tables()
    await services.batches.create_table()
