"""Alarms, dashboard and saved queries: they are made only when asked for, and look at what somebody really writes."""

import ast
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from shared.observability import METRICS
from shared.schemas.batch import WINDOW_SECONDS
from tests.cli.conftest import Command, box, command
from tests.stack.test_template import Json, functions, of_type, parsed, translated

ROOT = Path(__file__).parents[2]
RUNBOOK = (ROOT / "docs" / "runbook.md").read_text("utf-8")
TOPIC = "arn:aws:sns:us-east-1:123456789012:pager"
API = {"ApiName": {"Ref": "AWS::StackName"}, "Stage": "live"}
# What AWS writes by itself, by namespace, with the names of the dimensions: see the pages "… metrics and dimensions" of
# each service's documentation.
AWS_METRICS: dict[str, tuple[list[set[str]], set[str]]] = {
    "AWS/ApiGateway": ([{"ApiName", "Stage"}], {"4XXError", "5XXError", "Count", "Latency"}),
    "AWS/Lambda": (
        [{"FunctionName"}, set()],
        {"ConcurrentExecutions", "Duration", "Invocations", "Throttles"},
    ),
    "AWS/SQS": (
        [{"QueueName"}],
        {
            "ApproximateAgeOfOldestMessage",
            "ApproximateNumberOfMessagesDelayed",
            "ApproximateNumberOfMessagesNotVisible",
            "ApproximateNumberOfMessagesVisible",
        },
    ),
    "AWS/DynamoDB": ([{"TableName"}], {"ConsumedWriteCapacityUnits"}),
}
OURS = {"Ref": "AWS::StackName"}
__all__ = ["box", "command"]  # fixtures


