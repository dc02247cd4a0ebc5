"""`make catalog`: compares the default catalog with the vendors' SDKs, genai-prices and the table of prices.

Fails if the upstream model of a row has been switched off, and lists what else a maintainer should check. It reads only
installed packages. The date can be set: `make catalog DATE=2027-01-06`.
"""

import ast
import re
import sys
import tomllib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time
from fnmatch import fnmatchcase
from inspect import getsource
from pathlib import Path
from types import ModuleType
from typing import Any, TypeAlias, get_args

from anthropic.resources.messages.messages import DEPRECATED_MODELS
from anthropic.types import Model as AnthropicModel
from genai_prices.data_snapshot import get_snapshot
from google.genai.interactions import ModelParam as GoogleModel
from openai.types import audio_model, embedding_model, image_model
from openai.types.audio import speech_model
from openai.types.shared import all_models, chat_model

from scripts.update_prices import PROVIDERS, library_model
from shared.catalog import RETIRES_SOON, Catalog
from shared.errors import ModelNotFound
from shared.prices import PriceTable
from shared.schemas.model import Model
from shared.settings import Settings

LEFT_OUT = Path(__file__).with_name("catalog_left_out.toml")
# Vendors whose models are their own, but that have no SDK here: genai-prices says which there are.
WITHOUT_SDK = ("xai", "deepseek", "mistral")
_SNAPSHOT = re.compile(r"-(\d{4}-\d{2}-\d{2}|\d{8})$")
# OpenAI's SDK: "Announced shutdown date: 2027-01-06", "was shut down on October 23, 2026".
_ISO_DATE = re.compile(r"\d{4}-\d{2}-\d{2}")
_LONG_DATE = re.compile(r"[A-Z][a-z]+ \d{1,2}(st|nd|rd|th)?, \d{4}")


@dataclass
class Vendor:
    """A provider's models: their names, and the days on which some were or will be switched off."""

    models: set[str] = field(default_factory=set)
    retires: dict[str, date] = field(default_factory=dict)
    has_sdk: bool = False


# What is reported, in this order; what is under the first title must be mended.
RETIRED = "Switched off: point the rows to a successor"
RETIRING = f"Switched off within {RETIRES_SOON.days} days"
ANNOUNCED = "`retires` differs from what the provider's SDK says"
DEPRECATED = "Deprecated, says genai-prices"
UNKNOWN = "Neither the provider's SDK nor genai-prices has it"
NEW = f"No row: add one, or a pattern to scripts/{LEFT_OUT.name}"
UNPRICED = "No price"

Report: TypeAlias = dict[str, list[str]]


def main(arguments: Sequence[str]) -> int:
    """The exit status: 1 where an upstream model has been switched off. Raises ValueError for what is no date."""
    today = date.fromisoformat(arguments[0]) if arguments else datetime.now(UTC).date()
    left_out = tomllib.loads(LEFT_OUT.read_text("utf-8"))
    found = report(Catalog.load(Settings(), complete=True), vendors(), PriceTable.load(), left_out, today)
    for title, lines in found.items():
        if lines:
            print(f"{title}:", *lines, sep="\n  ")
    return 1 if found[RETIRED] else 0


def report(
    catalog: Catalog, vendors: Mapping[str, Vendor], prices: PriceTable, left_out: Mapping[str, list[str]], today: date
) -> Report:
    """What is to be looked at on a day, a line each. `left_out` are the patterns of models without a row."""
    found: Report = {title: [] for title in (RETIRED, RETIRING, ANNOUNCED, DEPRECATED, UNKNOWN, NEW, UNPRICED)}
    noon = datetime.combine(today, time(12), UTC)
    for (provider, upstream), rows in _by_upstream(catalog).items():
        name = f"{provider} {upstream}"
        vendor = vendors.get(provider, Vendor())
        library = library_model(provider, upstream)
        stated = {row.retires for row in rows}
        announced = vendor.retires.get(upstream)
        if announced and stated != {announced}:
            found[ANNOUNCED].append(f"{name}: {announced} there, {', '.join(map(str, stated))} in the catalog")
        if retires := min(filter(None, (*stated, announced)), default=None):
            line = f"{name} on {retires}: {', '.join(row.id for row in rows)}"
            if retires <= today:
                found[RETIRED].append(line)
            elif retires <= today + RETIRES_SOON:
                found[RETIRING].append(line)
        if library and library.deprecated:
            found[DEPRECATED].append(name)
        if vendor.has_sdk and upstream not in vendor.models and not library:
            found[UNKNOWN].append(name)
        if not prices.find(provider, upstream, noon):
            found[UNPRICED].append(name)
    for provider, vendor in vendors.items():
        found[NEW] += [f"{provider} {name}" for name in _new(catalog, provider, vendor, left_out.get(provider, []))]
    return found


