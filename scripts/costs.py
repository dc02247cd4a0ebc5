"""`make costs`: what a million calls cost, term by term, as docs/costs.md; WRITE=on renews that file.

Everything that it computes with is in costs.toml: dated prices, what the benchmarks measured, and what a call is.
"""

import sys
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from scripts.benchmark import WRITE, table
from scripts.emulator import ROOT

FILE = ROOT / "docs" / "costs.md"
INPUTS = ROOT / "scripts" / "costs.toml"
MILLION = 1_000_000
HOURS_A_MONTH = 730
MEMORY_MB = (256, 512)
MB_A_CPU = 1769
"""Memory with which Lambda gives a whole processor: https://docs.aws.amazon.com/lambda/latest/dg/configuration-memory.html."""
_LOADS = (1, 10, 100, 1000)
Terms = Mapping[str, float]


@dataclass(frozen=True)
class Inputs:
    """What costs.toml says."""

    content: Mapping[str, Any]

    @classmethod
    def read(cls) -> "Inputs":
        return cls(tomllib.loads(INPUTS.read_text("utf-8")))

    def price(self, name: str) -> float:
        return float(self.content["prices"][name]["dollars"])

    def cpu_seconds(self, call: Mapping[str, Any]) -> float:
        """The CPU time of a call."""
        measured = self.content["measured"]
        tokens = call["tokens"] * measured["cpu_us_a_token"]["value"] / 1e6
        return float(measured["cpu_ms"][call["cpu"]] / 1000 + tokens)


def main() -> None:
    """Prints the document, and with WRITE=on writes it."""
    text = document(Inputs.read())
    sys.stdout.write(text)
    if WRITE:
        FILE.write_text(text, "utf-8")


# ---- A million calls -------------------------------------------------------------------------------------------------


def on_lambda(inputs: Inputs, call: Mapping[str, Any], memory_mb: int) -> Terms:
    """Dollars of a million calls on ordinary Lambda, by term.

    A call takes as long as the model, and the CPU time that the function's share of a processor stretches.
    """
    seconds = call["seconds"] / call.get("together", 1) + inputs.cpu_seconds(call) / min(1, memory_mb / MB_A_CPU)
    duration = seconds * memory_mb / 1024 * inputs.price("lambda_gb_second") * MILLION
    requests = inputs.price("lambda_requests") / call.get("together", 1)
    return {"duration": duration, "requests": requests, **_around(inputs, call, "write_units")}


def on_instances(inputs: Inputs, call: Mapping[str, Any]) -> Terms:
    """Dollars of a million calls on managed instances that are busy, by term."""
    load = inputs.content["load"]
    hours = inputs.cpu_seconds(call) * MILLION / load["busy"] / load["instance_cpus"] / 3600
    return {
        "instances": hours * instance_hour(inputs),
        "requests": inputs.price("lambda_requests"),
        **_around(inputs, call, "write_units_shared"),
    }


def _around(inputs: Inputs, call: Mapping[str, Any], writes: str) -> Terms:
    """What a call costs wherever the function runs."""
    measured = inputs.content["measured"]
    return {
        "API Gateway": 0.0 if call.get("is_batch") else inputs.price("rest_api_requests"),
        "DynamoDB": measured[writes]["value"] * inputs.price("dynamodb_writes"),
        "logs": 0.0
        if call.get("is_batch")
        else measured["log_bytes"]["value"] / 1e9 * MILLION * inputs.price("log_gb"),
        "S3, SQS": call.get("puts", 0) * inputs.price("s3_puts")
        + (3 * inputs.price("sqs_requests") / call["together"] if call.get("is_batch") else 0.0),
    }


def on_fargate(inputs: Inputs, call: Mapping[str, Any], millions: float) -> float:
    """Dollars a month of LiteLLM for so many million calls, at least one task."""
    other, load = inputs.content["others"]["litellm"], inputs.content["load"]
    seconds = (other["cpu_ms"] / 1000 + call["tokens"] * other["cpu_us_a_token"] / 1e6) * millions * MILLION
    tasks = max(1, _ceil(seconds / load["busy"] / other["cpus"] / (HOURS_A_MONTH * 3600)))
    return tasks * _task_month(inputs) + _balancer_month(inputs)


def bag_on_lambda(inputs: Inputs, call: Mapping[str, Any]) -> Terms:
    """Dollars of a million calls of Bedrock Access Gateway, of which only the time of waiting is counted."""
    memory_mb = inputs.content["others"]["bag"]["memory_mb"]
    return {
        "duration": call["seconds"] * memory_mb / 1024 * inputs.price("lambda_gb_second") * MILLION,
        "requests": inputs.price("lambda_requests"),
        "API Gateway": inputs.price("rest_api_requests"),
    }


