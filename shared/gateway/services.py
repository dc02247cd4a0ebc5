"""The composition root: everything that a function needs behind its routes, made when it is first needed."""

from collections.abc import Mapping
from datetime import UTC, datetime
from functools import cached_property
from typing import TYPE_CHECKING

from shared.catalog import SANDBOX, Catalog
from shared.providers import load_vendor
from shared.providers.base import InProcess, LocalAnswer
from shared.schemas.model import Model
from shared.settings import Settings
from shared.stores.aws import Aws
from shared.stores.keys import KeyStore
from shared.stores.secrets import ProviderSecret

if TYPE_CHECKING:
    import httpx

    from shared.fetch import RemoteFetcher
    from shared.gateway.chat_images import Inputs
    from shared.prices import PriceTable
    from shared.schemas.price import Price
    from shared.stores.batches import BatchStore
    from shared.stores.files import FileStore
    from shared.stores.images import ImageStore
    from shared.stores.limits.store import LimitStore
    from shared.stores.objects import ObjectStore
    from shared.stores.queue import Queue
    from shared.stores.tenants import TenantFolders
    from shared.upstream import Upstream


class Services:
    """Everything a function needs behind its routes; one for the life of the process."""

    def __init__(
        self,
        settings: Settings,
        keys: KeyStore,
        *,
        aws: Aws | None = None,
        secret: ProviderSecret | None = None,
        transport: "httpx.AsyncBaseTransport | None" = None,
        fetcher: "RemoteFetcher | None" = None,
    ) -> None:
        self.settings = settings
        self.keys = keys
        self.catalog = Catalog.load(settings)
        self._aws = aws or Aws()
        self._secret = secret
        self._secret_values: Mapping[str, str] = {}
        self._given_fetcher = fetcher
        self._transport = transport

    @classmethod
    def from_environment(cls, environment: Mapping[str, str]) -> "Services":
        """The gateway that an operator's environment describes. Raises ValueError naming a setting that is wrong."""
        settings = Settings.from_environment(environment)
        aws = Aws()
        secret = ProviderSecret(aws, settings.provider_secret) if settings.provider_secret else None
        keys = KeyStore(aws, settings.keys_table, cache_seconds=settings.key_cache)
        return cls(settings, keys, aws=aws, secret=secret)

    @cached_property
    def upstream(self) -> "Upstream":
        from shared.upstream import Upstream  # with httpx, which is half as large as all the rest

        return Upstream(
            connect_timeout=self.settings.connect_timeout,
            in_process={SANDBOX: _answer_in_process},
            transport=self._transport,
        )

    @cached_property
    def fetcher(self) -> "RemoteFetcher":
        """Fetches media behind callers' URLs."""
        from shared.fetch import RemoteFetcher  # few requests have media by URL: the others need not pay for it

        return self._given_fetcher or RemoteFetcher(allow_http=self.settings.fetch_http)

    @cached_property
    def objects(self) -> "ObjectStore":
        """The bucket of generated images and uploaded files."""
        from shared.stores.objects import ObjectStore

        return ObjectStore(self._aws, self.settings.media_bucket)

    @cached_property
    def tenant_folders(self) -> "TenantFolders":
        """Names the places of tenants' objects."""
        from shared.stores.tenants import TenantFolders

        return TenantFolders(self._aws, self.settings.tenant_secret)

    @cached_property
    def images(self) -> "ImageStore":
        """Keeps generated images."""
        from shared.stores.images import ImageStore

        return ImageStore(self.objects, self.tenant_folders, lifetime=self.settings.image_url_lifetime)

    @cached_property
    def limits(self) -> "LimitStore | None":
        """The limits of keys and what they have used; None where nothing is limited."""
        if self.settings.limits_table is None:
            return None
        from shared.stores.limits.store import LimitStore

        return LimitStore(
            self._aws,
            self.settings.limits_table,
            self.settings.usage_table,
            open_on_failure=self.settings.limits_fail_open,
        )

    @cached_property
    def files(self) -> "FileStore":
        """Keeps callers' files."""
        from shared.stores.files import FileStore

        return FileStore(self.objects, self.tenant_folders)

    @cached_property
    def batches(self) -> "BatchStore":
        """Keeps what is known of batches."""
        from shared.stores.batches import BatchStore

        return BatchStore(self._aws, self.settings.batches_table)

    @cached_property
    def batch_queue(self) -> "Queue":
        """Brings the batches' work to the workers."""
        from shared.stores.queue import Queue

        return Queue(self._aws, self.settings.batch_queue)

    @cached_property
    def _prices(self) -> "PriceTable":
        from shared.prices import PriceTable

        return PriceTable.load()

    @cached_property
    def inputs(self) -> "Inputs":
        """Prepares the media in requests for the models that get them."""
        from shared.gateway.chat_images import Inputs

        return Inputs(lambda: self.fetcher, lambda: self.images)

    async def aclose(self) -> None:
        if "upstream" in self.__dict__:
            await self.upstream.aclose()
        if "fetcher" in self.__dict__:
            await self.fetcher.aclose()
        await self._aws.aclose()

    async def refresh(self) -> None:
        """Takes in providers' keys that have changed in the secret. Raises AwsError while it could never be read."""
        if self._secret is not None and (values := await self._secret.values()) is not self._secret_values:
            self._secret_values = values
            self.catalog = self.catalog.configured_by({**self.settings.environment, **values})

    def price(self, model: Model) -> "Price | None":
        """What the provider charges now, None where no price is configured. An operator's row overrides the table."""
        return self.catalog.price(model) or self._prices.find(model.provider, model.upstream, datetime.now(UTC))


def _answer_in_process(path: str, body: bytes) -> LocalAnswer:
    vendor = load_vendor(SANDBOX)
    assert isinstance(vendor, InProcess)
    return vendor.answer(path, body)
