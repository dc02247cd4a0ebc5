"""The composition root: everything that a function needs behind its routes, each part made on first use."""

import asyncio
import os
import time
from collections.abc import Awaitable, Callable, Coroutine, Mapping
from datetime import UTC, datetime
from functools import cache, cached_property
from typing import TYPE_CHECKING, Any

from shared.catalog import SANDBOX, Provider
from shared.errors import CredentialsRefused
from shared.gateway.circuits import Circuits
from shared.gateway.configuration import Configuration
from shared.providers import load_vendor
from shared.providers.base import InProcess, LocalAnswer, SigningVendor, Vendor
from shared.schemas.model import Model
from shared.settings import Settings
from shared.stores.aws import Aws
from shared.stores.aws_calls import AwsError
from shared.stores.keys import KeyStore
from shared.stores.secrets import ProviderSecret

if TYPE_CHECKING:
    import httpx

    from shared.fetch import RemoteFetcher
    from shared.gateway.chat_images import Inputs
    from shared.gateway.replays import Replays
    from shared.prices import PriceTable
    from shared.schemas.price import Price
    from shared.sealing import Sealer
    from shared.sigv4 import Signer
    from shared.stores.batches import BatchStore
    from shared.stores.circuits import CircuitStore
    from shared.stores.files import FileStore
    from shared.stores.images import ImageStore
    from shared.stores.limits.store import LimitStore
    from shared.stores.objects import ObjectStore
    from shared.stores.queue import Queue
    from shared.stores.responses import ResponseStore
    from shared.stores.stack_secret import StackSecret
    from shared.stores.stored_bytes import StoredBytes
    from shared.stores.tenants import TenantFolders
    from shared.upstream import Upstream

_SETTLING_SECONDS = 5.0
"""How long what is still to be settled is waited for at the end, before it is left in the queue."""


