"""The catalog: which models there are, who serves them, and which of them are configured."""

import re
import tomllib
from collections.abc import Container, Iterator, Mapping
from copy import copy
from dataclasses import replace
from datetime import date, timedelta
from functools import cache, cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from shared.errors import ModelNotFound
from shared.schemas.base import Frozen
from shared.schemas.model import Model
from shared.schemas.quirk import Quirk
from shared.settings import Settings

if TYPE_CHECKING:
    from shared.schemas.price import Price

AUTO = "Auto"
SANDBOX = "sandbox"
RETIRES_SOON = timedelta(days=30)
_DEFAULT = Path(__file__).with_name("catalog.toml")
# Providers with many models in files of their own, by the variable without which they are not configured: parsing them
# would be paid by the cold starts of all.
_OPTIONAL = {"BEDROCK_REGION": Path(__file__).with_name("catalog_bedrock.toml")}
_NOT_OF_MODEL = {"aliases", "price", "same_as"}
# What `same_as` takes over from another row.
_FACTS = {"provider", "owned_by", "created", "context_length", "max_output_tokens", "capabilities", "quirks"}
# What holds for one upstream model of one provider.
_OF_UPSTREAM = {"retires", "price"}
# Model names that a caller may use with a wildcard row: the name becomes part of a URL and must not change its path.
_UPSTREAM = re.compile(r"(?!.*\.\.)[A-Za-z0-9][A-Za-z0-9._:@/+-]{0,199}")
_PLACEHOLDER = re.compile(r"\{(\w+)\}")


class Provider(Frozen):
    """A provider: the adapter for its wire format, its URL and its key.

    `requires` are the environment variables that it needs; only these may occur in `base_url`, as `{NAME}`. `aliases`
    are other names of the provider, which may also be used as the prefix of a model id. `region_env` is the variable of
    the AWS region for which requests are signed where there is no key.
    """

    name: str
    adapter: str
    base_url: str | None = None
    base_url_env: str | None = None
    api_key_env: str | None = None
    region_env: str | None = None
    requires: tuple[str, ...] | None = None
    aliases: tuple[str, ...] = ()
    quirks: frozenset[Quirk] = frozenset()

    @property
    def required(self) -> tuple[str, ...] | None:
        """`requires` or its default: the key or, if there is none, the base URL. None if neither is stated."""
        if self.requires is not None:
            return self.requires
        variable = self.api_key_env or self.base_url_env
        return (variable,) if variable else None


@cache
def _tables(path: Path) -> Mapping[str, Any]:
    return tomllib.loads(path.read_text("utf-8"))


