"""What a stack's functions may ask of Bedrock: the models of the catalog, in their place, and nothing by default."""

import json
import re
from typing import Any

import pytest

from shared.catalog import Catalog
from shared.schemas.model import Capability, Model
from shared.settings import Settings
from tests.stack.test_template import functions, of_type, translated

# https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_iam-quotas.html: of all inline policies of a role.
ROLE_POLICY_LIMIT = 10_240
ACCOUNT = "123456789012"
KINDS = {
    "chat": (Capability.CHAT, {"ChatRole", "MessagesRole", "ResponsesRole", "CompletionsRole", "BatchWorkerRole"}),
    "embeddings": (Capability.EMBEDDINGS, {"EmbeddingsRole", "BatchWorkerRole"}),
    "images": (None, {"ImagesRole", "BatchWorkerRole"}),
}
CALLERS = {"chat", "messages", "responses", "completions", "embeddings", "images", "models", "batch_worker"}


@pytest.fixture(autouse=True)
def _region(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")


def policies(**parameters: str) -> dict[str, Any]:
    found = of_type("AWS::IAM::Policy", translated(**parameters)).values()
    return {policy["PolicyName"]: policy for policy in found if policy["PolicyName"].startswith("bedrock-")}


def statement(policy: Any) -> Any:
    (only,) = policy["PolicyDocument"]["Statement"]
    return only


def arns(policy: Any) -> list[str]:
    def text(value: Any) -> str:
        written = value if isinstance(value, str) else value["Fn::Sub"]
        return str(written).replace("${AWS::Partition}", "aws").replace("${AWS::AccountId}", ACCOUNT)

    return [text(value) for value in statement(policy)["Resource"]]


def models() -> list[Model]:
    catalog = Catalog.load(Settings.from_environment({"BEDROCK_REGION": "us-east-1"}))
    return [model for model in catalog.models() if model.provider == "bedrock" and not model.id.endswith("*")]


def needed(upstream: str) -> set[str]:
    """https://docs.aws.amazon.com/bedrock/latest/userguide/inference-profiles-prereq.html."""
    profile = re.fullmatch(r"(global|us|eu)\.(.+)", upstream)
    model = f"arn:aws:bedrock:*::foundation-model/{profile[2] if profile else upstream}"
    return {model, f"arn:aws:bedrock:*:{ACCOUNT}:inference-profile/{upstream}"} if profile else {model}


@pytest.mark.parametrize("name", KINDS)
def test_B09_functions_may_call_the_catalogs_models_and_no_others(name: str) -> None:
    capability, roles = KINDS[name]
    policy = policies(Bedrock="on")[f"bedrock-{name}"]
    of_other_kinds = {Capability.CHAT, Capability.EMBEDDINGS}
    kind = [
        model
        for model in models()
        if (capability in model.capabilities if capability else not of_other_kinds & model.capabilities)
    ]
    assert kind
    assert sorted(arns(policy)) == sorted(set.union(*(needed(model.upstream) for model in kind)))
    assert {role["Ref"] for role in policy["Roles"]} == roles


def test_B09_only_chats_are_streamed() -> None:
    actions = {name: statement(policy)["Action"] for name, policy in policies(Bedrock="on").items()}
    assert actions == {
        "bedrock-chat": ["bedrock:InvokeModel", "bedrock:InvokeModelWithResponseStream"],
        "bedrock-embeddings": "bedrock:InvokeModel",
        "bedrock-images": "bedrock:InvokeModel",
    }


def test_B09_all_models_may_be_called_where_the_operator_wants_that() -> None:
    for policy in policies(Bedrock="all").values():
        assert sorted(arns(policy)) == [
            f"arn:aws:bedrock:*:{ACCOUNT}:application-inference-profile/*",
            f"arn:aws:bedrock:*:{ACCOUNT}:inference-profile/*",
            "arn:aws:bedrock:*::foundation-model/*",
        ]


def regions(**parameters: str) -> dict[str, Any]:
    found = {
        name: function["Environment"]["Variables"].get("BEDROCK_REGION")
        for name, function in functions(translated(**parameters)).items()
    }
    return {name: region for name, region in found.items() if region is not None}


def test_B09_nothing_is_allowed_unless_it_is_switched_on() -> None:
    assert policies() == {}
    assert regions() == dict.fromkeys(CALLERS, "")
    assert "bedrock:" not in json.dumps(translated())


def test_B09_bedrock_is_called_in_its_own_region_or_the_stacks() -> None:
    assert regions(Bedrock="on") == {name: {"Ref": "AWS::Region"} for name in CALLERS}
    assert regions(Bedrock="all", BedrockRegion="eu-central-1") == dict.fromkeys(CALLERS, "eu-central-1")


def test_the_policies_of_a_role_fit_together() -> None:
    found = translated(Bedrock="on")
    documents = [policy["PolicyDocument"] for policy in policies(Bedrock="on").values()]
    documents += [own["PolicyDocument"] for own in found["BatchWorkerRole"]["Properties"]["Policies"]]
    text = re.sub(r'\{"Fn::Sub":("[^"]+")}', r"\1", json.dumps(documents, separators=(",", ":")))
    text = text.replace("${AWS::Partition}", "aws-us-gov").replace("${AWS::AccountId}", ACCOUNT)
    assert len(text) < ROLE_POLICY_LIMIT
