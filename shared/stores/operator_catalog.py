"""The operator's rows of the catalog in a stack: a TOML file in the bucket, which may change at any time."""

import time
from collections.abc import Callable
from urllib.parse import urlsplit

from shared.shared_call import SharedCall
from shared.stores.aws import Aws
from shared.stores.aws_calls import AwsError
from shared.stores.objects import ObjectNotFound, ObjectStore

TTL_SECONDS = 300.0
KEY = "config/catalog.toml"
"""Where the command line puts the file, and the template lets functions read it."""


class OperatorCatalog:
    """The text of the object at `s3://bucket/key`, read again once it is older than TTL_SECONDS."""

    def __init__(self, aws: Aws, url: str, *, clock: Callable[[], float] = time.monotonic) -> None:
        parts = urlsplit(url)
        self._objects = ObjectStore(aws, parts.netloc)
        self._key = parts.path.removeprefix("/")
        self._clock = clock
        self._text: str | None = None
        self._expires: float | None = None
        self._reading = SharedCall(lambda: self._objects.get(self._key))

    async def text(self) -> str | None:
        """None while there is no such object. Raises AwsError while it has never been read.

        A text that cannot be read again is kept: a bucket that cannot be reached must not take models away.
        """
        if self._expires is None or self._clock() >= self._expires:
            try:
                self._text = (await self._reading.result()).content.decode(errors="replace")
            except ObjectNotFound:
                self._text = None
            except AwsError:
                if self._expires is None:
                    raise
            self._expires = self._clock() + TTL_SECONDS
        return self._text