# ---- A month ---------------------------------------------------------------------------------------------------------


def instance_hour(inputs: Inputs) -> float:
    """Dollars of an instance for an hour, with Lambda's fee."""
    return inputs.price("instance_hour") * (1 + inputs.price("instance_fee"))


def least_instances(inputs: Inputs) -> int:
    """As many instances as the processes that always run need, three at least."""
    load = inputs.content["load"]
    processes = load["functions"] * load["least_processes"]
    by_memory = processes * load["process_gb"] / load["instance_gb"]
    by_cpus = processes * load["process_cpus"] / load["instance_cpus"]
    return max(3, _ceil(max(by_memory, by_cpus)))


def instances_month(inputs: Inputs, call: Mapping[str, Any], millions: float) -> float:
    """Dollars a month on managed instances for so many million calls, spread evenly."""
    terms = on_instances(inputs, call)
    idle = least_instances(inputs) * instance_hour(inputs) * HOURS_A_MONTH
    others = sum(dollars for name, dollars in terms.items() if name != "instances")
    return max(idle, terms["instances"] * millions) + others * millions


def crossing(inputs: Inputs, call: Mapping[str, Any], memory_mb: int) -> float:
    """From how many million calls a month managed instances are cheaper than ordinary Lambda."""
    ordinary, managed = sum(on_lambda(inputs, call, memory_mb).values()), on_instances(inputs, call)
    others = sum(managed.values()) - managed["instances"]
    return least_instances(inputs) * instance_hour(inputs) * HOURS_A_MONTH / (ordinary - others)


def _task_month(inputs: Inputs) -> float:
    other = inputs.content["others"]["litellm"]
    hour = other["cpus"] * inputs.price("fargate_cpu_hour") + other["gb"] * inputs.price("fargate_gb_hour")
    return hour * HOURS_A_MONTH


def _balancer_month(inputs: Inputs) -> float:
    return inputs.price("load_balancer_hour") * HOURS_A_MONTH


