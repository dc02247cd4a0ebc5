"""What callers are told while stored responses cannot be reached."""

from collections.abc import Iterator
from contextlib import contextmanager

from shared.gateway.aws_failures import unavailable
from shared.observability import logger
from shared.stores.aws_calls import AwsError


@contextmanager
def store_failures_answered() -> Iterator[None]:
    """Raises ModelUnavailable in place of AwsError, whose text goes to the log alone."""
    try:
        yield
    except AwsError as error:
        logger().warning("stored responses cannot be reached", extra={"error": str(error)})
        raise unavailable("The store of responses") from error