def _new(catalog: Catalog, provider: str, vendor: Vendor, left_out: Iterable[str]) -> list[str]:
    """The vendor's models that have no row; not those that it switches off, and no snapshots of its other models."""
    upstreams = {row.upstream for row in catalog.every_model() if row.provider == provider}
    configured = catalog.configured_by(dict.fromkeys(catalog.provider(provider).required or (), "set"))
    return [
        name
        for name in sorted(vendor.models - vendor.retires.keys() - upstreams)
        if _SNAPSHOT.sub("", name) not in vendor.models - {name}
        and not any(fnmatchcase(name, pattern) for pattern in left_out)
        and not _has_row(configured, provider, name)
    ]


def _has_row(catalog: Catalog, provider: str, name: str) -> bool:
    """Whether a row has the vendor's name as its id or alias. A wildcard, which finds every name, does not count."""
    rows = {row.id for row in catalog.every_model() if row.provider == provider}
    found = set()
    for model_id in (name, f"{provider}/{name}"):
        with suppress(ModelNotFound):
            found.add(catalog.find(model_id).id)
    return not found.isdisjoint(rows)


def _by_upstream(catalog: Catalog) -> dict[tuple[str, str], list[Model]]:
    rows: dict[tuple[str, str], list[Model]] = {}
    for model in catalog.every_model():
        rows.setdefault((model.provider, model.upstream), []).append(model)
    return rows


def vendors() -> dict[str, Vendor]:
    """The models of the vendors whose models are their own, by the SDKs and genai-prices that are installed."""
    openai = Vendor(has_sdk=True)
    for module, alias in (
        (chat_model, chat_model.ChatModel),
        (all_models, all_models.AllModels),
        (embedding_model, embedding_model.EmbeddingModel),
        (image_model, image_model.ImageModel),
        (audio_model, audio_model.AudioModel),
        (speech_model, speech_model.SpeechModel),
    ):
        openai.models.update(_literals(alias))
        openai.retires.update(_dates_in(module))
    retires = {name: _date(text) for name, text in DEPRECATED_MODELS.items()}
    return {
        "openai": openai,
        "anthropic": Vendor(set(_literals(AnthropicModel)), retires, has_sdk=True),
        "gemini": Vendor(set(_literals(GoogleModel)), has_sdk=True),
        **{provider: _by_prices(provider) for provider in WITHOUT_SDK},
    }


def _literals(alias: Any) -> Iterator[str]:
    """The strings of a Literal, or of those in a Union."""
    for argument in get_args(alias):
        if isinstance(argument, str):
            yield argument
        else:
            yield from _literals(argument)


def _dates_in(module: ModuleType) -> Iterator[tuple[str, date]]:
    """The models that OpenAI's SDK lists as deprecated in the text below a Literal, with the dates that it states.

    - "tts-1", "tts-1-hd": Announced shutdown date: 2027-01-06. See …
    """
    for node in ast.parse(getsource(module)).body:
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str):
            for entry in node.value.value.split("\n- ")[1:]:
                names, _, text = " ".join(entry.split()).partition('": ')
                if found := _ISO_DATE.search(text) or _LONG_DATE.search(text):
                    yield from ((name, _date(found[0])) for name in re.findall(r'"([^"]+)', f'{names}"'))


def _date(text: str) -> date:
    """A date such as 2027-01-06, October 23, 2026 or November 30th, 2026."""
    if _ISO_DATE.fullmatch(text):
        return date.fromisoformat(text)
    return datetime.strptime(re.sub(r"(?<=\d)(st|nd|rd|th)", "", text), "%B %d, %Y").replace(tzinfo=UTC).date()


def _by_prices(provider: str) -> Vendor:
    library = next(entry for entry in get_snapshot().providers if entry.id == PROVIDERS.get(provider, provider))
    return Vendor({model.id for model in library.models if not model.deprecated})


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
