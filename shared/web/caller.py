"""Who calls: a FastAPI dependency that turns a request's token into a Caller with the permission that it needs."""

from typing import Annotated

from fastapi import Depends, Request

from shared.authentication import authenticate
from shared.authorizer import caller_of
from shared.errors import PermissionDenied
from shared.gateway.services import Services
from shared.schemas.caller import Caller, Permission
from shared.web.app import context_of
from shared.web.process import process_services

ProcessServices = Annotated[Services, Depends(process_services)]


async def inference_caller(request: Request, services: ProcessServices) -> Caller:
    """The caller of an inference route. Raises Unauthorized or PermissionDenied."""
    caller = caller_of(request.scope.get("aws.event") or {}) if services.settings.trust_authorizer else None
    if caller is None:
        caller = await authenticate(request.headers, services.keys, services.settings.key_header)
    context_of(request).caller = caller
    if Permission.MODELS_USE not in caller.permissions:
        raise PermissionDenied(f"This key lacks the permission {Permission.MODELS_USE}.")
    await services.refresh()
    return caller


InferenceCaller = Annotated[Caller, Depends(inference_caller)]
