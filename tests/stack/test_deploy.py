"""`make deploy`: what it builds for, which parameters a stack gets, and what a release stands for."""

import itertools
import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any
from uuid import uuid4

import boto3
import pytest
import yaml
from samtranslator.yaml_helper import yaml_parse

from scripts.deploy import Order, Refused, architecture, deploy, deployed_values, values_of
from scripts.release import digest_of, pin, release_of
from shared.cli.__main__ import main as gateway
from shared.cli.releases import kept, make_live
from tests.cli.test_releases import FIRST, Stack
from tests.stack.test_template import parsed
from tests.stores.test_operator_catalog import ROWS

ROOT = Path(__file__).parents[2]
CONFIG = ROOT / "samconfig.toml"


def built(digest: str = "0123456789", architecture: str = "arm64") -> dict[str, Any]:
    """The parameters of a built template."""
    template: dict[str, Any] = {"Parameters": parsed()["Parameters"]}
    pin(template, digest, architecture)
    return template


def order(**environment: str) -> Order:
    return Order.read(environment)


# --- releases


def test_a_release_changes_with_the_build_and_with_every_parameter_and_with_nothing_else() -> None:
    template = built()
    values = values_of(template, order(), {})
    releases = {values["Release"], release_of(built(digest="9876543210"), values)}
    for name in set(values) - {"Release"}:
        releases.add(release_of(template, {**values, name: f"{values[name]}1"}))
    assert len(releases) == len(values) + 1
    # It is by its first ten characters that SAM tells versions apart.
    assert len({release[:10] for release in releases}) == len(releases)
    assert release_of(template, dict(reversed(values.items()))) == values["Release"]
    assert release_of(template, {**values, "Release": "an earlier one"}) == values["Release"]


def test_a_build_is_told_from_another_by_the_paths_and_contents_of_its_files(tmp_path: Path) -> None:
    def with_files(**files: str) -> str:
        folder = tmp_path / uuid4().hex
        for name, content in files.items():
            path = folder / name.replace("__", "/")
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(content, "utf-8")
        return digest_of(folder)

    digests = [
        with_files(a="1", b__c="2"),
        with_files(a="1", b__c="3"),
        with_files(a="1", b__d="2"),
        with_files(a="12", b__c=""),
    ]
    assert len(set(digests)) == len(digests)
    assert with_files(b__c="2", a="1") == digests[0]


def test_a_built_template_is_refused_with_another_processor_or_the_release_of_another_build() -> None:
    template = built(architecture="x86_64")
    assert template["Parameters"]["Architecture"]["AllowedValues"] == ["x86_64"]
    release = values_of(template, order(), {})["Release"]
    pattern = template["Parameters"]["Release"]["AllowedPattern"]
    assert re.fullmatch(pattern, release)
    assert not re.fullmatch(pattern, values_of(built(digest="9876543210"), order(), {})["Release"])
    # A stack that remembers a release would otherwise take it for that of the new build.
    assert "Default" not in template["Parameters"]["Release"]


# --- the processor


def test_the_processor_is_the_one_asked_for_or_that_of_the_stack() -> None:
    assert architecture(order(), {}) == "arm64"
    assert architecture(order(), {"Architecture": "x86_64"}) == "x86_64"
    assert architecture(order(ARCH="arm64"), {"Architecture": "x86_64"}) == "arm64"
    assert architecture(order(PARAMETERS="Architecture=x86_64"), {}) == "x86_64"


def test_a_stack_gets_the_processor_that_its_functions_are_built_for() -> None:
    deployed = {"Architecture": "x86_64", "MemorySize": "512"}
    assert values_of(built(architecture="arm64"), order(), deployed)["Architecture"] == "arm64"
    with pytest.raises(Refused, match="built for arm64, not for x86_64"):
        values_of(built(architecture="arm64"), order(ARCH="x86_64"), {})


# --- the parameters


def test_a_processor_on_the_command_line_leaves_productions_other_parameters_as_they_are() -> None:
    values = values_of(built(architecture="x86_64"), order(ENV="production", ARCH="x86_64"), {})
    assert (values["DeletionProtection"], values["LogRetentionDays"]) == ("on", "90")


