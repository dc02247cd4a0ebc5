"""What an operator may change while the gateway runs: providers' keys and rows of the catalog."""

import asyncio
import logging
import time
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

from shared.catalog import Catalog
from shared.settings import Settings
from shared.stores.aws import Aws
from shared.stores.secrets import ProviderSecret

if TYPE_CHECKING:
    from shared.stores.operator_catalog import OperatorCatalog


class Configuration:
    """The catalog with the operator's rows, from a file or the bucket, and with providers' keys from the secret."""

    def __init__(
        self,
        settings: Settings,
        aws: Aws,
        secret: ProviderSecret | None,
        *,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Raises ValueError for a file that is wrong."""
        self._settings = settings
        self._secret = secret
        self._values: Mapping[str, str] = {}
        self._operator = _operator_catalog(settings, aws, clock)
        self._text: str | None = None
        self._rows = Catalog.load(settings)
        self.catalog = self._rows

    async def refresh(self) -> Catalog:
        """The same catalog until something has changed. Raises AwsError while the secret or the rows are unread."""
        values, text = self._values, self._text
        if self._secret is not None and self._operator is not None:
            values, text = await asyncio.gather(self._secret.values(), self._operator.text())
        elif self._secret is not None:
            values = await self._secret.values()
        elif self._operator is not None:
            text = await self._operator.text()
        if values is not self._values or text != self._text:
            if text != self._text:
                self._load(text)
            self._values, self._text = values, text
            self.catalog = self._rows.configured_by({**self._settings.environment, **values})
        return self.catalog

    def _load(self, text: str | None) -> None:
        """Rows that are wrong change nothing: the gateway must not go down with them."""
        try:
            self._rows = Catalog.load(self._settings, text)
        except ValueError as error:
            logging.getLogger(__name__).error("The operator's rows of the catalog are not used: %s", error)


def _operator_catalog(settings: Settings, aws: Aws, clock: Callable[[], float]) -> "OperatorCatalog | None":
    if settings.catalog is None or not settings.catalog_in_bucket:
        return None
    from shared.stores.operator_catalog import OperatorCatalog  # with S3, which most requests do not need

    return OperatorCatalog(aws, settings.catalog, clock=clock)
