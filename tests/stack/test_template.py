"""The template as CloudFormation gets it: functions, routes, streaming, who may call, who may do what."""

import json
import re
from collections import defaultdict
from collections.abc import Iterator
from copy import deepcopy
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from samtranslator.parser.parser import Parser
from samtranslator.translator.translator import Translator
from samtranslator.yaml_helper import yaml_parse

from layers.build import folder_of
from scripts.release import on_capacity_provider, pin, release_of
from shared.batches.batch_service import INPUT_KEPT_DAYS
from shared.batches.steps import MAX_RECEIVES
from shared.cli import target
from shared.routes import BUFFERED_FUNCTIONS, HTTP_FUNCTIONS, ROUTES, resource_path, sends_either_key
from shared.schemas.batch import WINDOW_SECONDS
from shared.settings import KeyHeader, Settings
from shared.stores.files import KEPT_DAYS
from shared.stores.objects import MAX_PRESIGNED_SECONDS
from shared.stores.operator_catalog import KEY as CATALOG_KEY
from shared.stores.responses import KEPT_DAYS as RESPONSE_DAYS
from shared.web.app import Application
from tests.entry_points import entry_point

ROOT = Path(__file__).parents[2]
FOLDERS = sorted(path.parent.name for path in (ROOT / "functions").glob("*/app.py"))
# What API Gateway never sends requests to.
WITHOUT_ROUTES = {"authorizer", "batch_worker"}
STREAMING = {*HTTP_FUNCTIONS} - BUFFERED_FUNCTIONS
Json = dict[str, Any]


