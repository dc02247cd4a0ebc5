"""`make catalog`: what a maintainer is told of the catalog on a day."""

from datetime import date
from typing import Any

import pytest

from scripts import check_catalog
from scripts.check_catalog import ANNOUNCED, DEPRECATED, NEW, RETIRED, RETIRING, UNKNOWN, UNPRICED, Report, Vendor
from shared.catalog import Catalog
from shared.prices import PriceTable
from shared.settings import Settings

TODAY = date(2026, 11, 21)
PROVIDER = {"adapter": "openai", "base_url": "https://vendor.test", "api_key_env": "VENDOR_KEY"}
PRICES = PriceTable({"prices": {"openai": {"*": [{"input": "1"}]}}})


def found(
    *rows: dict[str, Any], vendor: Vendor | None = None, left_out: tuple[str, ...] = (), on: date = TODAY
) -> Report:
    """What is told of these rows of OpenAI's. They are all that there is, unless `vendor` says more."""
    catalog = Catalog(
        {"providers": {"openai": PROVIDER}, "models": [{"provider": "openai", **row} for row in rows]}, Settings()
    )
    if vendor is None:
        vendor = Vendor({row.get("upstream", row["id"]) for row in rows}, has_sdk=True)
    report = check_catalog.report(catalog, {"openai": vendor}, PRICES, {"openai": list(left_out)}, on)
    return {title: lines for title, lines in report.items() if lines}


def test_a_catalog_that_agrees_with_everything_is_passed_over_in_silence() -> None:
    assert found({"id": "m"}, {"id": "n", "upstream": "m"}) == {}


@pytest.mark.parametrize(
    ("on", "title"),
    [
        (date(2026, 12, 6), None),
        (date(2026, 12, 7), RETIRING),
        (date(2027, 1, 5), RETIRING),
        (date(2027, 1, 6), RETIRED),
        (date(2040, 1, 1), RETIRED),
    ],
)
def test_the_end_of_an_upstream_model_is_told_30_days_before(on: date, title: str | None) -> None:
    rows = ({"id": id_, "upstream": "old", "retires": date(2027, 1, 6)} for id_ in ("m", "n"))
    assert found(*rows, on=on) == ({} if title is None else {title: ["openai old on 2027-01-06: m, n"]})


def test_an_end_that_only_the_sdk_knows_counts_as_well() -> None:
    vendor = Vendor({"m"}, {"m": date(2026, 11, 20)}, has_sdk=True)
    assert found({"id": "m"}, vendor=vendor) == {
        RETIRED: ["openai m on 2026-11-20: m"],
        ANNOUNCED: ["openai m: 2026-11-20 there, None in the catalog"],
    }
    assert found({"id": "m", "retires": date(2026, 11, 20)}, vendor=vendor).keys() == {RETIRED}


def test_a_model_is_new_that_has_no_row_and_no_end_and_was_not_left_out() -> None:
    vendor = Vendor(
        {"m", "m-2026-01-01", "alias", "upstream", "ending", "old-1", "old-2", "next"}, {"ending": date(2030, 1, 1)}
    )
    rows = {"id": "m", "aliases": ["alias"]}, {"id": "n", "upstream": "upstream"}
    assert found(*rows, vendor=vendor, left_out=("old-*",)) == {NEW: ["openai next"]}
    wildcard = {"id": "openai/*"}
    assert found(*rows, wildcard, vendor=vendor, left_out=("old-*",)) == {NEW: ["openai next"]}


def test_a_model_that_neither_the_sdk_nor_genai_prices_has_is_told() -> None:
    rows = {"id": "model-of-yesterday"}, {"id": "gpt-6-luna"}
    assert found(*rows, vendor=Vendor(has_sdk=True)) == {UNKNOWN: ["openai model-of-yesterday"]}
    assert found(*rows, vendor=Vendor()) == {}


def test_a_model_without_a_price_is_told() -> None:
    rows = {"id": "m"}, {"id": "n", "upstream": "m"}
    catalog = Catalog(
        {"providers": {"openai": PROVIDER}, "models": [{"provider": "openai", **row} for row in rows]}, Settings()
    )
    report = check_catalog.report(catalog, {}, PriceTable({"prices": {}}), {}, TODAY)
    assert report[UNPRICED] == ["openai m"]


def test_a_model_that_genai_prices_calls_deprecated_is_told() -> None:
    catalog = Catalog({"providers": {"xai": PROVIDER}, "models": [{"id": "xai/grok-2-1212"}]}, Settings())
    assert check_catalog.report(catalog, {}, PRICES, {}, TODAY)[DEPRECATED] == ["xai grok-2-1212"]


def test_the_sdks_say_which_models_there_are_and_when_some_end() -> None:
    vendors = check_catalog.vendors()
    openai, anthropic, gemini = (vendors[name] for name in ("openai", "anthropic", "gemini"))
    assert openai.models >= {"gpt-6-luna", "o3-pro", "text-embedding-3-small", "gpt-image-2", "whisper-1", "tts-1"}
    assert "claude-haiku-4-5" in anthropic.models
    assert "gemini-2.5-flash" in gemini.models
    assert "grok-4.3" in vendors["xai"].models
    assert openai.retires["tts-1-hd"] == date(2027, 1, 6)
    assert openai.retires["gpt-4o-mini-2024-07-18"] == date(2027, 1, 14)
    assert openai.retires["gpt-image-1"] == date(2026, 10, 23)
    assert anthropic.retires["claude-sonnet-4-5"] == date(2026, 11, 30)


def test_the_command_fails_once_a_row_has_ended_and_takes_the_date_as_its_argument(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert check_catalog.main(["2026-01-01"]) == 0
    assert RETIRED not in capsys.readouterr().out
    assert check_catalog.main(["2200-01-01"]) == 1
    assert RETIRED in capsys.readouterr().out
