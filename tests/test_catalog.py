"""The default catalog is true and complete, and an operator can change it without touching code."""

import tomllib
from datetime import date
from pathlib import Path
from typing import Any

import pytest

from shared.catalog import Catalog
from shared.errors import ModelNotFound
from shared.providers import load
from shared.providers.base import ChatAdapter
from shared.schemas.model import Capability
from shared.settings import Settings

DEFAULT: dict[str, Any] = tomllib.loads((Path(__file__).parents[1] / "shared" / "catalog.toml").read_text("utf-8"))
EVERYTHING = {
    name: "https://vendor.test"
    for provider in DEFAULT["providers"].values()
    for name in (provider.get("api_key_env"), provider.get("base_url_env"))
    if name
}


def catalog(environment: dict[str, str], rows: str | None = None, folder: Path | None = None) -> Catalog:
    if rows is not None and folder is not None:
        path = folder / "rows.toml"
        path.write_text(rows)
        environment = {**environment, "GATEWAY_CATALOG": str(path)}
    return Catalog.load(Settings.from_environment(environment))


@pytest.mark.parametrize("row", DEFAULT["models"], ids=lambda row: row["id"])
def test_every_row_is_a_model_of_an_adapter_that_exists(row: dict[str, Any]) -> None:
    model = catalog({**EVERYTHING, "GATEWAY_SANDBOX": "on"}).find(row["id"].replace("/*", "/some-model"))
    assert model.capabilities
    if Capability.CHAT in model.capabilities:
        assert isinstance(load(DEFAULT["providers"][model.provider]["adapter"]), ChatAdapter)


def test_ids_and_aliases_name_one_row_each() -> None:
    names = [name for row in DEFAULT["models"] for name in (row["id"], *row.get("aliases", ()))]
    assert len(names) == len(set(names))


@pytest.mark.parametrize("row", [row for row in DEFAULT["models"] if "retires" in row], ids=lambda row: row["id"])
def test_no_row_points_to_a_model_that_its_vendor_has_retired(row: dict[str, Any]) -> None:
    assert row["retires"] > date.today(), f"point {row['id']} to the successor of {row.get('upstream', row['id'])}"


def test_every_rule_of_a_row_is_explained_at_the_top_of_the_file() -> None:
    text = (Path(__file__).parents[1] / "shared" / "catalog.toml").read_text("utf-8")
    explained = set(text.split("[providers", 1)[0].replace("#", " ").split())
    used = {quirk for row in [*DEFAULT["models"], *DEFAULT["providers"].values()] for quirk in row.get("quirks", ())}
    assert used <= explained


CONTRACTED = [
    "gemini-2.5-flash",
    "gemini-2.5-flash-lite",
    "gemini-3-pro-preview",
    "gemini-2.5-flash-image",
    "gemini-3-pro-image-preview",
    "gpt-5",
    "gpt-5-mini",
    "gpt-4o-mini",
    "text-embedding-3-small",
    "text-embedding-3-large",
    "gpt-image-1",
    "whisper-1",
    "gpt-4o-mini-transcribe",
    "gpt-4o-mini-tts",
    "tts-1",
    "claude-sonnet-4-5",
    "claude-haiku-4-5",
    "deepseek-ai/DeepSeek-V3-0324",
    "openai/whisper-large-v3",
    "openai/whisper-large-v3-turbo",
]


def test_the_contracts_models_are_in_the_default_catalog() -> None:
    full = catalog(EVERYTHING)
    for model_id in CONTRACTED:
        assert full.find(model_id).id == model_id


@pytest.mark.parametrize(
    ("alias", "model_id"),
    [("openai/whisper-1", "whisper-1"), ("openai/text-embedding-3-small", "text-embedding-3-small")],
)
def test_an_alias_finds_its_row(alias: str, model_id: str) -> None:
    assert catalog(EVERYTHING).find(alias).id == model_id


def test_a_model_is_there_only_while_its_provider_is_configured() -> None:
    without = catalog({})
    assert list(without.models()) == []
    with pytest.raises(ModelNotFound):
        without.find("gpt-5")
    assert catalog({"OPENAI_API_KEY": "k"}).find("gpt-5").provider == "openai"


def test_the_sandbox_is_off_unless_it_is_turned_on() -> None:
    assert "sandbox" not in catalog({}).configured
    assert "sandbox" in catalog({"GATEWAY_SANDBOX": "on"}).configured


def test_a_vendor_without_keys_is_configured_by_its_address() -> None:
    with_ollama = catalog({"OLLAMA_BASE_URL": "http://localhost:11434/v1"})
    assert with_ollama.configured == {"ollama"}
    assert with_ollama.find("ollama/qwen3:8b").upstream == "qwen3:8b"


def test_any_model_of_a_vendor_with_an_open_list_can_be_named_after_the_vendor() -> None:
    model = catalog({"OPENROUTER_API_KEY": "k"}).find("openrouter/some/new-model")
    assert (model.id, model.upstream, model.provider) == ("openrouter/some/new-model", "some/new-model", "openrouter")


@pytest.mark.parametrize(
    "name",
    ["", "/", "nobody/x", "ollama/", "ollama/*", "gpt-5/", "../etc/passwd", "ollama/../x", "ollama/x?y", "x" * 10_000],
)
def test_any_other_name_is_not_found_and_quoted_only_in_part(name: str) -> None:
    with pytest.raises(ModelNotFound) as raised:
        catalog(EVERYTHING).find(name)
    assert len(raised.value.message) < 400


def test_an_operator_adds_a_vendor_and_a_model_and_repoints_a_row(tmp_path: Path) -> None:
    rows = """
        [providers.acme]
        adapter = "openai"
        base_url = "https://acme.test/v1/"
        api_key_env = "ACME_API_KEY"

        [[models]]
        id = "acme-1"
        provider = "acme"
        owned_by = "acme"
        capabilities = ["chat"]

        [[models]]
        id = "gpt-5"
        upstream = "gpt-99"
    """
    changed = catalog({"ACME_API_KEY": "k", "OPENAI_API_KEY": "k"}, rows, tmp_path)
    assert changed.find("acme-1").upstream == "acme-1"
    assert changed.base_url(changed.provider("acme")) == "https://acme.test/v1"
    assert changed.find("gpt-5").upstream == "gpt-99"
    assert changed.find("gpt-5").owned_by == "openai"


@pytest.mark.parametrize(
    "rows",
    [
        "not toml",
        "[[models]]\nid = 'x'",
        "[[models]]\nid = 'x'\nprovider = 'nobody'\nowned_by = 'x'",
        "[[models]]\nid = 'gpt-5'\ncapabilities = ['flying']",
        "[[models]]\nid = 'gpt-5'\nupstraem = 'typo'",
        "[providers.x]\nbase_url = 'https://no-adapter.test'",
        "models = 3",
    ],
)
def test_a_wrong_operators_file_is_refused_at_once_by_its_name(rows: str, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="GATEWAY_CATALOG"):
        catalog({}, rows, tmp_path)


def test_a_missing_operators_file_is_refused_at_once() -> None:
    with pytest.raises(ValueError, match="GATEWAY_CATALOG"):
        catalog({"GATEWAY_CATALOG": "/nowhere/rows.toml"})


def test_a_base_url_of_the_environment_wins() -> None:
    moved = catalog({"OPENAI_API_KEY": "k", "OPENAI_BASE_URL": "http://127.0.0.1:9/v1/"})
    assert moved.base_url(moved.provider("openai")) == "http://127.0.0.1:9/v1"