@pytest.fixture(autouse=True)
def _region(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")


# ---- The template and what CloudFormation makes of it ----------------------------------------------------------------


@cache
def source() -> str:
    return (ROOT / "template.yaml").read_text("utf-8")


def parsed() -> Json:
    """The template as a value of the caller's own."""
    return deepcopy(_parsed())


@cache
def _parsed() -> Json:
    template: Json = yaml_parse(source())
    return template


@cache
def translated(*, layers: str = "1", **parameters: str) -> Json:
    """The resources of a stack with the given parameters, conditions decided. `layers` stands for their content."""
    template = parsed()
    template["Globals"]["Function"]["CodeUri"] = "s3://bucket/functions"
    for resource in template["Resources"].values():
        if resource["Type"] == "AWS::Serverless::LayerVersion":
            resource["Properties"]["ContentUri"] = f"s3://bucket/{layers}"
    values = {name: parameter["Default"] for name, parameter in template["Parameters"].items()} | parameters
    if values["CapacityProvider"]:
        on_capacity_provider(template)
    result = Translator({}, Parser()).translate(template, values)
    conditions = {name: decided(body, values, result["Conditions"]) for name, body in result["Conditions"].items()}
    resources = {
        name: resource
        for name, resource in result["Resources"].items()
        if conditions.get(resource.get("Condition"), True)
    }
    resolved: Json = resolve(resources, values, conditions)
    return resolved


def decided(condition: Json, values: Json, others: Json) -> bool:
    """Whether a condition holds; `others` are all of the template's, by name."""
    match condition:
        case {"Condition": name}:
            return decided(others[name], values, others)
        case {"Fn::And": inner}:
            return all(decided(one, values, others) for one in inner)
        case {"Fn::Or": inner}:
            return any(decided(one, values, others) for one in inner)
        case {"Fn::Equals": [{"Ref": name}, right]}:
            return str(values[name]) == str(right)
        case {"Fn::Not": [inner]}:
            return not decided(inner, values, others)
    raise AssertionError(condition)


def resolve(value: Any, values: Json, conditions: dict[str, bool]) -> Any:
    """The value with its parameters put in and its conditions decided; the rest stays as it is."""
    match value:
        case {"Ref": name} if name in values:
            return values[name]
        case {"Fn::If": [condition, yes, no]}:
            return resolve(yes if conditions[condition] else no, values, conditions)
        case {"Fn::Sub": str(text)} if re.fullmatch(r"[^$]*\$\{(\w+)}[^$]*", text):
            return re.sub(r"\$\{(\w+)}", lambda match: str(values.get(match[1], match[0])), text)
        case dict():
            items = {name: resolve(item, values, conditions) for name, item in value.items()}
            return {name: item for name, item in items.items() if item != {"Ref": "AWS::NoValue"}}
        case list():
            resolved = [resolve(item, values, conditions) for item in value]
            return [item for item in resolved if item != {"Ref": "AWS::NoValue"}]
    return value


def of_type(kind: str, resources: Json | None = None) -> dict[str, Json]:
    found = translated() if resources is None else resources
    return {name: resource["Properties"] for name, resource in found.items() if resource["Type"] == kind}


def functions(resources: Json | None = None) -> dict[str, Json]:
    """The functions by their folder."""
    return {folder_of(name): found for name, found in of_type("AWS::Lambda::Function", resources).items()}


def body(resources: Json | None = None) -> Json:
    (api,) = of_type("AWS::ApiGateway::RestApi", resources).values()
    definition: Json = api["Body"]
    return definition


def methods(resources: Json | None = None) -> Iterator[tuple[str, str, Json]]:
    """Every route of the API that is not a preflight: its method, path and definition."""
    for path, item in body(resources)["paths"].items():
        for method, definition in item.items():
            if method != "options":
                yield method.upper(), path, definition


def function_behind(definition: Json) -> str:
    uri = definition["x-amazon-apigateway-integration"]["uri"]["Fn::Sub"]
    match = re.search(r"functions/\$\{(\w+)Aliaslive}/", uri)
    assert match is not None, uri
    return folder_of(match[1])


# ---- Functions and routes --------------------------------------------------------------------------------------------


def test_each_folder_is_a_function_whose_handler_can_be_imported() -> None:
    assert sorted(functions()) == FOLDERS
    for folder, function in functions().items():
        module, _, name = function["Handler"].rpartition(".")
        assert module == f"functions.{folder}.app"
        handler = getattr(entry_point(folder), name)
        assert isinstance(handler, Application) == (folder in STREAMING)
        assert callable(handler)


def test_the_api_has_the_routes_of_the_table() -> None:
    served = {(method, path, function_behind(definition)) for method, path, definition in methods()}
    assert served == {(route.method, resource_path(route), route.function) for route in ROUTES}
    assert {folder for _, _, folder in served} == {*FOLDERS} - WITHOUT_ROUTES


def test_what_may_answer_at_length_streams_and_nothing_else_does() -> None:
    for method, path, definition in methods():
        integration = definition["x-amazon-apigateway-integration"]
        folder = function_behind(definition)
        uri = integration["uri"]["Fn::Sub"]
        assert integration["type"] == "aws_proxy"
        if folder in STREAMING:
            assert "/2021-11-15/functions/" in uri, (method, path)
            assert uri.endswith("/response-streaming-invocations"), (method, path)
            assert integration["responseTransferMode"] == "STREAM"
            assert integration["timeoutInMillis"] == 300_000
        else:
            assert uri.endswith("/invocations"), (method, path)
            assert "responseTransferMode" not in integration


def test_streaming_functions_are_started_by_the_wrapper_of_their_layer() -> None:
    for folder, function in functions().items():
        streams = folder in STREAMING
        layers = [layer["Ref"] for layer in function["Layers"]]
        variables = function["Environment"]["Variables"]
        assert any(layer.startswith("DependenciesLayer") for layer in layers)
        assert any(layer.startswith("SharedLayer") for layer in layers)
        assert any(layer.startswith("RuntimeLayer") for layer in layers) == streams
        assert (variables.get("AWS_LAMBDA_EXEC_WRAPPER") == "/opt/streaming-runtime") == streams


def test_api_gateway_waits_no_shorter_than_the_function_runs() -> None:
    for _, _, definition in methods():
        function = functions()[function_behind(definition)]
        assert function["Timeout"] * 1000 <= definition["x-amazon-apigateway-integration"].get(
            "timeoutInMillis", 29_000
        )


def test_uploads_reach_functions_unharmed_and_nothing_else_is_binary() -> None:
    (api,) = of_type("AWS::ApiGateway::RestApi").values()
    assert body()["x-amazon-apigateway-binary-media-types"] == ["multipart/form-data"]
    # CloudFormation's own property spells the slash as a JSON pointer does.
    assert api["BinaryMediaTypes"] == ["multipart~1form-data"]


def test_the_api_is_regional() -> None:
    (api,) = of_type("AWS::ApiGateway::RestApi").values()
    assert api["EndpointConfiguration"] == {"Types": ["REGIONAL"]}
    (stage,) = of_type("AWS::ApiGateway::Stage").values()
    assert stage["StageName"] == "live"


def test_every_setting_in_the_template_is_one_that_the_code_reads() -> None:
    known = {f"GATEWAY_{name.upper()}" for name in Settings.__dataclass_fields__}
    known |= set(
        re.findall(r"GATEWAY_[A-Z_]+", "".join(path.read_text("utf-8") for path in ROOT.glob("shared/**/*.py")))
    )
    for function in functions().values():
        names = {name for name in function["Environment"]["Variables"] if name.startswith("GATEWAY_")}
        assert names <= known


@pytest.mark.parametrize("architecture", ["arm64", "x86_64"])
def test_functions_and_packages_are_for_the_same_processor(architecture: str) -> None:
    stack = translated(Architecture=architecture)
    assert all(function["Architectures"] == [architecture] for function in functions(stack).values())
    layers = of_type("AWS::Lambda::LayerVersion", stack)
    assert [layer.get("CompatibleArchitectures") for name, layer in layers.items() if "Dependencies" in name] == [
        [architecture]
    ]
    assert "arm64" in functions()["chat"]["Architectures"]


def test_a_layer_that_changes_makes_new_versions_of_the_functions() -> None:
    before, after = (set(of_type("AWS::Lambda::Version", translated(layers=layers))) for layers in ("1", "2"))
    assert len(before) == len(after) == len(FOLDERS)
    assert not before & after


def versions(**parameters: str) -> set[str]:
    """The logical ids of the functions' versions in a stack that was deployed with these parameters."""
    template = parsed()
    pin(template, "0123456789", "arm64")
    defaults = {name: str(value["Default"]) for name, value in template["Parameters"].items() if "Default" in value}
    release = release_of(template, defaults | parameters)
    return set(of_type("AWS::Lambda::Version", translated(Release=release, **parameters)))


@pytest.mark.parametrize(
    "parameter",
    ["MemorySize=1024", "Sandbox=on", "SnapStart=on", "LogLevel=DEBUG", "CorsOrigin=https://app.example.com"],
)
def test_a_changed_parameter_makes_new_versions_of_the_functions(parameter: str) -> None:
    name, _, value = parameter.partition("=")
    before, after, again = versions(), versions(**{name: value}), versions(**{name: value})
    assert len(before) == len(after) == len(FOLDERS)
    assert not before & after
    assert after == again


def test_a_release_changes_every_function_since_lambda_publishes_no_unchanged_one() -> None:
    release = "0123456789abcdef0123"
    for function in functions(translated(Release=release)).values():
        assert function["Description"].endswith(f" {release}")


def test_old_versions_are_kept_and_traffic_goes_to_the_newest() -> None:
    stack = translated()
    found = {name: resource for name, resource in stack.items() if resource["Type"] == "AWS::Lambda::Version"}
    assert {version["DeletionPolicy"] for version in found.values()} == {"Retain"}
    aliases = of_type("AWS::Lambda::Alias", stack)
    assert {alias["Name"] for alias in aliases.values()} == {"live"}
    assert {alias["FunctionVersion"]["Fn::GetAtt"][0] for alias in aliases.values()} == set(found)


def test_a_deployment_is_at_once_unless_the_operator_wants_it_gradual() -> None:
    at_once = translated()
    assert not [name for name, resource in at_once.items() if "CodeDeploy" in resource["Type"] or "CodeDeploy" in name]
    assert not [name for name, resource in at_once.items() if "UpdatePolicy" in resource]
    gradual = translated(Deployment="Canary10Percent5Minutes")
    groups = of_type("AWS::CodeDeploy::DeploymentGroup", gradual)
    assert len(groups) == len(FOLDERS)
    for group in groups.values():
        assert group["DeploymentConfigName"]["Fn::Sub"][1] == {"ConfigName": "Canary10Percent5Minutes"}
        assert "DEPLOYMENT_STOP_ON_ALARM" in group["AutoRollbackConfiguration"]["Events"]
        assert group["AlarmConfiguration"] == {}
    for resource in gradual.values():
        assert (resource["Type"] == "AWS::Lambda::Alias") == ("UpdatePolicy" in resource)


@pytest.mark.parametrize(
    ("parameters", "alarm"),
    [
        ({"RollbackAlarm": "too-many-errors"}, "too-many-errors"),
        ({"Alarms": "on"}, {"Ref": "ServerErrorsAlarm"}),
        ({"Alarms": "on", "RollbackAlarm": "too-many-errors"}, "too-many-errors"),
    ],
)
def test_an_alarm_takes_a_gradual_deployment_back(parameters: dict[str, str], alarm: Any) -> None:
    stack = translated(Deployment="Linear10PercentEvery1Minute", **parameters)
    groups = of_type("AWS::CodeDeploy::DeploymentGroup", stack)
    assert len(groups) == len(FOLDERS)
    for group in groups.values():
        assert group["AlarmConfiguration"] == {"Enabled": True, "Alarms": [{"Name": alarm}]}


def test_each_way_to_deploy_is_known_to_be_gradual_or_not() -> None:
    template = parsed()
    gradual = {name: row["Gradual"] for name, row in template["Mappings"]["Deployments"].items()}
    assert [*gradual] == template["Parameters"]["Deployment"]["AllowedValues"]
    assert [name for name, value in gradual.items() if not value] == ["AllAtOnce"]


def test_snapshots_are_made_only_when_asked_for() -> None:
    def asked(stack: Json) -> dict[str, str]:
        return {folder: found["SnapStart"]["ApplyOn"] for folder, found in functions(stack).items()}

    assert set(asked(translated()).values()) == {"None"}
    on = asked(translated(SnapStart="on"))
    assert {folder for folder, value in on.items() if value == "PublishedVersions"} == {*FOLDERS} - {"authorizer"}


# ---- Who may call ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("header", ["Authorization", "x-api-key", "either"])
def test_every_route_is_behind_the_authorizer_that_reads_the_chosen_header(header: str) -> None:
    stack = translated(KeyHeader=header)
    for _, path, definition in methods(stack):
        expected = "either" if sends_either_key(path) else header
        assert definition["security"] == [{expected: []}, {"api_key": []}]
    authorizer = body(stack)["components"]["securitySchemes"][header]["x-amazon-apigateway-authorizer"]
    assert authorizer["type"] == "request"
    # By its alias, so that it is deployed, and taken back, as the other functions are.
    assert authorizer["authorizerUri"]["Fn::Sub"][1] == {"__FunctionArn__": {"Ref": "AuthorizerFunctionAliaslive"}}
    # API Gateway caches by the header, and refuses a request without it: either header leaves nothing to cache by.
    assert authorizer.get("identitySource") == (None if header == "either" else f"method.request.header.{header}")
    assert authorizer["authorizerResultTtlInSeconds"] == (0 if header == "either" else 60)


@pytest.mark.parametrize("header", ["Authorization", "x-api-key", "either"])
def test_who_looks_a_key_up_looks_at_the_header_that_api_gateway_caches_by(header: str) -> None:
    for function in functions(translated(KeyHeader=header)).values():
        assert function["Environment"]["Variables"]["GATEWAY_KEY_HEADER"] == header
    assert header in {*KeyHeader}


def test_how_long_known_keys_are_served_without_their_table_is_the_operators_choice() -> None:
    for parameters, seconds in (({}, Settings().key_grace), ({"KeyGrace": "0"}, "0")):
        for function in functions(translated(**parameters)).values():
            assert function["Environment"]["Variables"]["GATEWAY_KEY_GRACE"] == seconds


def test_api_gateway_may_call_the_authorizer() -> None:
    permission = of_type("AWS::Lambda::Permission")["AuthorizerPermission"]
    assert permission["FunctionName"] == {"Ref": "AuthorizerFunctionAliaslive"}
    assert permission["SourceArn"]["Fn::Sub"].endswith(":${Api}/authorizers/*")


def test_functions_take_the_authorizers_word() -> None:
    for folder, function in functions().items():
        trusts = function["Environment"]["Variables"].get("GATEWAY_TRUST_AUTHORIZER")
        assert trusts == (None if folder in WITHOUT_ROUTES else "on")


def test_the_authorizer_names_the_api_gateway_key_of_the_usage_plan() -> None:
    (api,) = of_type("AWS::ApiGateway::RestApi").values()
    assert api["ApiKeySourceType"] == "AUTHORIZER"
    (key,) = of_type("AWS::ApiGateway::ApiKey").values()
    assert functions()["authorizer"]["Environment"]["Variables"]["GATEWAY_USAGE_KEY"] == key["Value"]
    (plan,) = of_type("AWS::ApiGateway::UsagePlan", translated(ThrottleRate="7", ThrottleBurst="9")).values()
    assert plan["ApiStages"] == [{"ApiId": {"Ref": "Api"}, "Stage": {"Ref": "ApiliveStage"}}]
    assert plan["Throttle"] == {"RateLimit": "7", "BurstLimit": "9"}
    assert "Quota" not in plan
    (plan,) = of_type("AWS::ApiGateway::UsagePlan", translated(Quota="1000")).values()
    assert plan["Quota"] == {"Limit": "1000", "Period": "MONTH"}
    (link,) = of_type("AWS::ApiGateway::UsagePlanKey").values()
    assert (link["KeyId"], link["UsagePlanId"]) == ({"Ref": "KeylessApiKey"}, {"Ref": "KeylessUsagePlan"})


def test_a_browsers_preflight_needs_no_key_and_names_an_origin_only_when_one_is_set() -> None:
    for origin in ("", "https://app.example.com"):
        stack = translated(CorsOrigin=origin)
        for item in body(stack)["paths"].values():
            preflight = item["options"]
            assert "security" not in preflight
            answer = preflight["x-amazon-apigateway-integration"]["responses"]["default"]["responseParameters"]
            header = "method.response.header.Access-Control-Allow-"
            assert answer.get(f"{header}Origin") == (f"'{origin}'" if origin else None)
            assert {method.upper() for method in item} <= set(answer[f"{header}Methods"].strip("'").split(","))
        for response in body(stack)["x-amazon-apigateway-gateway-responses"].values():
            name = "gatewayresponse.header.Access-Control-Allow-Origin"
            assert response["responseParameters"].get(name) == (f"'{origin}'" if origin else None)
        for folder, function in functions(stack).items():
            given = function["Environment"]["Variables"].get("GATEWAY_CORS_ORIGIN")
            assert given == (None if folder in WITHOUT_ROUTES else origin)


# ---- API Gateway's own answers ---------------------------------------------------------------------------------------

STATUSES = {
    "UNAUTHORIZED": 401,
    "ACCESS_DENIED": 403,
    "INVALID_API_KEY": 403,
    "WAF_FILTERED": 403,
    "MISSING_AUTHENTICATION_TOKEN": 404,
    "INVALID_SIGNATURE": 404,
    "EXPIRED_TOKEN": 404,
    "RESOURCE_NOT_FOUND": 404,
    "REQUEST_TOO_LARGE": 413,
    "UNSUPPORTED_MEDIA_TYPE": 415,
    "THROTTLED": 429,
    "QUOTA_EXCEEDED": 429,
    "AUTHORIZER_FAILURE": 503,
    "AUTHORIZER_CONFIGURATION_ERROR": 503,
    "API_CONFIGURATION_ERROR": 503,
    "INTEGRATION_FAILURE": 503,
    "INTEGRATION_TIMEOUT": 504,
}


def answered(response: Json) -> Json:
    """The body that a client gets."""
    ((media_type, text),) = response["responseTemplates"].items()
    assert media_type == "application/json"
    text = text.replace("$context.requestId", "request-7")
    assert "$" not in text
    content: Json = json.loads(text)
    return content


def test_api_gateways_own_answers_have_what_each_dialect_promises() -> None:
    responses = body()["x-amazon-apigateway-gateway-responses"]
    assert set(responses) == {*STATUSES, "DEFAULT_4XX", "DEFAULT_5XX"}
    for name, response in responses.items():
        content = answered(response)
        error = content["error"]
        assert set(error) - {"retry_after"} == {"message", "type", "param", "code", "status"}
        assert all(isinstance(error[field], str) and error[field] for field in ("message", "type", "code"))
        assert content["status"] == "error"
        assert content["meta"] == {"request_id": "request-7"}
        assert (content["type"], content["request_id"]) == ("error", "request-7")  # Anthropic's shape
        assert response["responseParameters"]["gatewayresponse.header.Request-Id"] == "context.requestId"
        assert response["responseParameters"]["gatewayresponse.header.X-Request-Id"] == "context.requestId"
        if name in STATUSES:
            assert error["status"] == STATUSES[name]
            assert response["statusCode"] == str(STATUSES[name])
        else:
            assert "statusCode" not in response  # it would be that of all that have none of their own


# Where Lambda throttles a function or the authorizer, it is one of the last five.
@pytest.mark.parametrize(
    "name",
    [
        "THROTTLED",
        "QUOTA_EXCEEDED",
        "INTEGRATION_FAILURE",
        "API_CONFIGURATION_ERROR",
        "AUTHORIZER_FAILURE",
        "AUTHORIZER_CONFIGURATION_ERROR",
        "DEFAULT_5XX",
    ],
)
def test_who_is_throttled_is_told_when_to_come_back(name: str) -> None:
    response = body()["x-amazon-apigateway-gateway-responses"][name]
    header = response["responseParameters"]["gatewayresponse.header.Retry-After"]
    assert header == f"'{answered(response)['error']['retry_after']}'"


def test_the_stage_is_throttled_before_the_authorizer_is_asked() -> None:
    (stage,) = of_type("AWS::ApiGateway::Stage", translated(StageThrottleRate="50", StageThrottleBurst="60")).values()
    (setting,) = stage["MethodSettings"]
    assert (setting["ResourcePath"], setting["HttpMethod"]) == ("/*", "*")
    assert (setting["ThrottlingRateLimit"], setting["ThrottlingBurstLimit"]) == ("50", "60")


def test_the_authorizer_gets_concurrency_of_its_own_only_when_asked_for() -> None:
    for stack, expected in ((translated(), None), (translated(AuthorizerConcurrency="20"), "20")):
        found = {name: function.get("ReservedConcurrentExecutions") for name, function in functions(stack).items()}
        assert found.pop("authorizer") == expected
        assert set(found.values()) == {None}


def test_a_firewall_stands_before_the_stage_where_the_operator_has_one() -> None:
    assert not of_type("AWS::WAFv2::WebACLAssociation")
    arn = "arn:aws:wafv2:us-east-1:123456789012:regional/webacl/mine/1"
    (association,) = of_type("AWS::WAFv2::WebACLAssociation", translated(WebAclArn=arn)).values()
    assert association["WebACLArn"] == arn
    assert association["ResourceArn"]["Fn::Sub"].endswith("/restapis/${Api}/stages/${ApiliveStage}")


DOMAIN = {"DomainName": "ai.example.com", "CertificateArn": "arn:aws:acm:eu-west-1:123456789012:certificate/1"}


def test_a_domain_of_the_operators_leads_to_the_stage() -> None:
    assert not of_type("AWS::ApiGateway::DomainName")
    stack = translated(**DOMAIN)
    (domain,) = of_type("AWS::ApiGateway::DomainName", stack).values()
    assert (domain["DomainName"], domain["RegionalCertificateArn"]) == tuple(DOMAIN.values())
    (mapping,) = of_type("AWS::ApiGateway::BasePathMapping", stack).values()
    assert mapping == {"DomainName": {"Ref": "Domain"}, "RestApiId": {"Ref": "Api"}, "Stage": {"Ref": "ApiliveStage"}}
    assert not of_type("AWS::Route53::RecordSet", stack)
    (mapping,) = of_type("AWS::ApiGateway::BasePathMapping", translated(**DOMAIN, BasePath="gateway")).values()
    assert mapping["BasePath"] == "gateway"
    (record,) = of_type("AWS::Route53::RecordSet", translated(**DOMAIN, HostedZoneId="Z1")).values()
    assert (record["Name"], record["HostedZoneId"]) == ("ai.example.com", "Z1")
    assert record["AliasTarget"]["DNSName"] == {"Fn::GetAtt": ["Domain", "RegionalDomainName"]}


@pytest.mark.parametrize(
    ("parameters", "url"),
    [
        ({}, "https://${Api}.execute-api.${AWS::Region}.${AWS::URLSuffix}/live"),
        (DOMAIN, "https://ai.example.com"),
        ({**DOMAIN, "BasePath": "gateway"}, "https://ai.example.com/gateway"),
    ],
)
def test_the_outputs_name_the_address_that_clients_use(parameters: dict[str, str], url: str) -> None:
    template = parsed()
    values = {name: parameter["Default"] for name, parameter in template["Parameters"].items()} | parameters
    conditions = {name: decided(body, values, template["Conditions"]) for name, body in template["Conditions"].items()}
    outputs = {name: resolve(row["Value"], values, conditions) for name, row in template["Outputs"].items()}

    def put_in(value: Any) -> str:
        text = value["Fn::Sub"] if isinstance(value, dict) else value
        return re.sub(r"\$\{(\w+)}", lambda match: str(values.get(match[1], match[0])), text)

    assert put_in(outputs["BaseUrl"]) == f"{url}/v1"
    assert put_in(outputs["Smoke"]) == f"make smoke URL={url}"


def test_what_is_too_large_is_told_the_limit_and_the_way_around_it() -> None:
    message = answered(body()["x-amazon-apigateway-gateway-responses"]["REQUEST_TOO_LARGE"])["error"]["message"]
    assert "10 MB" in message
    assert "by URL" in message
    assert "/v1/files" in message


def test_who_has_no_key_is_told_how_to_show_one() -> None:
    response = body()["x-amazon-apigateway-gateway-responses"]["UNAUTHORIZED"]
    assert response["responseParameters"]["gatewayresponse.header.WWW-Authenticate"] == "'Bearer'"


# ---- Who may do what, and what is kept -------------------------------------------------------------------------------

LOGS = {"logs:CreateLogStream", "logs:PutLogEvents"}
LISTS = {"s3:ListBucket"}
READS, WRITES, GIVES_UP = "s3:GetObject", "s3:PutObject", "s3:AbortMultipartUpload"
UPDATES = {"dynamodb:UpdateItem"}
READS_PROVIDERS_KEYS = {"ProviderSecret": {"secretsmanager:GetSecretValue"}}
NAMES_FOLDERS = {"TenantSecret": {"secretsmanager:GetSecretValue"}}
READS_CATALOG = {"MediaBucket/config/*": {READS}, "MediaBucket below config/*": LISTS}
# Settlements that DynamoDB does not take wait in the queue.
METERS = {"LimitsTable": UPDATES, "UsageTable": UPDATES, "BatchQueue": {"sqs:SendMessage"}}
READS_CIRCUITS = {"LimitsTable": {"dynamodb:GetItem", *UPDATES}}
CALLS_MODELS = {**READS_PROVIDERS_KEYS, **METERS, **READS_CIRCUITS}
KEEPS_IMAGES = {**NAMES_FOLDERS, "MediaBucket/images/*": {READS, WRITES}, "MediaBucket below images/*": LISTS}
KEEPS_ANSWERS = {"MediaBucket/replays/*": {READS, WRITES}}
# All that each function may do, and on what, besides writing its log.
MAY: dict[str, dict[str, set[str]]] = {
    "authorizer": {"KeysTable": {"dynamodb:GetItem"}},
    "batch_worker": {
        **CALLS_MODELS,
        **NAMES_FOLDERS,
        "MediaBucket/images/*": {READS, WRITES},
        "MediaBucket/responses/*": {READS, WRITES},
        "MediaBucket below responses/*": LISTS,
        "MediaBucket below batches/*": LISTS,
        "MediaBucket below files/*": LISTS,
        "MediaBucket below images/*": LISTS,
        "KeysTable": {"dynamodb:GetItem"},
        "BatchesTable": {"dynamodb:GetItem", *UPDATES},
        "BatchQueue": {
            "sqs:ChangeMessageVisibility",
            "sqs:DeleteMessage",
            "sqs:GetQueueAttributes",
            "sqs:ReceiveMessage",
            "sqs:SendMessage",
        },
        "MediaBucket/batches/*": {READS, WRITES, GIVES_UP},
        "MediaBucket/files/*": {READS, WRITES, GIVES_UP},
    },
    "batches": {
        **NAMES_FOLDERS,
        **METERS,
        "BatchesTable": {"dynamodb:GetItem", "dynamodb:PutItem", "dynamodb:Query", *UPDATES},
        "BatchQueue": {"sqs:SendMessage"},
        "MediaBucket/batches/*": {WRITES, GIVES_UP},
        "MediaBucket/files/*": {READS},
        "MediaBucket below files/*": LISTS,
    },
    "chat": {**CALLS_MODELS, **KEEPS_IMAGES, **KEEPS_ANSWERS},
    "completions": {**CALLS_MODELS, **KEEPS_IMAGES, **KEEPS_ANSWERS},
    "embeddings": {**CALLS_MODELS, **KEEPS_ANSWERS},
    "files": {
        **METERS,
        **NAMES_FOLDERS,
        "MediaBucket/files/*": {READS, WRITES, "s3:DeleteObject"},
        "MediaBucket below files/*": LISTS,
    },
    "images": {**CALLS_MODELS, **KEEPS_IMAGES, **KEEPS_ANSWERS},
    "messages": {**CALLS_MODELS, **KEEPS_IMAGES, **KEEPS_ANSWERS},
    "models": READS_PROVIDERS_KEYS,
    "responses": {
        **CALLS_MODELS,
        **KEEPS_IMAGES,
        **KEEPS_ANSWERS,
        "MediaBucket/responses/*": {READS, WRITES, "s3:DeleteObject"},
        "MediaBucket below responses/*": LISTS,
        "MediaBucket/files/*": {READS},
        "MediaBucket below files/*": LISTS,
    },
    "speech": {**CALLS_MODELS, **KEEPS_ANSWERS},
    "transcriptions": {
        **CALLS_MODELS,
        **KEEPS_ANSWERS,
        **NAMES_FOLDERS,
        "MediaBucket/files/*": {READS},
        "MediaBucket below files/*": LISTS,
    },
}
# The variables that tell a function of what it may use.
TOLD = {
    "ProviderSecret": "GATEWAY_PROVIDER_SECRET",
    "TenantSecret": "GATEWAY_TENANT_SECRET",
    "LimitsTable": "GATEWAY_LIMITS_TABLE",
    "UsageTable": "GATEWAY_USAGE_TABLE",
    "BatchesTable": "GATEWAY_BATCHES_TABLE",
    "BatchQueue": "GATEWAY_BATCH_QUEUE",
    "MediaBucket": "GATEWAY_MEDIA_BUCKET",
}


def granted(role: Json) -> dict[str, set[str]]:
    """What a role may do on what; the right to list is one on what lies below a prefix."""
    assert "ManagedPolicyArns" not in role
    found = defaultdict[str, set[str]](set)
    for policy in role["Policies"]:
        for statement in policy["PolicyDocument"]["Statement"]:
            assert statement["Effect"] == "Allow"
            for resource in listed(statement["Resource"]):
                for prefix in prefixes(statement.get("Condition")):
                    found[named(resource) + prefix] |= {*listed(statement["Action"])}
    return dict(found)


def listed(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]


def named(resource: Any) -> str:
    match resource:
        case {"Ref": name} | {"Fn::GetAtt": [name, "Arn"]}:
            return str(name)
        case {"Fn::Sub": str(text)}:
            return text.replace("${MediaBucket.Arn}", "MediaBucket")
    return str(resource)


def prefixes(condition: Json | None) -> list[str]:
    if condition is None:
        return [""]
    if condition == {"Null": {"lambda:SourceFunctionArn": "true"}}:
        return [" for Lambda itself"]
    found = condition["StringLike"]["s3:prefix"]
    assert condition == {"StringLike": {"s3:prefix": found}}
    return [f" below {prefix}" for prefix in listed(found)]


@pytest.mark.parametrize("catalog", ["off", "on"])
@pytest.mark.parametrize("tracing", ["off", "on"])
@pytest.mark.parametrize("folder", FOLDERS)
def test_a_function_may_do_only_what_it_needs_and_only_there(folder: str, tracing: str, catalog: str) -> None:
    stack = translated(Tracing=tracing, Catalog=catalog)
    function = functions(stack)[folder]
    role, attribute = function["Role"]["Fn::GetAtt"]
    assert attribute == "Arn"
    # X-Ray has no resources that could be named.
    traces = {"*": {"xray:PutTraceSegments", "xray:PutTelemetryRecords"}} if tracing == "on" else {}
    logs = {function["LoggingConfig"]["LogGroup"]["Ref"]: LOGS}
    rows = READS_CATALOG if catalog == "on" and "ProviderSecret" in MAY[folder] else {}
    assert granted(of_type("AWS::IAM::Role", stack)[role]) == MAY[folder] | logs | traces | rows


def test_who_calls_providers_runs_in_the_operators_vpc_where_there_is_one() -> None:
    stack = translated(VpcSubnetIds="subnet-1,subnet-2", VpcSecurityGroupIds="sg-1")
    # The list of models only reads which keys are set.
    calling = {folder for folder in FOLDERS if "ProviderSecret" in MAY[folder]} - {"models"}
    config = {
        "SubnetIds": {"Fn::Split": [",", "subnet-1,subnet-2"]},
        "SecurityGroupIds": {"Fn::Split": [",", "sg-1"]},
    }
    for folder, function in functions(stack).items():
        assert function.get("VpcConfig") == (config if folder in calling else None)
        role = of_type("AWS::IAM::Role", stack)[function["Role"]["Fn::GetAtt"][0]]
        # The function's own code must not use them.
        network = granted(role).get("* for Lambda itself", set())
        assert ("ec2:CreateNetworkInterface" in network) == (folder in calling)
    assert not [function for function in functions().values() if "VpcConfig" in function]


def test_who_calls_models_reads_the_operators_catalog_where_there_is_one() -> None:
    off, on = functions(), functions(translated(Catalog="on"))
    for folder in FOLDERS:
        values = [found[folder]["Environment"]["Variables"].get("GATEWAY_CATALOG") for found in (off, on)]
        url = f"s3://${{MediaBucket}}/{CATALOG_KEY}"
        assert values == (["", url] if "ProviderSecret" in MAY[folder] else [None, None])


def test_a_functions_role_is_for_functions_of_this_account_alone() -> None:
    roles = of_type("AWS::IAM::Role")
    for function in functions().values():
        (statement,) = roles[function["Role"]["Fn::GetAtt"][0]]["AssumeRolePolicyDocument"]["Statement"]
        assert statement["Principal"] == {"Service": "lambda.amazonaws.com"}
        assert statement["Condition"] == {"StringEquals": {"aws:SourceAccount": {"Ref": "AWS::AccountId"}}}


def test_no_two_functions_share_a_role() -> None:
    assert len({function["Role"]["Fn::GetAtt"][0] for function in functions().values()}) == len(FOLDERS)


def test_functions_are_told_of_what_they_may_use_and_of_nothing_else() -> None:
    for folder, function in functions().items():
        variables = function["Environment"]["Variables"]
        used = {re.split("[ /]", resource)[0] for resource in MAY[folder]} - {"KeysTable"}
        told = {name: variables[variable]["Ref"] for name, variable in TOLD.items() if variable in variables}
        assert told == {name: name for name in used}
        assert variables["GATEWAY_KEYS_TABLE"] == {"Ref": "KeysTable"}


def test_limits_and_prices_are_strict_unless_the_operator_says_otherwise() -> None:
    loose = functions(translated(LimitsFailOpen="on", AllowUnpriced="on"))
    for folder, function in functions().items():
        calls_models = "ProviderSecret" in MAY[folder]
        for name, has in (("LIMITS_FAIL_OPEN", True), ("ALLOW_UNPRICED", calls_models)):
            values = [found["Environment"]["Variables"].get(f"GATEWAY_{name}") for found in (function, loose[folder])]
            assert values == (["off", "on"] if has and "LimitsTable" in MAY[folder] else [None, None])


def test_what_tenants_may_store_is_the_operators_choice() -> None:
    for folder in ("batches", "files"):
        for parameters, bytes_stored in (({}, Settings().max_stored_bytes), ({"MaxStoredBytes": "5"}, "5")):
            variables = functions(translated(**parameters))[folder]["Environment"]["Variables"]
            assert variables["GATEWAY_MAX_STORED_BYTES"] == bytes_stored


def test_an_input_of_a_batch_counts_for_as_long_as_it_is_kept() -> None:
    rules = of_type("AWS::S3::Bucket")["MediaBucket"]["LifecycleConfiguration"]["Rules"]
    days = {rule["Prefix"]: rule["ExpirationInDays"] for rule in rules if "Prefix" in rule}
    assert (days["files/"], days["batches/"]) == (KEPT_DAYS, INPUT_KEPT_DAYS)


def test_a_url_of_an_image_opens_for_as_long_as_the_operator_says_up_to_what_s3_allows() -> None:
    parameter = parsed()["Parameters"]["ImageUrlLifetime"]
    assert parameter["Default"] == Settings().image_url_lifetime
    assert parameter["MaxValue"] == MAX_PRESIGNED_SECONDS
    given = {
        folder: function["Environment"]["Variables"].get("GATEWAY_IMAGE_URL_LIFETIME")
        for folder, function in functions(translated(ImageUrlLifetime="600")).items()
    }
    stores_images = {folder for folder in FOLDERS if "MediaBucket/images/*" in MAY[folder]}
    # A batch's images may be looked at long after they were made.
    lifetimes = {**dict.fromkeys(stores_images, "600"), "batch_worker": str(MAX_PRESIGNED_SECONDS)}
    assert given == {folder: lifetimes.get(folder) for folder in FOLDERS}


def test_every_log_is_kept_for_the_chosen_time() -> None:
    stack = translated(LogRetentionDays="30")
    groups = of_type("AWS::Logs::LogGroup", stack)
    assert {group["RetentionInDays"] for group in groups.values()} == {"30"}
    assert len({function["LoggingConfig"]["LogGroup"]["Ref"] for function in functions(stack).values()}) == len(FOLDERS)
    (stage,) = of_type("AWS::ApiGateway::Stage", stack).values()
    assert stage["AccessLogSetting"]["DestinationArn"] == {"Fn::GetAtt": ["ApiLogs", "Arn"]}


def test_access_logs_are_json_without_tokens_and_can_be_off() -> None:
    (stage,) = of_type("AWS::ApiGateway::Stage").values()
    line = stage["AccessLogSetting"]["Format"]
    told = json.loads(line)
    assert {"status", "key_id"} <= set(told)
    # What finds the lines of the function, of the authorizer and of Lambda that belong to it.
    assert told["request_id"] == "$context.requestId"
    assert told["function_request_id"] == "$context.integration.requestId"
    assert told["authorizer_request_id"] == "$context.authorizer.requestId"
    assert "header" not in line.lower()
    without = translated(AccessLogs="off")
    (stage,) = of_type("AWS::ApiGateway::Stage", without).values()
    assert "AccessLogSetting" not in stage
    assert not of_type("AWS::ApiGateway::Account", without)


def test_the_accounts_log_role_is_left_alone_unless_the_stack_is_to_set_it() -> None:
    assert not of_type("AWS::ApiGateway::Account")
    stack = translated(ApiLogRole="stack")
    (account,) = of_type("AWS::ApiGateway::Account", stack).values()
    assert account["CloudWatchRoleArn"] == {"Fn::GetAtt": ["ApiGatewayRole", "Arn"]}
    # Other APIs of the account log with it by then.
    for name in ("ApiGatewayAccount", "ApiGatewayRole"):
        assert (stack[name]["DeletionPolicy"], stack[name]["UpdateReplacePolicy"]) == ("Retain", "Retain")


def test_no_secret_is_in_the_template() -> None:
    secrets = of_type("AWS::SecretsManager::Secret")
    assert secrets["ProviderSecret"]["SecretString"] == "{}"
    assert "SecretString" not in secrets["TenantSecret"], "it is generated"
    assert secrets["TenantSecret"]["GenerateSecretString"]["PasswordLength"] >= 32
    for function in functions().values():
        assert not [name for name in function["Environment"]["Variables"] if name.endswith("_API_KEY")]
    text = source() + (ROOT / "samconfig.toml").read_text("utf-8")
    assert not re.search(r"\bsk-\w{3}|AKIA[0-9A-Z]{12}|AIza[0-9A-Za-z_-]{20}", text)


@pytest.mark.parametrize(
    ("name", "key", "expires", "restorable"),
    [
        ("KeysTable", {"token_hash": "HASH"}, False, True),
        ("LimitsTable", {"id": "HASH"}, True, True),
        ("UsageTable", {"key_id": "HASH", "day_model": "RANGE"}, True, True),
        ("BatchesTable", {"tenant": "HASH", "id": "RANGE"}, True, False),
    ],
)
def test_tables_have_the_keys_of_their_stores_and_are_kept_safe(
    name: str, key: dict[str, str], expires: bool, restorable: bool
) -> None:
    resource = translated(DeletionProtection="on")[name]
    table = resource["Properties"]
    assert table["BillingMode"] == "PAY_PER_REQUEST"
    assert table["KeySchema"] == [{"AttributeName": name, "KeyType": kind} for name, kind in key.items()]
    assert table["AttributeDefinitions"] == [{"AttributeName": name, "AttributeType": "S"} for name in key]
    # An item that never expired would be kept, and paid for, without end.
    assert table.get("TimeToLiveSpecification") == ({"AttributeName": "ttl", "Enabled": True} if expires else None)
    recovery = table.get("PointInTimeRecoverySpecification")
    assert recovery == ({"PointInTimeRecoveryEnabled": True} if restorable else None)
    assert table["SSESpecification"] == {"SSEEnabled": True}
    assert table["DeletionProtectionEnabled"] is True
    assert translated()[name]["Properties"]["DeletionProtectionEnabled"] is False
    assert resource["DeletionPolicy"] == "RetainExceptOnCreate"
    assert resource["UpdateReplacePolicy"] == "Retain"


@pytest.mark.parametrize("name", ["ProviderSecret", "TenantSecret"])
def test_secrets_outlive_the_stack(name: str) -> None:
    secret = translated()[name]
    assert (secret["DeletionPolicy"], secret["UpdateReplacePolicy"]) == ("RetainExceptOnCreate", "Retain")


def test_layers_of_two_stacks_in_an_account_have_names_of_their_own() -> None:
    names = [layer["LayerName"]["Fn::Sub"] for layer in of_type("AWS::Lambda::LayerVersion").values()]
    assert sorted(names) == [f"${{AWS::StackName}}-{name}" for name in ("dependencies", "runtime", "shared")]


def test_no_table_is_left_out_of_what_is_known_to_be_kept_safe() -> None:
    assert set(of_type("AWS::DynamoDB::Table")) == {"KeysTable", "LimitsTable", "UsageTable", "BatchesTable"}


def test_media_are_private_encrypted_and_temporary() -> None:
    bucket = translated()["MediaBucket"]["Properties"]
    assert set(bucket["PublicAccessBlockConfiguration"].values()) == {True}
    assert bucket["OwnershipControls"]["Rules"] == [{"ObjectOwnership": "BucketOwnerEnforced"}]
    assert "BucketEncryption" in bucket
    quirks = bucket["LifecycleConfiguration"]["Rules"]
    days = {quirk["Prefix"]: quirk["ExpirationInDays"] for quirk in quirks if "ExpirationInDays" in quirk}
    assert days == {"images/": 30, "files/": KEPT_DAYS, "responses/": RESPONSE_DAYS, "batches/": 7, "replays/": 2}
    assert days["batches/"] * 86_400 > 2 * max(WINDOW_SECONDS.values())
    ((statement,),) = [policy["PolicyDocument"]["Statement"] for policy in of_type("AWS::S3::BucketPolicy").values()]
    assert statement["Effect"] == "Deny"
    assert statement["Condition"] == {"Bool": {"aws:SecureTransport": "false"}}


def test_a_page_reaches_media_only_from_the_origin_that_may_call() -> None:
    assert "CorsConfiguration" not in translated()["MediaBucket"]["Properties"]
    origin = "https://app.example.com"
    (quirk,) = translated(CorsOrigin=origin)["MediaBucket"]["Properties"]["CorsConfiguration"]["CorsRules"]
    assert quirk["AllowedOrigins"] == [origin]
    assert set(quirk["AllowedMethods"]) == {"GET", "HEAD", "PUT"}


def test_tracing_is_on_only_when_asked_for() -> None:
    for value, mode in (("off", "PassThrough"), ("on", "Active")):
        stack = translated(Tracing=value)
        assert {function["TracingConfig"]["Mode"] for function in functions(stack).values()} == {mode}
        (stage,) = of_type("AWS::ApiGateway::Stage", stack).values()
        assert stage["TracingEnabled"] is (value == "on")


def test_the_outputs_say_how_to_go_on() -> None:
    outputs = {name: json.dumps(output["Value"]) for name, output in parsed()["Outputs"].items()}
    assert "/live/v1" in outputs["BaseUrl"]
    assert "-m shared.cli --stack ${AWS::StackName} --region ${AWS::Region} providers set" in outputs["SetProviderKeys"]
    assert "-m shared.cli --stack ${AWS::StackName} --region ${AWS::Region} keys create" in outputs["CreateKey"]
    assert "make smoke URL=" in outputs["Smoke"]
    # No key goes where a shell keeps its history, and no command replaces the other keys.
    assert not {word for word in ("put-secret-value", "secret-string", "KEY=") if word in json.dumps(outputs)}


def test_the_command_line_finds_a_stacks_state_by_its_outputs() -> None:
    outputs = {name: output["Value"] for name, output in parsed()["Outputs"].items()}
    variables = [function["Environment"]["Variables"] for function in functions().values()]
    for output, setting in target._SETTING_OF_OUTPUT.items():
        assert {json.dumps(found[setting]) for found in variables if setting in found} == {json.dumps(outputs[output])}
    assert outputs["UsagePlanId"] == {"Ref": "KeylessUsagePlan"}


# ---- Batches ---------------------------------------------------------------------------------------------------------


def test_the_worker_gets_the_queues_messages_and_names_those_that_failed() -> None:
    (mapping,) = of_type("AWS::Lambda::EventSourceMapping", translated(BatchConcurrency="7")).values()
    assert mapping["EventSourceArn"] == {"Fn::GetAtt": ["BatchQueue", "Arn"]}
    # The alias: what `live` stands for is what has been deployed as a whole.
    assert mapping["FunctionName"] == {"Ref": "BatchWorkerFunctionAliaslive"}
    # Without it one message that failed would bring all of its invocation back.
    assert mapping["FunctionResponseTypes"] == ["ReportBatchItemFailures"]
    assert mapping["ScalingConfig"] == {"MaximumConcurrency": "7"}
    assert mapping["BatchSize"] == 4


def test_a_message_is_hidden_as_long_as_lambda_asks_and_seen_for_longer_than_any_window() -> None:
    queue = of_type("AWS::SQS::Queue")["BatchQueue"]
    assert queue["VisibilityTimeout"] == 6 * functions()["batch_worker"]["Timeout"]
    # A message that killed its worker is tried again before the shortest window is over.
    assert queue["VisibilityTimeout"] < min(WINDOW_SECONDS.values())
    assert queue["MessageRetentionPeriod"] > max(WINDOW_SECONDS.values()) + queue["VisibilityTimeout"]


def test_what_no_worker_can_do_is_set_aside_only_after_the_worker_has_given_it_up() -> None:
    queues = of_type("AWS::SQS::Queue")
    redrive = queues["BatchQueue"]["RedrivePolicy"]
    assert redrive["deadLetterTargetArn"] == {"Fn::GetAtt": ["BatchDeadLetterQueue", "Arn"]}
    assert redrive["maxReceiveCount"] > MAX_RECEIVES + 1
    kept, kept_first = (queues[name]["MessageRetentionPeriod"] for name in ("BatchDeadLetterQueue", "BatchQueue"))
    assert kept > kept_first  # it counts from when the message was sent first


def test_queues_are_encrypted_and_closed_to_plain_http() -> None:
    queues = of_type("AWS::SQS::Queue")
    assert all(queue["SqsManagedSseEnabled"] is True for queue in queues.values())
    (policy,) = of_type("AWS::SQS::QueuePolicy").values()
    assert {queue["Ref"] for queue in policy["Queues"]} == set(queues)
    (statement,) = policy["PolicyDocument"]["Statement"]
    assert (statement["Effect"], statement["Principal"], statement["Action"]) == ("Deny", "*", "sqs:*")
    assert statement["Condition"] == {"Bool": {"aws:SecureTransport": "false"}}


def test_how_much_batches_take_is_the_operators_choice() -> None:
    def told(**parameters: str) -> tuple[Any, ...]:
        variables = functions(translated(**parameters))["batch_worker"]["Environment"]["Variables"]
        return tuple(variables[f"GATEWAY_BATCH_{name}"] for name in ("CONCURRENCY", "SHARE", "LANES"))

    assert told() == (Settings().batch_concurrency, Settings().batch_share, 20)
    assert told(BatchLinesAtOnce="3", BatchShare="0.25", BatchPartsAtOnce="8") == ("3", "0.25", "8")


def test_one_batch_alone_keeps_all_workers_busy() -> None:
    (mapping,) = of_type("AWS::Lambda::EventSourceMapping").values()
    workers = mapping["ScalingConfig"]["MaximumConcurrency"]
    lanes = functions()["batch_worker"]["Environment"]["Variables"]["GATEWAY_BATCH_LANES"]
    assert lanes == workers * mapping["BatchSize"]