class Services:
    """Everything a function needs behind its routes; one instance per process.

    `pause` waits for so many seconds before a call of a provider is repeated, `clock` is Unix time.
    """

    def __init__(
        self,
        settings: Settings,
        keys: KeyStore,
        *,
        aws: Aws | None = None,
        secret: ProviderSecret | None = None,
        transport: "httpx.AsyncBaseTransport | None" = None,
        fetcher: "RemoteFetcher | None" = None,
        pause: Callable[[float], Awaitable[None]] = asyncio.sleep,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self.settings = settings
        self.keys = keys
        self.aws = aws or Aws()
        self._configuration = Configuration(settings, self.aws, secret)
        self.catalog = self._configuration.catalog
        self.pause = pause
        self.clock = clock
        self._background: set[asyncio.Task[None]] = set()
        self._given_fetcher = fetcher
        self._transport = transport
        self._sealer: Sealer | None = None

    @classmethod
    def from_environment(cls, environment: Mapping[str, str], aws: Aws | None = None) -> "Services":
        """The services that an operator's environment configures. Raises ValueError naming the invalid setting.

        Without `aws`, the process's own environment leads to AWS, as it is when a call is made.
        """
        settings = Settings.from_environment(environment)
        aws = aws or Aws()
        secret = ProviderSecret(aws, settings.provider_secret) if settings.provider_secret else None
        keys = KeyStore(aws, settings.keys_table, cache_seconds=settings.key_cache, grace_seconds=settings.key_grace)
        return cls(settings, keys, aws=aws, secret=secret)

    @cached_property
    def upstream(self) -> "Upstream":
        from shared.upstream import Upstream  # imports httpx, which is half as large as everything else

        return Upstream(
            connect_timeout=self.settings.connect_timeout,
            in_process={SANDBOX: _answer_in_process},
            transport=self._transport,
        )

    @cached_property
    def _own_aws(self) -> Aws:
        """The account that signs calls of AWS's models: that of the environment in which the process started, whatever
        stands in for AWS's other services.
        """
        return Aws(self.settings.environment)

    def auth(self, provider: Provider, vendor: Vendor) -> "httpx.Auth | None":
        """Authenticates calls of a provider, by its key or the gateway's AWS credentials."""
        api_key = self.catalog.api_key(provider)
        if api_key is not None or not isinstance(vendor, SigningVendor):
            return vendor.auth(api_key)
        region = self.catalog.region(provider)

        async def signer(service: str) -> "Signer":
            try:
                return await self._own_aws.signer(service, region)
            except AwsError as error:
                refused = CredentialsRefused("The gateway has no credentials for the provider.")
                refused.unsent = True
                refused.advice = f"No AWS credentials were found for {provider.name}: {error.code}."
                raise refused from None

        return vendor.signature(signer)

    @cached_property
    def fetcher(self) -> "RemoteFetcher":
        """Fetches media from callers' URLs."""
        from shared.fetch import RemoteFetcher  # only requests with media by URL pay for this import

        return self._given_fetcher or RemoteFetcher(allow_http=self.settings.fetch_http)

    @cached_property
    def objects(self) -> "ObjectStore":
        """The bucket for generated images and uploaded files."""
        from shared.stores.objects import ObjectStore

        return ObjectStore(self.aws, self.settings.media_bucket)

    @cached_property
    def tenant_folders(self) -> "TenantFolders":
        """Names the places of tenants' objects."""
        from shared.stores.tenants import TenantFolders

        return TenantFolders(self.stack_secret)

    @cached_property
    def stack_secret(self) -> "StackSecret":
        """The secret behind the names of tenants' folders and behind seals."""
        from shared.stores.stack_secret import StackSecret

        return StackSecret(self.aws, self.settings.tenant_secret)

    async def sealer(self) -> "Sealer":
        """Seals what callers carry. Raises AwsError while the stack's secret has never been read."""
        from shared.sealing import Sealer

        if self._sealer is None:
            self._sealer = Sealer(await self.stack_secret.get())
        return self._sealer

    @cached_property
    def images(self) -> "ImageStore":
        """Stores generated images."""
        from shared.stores.images import ImageStore

        return ImageStore(self.objects, self.tenant_folders, lifetime=self.settings.image_url_lifetime)

    @cached_property
    def limits(self) -> "LimitStore | None":
        """The limits of keys and their usage; None if no limits table is configured."""
        if self.settings.limits_table is None:
            return None
        from shared.stores.limits.deferred import DeferredToQueue
        from shared.stores.limits.store import LimitStore

        return LimitStore(
            self.aws,
            self.settings.limits_table,
            self.settings.usage_table,
            open_on_failure=self.settings.limits_fail_open,
            gather=self.settings.settlement_wait,
            deferred=DeferredToQueue(lambda: self.batch_queue),
        )

    @cached_property
    def circuits(self) -> Circuits:
        """Which targets are skipped because they fail; shared between processes where there is a limits table."""
        table = self.settings.limits_table
        if table is None:
            return Circuits(self.settings.circuit_failures, clock=self.clock)

        @cache
        def store() -> "CircuitStore":
            from shared.stores.circuits import CircuitStore

            return CircuitStore(self.aws, table)

        return Circuits(self.settings.circuit_failures, clock=self.clock, store=store)

    @cached_property
    def replays(self) -> "Replays | None":
        """Keeps answers to be given again; None if no limits table is configured."""
        if self.settings.limits_table is None:
            return None
        from shared.gateway.replays import Replays
        from shared.stores.replays import ReplayStore

        return Replays(self, ReplayStore(self.aws, self.settings.limits_table, self.objects, clock=self.clock))

    def in_background(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        """Runs what must end even if its request is cancelled."""
        task = asyncio.get_running_loop().create_task(work)
        self._background.add(task)
        task.add_done_callback(self._background.discard)
        return task

    @cached_property
    def files(self) -> "FileStore":
        """Stores callers' files."""
        from shared.stores.files import FileStore

        return FileStore(self.objects, self.tenant_folders)

    @cached_property
    def stored_bytes(self) -> "StoredBytes | None":
        """Counts what tenants store; None if no limits table is configured."""
        if self.settings.limits_table is None:
            return None
        from shared.stores.stored_bytes import StoredBytes

        return StoredBytes(self.aws, self.settings.limits_table, limit=self.settings.max_stored_bytes)

    @cached_property
    def batches(self) -> "BatchStore":
        """Stores the state of batches."""
        from shared.stores.batches import BatchStore

        return BatchStore(self.aws, self.settings.batches_table)

    @cached_property
    def batch_queue(self) -> "Queue":
        """The queue of batch work."""
        from shared.stores.queue import Queue

        return Queue(self.aws, self.settings.batch_queue)

    @cached_property
    def _prices(self) -> "PriceTable":
        from shared.prices import PriceTable

        return PriceTable.load()

    @cached_property
    def inputs(self) -> "Inputs":
        """Converts the images in chat requests to what the model's provider accepts."""
        from shared.gateway.chat_images import Inputs

        return Inputs(lambda: self.fetcher, lambda: self.images)

    @cached_property
    def responses(self) -> "ResponseStore":
        """Stores responses."""
        from shared.stores.responses import ResponseStore

        return ResponseStore(self.objects, self.tenant_folders)

    async def settle(self, seconds: float) -> None:
        """Writes what requests used that have ended, for so long at most; then leaves what is left in the queue."""
        if "limits" in self.__dict__ and self.limits is not None:
            await self.limits.flush(seconds)

    async def aclose(self) -> None:
        await asyncio.gather(*self._background, return_exceptions=True)
        await self.settle(_SETTLING_SECONDS)
        if "circuits" in self.__dict__:
            await self.circuits.flush()
        if "upstream" in self.__dict__:
            await self.upstream.aclose()
        if "fetcher" in self.__dict__:
            await self.fetcher.aclose()
        if "_own_aws" in self.__dict__:
            await self._own_aws.aclose()
        await self.aws.aclose()

    async def refresh(self) -> None:
        """Takes in what the operator has changed: providers' keys and rows of the catalog. Raises AwsError."""
        self.catalog = await self._configuration.refresh()

    def price(self, model: Model) -> "Price | None":
        """The provider's current price, None if none is configured. An operator's row overrides the price table."""
        return self.catalog.price(model) or self._prices.find(model.provider, model.upstream, datetime.now(UTC))


@cache
def process_services() -> Services:
    """The services of this process, made from its environment on first use."""
    return Services.from_environment(dict(os.environ))


def _answer_in_process(path: str, body: bytes) -> LocalAnswer:
    vendor = load_vendor(SANDBOX)
    assert isinstance(vendor, InProcess)
    return vendor.answer(path, body)
