"""Makes a stack of what an earlier one has left behind, for `make deploy ADOPT=…` to build the rest around.

https://docs.aws.amazon.com/AWSCloudFormation/latest/UserGuide/resource-import-new-stack.html
"""

import json
from collections.abc import Mapping, Sequence
from typing import Any
from uuid import uuid4

# What CloudFormation knows a resource by.
_IDENTIFIED_BY = {
    "AWS::DynamoDB::Table": "TableName",
    "AWS::S3::Bucket": "BucketName",
    "AWS::SecretsManager::Secret": "Id",
}


def adopt(
    cloudformation: Any,
    stack: str,
    template: Mapping[str, Any],
    values: Mapping[str, str],
    left: Sequence[Mapping[str, str]],
) -> None:
    """Imports resources, as `make delete` notes them, into a new stack. Raises what botocore raises."""
    resources = [row for row in left if row["type"] in _IDENTIFIED_BY and row["name"] in template["Resources"]]
    change = {"StackName": stack, "ChangeSetName": f"adopt-{uuid4().hex}"}
    cloudformation.create_change_set(
        **change,
        ChangeSetType="IMPORT",
        TemplateBody=json.dumps(only(template, [row["name"] for row in resources])),
        Parameters=[{"ParameterKey": name, "ParameterValue": value} for name, value in values.items()],
        ResourcesToImport=[
            {
                "ResourceType": row["type"],
                "LogicalResourceId": row["name"],
                "ResourceIdentifier": {_IDENTIFIED_BY[row["type"]]: row["id"]},
            }
            for row in resources
        ],
    )
    cloudformation.get_waiter("change_set_create_complete").wait(**change)
    cloudformation.execute_change_set(**change)
    cloudformation.get_waiter("stack_import_complete").wait(StackName=stack)


def only(template: Mapping[str, Any], names: Sequence[str]) -> dict[str, Any]:
    """The template with no other resources and no outputs: an import may hold nothing that is new."""
    return {
        "AWSTemplateFormatVersion": template["AWSTemplateFormatVersion"],
        "Parameters": template["Parameters"],
        "Conditions": template["Conditions"],
        "Resources": {name: template["Resources"][name] for name in names},
    }