def test_a_parameter_is_the_one_given_before_that_of_the_file_of_the_stack_and_of_the_template() -> None:
    deployed = {"LogRetentionDays": "5", "MemorySize": "1024", "LogLevel": "ERROR", "GoneFromTheTemplate": "1"}
    values = values_of(built(), order(ENV="production", PARAMETERS="LogLevel=DEBUG CorsOrigin='*'"), deployed)
    assert values["LogLevel"] == "DEBUG"
    assert values["CorsOrigin"] == "*"
    assert values["LogRetentionDays"] == "90"
    assert values["MemorySize"] == "1024"
    assert values["UpstreamTimeout"] == "300"
    assert set(values) == set(built()["Parameters"])


@pytest.mark.parametrize("section", ["default", "production"])
def test_the_files_parameters_are_those_of_the_template(section: str) -> None:
    assert set(order(ENV=section).given) <= set(built()["Parameters"])


@pytest.mark.parametrize(
    ("environment", "said"),
    [
        ({"ENV": "nowhere"}, "nowhere.deploy.parameters"),
        ({"PARAMETERS": "MemorySize"}, "'MemorySize' is not Name=value"),
    ],
)
def test_an_order_that_cannot_be_read_is_refused(environment: dict[str, str], said: str) -> None:
    with pytest.raises(Refused, match=said):
        order(**environment)


def test_a_catalog_is_checked_first_and_read_by_the_stack(tmp_path: Path) -> None:
    file = tmp_path / "catalog.toml"
    file.write_text(ROWS, "utf-8")
    assert values_of(built(), order(CATALOG=str(file)), {})["Catalog"] == "on"
    assert values_of(built(), order(), {})["Catalog"] == "off"
    file.write_text("[[models]", "utf-8")
    with pytest.raises(ValueError, match="catalog"):
        order(CATALOG=str(file))


def test_a_parameter_that_the_template_lacks_is_refused_before_anything_is_deployed() -> None:
    with pytest.raises(Refused, match="no parameter MemorySise"):
        values_of(built(), order(PARAMETERS="MemorySise=1024"), {})


# --- deploying