@pytest.fixture(autouse=True)
def _region(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")


def alarms(**parameters: str) -> dict[str, Json]:
    return of_type("AWS::CloudWatch::Alarm", translated(Alarms="on", **parameters))


def metrics_of(alarm: Json) -> Iterator[tuple[Any, str, dict[str, Any]]]:
    """What an alarm looks at: namespace, name and dimensions of each metric."""
    queries = [query["MetricStat"]["Metric"] for query in alarm.get("Metrics", ()) if "MetricStat" in query]
    for metric in queries or [alarm]:
        dimensions = {row["Name"]: row["Value"] for row in metric.get("Dimensions", ())}
        yield metric["Namespace"], metric["MetricName"], dimensions


def written(namespace: Any, name: str, dimensions: set[str]) -> bool:
    """Whether the gateway or AWS writes such a metric."""
    if namespace in (OURS, "${AWS::StackName}"):
        return any(set(group) == dimensions and name in units for group, units in METRICS)
    possible, names = AWS_METRICS[namespace]
    return dimensions in possible and name in names


# ---- What there is, and when -----------------------------------------------------------------------------------------


def test_nothing_that_costs_is_made_or_written_unless_it_is_asked_for() -> None:
    kinds = {"AWS::CloudWatch::Alarm", "AWS::CloudWatch::Dashboard", "AWS::Logs::QueryDefinition"}
    assert not kinds & {resource["Type"] for resource in translated().values()}
    assert kinds <= {resource["Type"] for resource in translated(Alarms="on").values()}
    for value, namespace in (("off", ""), ("on", OURS)):
        for function in functions(translated(Alarms=value)).values():
            assert function["Environment"]["Variables"]["GATEWAY_METRICS_NAMESPACE"] == namespace


def test_alarms_tell_the_operators_topic_when_they_start_and_when_they_end() -> None:
    for alarm in alarms(AlarmTopicArn=TOPIC).values():
        assert alarm["AlarmActions"] == alarm["OKActions"] == [TOPIC]
    for alarm in alarms().values():
        assert not {"AlarmActions", "OKActions"} & set(alarm)


def test_each_alarm_looks_at_metrics_that_the_gateway_or_aws_writes() -> None:
    for name, alarm in alarms().items():
        for namespace, metric, dimensions in metrics_of(alarm):
            assert written(namespace, metric, set(dimensions)), (name, metric)


def test_an_alarms_metrics_are_of_this_stack() -> None:
    stack = translated(Alarms="on")
    for alarm in alarms().values():
        for namespace, _, dimensions in metrics_of(alarm):
            match namespace:
                case "AWS/ApiGateway":
                    assert dimensions == API
                    (api,) = of_type("AWS::ApiGateway::RestApi").values()
                    assert api["Name"] == API["ApiName"]
                case "AWS/Lambda":
                    assert stack[dimensions["FunctionName"]["Ref"]]["Type"] == "AWS::Lambda::Function"
                case "AWS/SQS":
                    queue, attribute = dimensions["QueueName"]["Fn::GetAtt"]
                    assert (stack[queue]["Type"], attribute) == ("AWS::SQS::Queue", "QueueName")
                case _:
                    assert (namespace, dimensions) == (OURS, {"service": "gateway"})


def test_quiet_hours_raise_no_alarm() -> None:
    assert {alarm["TreatMissingData"] for alarm in alarms().values()} == {"notBreaching"}


def test_an_expression_names_only_metrics_of_its_alarm() -> None:
    for name, alarm in alarms().items():
        queries = alarm.get("Metrics", ())
        ids = {query["Id"] for query in queries if "MetricStat" in query}
        for query in queries:
            words = set(re.findall(r"\b[a-z]\w*", query.get("Expression", "")))
            assert words <= ids, name
        if queries:
            assert [query["Id"] for query in queries if query.get("ReturnData", True)] == [queries[0]["Id"]]
            assert len(ids) <= 10  # CloudWatch's limit for an alarm


# ---- Each alarm ------------------------------------------------------------------------------------------------------


def test_few_requests_are_no_rate() -> None:
    expression = alarms()["ServerErrorsAlarm"]["Metrics"][0]["Expression"]
    match = re.fullmatch(r"IF\(requests >= (\d+), 100 \* errors / requests, 0\)", expression)
    assert match is not None
    assert int(match[1]) > 1


def test_server_errors_are_noticed_within_the_shortest_gradual_deployment() -> None:
    alarm = alarms()["ServerErrorsAlarm"]
    seconds = alarm["DatapointsToAlarm"] * alarm["Metrics"][1]["MetricStat"]["Period"]
    assert seconds < 5 * 60  # Canary10Percent5Minutes
    assert alarm["Threshold"] < 10  # where only the tenth of requests that it gets fails


def test_throttles_of_every_function_that_a_client_waits_for_are_noticed() -> None:
    both = [metrics_of(alarms()[name]) for name in ("ThrottlesAlarm", "AgentThrottlesAlarm")]
    watched = {dimensions["FunctionName"]["Ref"] for metrics in both for _, _, dimensions in metrics}
    stack = translated()
    assert watched == set(of_type("AWS::Lambda::Function", stack)) - {"BatchWorkerFunction"}


def test_a_batch_is_late_when_the_shortest_window_could_have_passed() -> None:
    alarm = alarms()["BatchAgeAlarm"]
    assert alarm["Threshold"] == min(WINDOW_SECONDS.values())
    assert [metric[2]["QueueName"]["Fn::GetAtt"][0] for metric in metrics_of(alarm)] == ["BatchQueue"]
    dead = metrics_of(alarms()["DeadLettersAlarm"])
    assert [metric[2]["QueueName"]["Fn::GetAtt"][0] for metric in dead] == ["BatchDeadLetterQueue"]


def test_what_providers_may_cost_a_day_is_the_operators_choice() -> None:
    assert alarms(SpendAlarm="250")["DailySpendAlarm"]["Threshold"] == "250"
    assert alarms()["DailySpendAlarm"]["Period"] == 86_400
    assert "DailySpendAlarm" not in alarms(SpendAlarm="0")


# ---- Dashboard and queries -------------------------------------------------------------------------------------------


def widgets() -> list[Json]:
    (dashboard,) = of_type("AWS::CloudWatch::Dashboard", translated(Alarms="on")).values()
    text, _ = dashboard["DashboardBody"]["Fn::Sub"]
    found: list[Json] = json.loads(text)["widgets"]
    return found


def rows(widget: Json) -> Iterator[list[Any]]:
    """The metrics of a widget, with what a row takes from the row before it."""
    before: list[Any] = []
    for row in widget["properties"].get("metrics", ()):
        words = [word for word in row if not isinstance(word, dict)]
        if words[:1] == ["..."]:
            words = [*before[: len(before) - len(words) + 1], *words[1:]]
        if words:
            before = words
            yield words


def searches() -> Iterator[tuple[set[str], str]]:
    """What the dashboard searches for in the stack's namespace: dimensions and name."""
    for widget in widgets():
        for row in widget["properties"].get("metrics", ()):
            expression = row[0].get("expression", "") if isinstance(row[0], dict) else ""
            if match := re.match(r'SEARCH\(\'\{"\$\{AWS::StackName}",([\w,]+)} MetricName="(\w+)"\'', expression):
                yield set(match[1].split(",")), match[2]
            else:
                assert not expression.startswith("SEARCH"), expression


def test_the_dashboard_shows_metrics_that_the_gateway_or_aws_writes() -> None:
    shown = [row for widget in widgets() for row in rows(widget)]
    assert shown
    for namespace, name, *pairs in shown:
        assert written(namespace, name, set(pairs[::2])), (namespace, name, pairs)
    found = [*searches()]
    assert found
    for dimensions, name in found:
        assert written(OURS, name, dimensions), (name, dimensions)


def test_the_dashboard_shows_everything_that_the_gateway_counts() -> None:
    shown = {row[1] for widget in widgets() for row in rows(widget)} | {name for _, name in searches()}
    # API Gateway counts requests and errors by status itself, for nothing.
    by_aws = {"Requests", "ServerErrors", "ClientErrors"}
    assert {name for _, units in METRICS for name in units} - by_aws <= shown


def test_the_dashboard_has_a_place_for_each_widget() -> None:
    taken: set[tuple[int, int]] = set()
    for widget in widgets():
        columns = range(widget["x"], widget["x"] + widget["width"])
        place = {(x, y) for x in columns for y in range(widget["y"], widget["y"] + widget["height"])}
        assert columns.stop <= 24
        assert not place & taken
        taken |= place


def test_the_dashboard_names_only_what_the_stack_has() -> None:
    (dashboard,) = of_type("AWS::CloudWatch::Dashboard", translated(Alarms="on")).values()
    text, own = dashboard["DashboardBody"]["Fn::Sub"]
    named = {name.partition(".")[0] for name in re.findall(r"\$\{([\w.:]+)}", text)}
    parameters = {"MemorySize", "AWS"}
    known = set(translated(Alarms="on", SpendAlarm="0")) | set(own) | parameters
    assert {name.partition(":")[0] for name in named} <= known


def queries() -> dict[str, str]:
    found = of_type("AWS::Logs::QueryDefinition", translated(Alarms="on"))
    saved = {name: query["QueryString"] for name, query in found.items()}
    return saved | {widget["properties"]["title"]: widget["properties"]["query"] for widget in logs()}


def logs() -> list[Json]:
    return [widget for widget in widgets() if widget["type"] == "log"]


def logged() -> set[str]:
    """The fields of the gateway's log lines."""
    tree = ast.parse((ROOT / "shared" / "observability.py").read_text("utf-8"))
    keys = [key for node in ast.walk(tree) if isinstance(node, ast.Dict) for key in node.keys]
    return {str(key.value) for key in keys if isinstance(key, ast.Constant)}


def test_saved_queries_ask_for_fields_that_are_logged() -> None:
    # Powertools adds these to each line.
    known = logged() | {"message", "level", "exception"}
    for name, query in queries().items():
        text = re.sub(r"SOURCE '[^']*'|\"[^\"]*\"|/[^/]*/", "", query)
        made = set(re.findall(r"\bas (\w+)", text))
        words = set(re.findall(r"(?<![@\w])[a-z]\w*", text)) - made
        syntax = {"filter", "stats", "fields", "sort", "limit", "by", "as", "and", "or", "like", "desc"}
        syntax |= {"count", "sum", "pct", "latest", "ispresent"}
        assert words - syntax <= known, name


def test_saved_queries_read_the_logs_of_functions_that_write_such_lines() -> None:
    groups = set(of_type("AWS::Logs::LogGroup"))
    names = ("Chat", "Messages", "Responses", "Completions", "Images", "Embeddings", "Transcriptions", "Speech")
    callers = {f"{name}Logs" for name in names}
    for name, query in of_type("AWS::Logs::QueryDefinition", translated(Alarms="on")).items():
        read = {group["Ref"] for group in query["LogGroupNames"]}
        assert callers | {"BatchWorkerLogs"} <= read <= groups, name
    for widget in logs():
        assert {*re.findall(r"\$\{(\w+)}", widget["properties"]["query"])} == callers | {"BatchWorkerLogs"}


# ---- The runbook -----------------------------------------------------------------------------------------------------


def sections() -> dict[str, str]:
    """The runbook's sections by their headings."""
    parts = re.split(r"^## (.+)$", RUNBOOK, flags=re.MULTILINE)
    return dict(zip(parts[1::2], parts[2::2], strict=True))


def test_the_runbook_has_a_section_for_each_alarm_and_for_no_other() -> None:
    names = {alarm["AlarmName"]["Fn::Sub"].removeprefix("${AWS::StackName}-") for alarm in alarms().values()}
    assert {heading.strip("`") for heading in sections() if heading.startswith("`")} == names
    for alarm in alarms().values():
        assert "docs/runbook.md" in alarm["AlarmDescription"]


def test_each_of_its_sections_says_what_an_alarm_means_what_to_look_at_and_what_to_do() -> None:
    for heading, text in sections().items():
        if heading.startswith("`"):
            for part in ("**Means**", "**Look at**", "**Do**"):
                assert part in text, (heading, part)
            assert re.search(r"^ {4}\S", text, flags=re.MULTILINE), heading


def test_the_runbook_names_only_queries_that_are_saved() -> None:
    saved = {
        query["Name"]["Fn::Sub"].rpartition("/")[2]
        for query in of_type("AWS::Logs::QueryDefinition", translated(Alarms="on")).values()
    }
    assert set(re.findall(r"`NAME/([\w-]+)`", RUNBOOK)) == saved


def commands() -> list[list[str]]:
    """The runbook's calls of the command line."""
    lines = re.findall(r"^ {4,}gateway (.+)$", RUNBOOK, flags=re.MULTILINE)
    lines += re.findall(r"`gateway (--stack [^`]+)`", RUNBOOK)
    return [line.partition("#")[0].split() for line in lines]


@pytest.mark.parametrize("arguments", commands(), ids=" ".join)
def test_the_runbooks_commands_are_ones_that_the_command_line_knows(
    command: Command, box: dict[str, str], arguments: list[str]
) -> None:
    result = command(*arguments)
    # There is no such stack; a command that is not known would end with 2.
    assert (result.status, "could not be read" in result.stderr) == (1, True), result.stderr


def test_the_runbooks_parameters_are_the_templates() -> None:
    parameters = set(parsed()["Parameters"])
    named = set(re.findall(r"\b([A-Z]\w+)=", " ".join(re.findall(r'PARAMETERS="([^"]*)"', RUNBOOK))))
    assert named
    assert named <= parameters


def test_the_dashboard_shows_the_dollars_of_a_stream() -> None:
    (widget,) = [one for one in widgets() if one["properties"]["title"].startswith("Dollars a thousand requests")]
    streaming = {"ChatFunction", "ResponsesFunction", "MessagesFunction", "CompletionsFunction"}
    assert {row[3] for row in rows(widget)} == {f"${{{name}}}" for name in streaming}
    hidden = {row[-1]["id"] for row in widget["properties"]["metrics"] if len(row) > 1}
    for expression in (row[0]["expression"] for row in widget["properties"]["metrics"] if len(row) == 1):
        name, _, rest = expression.partition(" / 1000 * ")
        assert name in hidden
        # An average of milliseconds, and a thousandth of what a million requests cost: $0.20 and $3.50.
        assert rest == "${MemorySize} / 1024 * ${GigabyteSecond} * 1000 + 0.0037"
