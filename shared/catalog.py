"""The catalog: which models there are, who serves them, and which of them are configured."""

import re
import tomllib
from collections.abc import Iterator, Mapping
from copy import copy
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from shared.errors import ModelNotFound
from shared.schemas.base import Frozen
from shared.schemas.model import Model
from shared.settings import Settings

if TYPE_CHECKING:
    from shared.schemas.price import Price

AUTO = "Auto"
SANDBOX = "sandbox"
_DEFAULT = Path(__file__).with_name("catalog.toml")
_ROW_ONLY = {"aliases", "price"}
# What a caller may name of a vendor with an open list: it goes into the vendor's URL and must not leave its place.
_UPSTREAM = re.compile(r"(?!.*\.\.)[A-Za-z0-9][A-Za-z0-9._:@/+-]{0,199}")


class Provider(Frozen):
    """A vendor: the adapter that speaks its wire format, and where and with which key it is reached."""

    name: str
    adapter: str
    base_url: str | None = None
    base_url_env: str | None = None
    api_key_env: str | None = None
    quirks: frozenset[str] = frozenset()


class Catalog:
    """Rows of the default catalog and of the operator's file, by public id and alias.

    Rows become `Model`s only when they are asked for: a cold start pays for the one model that it calls.
    """

    def __init__(self, tables: Mapping[str, Any], settings: Settings) -> None:
        self._settings = settings
        self._providers: dict[str, dict[str, Any]] = {}
        self._rows: dict[str, dict[str, Any]] = {}
        self._aliases: dict[str, str] = {}
        self._add(tables)

    @classmethod
    def load(cls, settings: Settings) -> "Catalog":
        """The default catalog with the operator's rows over it. Raises ValueError for a file that is wrong."""
        catalog = cls(tomllib.loads(_DEFAULT.read_text("utf-8")), settings)
        if settings.catalog:
            catalog._override(Path(settings.catalog))
        return catalog

    def _add(self, tables: Mapping[str, Any]) -> None:
        for name, table in tables.get("providers", {}).items():
            self._providers[name] = {**self._providers.get(name, {}), **table}
        for row in tables.get("models", ()):
            self._rows[row["id"]] = {**self._rows.get(row["id"], {}), **row}
            self._aliases.update((alias, row["id"]) for alias in row.get("aliases", ()))

    def _override(self, path: Path) -> None:
        try:
            tables = tomllib.loads(path.read_text("utf-8"))
            self._add(tables)
            for name in tables.get("providers", {}):
                self.provider(name)
            for row in tables.get("models", ()):
                self.price(self._model(row["id"]))
        except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
            raise ValueError(f"GATEWAY_CATALOG {path}: {error}") from error

    def configured_by(self, environment: Mapping[str, str]) -> "Catalog":
        """The same rows with providers' keys from another environment."""
        other = copy(self)
        other._settings = replace(self._settings, environment=environment)
        other.__dict__.pop("configured", None)
        return other

    def provider(self, name: str) -> Provider:
        """Raises KeyError for a vendor that the catalog lacks."""
        return Provider(name=name, **self._providers[name])

    def base_url(self, provider: Provider) -> str:
        """Where the vendor is called: the operator's URL or the catalog's, without a slash at the end."""
        override = self._environment(provider.base_url_env)
        return (override or provider.base_url or f"{provider.name}://in-process").rstrip("/")

    def api_key(self, provider: Provider) -> str | None:
        return self._environment(provider.api_key_env)

    def _environment(self, variable: str | None) -> str | None:
        return (self._settings.environment.get(variable, "").strip() or None) if variable else None

    @cached_property
    def configured(self) -> frozenset[str]:
        """The providers that can be called: a key is set or, where a vendor needs none, its base URL."""
        return frozenset(name for name in self._providers if self._is_configured(self.provider(name)))

    def _is_configured(self, provider: Provider) -> bool:
        if provider.name == SANDBOX:
            return self._settings.sandbox
        return self._environment(provider.api_key_env or provider.base_url_env) is not None

    def find(self, model_id: str) -> Model:
        """The model of a public id or alias. Raises ModelNotFound, also while its provider is not configured."""
        public_id = self._aliases.get(model_id, model_id)
        vendor, slash, upstream = model_id.partition("/")
        wildcard = f"{vendor}/*"
        if public_id in self._rows and not public_id.endswith("/*"):
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

    def models(self) -> Iterator[Model]:
        """Every model of a configured provider, in the catalog's order, which is the order of preference."""
        return (
            self._model(public_id)
            for public_id, row in self._rows.items()
            if row["provider"] in self.configured and not public_id.endswith("/*")
        )

    def price(self, model: Model) -> "Price | None":
        """The price that an operator's row gives a model, instead of the one in the table of prices."""
        row = self._rows.get(model.id) or self._rows.get(f"{model.id.partition('/')[0]}/*", {})
        if "price" not in row:
            return None
        from shared.schemas.price import Price

        return Price.read(row["price"])

    def _model(self, public_id: str) -> Model:
        row = self._rows[public_id]
        quirks = {*self._providers[row["provider"]].get("quirks", ()), *row.get("quirks", ())}
        values = {name: value for name, value in row.items() if name not in _ROW_ONLY}
        return Model(**{"upstream": public_id, **values, "quirks": frozenset(quirks)})
