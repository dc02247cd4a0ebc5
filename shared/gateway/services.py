"""The one place where the parts meet: picks the model, calls its provider, and keeps what was used.

A request comes in canonical, from any dialect, and leaves canonical, from any provider. What is particular to a kind
of request is in a module of its own, which is loaded with the first such request.
"""

import asyncio
from collections.abc import AsyncGenerator, Mapping, Sequence
from datetime import UTC, datetime
from functools import cached_property
from typing import TYPE_CHECKING, cast

from shared.catalog import AUTO, SANDBOX, Catalog
from shared.errors import ModelNotFound
from shared.gateway.route import AdapterT, Route, caller_of
from shared.providers import load
from shared.providers.base import InProcess, LocalAnswer
from shared.schemas.caller import Caller
from shared.schemas.context import RequestContext
from shared.schemas.model import Capability, Model
from shared.selection import allowed, may_use, select_for
from shared.settings import Settings
from shared.stores.aws import Aws
from shared.stores.keys import KeyStore
from shared.stores.secrets import ProviderSecret

if TYPE_CHECKING:
    import httpx

    from shared.fetch import RemoteFetcher
    from shared.inputs import Inputs
    from shared.prices import PriceTable
    from shared.schemas.chat import ChatRequest, ChatResponse
    from shared.schemas.embedding import EmbeddingRequest, EmbeddingResponse
    from shared.schemas.events import ChatEvent
    from shared.schemas.generated_content import ContentRequest, ContentResponse
    from shared.schemas.image import ImageRequest, ImageResponse
    from shared.schemas.price import Price
    from shared.schemas.speech import SpeechRequest
    from shared.schemas.transcription import Transcript, TranscriptEvent, TranscriptionRequest
    from shared.stores.batches import BatchStore
    from shared.stores.files import FileStore
    from shared.stores.images import ImageStore
    from shared.stores.limits.store import LimitStore
    from shared.stores.objects import ObjectStore
    from shared.stores.queue import Queue
    from shared.upstream import Upstream