class Catalog:
    """Rows of the default catalog and of the operator's file, by public id and alias. For the format see catalog.toml.

    Rows are converted to `Model`s on demand, so that a cold start pays only for the model that it calls. The operator's
    file is validated when it is read, the default catalog by a test.
    """

    def __init__(self, tables: Mapping[str, Any], settings: Settings) -> None:
        self._settings = settings
        self._made: dict[str, Provider] = {}
        self._providers: dict[str, dict[str, Any]] = {}
        self._provider_aliases: dict[str, str] = {}
        self._rows: dict[str, dict[str, Any]] = {}
        self._aliases: dict[str, str] = {}
        self._models: dict[str, Model] = {}
        self._add(tables)

    @classmethod
    def load(cls, settings: Settings, text: str | None = None, *, complete: bool = False) -> "Catalog":
        """The default catalog with the operator's rows over it. Raises ValueError for rows that are wrong.

        `text` is the operator's TOML where it was read from elsewhere than a file. A `complete` catalog also has the
        providers that are left out where they are not configured.
        """
        catalog = cls(_tables(_DEFAULT), settings)
        for variable, path in _OPTIONAL.items():
            if complete or settings.environment.get(variable, "").strip():
                catalog._add(_tables(path))
        if text is None and settings.catalog and not settings.catalog_in_bucket:
            text = _read(settings.catalog)
        if text is not None:
            catalog._override(text)
        return catalog

    def _add(self, tables: Mapping[str, Any]) -> None:
        for name, table in tables.get("providers", {}).items():
            self._providers[name] = {**self._providers.get(name, {}), **table}
            self._made.pop(name, None)
            self._provider_aliases.update(dict.fromkeys(table.get("aliases", ()), name))
        for row in tables.get("models", ()):
            self._rows[row["id"]] = self._completed(row)
            self._aliases.update(dict.fromkeys(row.get("aliases", ()), row["id"]))

    def _completed(self, row: Mapping[str, Any]) -> dict[str, Any]:
        """A row, completed with values of the row that it overrides and of its `same_as`."""
        replaced: set[str] = set()
        taken: dict[str, Any] = {}
        if row.keys() & {"provider", "upstream"}:
            replaced |= _OF_UPSTREAM
        if "same_as" in row:
            replaced |= _FACTS - {"created"}  # the date belongs to the public id, which exists already
            taken = self._facts_of(row["same_as"], row["id"])
        changed = self._rows.get(row["id"], {})
        stated = {**{name: value for name, value in changed.items() if name not in replaced}, **row}
        prefix = row["id"].partition("/")[0]
        if "provider" not in stated and prefix in self._providers:
            stated["provider"] = prefix
        return {**taken, **stated}

    def _facts_of(self, public_id: str, asked_by: str) -> dict[str, Any]:
        if public_id not in self._rows:
            raise ValueError(f"model '{asked_by}', same_as: no row '{public_id}' stands above it")
        return {name: value for name, value in self._rows[public_id].items() if name in _FACTS}

    def _override(self, text: str) -> None:
        from shared.schemas.catalog_file import check, naming_problems

        try:
            tables = tomllib.loads(text)
            check(tables)
            self._add(tables)
            for name in tables.get("providers", {}):
                with naming_problems(f"provider '{name}'"):
                    self._check_provider(self.provider(name))
            for row in tables.get("models", ()):
                with naming_problems(f"model '{row['id']}'"):
                    model = self._model(row["id"])
                    self.price(model)
                    self._check_fallbacks(model)
        except ValueError as error:
            raise ValueError(f"GATEWAY_CATALOG {self._settings.catalog or ''}: {error}") from error

    def _check_provider(self, provider: Provider) -> None:
        if provider.required is None and provider.name != SANDBOX:
            raise ValueError("one of api_key_env, base_url_env and requires must be stated")
        for name in _PLACEHOLDER.findall(provider.base_url or ""):
            if name not in (provider.requires or ()):
                raise ValueError(f"base_url: {{{name}}} is not in requires")

    def _check_fallbacks(self, model: Model) -> None:
        for name in model.fallbacks:
            if self._public_id(name) is None and f"{name.partition('/')[0]}/*" not in self._rows:
                raise ValueError(f"fallbacks: unknown model {name!r}")

    def configured_by(self, environment: Mapping[str, str]) -> "Catalog":
        """The same rows with providers' keys from another environment."""
        other = copy(self)
        other._settings = replace(self._settings, environment=environment)
        other.__dict__.pop("configured", None)
        return other

    @property
    def providers(self) -> tuple[str, ...]:
        """The names of all vendors, configured or not, in the catalog's order."""
        return tuple(self._providers)

    def provider(self, name: str) -> Provider:
        """A provider by name. Raises KeyError if it is unknown."""
        made = self._made.get(name)
        if made is None:
            made = self._made[name] = Provider(name=name, **self._providers[name])
        return made

    def base_url(self, provider: Provider) -> str:
        """The provider's base URL, the operator's or the catalog's, without a slash at the end."""
        override = self._environment(provider.base_url_env)
        stated = _PLACEHOLDER.sub(lambda found: self._environment(found[1]) or found[0], provider.base_url or "")
        return (override or stated or f"{provider.name}://in-process").rstrip("/")

    def api_key(self, provider: Provider) -> str | None:
        return self._environment(provider.api_key_env)

    def region(self, provider: Provider) -> str | None:
        """The AWS region in which a provider's models are called."""
        return self._environment(provider.region_env)

    def _environment(self, variable: str | None) -> str | None:
        return (self._settings.environment.get(variable, "").strip() or None) if variable else None

    @cached_property
    def configured(self) -> frozenset[str]:
        """The providers whose required variables are set."""
        return frozenset(name for name in self._providers if self._is_configured(self.provider(name)))

    def _is_configured(self, provider: Provider) -> bool:
        if provider.name == SANDBOX:
            return self._settings.sandbox
        required = provider.required
        return required is not None and all(self._environment(variable) is not None for variable in required)

    def find(self, model_id: str) -> Model:
        """The model with a public id or alias. Raises ModelNotFound, also if its provider is not configured."""
        public_id = self._public_id(model_id)
        vendor, slash, upstream = model_id.partition("/")
        wildcard = f"{vendor}/*"
        if public_id is not None:
            model = self._model(public_id)
        elif slash and _UPSTREAM.fullmatch(upstream) and wildcard in self._rows:
            model = self._model(wildcard).model_copy(
                update={"id": model_id, "upstream": upstream, "wildcard": wildcard}
            )
        else:
            raise ModelNotFound(f"The model '{model_id[:200]}' does not exist.")
        if model.provider not in self.configured:
            raise ModelNotFound(
                f"The model '{model_id[:200]}' is not available: its provider '{model.provider}' is not configured."
            )
        return model

    def _public_id(self, name: str) -> str | None:
        """The id of the row with a name: its id, an alias, or its id prefixed with a name of its provider."""
        public_id = self._aliases.get(name, name)
        if public_id not in self._rows:
            vendor, _, public_id = name.partition("/")
            provider = self._provider_aliases.get(vendor, vendor)
            if self._rows.get(public_id, {}).get("provider") != provider or public_id.startswith(f"{provider}/"):
                return None
        return None if public_id.endswith("/*") else public_id

    def models(self) -> Iterator[Model]:
        """Every model of a configured provider, in the catalog's order, which is the order of preference."""
        return self._models_of(self.configured)

    def every_model(self) -> Iterator[Model]:
        """Every model, whether its provider is configured or not, in the same order."""
        return self._models_of(self._providers)

    def _models_of(self, providers: Container[str]) -> Iterator[Model]:
        return (
            self._model(public_id)
            for public_id, row in self._rows.items()
            if row["provider"] in providers and not public_id.endswith("/*")
        )

    @cached_property
    def has_cached_models(self) -> bool:
        """Whether a row says that its model's answers are given again."""
        return any(row.get("cache_seconds") for row in self._rows.values())

    def retirements(self, today: date) -> list[str]:
        """A sentence for each upstream model that has been or, within RETIRES_SOON, will be switched off.

        Only models of configured providers count.
        """
        served: dict[tuple[date, str, str], list[str]] = {}
        for public_id in (public_id for public_id, row in self._rows.items() if "retires" in row):
            model = self._model(public_id)
            if model.provider in self.configured and model.retires and model.is_retired(today + RETIRES_SOON):
                served.setdefault((model.retires, model.provider, model.upstream), []).append(public_id)
        return [
            f"{provider} {'retired' if retires <= today else 'retires'} {upstream} on {retires}."
            f" Point {', '.join(public_ids)} to another upstream model with GATEWAY_CATALOG."
            for (retires, provider, upstream), public_ids in sorted(served.items())
        ]

    def price(self, model: Model) -> "Price | None":
        """The price that an operator's row sets for a model, which overrides the price table."""
        row = self._rows.get(model.id) or self._rows.get(f"{model.id.partition('/')[0]}/*", {})
        if "price" not in row:
            return None
        from shared.schemas.price import Price

        return Price.read(row["price"])

    def _model(self, public_id: str) -> Model:
        """The model of a row. Raises ValueError if the row names no provider of the catalog."""
        if public_id not in self._models:
            row = self._rows[public_id]
            provider = row.get("provider")
            if provider not in self._providers:
                raise ValueError(f"provider: {'missing' if provider is None else f'unknown provider {provider!r}'}")
            values = {name: value for name, value in row.items() if name not in _NOT_OF_MODEL}
            defaults = {"upstream": public_id.removeprefix(f"{provider}/"), "owned_by": provider}
            quirks = frozenset((*self._providers[provider].get("quirks", ()), *row.get("quirks", ())))
            self._models[public_id] = Model(**{**defaults, **values, "quirks": quirks})
        return self._models[public_id]


def _read(path: str) -> str:
    try:
        return Path(path).read_text("utf-8")
    except (OSError, ValueError) as error:
        raise ValueError(f"GATEWAY_CATALOG {path}: {error}") from error
