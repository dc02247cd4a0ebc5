"""Authenticates a request and checks the permissions of its route."""

from collections.abc import Iterable

from fastapi import Request

from shared.authentication import authenticate, require_permissions
from shared.authorizer import caller_of
from shared.gateway.services import Services
from shared.schemas.caller import Caller, Permission


async def authorized_caller(request: Request, services: Services, permissions: Iterable[Permission]) -> Caller:
    """The caller of a request that needs `permissions`. Raises Unauthorized or PermissionDenied, and AwsError."""
    caller = caller_of(request.scope.get("aws.event") or {}) if services.settings.trust_authorizer else None
    if caller is None:
        caller = await authenticate(request.headers, services.keys, services.settings.key_header)
    request.scope["state"]["caller"] = caller  # for the log, also where it lacks a permission
    require_permissions(caller, permissions)
    await services.refresh()
    return caller
