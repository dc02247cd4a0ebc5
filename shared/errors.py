"""Every error the gateway answers with, as a tree; dialects only give it their shape.

    GatewayError
    ├── InvalidRequest            400   the request cannot be served as it stands
    │   ├── MalformedRequest      400   not JSON, not UTF-8, wrong content type
    │   ├── ValidationFailed      400   a field is missing, of the wrong type or out of range (422 on envelope)
    │   ├── UnsupportedFeature    400   the chosen model lacks a feature that the request needs
    │   ├── ContentFiltered       400   a content filter refused the whole request
    │   ├── PreviousNotFound      400   the response to continue from is unknown, deleted or not complete
    │   └── UpstreamRejected      400   the provider's own 400, cleaned
    │       └── ContextTooLong    400   the input, or the input and the answer, do not fit into the model's context
    ├── Unauthorized              401
    │   └── TokenMissing          401
    ├── PermissionDenied          403
    │   └── ModelAccessDenied     403
    ├── NotFound                  404
    │   ├── ModelNotFound         404
    │   ├── ResponseNotFound      404
    │   └── BatchNotFound         404
    ├── MethodNotAllowed          405
    ├── Conflict                  409   what is asked for no longer fits the state of its object
    │   └── IdempotencyKeyInUse   409   the first request with the key is still being answered
    ├── IdempotencyKeyReused      422   the key was used for a request with another body
    ├── PayloadTooLarge           413
    ├── RateLimited               429
    │   ├── BudgetExceeded        429   money or a quota is used up until its day or month ends
    │   └── UpstreamRateLimited   429
    ├── InsufficientQuota         429   the operator's account with the provider has no credit left
    ├── InternalError             500
    ├── UpstreamError             502
    │   ├── CredentialsRefused    502   the provider refused the operator's key or account
    │   └── UpstreamIncomplete    502   the connection or the provider's answer broke off
    │       └── UpstreamUnreadable 502  the provider's answer could not be read
    ├── ModelUnavailable          503
    │   └── UpstreamOverloaded    503   the provider has no capacity at the moment
    └── UpstreamTimeout           504

A message is written for the caller: no exception text, key, stack or internal host may be put into one.
"""

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

from shared.dataclass import dataclass

# OpenAI's and Anthropic's SDKs wait this many seconds at most for a retry, whatever Retry-After says.
_LONGEST_SDK_WAIT = 60


@dataclass(frozen=True, slots=True)
class FieldError:
    """One wrong field: its dotted path in the request body, and what is wrong with it."""

    field: str
    message: str


class GatewayError(Exception):
    """An answer that is not a success.

    `status` is the HTTP status, `code` the canonical code that dialects translate, `retryable` whether the same
    request may succeed later, `retry_after` whole seconds to wait, `details` the fields that are wrong. `unsent` says
    that the provider has certainly not got the request, so that it charges nothing. `advice` says what the operator
    can do; it is logged and never sent to a caller. `vendor_details` are those of an error of Anthropic's that its own
    clients act on.
    """

    status: ClassVar[int]
    code: ClassVar[str]
    retryable: bool = False

    def __init__(
        self,
        message: str,
        *,
        details: Sequence[FieldError] = (),
        retry_after: int | None = None,
    ) -> None:
        super().__init__(message)
        self.message = message
        self.details = tuple(details)
        self.retry_after = retry_after
        self.unsent = False
        self.advice: str | None = None
        self.vendor_details: Mapping[str, Any] | None = None

    @property
    def param(self) -> str | None:
        """The field at fault, where there is one."""
        return self.details[0].field if self.details else None

    @property
    def sdk_may_retry(self) -> bool:
        """Whether a retry by the caller's SDK can succeed; SDKs wait for a minute at most."""
        return (self.retryable or self.retry_after is not None) and (self.retry_after or 0) <= _LONGEST_SDK_WAIT


class InvalidRequest(GatewayError):
    status = 400
    code = "invalid_request"

    @staticmethod
    def field(name: str, message: str) -> "ValidationFailed":
        """The error of one field: `message` says what is wrong with the field `name`."""
        return ValidationFailed(f"{name}: {message}", details=[FieldError(name, message)])


class MalformedRequest(InvalidRequest):
    pass


class ValidationFailed(InvalidRequest):
    pass


class UnsupportedFeature(InvalidRequest):
    code = "unsupported_feature"


class ContentFiltered(InvalidRequest):
    code = "content_filter"


class PreviousNotFound(InvalidRequest):
    code = "previous_response_not_found"


class UpstreamRejected(InvalidRequest):
    """`vendor_code` is the provider's code, such as `unsupported_parameter`, and `param` the field that it names."""

    def __init__(self, message: str, *, vendor_code: str | None = None, param: str | None = None) -> None:
        super().__init__(message, details=[FieldError(param, message)] if param else ())
        self.vendor_code = vendor_code


class ContextTooLong(UpstreamRejected):
    code = "context_length_exceeded"


class Unauthorized(GatewayError):
    status = 401
    code = "token_invalid"


class TokenMissing(Unauthorized):
    code = "token_missing"


class PermissionDenied(GatewayError):
    status = 403
    code = "permission_denied"


class ModelAccessDenied(PermissionDenied):
    code = "model_access_denied"


class NotFound(GatewayError):
    status = 404
    code = "not_found"


class ModelNotFound(NotFound):
    code = "model_not_found"


class ResponseNotFound(NotFound):
    pass


class BatchNotFound(NotFound):
    code = "batch_not_found"


class MethodNotAllowed(GatewayError):
    status = 405
    code = "method_not_allowed"

    def __init__(self, message: str, *, allow: str) -> None:
        super().__init__(message)
        self.allow = allow


class Conflict(GatewayError):
    status = 409
    code = "conflict"


class IdempotencyKeyInUse(Conflict):
    """Set `retry_after`: the first request with the key is still being answered."""

    code = "idempotency_key_in_use"
    retryable = True


class IdempotencyKeyReused(GatewayError):
    status = 422
    code = "idempotency_key_reused"


class PayloadTooLarge(GatewayError):
    status = 413
    code = "payload_too_large"


class RateLimited(GatewayError):
    """429; `retry_after` is None, and `retryable` False, where the same request will never pass."""

    status = 429
    code = "rate_limited"

    def __init__(self, message: str, *, retry_after: int | None) -> None:
        super().__init__(message, retry_after=retry_after)
        self.retryable = retry_after is not None


class BudgetExceeded(RateLimited):
    code = "budget_exceeded"


class UpstreamRateLimited(RateLimited):
    code = "upstream_rate_limited"


class InsufficientQuota(GatewayError):
    """429 without `retry_after`: the operator's account has to be topped up."""

    status = 429
    code = "insufficient_quota"


class InternalError(GatewayError):
    status = 500
    code = "internal_error"
    retryable = True


class UpstreamError(GatewayError):
    status = 502
    code = "upstream_error"
    retryable = True


class CredentialsRefused(UpstreamError):
    retryable = False


class UpstreamIncomplete(UpstreamError):
    pass


class UpstreamUnreadable(UpstreamIncomplete):
    pass


class ModelUnavailable(GatewayError):
    status = 503
    code = "model_unavailable"


class UpstreamOverloaded(ModelUnavailable):
    """503; `retry_after` is always set here."""

    code = "overloaded"
    retryable = True

    def __init__(self, message: str, *, retry_after: int) -> None:
        super().__init__(message, retry_after=retry_after)


class UpstreamTimeout(GatewayError):
    status = 504
    code = "upstream_timeout"
    retryable = True
