"""The default catalog is true and complete, and an operator can change it without touching code."""

import tomllib
from datetime import date
from pathlib import Path
from typing import Any

import pytest

from shared.catalog import Catalog
from shared.errors import ModelNotFound
from shared.providers import load, load_vendor
from shared.schemas.model import Capability, Model
from shared.schemas.price import Price
from shared.schemas.quirk import Quirk
from shared.settings import Settings

PATH = Path(__file__).parents[2] / "shared" / "catalog.toml"
OPTIONAL = {"BEDROCK_REGION": PATH.with_name("catalog_bedrock.toml")}
FILES = [PATH, *OPTIONAL.values()]
TABLES = [tomllib.loads(path.read_text("utf-8")) for path in FILES]
DEFAULT: dict[str, Any] = {
    "providers": {name: table for tables in TABLES for name, table in tables["providers"].items()},
    "models": [row for tables in TABLES for row in tables["models"]],
}
EVERYTHING = {
    name: "https://vendor.test"
    for provider in DEFAULT["providers"].values()
    for name in (provider.get("api_key_env"), provider.get("base_url_env"), *provider.get("requires", ()))
    if name
}
OPERATIONS = {
    Capability.CHAT: "chat",
    Capability.EMBEDDINGS: "embeddings",
    Capability.IMAGE_GENERATION: "images",
    Capability.TRANSCRIPTION: "transcription",
    Capability.SPEECH: "speech",
}
TODAY = date(2026, 11, 21)


def catalog(environment: dict[str, str], rows: str | None = None, folder: Path | None = None) -> Catalog:
    if rows is not None and folder is not None:
        path = folder / "rows.toml"
        path.write_text(rows)
        environment = {**environment, "GATEWAY_CATALOG": str(path)}
    return Catalog.load(Settings.from_environment(environment))


# --- the default catalog ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("row", DEFAULT["models"], ids=lambda row: row["id"])
def test_every_row_is_a_model_of_an_adapter_that_exists(row: dict[str, Any]) -> None:
    full = catalog({**EVERYTHING, "GATEWAY_SANDBOX": "on"})
    model = full.find(row["id"].replace("/*", "/some-model"))
    assert model.capabilities
    adapter = full.provider(model.provider).adapter
    for operation in {OPERATIONS[capability] for capability in model.capabilities & OPERATIONS.keys()}:
        assert load(adapter, operation).vendor is load_vendor(adapter)


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_the_default_catalog_passes_the_check_of_an_operators_file(path: Path) -> None:
    plain = catalog(EVERYTHING)
    checked = catalog({**EVERYTHING, "GATEWAY_CATALOG": str(path)})
    assert list(checked.models()) == list(plain.models())


def test_the_default_catalog_stays_short() -> None:
    assert len(PATH.read_text("utf-8").splitlines()) <= 1000


def test_a_provider_in_a_file_of_its_own_is_read_only_where_it_is_configured() -> None:
    """B08."""
    for variable, path in OPTIONAL.items():
        rows = tomllib.loads(path.read_text("utf-8"))
        without = catalog({name: value for name, value in EVERYTHING.items() if name != variable})
        (provider,) = rows["providers"]
        assert provider not in without.providers
        with pytest.raises(ModelNotFound):
            without.find(rows["models"][0]["id"])
        assert catalog({variable: "us-east-1"}).find(rows["models"][0]["id"]).provider == provider
        assert provider in Catalog.load(Settings(), complete=True).providers


def test_ids_and_aliases_name_one_row_each() -> None:
    names = [name for row in DEFAULT["models"] for name in (row["id"], *row.get("aliases", ()))]
    assert len(names) == len(set(names))
    providers = [name for name, table in DEFAULT["providers"].items() for name in (name, *table.get("aliases", ()))]
    assert len(providers) == len(set(providers))


def test_no_row_states_what_it_would_have_anyway() -> None:
    models = {model.id: model for model in catalog({**EVERYTHING, "GATEWAY_SANDBOX": "on"}).models()}
    for row in DEFAULT["models"]:
        if row["id"] in models:
            model = models[row["id"]]
            assert row.get("upstream") not in (model.id, model.id.removeprefix(f"{model.provider}/")), model.id
            assert f"{model.provider}/{model.id}" not in row.get("aliases", ()), model.id


