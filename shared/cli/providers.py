"""`gateway providers`: puts providers' keys into a stack's secret, shows which are set, and tries them."""

import asyncio
import logging
import sys
import time
from argparse import ArgumentParser, Namespace
from dataclasses import replace
from decimal import Decimal
from getpass import getpass
from pathlib import Path
from typing import Any
from uuid import uuid4

from shared.catalog import Catalog, Provider
from shared.cli import values
from shared.cli.output import Output, Row
from shared.cli.target import NoTarget, Target
from shared.errors import GatewayError
from shared.gateway.services import Services
from shared.schemas.caller import Caller, Permission
from shared.schemas.content import Message, Text
from shared.schemas.context import RequestContext, RequestInfo
from shared.schemas.model import Capability, Model
from shared.stores.secrets import ProviderSecret

# The cheapest kind of call first.
_KINDS = (Capability.CHAT, Capability.EMBEDDINGS, Capability.SPEECH, Capability.IMAGE_GENERATION)
# Models that reason need room for it, or answer with nothing.
_MAX_TOKENS = 512
_SECONDS = 60


class ProviderFailed(Exception):
    """A provider did not answer as it should; what was printed says more."""


def add_commands(commands: Any) -> None:
    """The command's parsers."""
    parser: ArgumentParser = commands.add_parser("providers", help="providers' keys: set, list, test")
    providers = parser.add_subparsers(required=True)
    put = providers.add_parser("set", help="ask for a provider's key and put it into the stack's secret")
    put.add_argument("name", help="as gateway providers list names it")
    put.add_argument("--file", type=Path, help="read the key from a file; - is standard input")
    put.add_argument("--base-url", metavar="URL", help="where the provider is reached, if not at its usual address")
    put.set_defaults(run=_set)
    remove = providers.add_parser("remove", help="take a provider's key and address out of the stack's secret")
    remove.add_argument("name")
    remove.set_defaults(run=_remove)
    providers.add_parser("list", help="which providers are configured").set_defaults(run=_list)
    test = providers.add_parser(
        "test", help="call each configured provider once, from here; costs a fraction of a cent"
    )
    test.add_argument("names", nargs="*", metavar="NAME", help="default: all that are configured")
    test.set_defaults(run=_test)


async def _set(options: Namespace, target: Target, output: Output) -> None:
    secret, provider = _secret(target), _provider(target, options.name)
    changes: dict[str, str | None] = {}
    if options.base_url:
        if provider.base_url_env is None:
            raise NoTarget(f"The address of {provider.name} cannot be changed.")
        changes[provider.base_url_env] = options.base_url
    can_do_without = provider.api_key_env not in (provider.required or ())
    if provider.api_key_env is not None and not (can_do_without and options.base_url and options.file is None):
        changes[provider.api_key_env] = await asyncio.to_thread(_key, provider, options.file)
    if not changes:
        raise NoTarget(f"{provider.name} has no key: give its address with --base-url.")
    await secret.change(changes)
    output.one({"provider": provider.name, "set": sorted(changes), "in_use": "within 5 minutes"})


async def _remove(options: Namespace, target: Target, output: Output) -> None:
    secret, provider = _secret(target), _provider(target, options.name)
    names = [name for name in (provider.api_key_env, provider.base_url_env) if name]
    await secret.change(dict.fromkeys(names))
    output.one({"provider": provider.name, "removed": sorted(names)})


async def _list(options: Namespace, target: Target, output: Output) -> None:
    await target.services.refresh()
    catalog = target.services.catalog
    rows = [_described(catalog, catalog.provider(name)) for name in catalog.providers]
    output.rows(rows, empty="The catalog has no providers.")


def _described(catalog: Catalog, provider: Provider) -> Row:
    configured = provider.name in catalog.configured
    return {
        "provider": provider.name,
        "configured": configured,
        "key": provider.api_key_env,
        "address": provider.base_url_env,
        "models": sum(model.provider == provider.name for model in catalog.models()) if configured else None,
    }