@pytest.fixture
def aws(moto_environment: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("ENV", "ARCH", "STACK", "REGION", "PARAMETERS", "TAGS", "AWS_PROFILE", "AWS_DEFAULT_REGION"):
        monkeypatch.delenv(name, raising=False)
    for name, value in moto_environment.items():
        monkeypatch.setenv(name, value)


@pytest.fixture
def stack(aws: None) -> str:
    """The name of a stack that remembers its parameters."""
    name = f"stack-{uuid4().hex}"
    template = {
        "Parameters": {name: {"Type": "String"} for name in ("Architecture", "MemorySize")},
        "Resources": {"Queue": {"Type": "AWS::SQS::Queue"}},
    }
    values = {"Architecture": "x86_64", "MemorySize": "1024"}
    boto3.client("cloudformation", region_name="us-east-1").create_stack(
        StackName=name,
        TemplateBody=json.dumps(template),
        Parameters=[{"ParameterKey": name, "ParameterValue": value} for name, value in values.items()],
    )
    return name


def test_a_stack_is_asked_for_its_parameters(stack: str) -> None:
    assert deployed_values(order(STACK=stack)) == {"Architecture": "x86_64", "MemorySize": "1024"}
    assert deployed_values(order(STACK="not-yet")) == {}


def test_an_aws_that_does_not_answer_is_one_line(aws: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    monkeypatch.setenv("AWS_MAX_ATTEMPTS", "1")
    result = subprocess.run(
        [sys.executable, "-m", "scripts.deploy", "architecture"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert (result.returncode, result.stdout) == (1, "")
    (line,) = result.stderr.splitlines()
    assert line.startswith("make deploy: ")


@pytest.fixture
def template(tmp_path: Path) -> Path:
    """A built template."""
    path = tmp_path / "build" / "template.yaml"
    path.parent.mkdir()
    path.write_text(yaml.safe_dump(built()), "utf-8")
    return path


def sam(folder: Path, *, status: int) -> Path:
    """A `sam` that writes how it was called to the file `called`."""
    program = folder / "sam"
    program.write_text(f'#!/bin/sh\nfor word in "$@"; do echo "$word"; done >{folder}/called\nexit {status}\n', "utf-8")
    program.chmod(0o755)
    return program


def test_sam_gets_every_parameter_and_is_not_asked_to_ask(aws: None, template: Path, tmp_path: Path) -> None:
    config = CONFIG.read_bytes()
    given = order(ENV="production", STACK="mine", REGION="eu-west-1", TAGS="team=ml", PARAMETERS="CorsOrigin=*")
    assert deploy(given, {}, sam(tmp_path, status=3), template) == 3
    words = (tmp_path / "called").read_text("utf-8").splitlines()
    options = dict(itertools.pairwise(words))
    assert words[0] == "deploy"
    assert (options["--config-env"], options["--stack-name"]) == ("production", "mine")
    assert options["--region"] == "eu-west-1"
    assert {"--no-confirm-changeset", "--no-fail-on-empty-changeset"} <= {*words}
    assert {"application=inference-gateway", "team=ml"} <= {*words}
    assert "--guided" not in words
    file = Path(options["--parameter-overrides"].removeprefix("file://"))
    values = yaml.safe_load(file.read_text("utf-8"))
    assert values.keys() == built()["Parameters"].keys()
    assert (values["DeletionProtection"], values["CorsOrigin"]) == ("on", "*")
    assert CONFIG.read_bytes() == config


@pytest.mark.parametrize(
    ("region", "account_has_one", "deployed", "given", "expected"),
    [
        ("ap-south-1", False, {}, "", "stack"),
        ("ap-east-1", True, {}, "", "account"),
        ("ap-northeast-1", False, {}, "ApiLogRole=account", "account"),
        # The stack of an earlier deployment has what it has.
        ("ap-northeast-2", True, {"ApiLogRole": "stack"}, "", "stack"),
        ("ap-northeast-3", False, {"MemorySize": "512"}, "", "account"),
    ],
)
def test_a_new_stack_sets_the_accounts_log_role_only_where_none_is_set(
    aws: None,
    template: Path,
    tmp_path: Path,
    region: str,
    account_has_one: bool,
    deployed: dict[str, str],
    given: str,
    expected: str,
) -> None:
    if account_has_one:
        operation = {"op": "replace", "path": "/cloudwatchRoleArn", "value": "arn:aws:iam::123456789012:role/logs"}
        boto3.client("apigateway", region_name=region).update_account(patchOperations=[operation])
    deploy(order(REGION=region, PARAMETERS=given), deployed, sam(tmp_path, status=3), template)
    values = yaml.safe_load((tmp_path / "parameters.yaml").read_text("utf-8"))
    assert values["ApiLogRole"] == expected


def test_a_release_that_was_rolled_back_is_live_again_once_it_is_deployed_again(
    aws: None, template: Path, tmp_path: Path
) -> None:
    stack = Stack()
    given = order(STACK=stack.name, REGION="us-east-1", PARAMETERS="ApiLogRole=account")
    release = values_of(built(), given, {})["Release"]
    for name in (FIRST, release):
        stack.release(name)
    make_live(kept(stack.name, "us-east-1")[1], "us-east-1")
    assert stack.live() == [FIRST, FIRST]
    assert deploy(given, {}, sam(tmp_path, status=0), template) == 0
    assert stack.live() == [release, release]


# --- what is written about it


def test_the_guide_names_only_variables_parameters_and_commands_that_exist(capsys: pytest.CaptureFixture[str]) -> None:
    guide = (ROOT / "docs" / "deploy.md").read_text("utf-8") + (ROOT / "README.md").read_text("utf-8")
    scripts = "".join((ROOT / "scripts" / name).read_text("utf-8") for name in ("deploy.py", "delete.py"))
    provider = yaml_parse((ROOT / "capacity-provider.yaml").read_text("utf-8"))["Parameters"]
    parameters = {*built()["Parameters"], *provider}
    for name in re.findall(r"\b([A-Z][a-z]+[A-Z]\w+)=", guide):
        assert name in parameters
    (table,) = re.findall(r"\| variable \| meaning \|\n\|---\|---\|\n(.*?)\n\n", guide, re.DOTALL)
    for name in re.findall(r"`([A-Z]+)[=`]", table):
        assert f'"{name}"' in scripts
    for command in re.findall(r"^ +gateway --stack NAME (\w+ \w+)", guide, re.MULTILINE):
        with pytest.raises(SystemExit) as ended:
            gateway([*command.split(), "--help"])
        assert ended.value.code == 0, command
    capsys.readouterr()