def test_rows_of_one_upstream_model_agree_on_what_is_true_of_it() -> None:
    facts: dict[tuple[str, str], set[tuple[Any, ...]]] = {}
    for model in catalog(EVERYTHING).models():
        fact = (model.context_length, model.max_output_tokens, model.retires, model.capabilities)
        facts.setdefault((model.provider, model.upstream), set()).add(fact)
    assert {upstream: found for upstream, found in facts.items() if len(found) > 1} == {}


def test_every_quirk_is_of_some_row_and_the_reverse() -> None:
    tables = [*DEFAULT["models"], *DEFAULT["providers"].values()]
    assert {quirk for table in tables for quirk in table.get("quirks", ())} == set(Quirk)


def test_every_quirk_is_documented_below_its_name() -> None:
    source = (PATH.parent / "schemas" / "quirk.py").read_text("utf-8").splitlines()
    members = [index for index, line in enumerate(source) if " = " in line]
    assert len(members) == len(Quirk)
    assert all(source[index + 1].strip().startswith('"""') for index in members)


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
    "amazon.nova-lite-v1:0",
    "anthropic.claude-sonnet-5-5",
]


def test_the_contracts_models_are_in_the_default_catalog() -> None:
    full = catalog(EVERYTHING)
    for model_id in CONTRACTED:
        assert full.find(model_id).id == model_id


# --- names of a model -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "model_id"),
    [
        ("openai/whisper-1", "whisper-1"),
        ("google/gemini-2.5-flash", "gemini-2.5-flash"),
        ("gemini/gemini-2.5-flash", "gemini-2.5-flash"),
        ("deepinfra/openai/whisper-large-v3", "openai/whisper-large-v3"),
        ("gpt-5-2025-08-07", "gpt-5"),
        ("stability/core", "stable-image-core-1.1"),
    ],
)
def test_a_row_has_its_aliases_and_its_id_after_its_provider(name: str, model_id: str) -> None:
    assert catalog(EVERYTHING).find(name).id == model_id


def test_an_alias_after_a_provider_is_that_providers_alone() -> None:
    full = catalog(EVERYTHING)
    assert (full.find("groq/whisper-1").id, full.find("groq/whisper-1").upstream) == ("groq/whisper-1", "whisper-1")
    model = full.find("groq/groq/openai/gpt-oss-120b")
    assert (model.id, model.upstream) == ("groq/groq/openai/gpt-oss-120b", "groq/openai/gpt-oss-120b")
    with pytest.raises(ModelNotFound):
        full.find("google/gemini-of-tomorrow")


def test_any_model_of_a_vendor_with_an_open_list_can_be_named_after_the_vendor() -> None:
    model = catalog({"OPENROUTER_API_KEY": "k"}).find("openrouter/some/new-model")
    assert (model.id, model.upstream, model.provider) == ("openrouter/some/new-model", "some/new-model", "openrouter")


@pytest.mark.parametrize(
    "name",
    [
        *("", "/", "nobody/x", "ollama/", "ollama/*", "openai/openai/*", "gpt-5/", "../etc/passwd", "ollama/../x"),
        *("ollama/x?y", "sandbox/sandbox/chat", "x" * 10_000),
    ],
)
def test_any_other_name_is_not_found_and_quoted_only_in_part(name: str) -> None:
    with pytest.raises(ModelNotFound) as raised:
        catalog({**EVERYTHING, "GATEWAY_SANDBOX": "on"}).find(name)
    assert len(raised.value.message) < 400


# --- which providers are configured -----------------------------------------------------------------------------------


def test_a_model_is_there_only_while_its_provider_is_configured() -> None:
    without = catalog({})
    assert list(without.models()) == []
    with pytest.raises(ModelNotFound):
        without.find("gpt-5")
    assert catalog({"OPENAI_API_KEY": "k"}).find("gpt-5").provider == "openai"
    assert without.configured_by({"OPENAI_API_KEY": "k"}).find("gpt-5").provider == "openai"


def test_the_sandbox_is_off_unless_it_is_turned_on() -> None:
    assert "sandbox" not in catalog({}).configured
    assert "sandbox" in catalog({"GATEWAY_SANDBOX": "on"}).configured


