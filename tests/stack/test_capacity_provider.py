"""A stack on a capacity provider: which functions run there and how, and how `make deploy` puts them there."""

import json
from pathlib import Path
from typing import Any

import pytest
import yaml
from samtranslator.yaml_helper import yaml_parse

from scripts.deploy import Refused, deploy
from scripts.release import pin
from tests.stack.test_deploy import order, sam
from tests.stack.test_template import ROOT, functions, of_type, translated

PROVIDER = "arn:aws:lambda:us-east-1:123456789012:capacity-provider:inference-gateway-capacity"
# Those whose requests wait long for a model, compared with what the model costs.
ON_PROVIDER = {"chat", "completions", "messages", "responses"}


@pytest.fixture(autouse=True)
def _region(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")


def built_template() -> str:
    template = json.loads(json.dumps(yaml_parse((ROOT / "template.yaml").read_text("utf-8"))))
    pin(template, "0123456789", "arm64")
    return json.dumps(template)


def placed(**parameters: str) -> dict[str, Any]:
    return translated(CapacityProvider=PROVIDER, **parameters)


def test_without_a_capacity_provider_all_functions_are_ordinary() -> None:
    for function in functions(translated(VpcSubnetIds="subnet-1", VpcSecurityGroupIds="sg-1")).values():
        assert "CapacityProviderConfig" not in function
        assert "FunctionScalingConfig" not in function
        assert function["MemorySize"] <= 1024


def test_functions_that_answer_with_text_run_on_the_capacity_provider() -> None:
    parameters = {"CapacityConcurrency": "64", "CapacityMemorySize": "4096", "CapacityMemoryPerCpu": "4"}
    found = functions(placed(CapacityMinimum="2", VpcSubnetIds="subnet-1", VpcSecurityGroupIds="sg-1", **parameters))
    assert {name for name, function in found.items() if "CapacityProviderConfig" in function} == ON_PROVIDER
    for name in ON_PROVIDER:
        assert found[name]["CapacityProviderConfig"] == {
            "LambdaManagedInstancesCapacityProviderConfig": {
                "CapacityProviderArn": PROVIDER,
                "PerExecutionEnvironmentMaxConcurrency": "64",
                "ExecutionEnvironmentMemoryGiBPerVCpu": "4",
            }
        }
        assert found[name]["FunctionScalingConfig"] == {"MinExecutionEnvironments": "2"}
        assert found[name]["MemorySize"] == "4096"
        own = functions()[name]["LoggingConfig"]
        assert found[name]["LoggingConfig"] == {**own, "LogFormat": "JSON"}
        # The provider's instances are in a VPC already.
        assert "VpcConfig" not in found[name]
    for name in found.keys() - ON_PROVIDER:
        assert found[name]["MemorySize"] == translated()["AuthorizerFunction"]["Properties"]["MemorySize"]
        assert "LogFormat" not in found[name]["LoggingConfig"]
    assert "VpcConfig" in found["images"]


def test_only_functions_on_the_runtime_that_takes_several_at_once_run_on_the_capacity_provider() -> None:
    found = functions(placed())
    for name in ON_PROVIDER:
        assert found[name]["Environment"]["Variables"]["AWS_LAMBDA_EXEC_WRAPPER"] == "/opt/streaming-runtime"
    for name in ("authorizer", "batch_worker", "batches", "models"):
        assert "CapacityProviderConfig" not in found[name]


def test_traffic_goes_to_published_versions_which_have_their_own_processes() -> None:
    resources = placed()
    versions = of_type("AWS::Lambda::Version", resources)
    scaled = [version["FunctionName"]["Ref"] for version in versions.values() if "FunctionScalingConfig" in version]
    assert len(scaled) == len(ON_PROVIDER)
    aliases = of_type("AWS::Lambda::Alias", resources)
    assert {alias["FunctionName"]["Ref"] for alias in aliases.values()} >= set(scaled)


def test_a_template_of_its_own_makes_a_capacity_provider() -> None:
    template = yaml_parse((ROOT / "capacity-provider.yaml").read_text("utf-8"))
    (provider,) = [one for one in template["Resources"].values() if one["Type"] == "AWS::Lambda::CapacityProvider"]
    properties = provider["Properties"]
    assert properties["VpcConfig"] == {
        "SubnetIds": {"Ref": "SubnetIds"},
        "SecurityGroupIds": {"Ref": "SecurityGroupIds"},
    }
    assert properties["CapacityProviderScalingConfig"]["MaxVCpuCount"] == {"Ref": "MaxVCpuCount"}
    assert template["Outputs"]["CapacityProviderArn"]["Value"] == {"Fn::GetAtt": ["Provider", "Arn"]}
    gateways = yaml_parse((ROOT / "template.yaml").read_text("utf-8"))["Parameters"]
    mine = template["Parameters"]
    assert mine["Architecture"]["Default"] == gateways["Architecture"]["Default"]


def test_make_deploy_places_the_functions(tmp_path: Path) -> None:
    template = tmp_path / "build" / "template.yaml"
    template.parent.mkdir()
    template.write_text(built_template(), "utf-8")
    for given, is_placed in (("", False), (f"CapacityProvider={PROVIDER}", True)):
        asked = order(PARAMETERS=f"ApiLogRole=account {given}".strip())
        assert deploy(asked, {}, sam(tmp_path, status=3), template) == 3
        words = (tmp_path / "called").read_text("utf-8").splitlines()
        resources = yaml.safe_load(Path(words[words.index("--template-file") + 1]).read_text("utf-8"))["Resources"]
        assert ("CapacityProviderConfig" in resources["ChatFunction"]["Properties"]) == is_placed
        assert ("VpcConfig" in resources["ChatFunction"]["Properties"]) != is_placed


@pytest.mark.parametrize(("before", "after"), [("", PROVIDER), (PROVIDER, "")])
def test_a_stack_keeps_to_the_capacity_that_it_was_made_with(tmp_path: Path, before: str, after: str) -> None:
    template = tmp_path / "template.yaml"
    template.write_text(built_template(), "utf-8")
    with pytest.raises(Refused, match="make a new stack"):
        deploy(order(PARAMETERS=f"CapacityProvider={after}"), {"CapacityProvider": before}, template, template)