_SETTLING_SECONDS = 5.0
"""How long what is still to be settled is waited for at the end, before it is left in the queue."""


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
        keys = KeyStore(aws, settings.keys_table, cache_seconds=settings.key_cache, grace_seconds=settings.key_grace)
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
    def images(self) -> "ImageStore":
        """Keeps generated images."""
        from shared.stores.images import ImageStore

        return ImageStore(self.objects, lifetime=self.settings.image_url_lifetime)

    @cached_property
    def limits(self) -> "LimitStore | None":
        """The limits of keys and what they have used; None where nothing is limited."""
        if self.settings.limits_table is None:
            return None
        from shared.stores.limits.deferred import DeferredToQueue
        from shared.stores.limits.store import LimitStore

        return LimitStore(
            self._aws,
            self.settings.limits_table,
            self.settings.usage_table,
            open_on_failure=self.settings.limits_fail_open,
            deferred=DeferredToQueue(lambda: self.batch_queue),
        )

    @cached_property
    def files(self) -> "FileStore":
        """Keeps callers' files."""
        from shared.stores.files import FileStore

        return FileStore(self.objects)

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
        from shared.inputs import Inputs

        return Inputs(lambda: self.fetcher, lambda: self.images)

    async def aclose(self) -> None:
        if "limits" in self.__dict__ and self.limits is not None:
            await self.limits.flush(_SETTLING_SECONDS)
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

    def models(self, caller: Caller) -> list[Model]:
        """The configured models that the caller may use, in order of preference."""
        return allowed(self.catalog.models(), caller)

    def model(self, model_id: str, caller: Caller) -> Model:
        """Raises ModelNotFound, also for a model that the caller may not use."""
        model = self.catalog.find(model_id)
        if not may_use(caller, model):
            raise ModelNotFound(f"The model '{model_id[:200]}' does not exist.")
        return model

    def price(self, model: Model) -> "Price | None":
        """What the model's vendor charges now, None where nobody knows. An operator's row goes before the table."""
        return self.catalog.price(model) or self._prices.find(model.provider, model.upstream, datetime.now(UTC))

    async def chat(self, requests: "Sequence[ChatRequest]", context: RequestContext) -> "ChatResponse":
        """Answers requests for one model, their candidates numbered through. Raises any GatewayError."""
        from shared.gateway.chat import Chat
        from shared.gateway.estimates import of_chat
        from shared.gateway.metering import metered

        chat = Chat(self, requests, context)
        async with metered(self, context, *of_chat(requests, chat.model)):
            return await chat.response()

    def chat_stream(
        self, requests: "Sequence[ChatRequest]", context: RequestContext
    ) -> "AsyncGenerator[ChatEvent, None]":
        """The events of the same answer as they arrive: one Started, deltas, a Finished for each candidate.

        What is wrong with the request's model is raised at once, all else by the iterator.
        """
        from shared.gateway.chat import Chat
        from shared.gateway.estimates import of_chat
        from shared.gateway.metering import metered_stream

        chat = Chat(self, requests, context)
        return metered_stream(self, context, *of_chat(requests, chat.model), chat.events())

    async def image(self, request: "ImageRequest", context: RequestContext, *, stored: bool) -> "ImageResponse":
        """`request.n` images: stored ones are Remote, behind presigned URLs, the others Inline.

        Raises any GatewayError, UpstreamError where an image could not be stored.
        """
        from shared.gateway.images import generate

        return await generate(self, request, context, stored=stored)

    async def content(self, request: "ContentRequest", context: RequestContext) -> "ContentResponse":
        """The provider's GenerateContentResponse; where it takes several calls, one with the candidates of all."""
        from shared.gateway.content import generate

        return await generate(self, request, context)

    async def embeddings(self, request: "EmbeddingRequest", context: RequestContext) -> "EmbeddingResponse":
        """A vector for each input, in their order. Raises any GatewayError."""
        from shared.gateway.embeddings import embed

        return await embed(self, request, context)

    async def transcription(self, request: "TranscriptionRequest", context: RequestContext) -> "Transcript":
        """What is said in the request's file. Raises any GatewayError."""
        from shared.gateway.audio import transcribe

        return await transcribe(self, request, context)

    def transcription_stream(
        self, request: "TranscriptionRequest", context: RequestContext
    ) -> "AsyncGenerator[TranscriptEvent, None]":
        """The same as it is understood. What is wrong with the model is raised at once, all else by the iterator."""
        from shared.gateway.audio import transcript_events

        return transcript_events(self, request, context)

    def speech(self, request: "SpeechRequest", context: RequestContext) -> AsyncGenerator[bytes, None]:
        """The request's text spoken, in chunks as they come: one at least.

        What is wrong with the request's model is raised at once, all else by the iterator.
        """
        from shared.gateway.audio import speak

        return speak(self, request, context)

    def route_for(
        self, capability: Capability, named: str, adapter: type[AdapterT], context: RequestContext
    ) -> Route[AdapterT]:
        """How to call the model that answers a request which needs one capability. Raises what `select_for` raises."""
        return self.route(select_for(capability, named, self.catalog, caller_of(context)), named, adapter, context)

    def route(self, model: Model, named: str, adapter: type[AdapterT], context: RequestContext) -> Route[AdapterT]:
        """How to call a model, which also goes into the context. `named` is what the caller called it.

        `adapter` is the protocol that the request needs; a row's capabilities promise that its adapter has it.
        """
        context.model = model
        context.price = self.price(model)
        context.answered_as = model.id if named == AUTO else named
        provider = self.catalog.provider(model.provider)
        return Route(
            model=model,
            adapter=cast(AdapterT, load(provider.adapter)),
            upstream=self.upstream,
            base_url=self.catalog.base_url(provider),
            api_key=self.catalog.api_key(provider),
            deadline=min(context.deadline, asyncio.get_running_loop().time() + self.settings.upstream_timeout),
            request_id=context.request_id,
        )


def _answer_in_process(path: str, body: bytes) -> LocalAnswer:
    adapter = load(SANDBOX)
    assert isinstance(adapter, InProcess)
    return adapter.answer(path, body)