def test_a_vendor_without_keys_is_configured_by_its_address() -> None:
    with_ollama = catalog({"OLLAMA_BASE_URL": "http://localhost:11434/v1"})
    assert with_ollama.configured == {"ollama"}
    assert with_ollama.find("ollama/qwen3:8b").upstream == "qwen3:8b"


REGIONAL = """
    [providers.regional]
    adapter = "openai"
    base_url = "https://{REGIONAL_ACCOUNT}.{REGIONAL_REGION}.test/v1/"
    base_url_env = "REGIONAL_BASE_URL"
    api_key_env = "REGIONAL_API_KEY"
    requires = ["REGIONAL_REGION", "REGIONAL_ACCOUNT"]
"""


@pytest.mark.parametrize(
    ("environment", "configured"),
    [
        ({}, False),
        ({"REGIONAL_API_KEY": "k", "REGIONAL_BASE_URL": "https://elsewhere.test"}, False),
        ({"REGIONAL_REGION": "eu", "REGIONAL_ACCOUNT": " "}, False),
        ({"REGIONAL_REGION": "eu", "REGIONAL_ACCOUNT": "me"}, True),
    ],
)
def test_a_provider_is_configured_once_all_is_set_that_it_requires(
    environment: dict[str, str], configured: bool, tmp_path: Path
) -> None:
    assert ("regional" in catalog(environment, REGIONAL, tmp_path).configured) is configured


def test_a_provider_that_requires_nothing_is_always_configured(tmp_path: Path) -> None:
    rows = "[providers.internal]\nadapter = 'openai'\nbase_url = 'http://10.0.0.5/v1'\nrequires = []"
    assert catalog({}, rows, tmp_path).configured == {"internal"}


def test_what_a_provider_requires_may_stand_in_its_base_url(tmp_path: Path) -> None:
    environment = {"REGIONAL_REGION": "eu-west-1", "REGIONAL_ACCOUNT": "me", "UNRELATED": "x"}
    regional = catalog(environment, REGIONAL, tmp_path)
    assert regional.base_url(regional.provider("regional")) == "https://me.eu-west-1.test/v1"
    moved = regional.configured_by({**environment, "REGIONAL_BASE_URL": "http://127.0.0.1:9/{REGIONAL_REGION}"})
    assert moved.base_url(moved.provider("regional")) == "http://127.0.0.1:9/{REGIONAL_REGION}"


def test_a_base_url_of_the_environment_wins() -> None:
    moved = catalog({"OPENAI_API_KEY": "k", "OPENAI_BASE_URL": "http://127.0.0.1:9/v1/"})
    assert moved.base_url(moved.provider("openai")) == "http://127.0.0.1:9/v1"


# --- the operator's file ----------------------------------------------------------------------------------------------


def test_an_operator_adds_a_vendor_and_a_model_and_repoints_a_row(tmp_path: Path) -> None:
    rows = """
        [providers.acme]
        adapter = "openai"
        base_url = "https://acme.test/v1/"
        api_key_env = "ACME_API_KEY"

        [[models]]
        id = "acme-1"
        provider = "acme"
        capabilities = ["chat"]

        [[models]]
        id = "acme/two"

        [[models]]
        id = "gpt-5"
        upstream = "gpt-99"
    """
    changed = catalog({"ACME_API_KEY": "k", "OPENAI_API_KEY": "k"}, rows, tmp_path)
    assert changed.find("acme-1").upstream == "acme-1"
    assert changed.find("acme-1").owned_by == "acme"
    assert changed.find("acme/acme-1").id == "acme-1"
    assert (changed.find("acme/two").provider, changed.find("acme/two").upstream) == ("acme", "two")
    assert changed.base_url(changed.provider("acme")) == "https://acme.test/v1"
    assert changed.find("gpt-5").upstream == "gpt-99"
    assert changed.find("gpt-5").owned_by == "openai"


def test_the_readmes_example_is_an_operators_file(tmp_path: Path) -> None:
    readme = (PATH.parents[1] / "README.md").read_text("utf-8")
    rows = next(text.partition("```")[0] for text in readme.split("```toml\n")[1:] if "[[models]]" in text)
    changed = catalog({"ACME_API_KEY": "k", "OPENAI_API_KEY": "k"}, rows, tmp_path)
    small, large = changed.find("acme/small"), changed.find("acme-large")
    assert (small.provider, small.upstream) == ("acme", "small")
    assert small.capabilities == large.capabilities
    assert changed.find("gpt-5").upstream not in ("gpt-5", catalog({"OPENAI_API_KEY": "k"}).find("gpt-5").upstream)


