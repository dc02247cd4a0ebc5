"""What callers are told when AWS fails a request of theirs."""

from collections.abc import Iterator
from contextlib import contextmanager

from shared.errors import ModelUnavailable
from shared.observability import log_aws_failure
from shared.schemas.context import RequestInfo
from shared.stores.aws_calls import AwsError

RETRY_AFTER = 1


@contextmanager
def aws_failures_answered(request: RequestInfo) -> Iterator[None]:
    """Raises ModelUnavailable in place of AwsError, whose text goes to the log alone."""
    try:
        yield
    except AwsError as error:
        log_aws_failure(request, str(error))
        raise unavailable("The gateway's storage") from error


def unavailable(what: str) -> ModelUnavailable:
    """The error of a request for which something of AWS could not be used."""
    return ModelUnavailable(f"{what} cannot be reached at the moment. Try again later.", retry_after=RETRY_AFTER)
