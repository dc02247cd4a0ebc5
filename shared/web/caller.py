"""Who calls: a FastAPI dependency that turns a request's token into a Caller with the permission that it needs."""

from collections.abc import Mapping
from typing import Annotated

from fastapi import Depends, Request

from shared.errors import PermissionDenied, TokenMissing
from shared.gateway import Gateway
from shared.schemas.caller import Caller, Permission
from shared.web.app import context_of
from shared.web.process import process_gateway

ProcessGateway = Annotated[Gateway, Depends(process_gateway)]


async def inference_caller(request: Request, gateway: ProcessGateway) -> Caller:
    """The caller of an inference route. Raises Unauthorized or PermissionDenied."""
    caller = await gateway.authenticate(token_of(request.headers))
    context_of(request).caller = caller
    if Permission.MODELS_USE not in caller.permissions:
        raise PermissionDenied(f"This key lacks the permission {Permission.MODELS_USE}.")
    return caller


def token_of(headers: Mapping[str, str]) -> str:
    """The token of `Authorization: Bearer` or, without that header, of `x-api-key`. Raises TokenMissing."""
    authorization = headers.get("authorization")
    if authorization is None:
        token = headers.get("x-api-key", "").strip()
    else:
        scheme, _, token = authorization.strip().partition(" ")
        token = token.strip() if scheme.lower() == "bearer" else ""
    if not token:
        raise TokenMissing("An API key is required: send 'Authorization: Bearer <key>'.")
    return token


InferenceCaller = Annotated[Caller, Depends(inference_caller)]