def test_a_changed_row_changes_no_other(tmp_path: Path) -> None:
    rows = "[[models]]\nid = 'gpt-6-sol'\nprovider = 'groq'\ncontext_length = 5"
    before, after = catalog(EVERYTHING), catalog(EVERYTHING, rows, tmp_path)
    assert (after.find("gpt-6-sol").provider, after.find("gpt-6-sol").context_length) == ("groq", 5)
    unchanged = [model for model in before.models() if model.id != "gpt-6-sol"]
    assert [model for model in after.models() if model.id != "gpt-6-sol"] == unchanged


FACTS = {"provider", "owned_by", "created", "context_length", "max_output_tokens", "capabilities", "quirks"}


def facts(model: Model) -> dict[str, Any]:
    return model.model_dump(include=FACTS)


def test_a_row_is_the_same_as_another_but_for_what_it_states(tmp_path: Path) -> None:
    rows = """
        [[models]]
        id = "whisper-1"
        retires = 2027-02-26

        [[models]]
        id = "mine"
        same_as = "whisper-1"

        [[models]]
        id = "mine-too"
        same_as = "mine"
        max_output_tokens = 7
        quirks = []
    """
    changed = catalog(EVERYTHING, rows, tmp_path)
    mine, whisper = changed.find("mine"), changed.find("whisper-1")
    assert facts(mine) == facts(whisper)
    assert (mine.upstream, mine.retires, whisper.retires) == ("mine", None, date(2027, 2, 26))
    too = changed.find("mine-too")
    assert (too.provider, too.max_output_tokens) == ("openai", 7)
    assert too.quirks < mine.quirks


def test_a_row_named_after_a_provider_is_that_providers_whatever_it_is_the_same_as(tmp_path: Path) -> None:
    changed = catalog(EVERYTHING, "[[models]]\nid = 'groq/w'\nsame_as = 'whisper-1'", tmp_path)
    assert (changed.find("groq/w").provider, changed.find("groq/w").upstream) == ("groq", "w")


def test_a_row_made_the_same_as_another_keeps_its_own_names_and_date(tmp_path: Path) -> None:
    rows = "[[models]]\nid = 'gpt-5'\nsame_as = 'claude-haiku-4-5'\nupstream = 'claude-haiku-4-5'"
    before, changed = catalog(EVERYTHING), catalog(EVERYTHING, rows, tmp_path)
    gpt, claude = changed.find("gpt-5-2025-08-07"), changed.find("claude-haiku-4-5")
    assert facts(gpt) == facts(claude) | {"created": before.find("gpt-5").created}
    assert gpt.listed == before.find("gpt-5").listed


def test_a_row_that_is_repointed_loses_the_end_and_the_price_of_the_old_upstream(tmp_path: Path) -> None:
    row = "[[models]]\nid = 'tts-1'\n"
    rows = row + "retires = 2027-01-06\nprice = { characters = '3' }\n"
    kept = catalog(EVERYTHING, rows + row + "context_length = 5", tmp_path)
    assert kept.find("tts-1").retires == date(2027, 1, 6)
    assert kept.price(kept.find("tts-1")) == Price.read({"characters": "3"})
    for change in ("upstream = 'successor'", "provider = 'groq'"):
        moved = catalog(EVERYTHING, rows + row + change, tmp_path)
        assert (moved.find("tts-1").retires, moved.price(moved.find("tts-1"))) == (None, None)


