"""What the operations of Amazon Bedrock share: authentication, framing, addresses and errors.

Errors: https://docs.aws.amazon.com/bedrock/latest/APIReference/API_runtime_Converse.html and
https://docs.aws.amazon.com/bedrock/latest/userguide/troubleshooting-api-error-codes.html.
"""

import re
from collections.abc import Mapping
from typing import TYPE_CHECKING
from urllib.parse import quote

from shared.errors import CredentialsRefused, GatewayError, ModelNotFound, UpstreamError
from shared.framing import Frame
from shared.providers.base import (
    SignerSource,
    clean,
    error_body,
    error_for_status,
    no_credit,
    overloaded,
    retry_after_seconds,
)
from shared.providers.bedrock.event_stream import EXCEPTION, EventStreamDecoder
from shared.schemas.model import Model

if TYPE_CHECKING:
    import httpx

NAME = "bedrock"

# The status that an exception stands for, also inside a stream, where there is no other. An unknown one is a failure of
# the vendor.
_STATUSES = {
    "AccessDeniedException": 403,
    "ExpiredTokenException": 403,
    "IncompleteSignatureException": 403,
    "InternalServerException": 500,
    "InvalidSignatureException": 403,
    "MissingAuthenticationTokenException": 403,
    "ModelErrorException": 500,
    "ModelStreamErrorException": 500,
    "ModelTimeoutException": 504,
    "ResourceNotFoundException": 404,
    "ThrottlingException": 429,
    "UnrecognizedClientException": 403,
    "ValidationException": 400,
}
_BUSY = frozenset({"ModelNotReadyException", "ServiceUnavailableException"})
_QUOTA = "ServiceQuotaExceededException"
_DENIED = "AccessDeniedException"

# What AWS says of a model that the account has to be given access to, or has lost it: the caller cannot help it.
_NOT_ENABLED = re.compile(
    r"use case details|don't have access to the model|not authorized to|marked by provider as legacy"
    r"|end of its life|access to this model is not available|aws-marketplace",
    re.IGNORECASE,
)
_UNKNOWN_MODEL = re.compile(r"model identifier is invalid|could not resolve the foundation model", re.IGNORECASE)
_NOISE = re.compile(r"^The model returned the following errors: ")

_ALLOW = (
    "Allow bedrock:InvokeModel and bedrock:InvokeModelWithResponseStream on the model and its inference profile to the"
    " role of the functions: the stack's parameter Bedrock does so for the models of the default catalog, all of them"
    " with the value all. Bedrock's console shows whether the account has access to the model in that region."
)
_ENABLE = (
    "Enable the model for the account and region in Bedrock's console (some vendors ask for use case details first), or"
    " point its row to a living model with GATEWAY_CATALOG."
)
_CREDENTIALS = "Check the AWS credentials with which the gateway calls Bedrock, and its clock."


class Bedrock:
    """Amazon Bedrock's runtime API."""

    name = NAME

    def auth(self, api_key: str | None) -> "httpx.Auth | None":
        """A Bedrock API key: https://docs.aws.amazon.com/bedrock/latest/userguide/api-keys-use.html."""
        if not api_key:
            return None
        from shared.providers.auth import HeaderAuth

        return HeaderAuth("authorization", f"Bearer {api_key}")

    def signature(self, signer: SignerSource) -> "httpx.Auth":
        from shared.providers.bedrock.signature import Signature

        return Signature(signer)

    def frames(self) -> EventStreamDecoder:
        return EventStreamDecoder()

    def error(self, status: int, headers: Mapping[str, str], body: bytes) -> GatewayError:
        """`body` is `{"message": text}`; the exception is named in a header."""
        exception = headers.get("x-amzn-errortype", "").partition(":")[0].rpartition("#")[2]
        return _error(exception, status, headers, _message(body))


def model_path(model: Model, action: str) -> str:
    """The path of an action on the upstream model, which may be an ARN."""
    return f"/model/{quote(model.upstream, safe='')}/{action}"


def family(model: Model) -> str:
    """The vendor of the upstream model, such as `anthropic`, as its id or that of its inference profile says.

    Empty for an ARN that names no model.
    """
    parts = model.upstream.rpartition("/")[2].split(".")
    return parts[1] if len(parts) > 2 and parts[0] in _GEOGRAPHIES else parts[0] if len(parts) > 1 else ""


# What the ids of cross-region inference profiles begin with:
# https://docs.aws.amazon.com/bedrock/latest/userguide/inference-profiles-support.html
_GEOGRAPHIES = frozenset({"apac", "au", "ca", "eu", "global", "il", "in", "jp", "us", "us-gov"})


def raise_exception(frame: Frame) -> None:
    """Raises the exception in a frame, if it is one."""
    if frame.event.startswith(EXCEPTION):
        exception = frame.event.removeprefix(EXCEPTION)
        # Events are named as the members of the stream's shape are, in camel case.
        raise _error(exception[:1].upper() + exception[1:], 500, {}, _message(frame.data))


def _message(body: bytes) -> str | None:
    parsed = error_body(body)
    fields = parsed if isinstance(parsed, dict) else {}
    message = fields.get("message") or fields.get("Message")
    return _NOISE.sub("", message) if isinstance(message, str) else None


def _error(exception: str, status: int, headers: Mapping[str, str], message: str | None) -> GatewayError:
    if exception in _BUSY:
        return overloaded(retry_after_seconds(headers))
    if exception == _QUOTA:
        return _advised(no_credit(), "A quota of the account is used up: ask for more in Service Quotas.", message)
    status = _STATUSES.get(exception, status)
    if status == 403 or (status in (400, 404) and _NOT_ENABLED.search(message or "")):
        refused = CredentialsRefused("The provider refused the gateway's credentials or account.")
        advice = _ALLOW if exception == _DENIED else _CREDENTIALS if status == 403 else _ENABLE
        return _advised(refused, advice, message)
    if status == 400 and _UNKNOWN_MODEL.search(message or ""):
        return ModelNotFound("The provider does not know this model.")
    if status == 424:
        return UpstreamError("The model failed.")
    return error_for_status(408 if status == 504 else status, headers, message)


def _advised(error: GatewayError, advice: str, message: str | None) -> GatewayError:
    """The error with what the operator can do and what AWS said."""
    error.advice = f"{advice} AWS: {clean(message)}" if message else advice
    return error


vendor = Bedrock()