def _ceil(number: float) -> int:
    return -int(-number // 1)


# ---- The document ----------------------------------------------------------------------------------------------------


def document(inputs: Inputs) -> str:
    """docs/costs.md."""
    calls, stream = inputs.content["calls"], inputs.content["calls"]["stream"]
    head = (
        "Written by `make costs` (`WRITE=on` renews it) from [dated prices and measurements](../scripts/costs.toml).\n"
        "Dollars, us-east-1, arm64, without free tiers, what providers charge, cold starts and data that leaves AWS.\n"
        "Each call is held to all limits of its key. How long it waits is the model's time."
    )
    blocks = [
        "# What it costs",
        head,
        "## A million calls",
        *(_terms(inputs, call) for call in calls.values()),
        "## Memory",
        _memory(inputs, calls["chat"], stream),
        "## A month",
        _idle(inputs),
        _month(inputs, stream),
        _which(inputs, calls),
        "## Prices",
        _prices(inputs),
        "## Measurements",
        _measurements(inputs),
    ]
    return "\n\n".join(blocks) + "\n"


def _terms(inputs: Inputs, call: Mapping[str, Any]) -> str:
    columns = {f"Lambda, {memory} MB": on_lambda(inputs, call, memory) for memory in MEMORY_MB}
    if not call.get("on_lambda"):
        columns["managed instances, busy"] = on_instances(inputs, call)
    if not call.get("is_batch"):
        columns[inputs.content["others"]["bag"]["name"]] = bag_on_lambda(inputs, call)
    names = list(dict.fromkeys(name for terms in columns.values() for name in terms))
    rows = [[name, *(_dollars(terms.get(name, 0.0)) for terms in columns.values())] for name in names]
    rows = [row for row in rows if any(cell != "0.00" for cell in row[1:])]
    rows.append(["**together**", *(f"**{_dollars(sum(terms.values()))}**" for terms in columns.values())])
    cpu, seconds = inputs.cpu_seconds(call) * 1000, call["seconds"]
    together = f", {call['together']} of them in one invocation" if "together" in call else ""
    head = f"### {call['name'].capitalize()}\n\n{seconds:g} s of waiting{together}, {cpu:.1f} ms of CPU time."
    return f"{head}\n\n{table(['', *columns], rows)}"


def _memory(inputs: Inputs, chat: Mapping[str, Any], stream: Mapping[str, Any]) -> str:
    measured = inputs.content["measured"]["memory_mb"]
    rows = []
    for memory in (128, *MEMORY_MB, 1024):
        added = inputs.cpu_seconds(chat) * 1000 / min(1, memory / MB_A_CPU)
        costs = [_dollars(sum(on_lambda(inputs, call, memory).values())) for call in (chat, stream)]
        rows.append([str(memory), *costs, f"{added:.0f}", f"{memory - measured['largest_image']}"])
    text = (
        f"A function takes {measured['idle']} MB, and {measured['largest_image']} MB for the largest answer, an image"
        " of 30 MB. More memory buys a\nlarger share of a processor, for which a request waits:"
    )
    columns = ["MB", "a million short chats", "a million streams", "ms that the gateway adds to a chat", "MB to spare"]
    return f"{text}\n\n{table(columns, rows)}\n\nThe template's default is 256 MB."


def _idle(inputs: Inputs) -> str:
    instances = least_instances(inputs)
    load = inputs.content["load"]
    managed = instances * instance_hour(inputs) * HOURS_A_MONTH
    rows = [
        ["ordinary Lambda", _dollars(2 * inputs.price("secret_month")), "two secrets"],
        [
            "managed instances",
            _dollars(managed),
            f"{instances} m7g.large: {load['functions']} functions with {load['least_processes']} processes each",
        ],
        [
            inputs.content["others"]["litellm"]["name"],
            _dollars(_task_month(inputs) + _balancer_month(inputs)),
            "one task and a load balancer; PostgreSQL and Redis come on top",
        ],
        [inputs.content["others"]["bag"]["name"], _dollars(inputs.price("secret_month")), "a secret"],
    ]
    return f"A stack that nobody uses, without `Alarms=on`:\n\n{table(['', 'dollars a month', 'for'], rows)}"


def _month(inputs: Inputs, call: Mapping[str, Any]) -> str:
    columns = ["million calls a month", *(f"Lambda, {memory} MB" for memory in MEMORY_MB), "managed instances"]
    columns += [inputs.content["others"][name]["name"] for name in ("litellm", "bag")]
    rows = []
    for millions in _LOADS:
        costs = [sum(on_lambda(inputs, call, memory).values()) * millions for memory in MEMORY_MB]
        costs += [instances_month(inputs, call, millions), on_fargate(inputs, call, millions)]
        costs.append(sum(bag_on_lambda(inputs, call).values()) * millions)
        rows.append([f"{millions:,}", *(f"{cost:,.0f}" for cost in costs)])
    busy = f"{inputs.content['load']['busy']:.0%}"
    text = (
        f"Every call a {call['name']}, spread evenly; instances and tasks are {busy} busy. LiteLLM's column is its\n"
        "tasks and a load balancer alone, without logs and without its databases."
    )
    return f"{text}\n\n{table(columns, rows)}"


def _which(inputs: Inputs, calls: Mapping[str, Any]) -> str:
    rows = []
    for call in calls.values():
        if not call.get("on_lambda"):
            points = [crossing(inputs, call, memory) for memory in MEMORY_MB]
            at_once = [point * MILLION * call["seconds"] / (HOURS_A_MONTH * 3600) for point in points]
            cells = [f"{point:.1f} ({level:.0f} at once)" for point, level in zip(points, at_once, strict=True)]
            rows.append([call["name"], *cells])
    columns = ["million calls a month", *(f"against {memory} MB" for memory in MEMORY_MB)]
    return f"Managed instances are cheaper from\n\n{table(columns, rows)}"


def _prices(inputs: Inputs) -> str:
    rows = [
        [price["unit"], f"{price['dollars']:.10f}".rstrip("0").rstrip("."), str(price["date"]), f"<{price['source']}>"]
        for price in inputs.content["prices"].values()
    ]
    return table(["a", "dollars", "seen", "source"], rows)


def _measurements(inputs: Inputs) -> str:
    rows = []
    for name, measured in inputs.content["measured"].items():
        values = ", ".join(
            f"{key} {value}" if key != "value" else str(value) for key, value in measured.items() if key != "by"
        )
        rows.append([name.replace("_", " "), values, measured["by"]])
    for other in inputs.content["others"].values():
        values = ", ".join(
            f"{key.replace('_', ' ')} {value}" for key, value in other.items() if key not in ("name", "source")
        )
        rows.append([other["name"], values, other["source"]])
    return table(["what", "value", "by"], rows)


def _dollars(amount: float) -> str:
    return f"{amount:,.2f}"


if __name__ == "__main__":
    main()
