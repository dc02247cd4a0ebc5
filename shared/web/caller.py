"""Authenticates a request and checks the permissions of its route."""

from shared.authentication import authenticate, require_permissions
from shared.authorizer import caller_of
from shared.gateway.services import Services
from shared.routes import Route
from shared.schemas.caller import Caller
from shared.web.http import Request


async def authorized_caller(request: Request, services: Services, route: Route) -> Caller:
    """The caller of a request, who needs the permissions of its route.

    Raises Unauthorized or PermissionDenied, and AwsError.
    """
    caller = caller_of(request.scope.get("aws.event") or {}) if services.settings.trust_authorizer else None
    if caller is None:
        accepted = () if route.send_either_key else (services.settings.key_header,)
        caller = await authenticate(request.headers, services.keys, *accepted)
    request.scope["state"]["caller"] = caller  # for the log, also where it lacks a permission
    require_permissions(caller, route.permissions)
    await services.refresh()
    return caller