@pytest.mark.parametrize(
    ("rows", "told"),
    [
        ("not toml", "Expected"),
        ("models = 3", "models: "),
        ("[[model]]\nid = 'x'", "model: unknown key"),
        ("[[models]]\nprovider = 'openai'", "model 1, id: missing"),
        ("[[models]]\nid = 'x'", "model 'x', provider: missing"),
        ("[[models]]\nid = 'x'\nprovider = 'nobody'", "model 'x', provider: unknown provider 'nobody'"),
        ("[[models]]\nid = 'x'\nsame_as = 'gpt-99'", "model 'x', same_as: no row 'gpt-99' stands above it"),
        ("[[models]]\nid = 'x'\nsame_as = 'openai/gpt-5'", "model 'x', same_as: no row 'openai/gpt-5' stands above it"),
        ("[[models]]\nid = 'gpt-5'\ncapabilities = ['flying']", "model 'gpt-5', capabilities: unknown value 'flying'"),
        ("[[models]]\nid = 'gpt-5'\nquirks = ['no_stop', 'no_stpo']", "model 'gpt-5', quirks: unknown value 'no_stpo'"),
        ("[[models]]\nid = 'gpt-5'\nquirks = 'no_stop'", "model 'gpt-5', quirks: "),
        ("[[models]]\nid = 'gpt-5'\nupstraem = 'typo'", "model 'gpt-5', upstraem: unknown key"),
        ("[[models]]\nid = 'gpt-5'\nlisted = { context = 5 }", "model 'gpt-5', listed.context: unknown key"),
        ("[[models]]\nid = 'gpt-5'\naliases = 'g'", "model 'gpt-5', aliases: "),
        ("[[models]]\nid = 'gpt-5'\nprice = { inptu = '1' }", "model 'gpt-5', a price has no 'inptu'"),
        ("[[models]]\nid = 'gpt-5'\nprice = 3", "model 'gpt-5', price: "),
        ("[[models]]\nid = 'gpt-5'\nretires = 'soon'", "model 'gpt-5', retires: "),
        ("[providers.x]\nbase_url = 'https://x.test'\nrequires = []", "provider 'x', adapter: missing"),
        ("[providers.x]\nadapter = 'openai'", "provider 'x', one of api_key_env, base_url_env and requires"),
        ("[providers.openai]\nbase_ulr = 'https://x.test'", "provider 'openai', base_ulr: unknown key"),
        ("[providers.openai]\nquirks = ['no_stpo']", "provider 'openai', quirks: unknown value 'no_stpo'"),
        (
            "[providers.openai]\nbase_url = 'https://{HOME}.test'",
            "provider 'openai', base_url: {HOME} is not in requires",
        ),
    ],
)
def test_a_wrong_operators_file_is_refused_at_once_in_a_line_that_names_what_is_wrong(
    rows: str, told: str, tmp_path: Path
) -> None:
    with pytest.raises(ValueError, match="GATEWAY_CATALOG") as raised:
        catalog({}, rows, tmp_path)
    assert told in str(raised.value)
    assert "\n" not in str(raised.value)


def test_a_missing_operators_file_is_refused_at_once() -> None:
    with pytest.raises(ValueError, match="GATEWAY_CATALOG"):
        catalog({"GATEWAY_CATALOG": "/nowhere/rows.toml"})


# --- upstream models that are switched off ----------------------------------------------------------------------------

ENDING = """
    [providers.acme]
    adapter = "openai"
    base_url = "https://acme.test/v1"
    api_key_env = "ACME_API_KEY"

    [[models]]
    id = "a"
    provider = "acme"
    upstream = "old"
    retires = 2026-11-21

    [[models]]
    id = "b"
    provider = "acme"
    upstream = "old"
    retires = 2026-11-21

    [[models]]
    id = "c"
    provider = "acme"
    retires = 2026-12-21

    [[models]]
    id = "d"
    provider = "acme"
    retires = 2026-12-22
"""


def test_what_has_ended_or_ends_within_30_days_is_told_by_upstream_model(tmp_path: Path) -> None:
    assert catalog({"ACME_API_KEY": "k"}, ENDING, tmp_path).retirements(TODAY) == [
        "acme retired old on 2026-11-21. Point a, b to another upstream model with GATEWAY_CATALOG.",
        "acme retires c on 2026-12-21. Point c to another upstream model with GATEWAY_CATALOG.",
    ]


def test_no_end_is_told_of_a_provider_that_is_not_configured(tmp_path: Path) -> None:
    assert catalog({}, ENDING, tmp_path).retirements(date(2030, 1, 1)) == []


def test_a_model_is_retired_from_the_day_on_that_was_announced(tmp_path: Path) -> None:
    model = catalog({"ACME_API_KEY": "k"}, ENDING, tmp_path).find("c")
    assert not model.is_retired(date(2026, 12, 20))
    assert model.is_retired(date(2026, 12, 21))