async def _test(options: Namespace, target: Target, output: Output) -> None:
    await target.services.refresh()
    catalog = target.services.catalog
    names = options.names or [name for name in catalog.providers if name in catalog.configured]
    for name in names:
        _provider(target, name)
        if name not in catalog.configured:
            raise NoTarget(f"{name} is not configured: gateway providers set {name}")
    # Apart from the keys' limits and usage, which this is none of.
    settings = replace(target.services.settings, limits_table=None)
    services = Services(settings, target.keys, aws=target.services.aws)
    services.catalog = catalog
    logging.disable()  # what fails is in the rows; a log line would be between them on the standard output
    try:
        rows = [await _tested(services, name) for name in names]
    finally:
        logging.disable(logging.NOTSET)
        await services.aclose()
    output.rows(rows, empty="No provider is configured: gateway providers set NAME")
    if failed := [row["provider"] for row in rows if not row["ok"]]:
        raise ProviderFailed(f"{', '.join(map(str, failed))} failed.")


async def _tested(services: Services, name: str) -> Row:
    found = _cheapest(services, name)
    if found is None:
        return {"provider": name, "ok": False, "error": "The catalog has no model of it that can be tried."}
    kind, model = found
    deadline = asyncio.get_running_loop().time() + _SECONDS
    caller = Caller(key_id="operator", tenant="operator", permissions=frozenset({Permission.MODELS_USE}))
    context = RequestContext(RequestInfo(uuid4().hex, deadline), caller)
    began = time.perf_counter()
    error = None
    try:
        await _call(services, kind, model, context)
    except GatewayError as raised:
        error = f"{raised.status}: {raised.message}"
    return {
        "provider": name,
        "ok": error is None,
        "model": model.id,
        "upstream": model.upstream,
        "milliseconds": round((time.perf_counter() - began) * 1000),
        "cost_dollars": values.shown_dollars(context.meter.cost),
        "error": error,
    }


def _cheapest(services: Services, provider: str) -> tuple[Capability, Model] | None:
    models = [model for model in services.catalog.models() if model.provider == provider]
    for kind in _KINDS:
        if able := [model for model in models if kind in model.capabilities]:
            return kind, min(able, key=lambda model: _price(services, model))
    return None


def _price(services: Services, model: Model) -> Decimal:
    """What orders models of a kind by their cost; those without a price come last."""
    price = services.price(model)
    if price is None:
        return Decimal("Infinity")
    return price.rates.input + price.rates.output + price.characters + price.image


async def _call(services: Services, kind: Capability, model: Model, context: RequestContext) -> None:
    match kind:
        case Capability.CHAT:
            from shared.gateway.chat import chat
            from shared.schemas.chat import ChatRequest

            message = Message(role="user", parts=(Text(text="Answer with the word OK."),))
            request = ChatRequest(model=model.id, messages=(message,), max_tokens=_MAX_TOKENS)
            await chat(services, [request], context)
        case Capability.EMBEDDINGS:
            from shared.gateway.embeddings import embed
            from shared.schemas.embedding import EmbeddingRequest

            await embed(services, EmbeddingRequest(model.id, ("OK",)), context)
        case Capability.SPEECH:
            from shared.gateway.speech import speak
            from shared.schemas.speech import SpeechRequest

            async for _ in speak(services, SpeechRequest(model.id, "OK"), context):
                pass
        case _:
            from shared.gateway.images import generate
            from shared.schemas.image import ImageRequest

            await generate(services, ImageRequest(model.id, "a red circle on white"), context, delivery="b64_json")


def _key(provider: Provider, file: Path | None) -> str:
    """The key, which is shown nowhere. Raises NoTarget for one that is empty or of several lines."""
    if file is not None and str(file) != "-":
        try:
            text = file.read_text("utf-8")
        except OSError as error:
            raise NoTarget(f"{file} could not be read: {error.strerror}") from None
    elif file is not None or not sys.stdin.isatty():
        text = sys.stdin.read()
    else:
        text = getpass(f"Key of {provider.name} ({provider.api_key_env}), not shown: ")
    key = text.strip()
    if not key or len(key.split()) > 1:
        raise NoTarget("A key is one word without spaces.")
    return key


def _provider(target: Target, name: str) -> Provider:
    catalog = target.services.catalog
    if name not in catalog.providers:
        raise NoTarget(f"The catalog has no provider {name}: see gateway providers list")
    return catalog.provider(name)


def _secret(target: Target) -> ProviderSecret:
    arn = target.services.settings.provider_secret
    if arn is None:
        raise NoTarget("A local gateway has providers' keys in its environment; name a stack with --stack.")
    return ProviderSecret(target.services.aws, arn)
