"""What a million calls cost: the document is what the script writes, and its sums are right."""

import pytest
from samtranslator.yaml_helper import yaml_parse

from scripts.costs import FILE, Inputs, bag_on_lambda, crossing, document, instances_month, on_instances, on_lambda
from scripts.emulator import ROOT

INPUTS = Inputs.read()
CALLS = INPUTS.content["calls"]


def test_the_document_is_what_make_costs_writes() -> None:
    assert FILE.read_text("utf-8") == document(INPUTS)


def test_a_stream_is_billed_for_its_time_and_memory() -> None:
    terms = on_lambda(INPUTS, CALLS["stream"] | {"tokens": 0, "seconds": 10}, 512)
    cpu = INPUTS.content["measured"]["cpu_ms"]["chat"] / 1000
    assert terms["duration"] == pytest.approx((10 + cpu * 1769 / 512) * 0.5 * 13.3334)
    assert terms["requests"] == 0.2
    assert terms["API Gateway"] == 3.5


def test_lines_of_a_batch_share_the_time_of_an_invocation_and_have_no_api() -> None:
    line = CALLS["batch_line"]
    shared, alone = on_lambda(INPUTS, line, 512), on_lambda(INPUTS, {**line, "together": 1}, 512)
    assert shared["API Gateway"] == 0
    assert shared["duration"] < alone["duration"] / 10
    assert shared["requests"] == pytest.approx(0.2 / line["together"])


@pytest.mark.parametrize("memory_mb", [256, 512])
def test_ordinary_lambda_and_managed_instances_cost_the_same_where_they_cross(memory_mb: int) -> None:
    call = CALLS["stream"]
    millions = crossing(INPUTS, call, memory_mb)
    ordinary = sum(on_lambda(INPUTS, call, memory_mb).values()) * millions
    assert instances_month(INPUTS, call, millions) == pytest.approx(ordinary)
    assert instances_month(INPUTS, call, millions * 2) < ordinary * 2


def test_calls_that_wait_cost_least_on_instances_and_most_at_others() -> None:
    call = CALLS["stream"]
    totals = [on_instances(INPUTS, call), on_lambda(INPUTS, call, 256), bag_on_lambda(INPUTS, call)]
    sums = [sum(terms.values()) for terms in totals]
    assert sums == sorted(sums)


def test_every_price_and_measurement_says_where_it_is_from() -> None:
    for price in INPUTS.content["prices"].values():
        assert price["source"].startswith("https://")
        assert price["date"].year >= 2026
    assert all(measured["by"] for measured in INPUTS.content["measured"].values())


def test_the_documents_default_memory_is_the_templates() -> None:
    template = yaml_parse((ROOT / "template.yaml").read_text("utf-8"))
    assert f"default is {template['Parameters']['MemorySize']['Default']} MB" in document(INPUTS)
