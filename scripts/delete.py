"""`make delete`: deletes a stack, and says what remains of it, how to remove that, and how to use it again.

The variables of make are read from the environment: ENV, STACK, REGION, and CONFIRM, the stack's name, without which it
is asked for.
"""

import json
import os
import sys
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError, WaiterError

from scripts.deploy import ROOT, Order, Refused
from shared.cli.target import client

_REMOVED_BY = {
    "AWS::ApiGateway::ApiKey": "aws apigateway delete-api-key --region {region} --api-key {id}",
    "AWS::DynamoDB::Table": "aws dynamodb delete-table --region {region} --table-name {id}",
    "AWS::S3::Bucket": "aws s3 rb --region {region} s3://{id} --force",
    "AWS::SecretsManager::Secret": "aws secretsmanager delete-secret --region {region} --secret-id {id}",
}


@dataclass(frozen=True)
class Retained:
    """A resource that outlives its stack; `id` is its physical id."""

    type: str
    name: str
    id: str

    def removed_by(self, region: str) -> str | None:
        """The command that removes it; None for what other stacks may use as well."""
        command = _REMOVED_BY.get(self.type)
        return command and command.format(region=region, id=self.id)


def main(ask: Callable[[str], str] = input) -> None:
    try:
        delete(Order.read(os.environ), os.environ.get("CONFIRM"), ask)
    except (Refused, BotoCoreError, ClientError, WaiterError) as error:
        sys.exit(f"make delete: {error}")


def delete(order: Order, confirmed: str | None, ask: Callable[[str], str], folder: Path = ROOT / ".aws-sam") -> None:
    """Raises Refused where the stack's name is not confirmed, and what botocore raises."""
    cloudformation = client("cloudformation", order.region)
    region = cloudformation.meta.region_name
    kept = retained(cloudformation, order.stack)
    print(f"The stack {order.stack} in {region} is about to be deleted. These stay, with all that is in them:")
    for resource in kept:
        print(f"  {resource.name}: {resource.id}")
    if confirmed is None:
        confirmed = ask(f"Type {order.stack} to delete it: ")
    if confirmed != order.stack:
        raise Refused("Nothing was deleted.")
    file = folder / f"retained-{order.stack}.json"
    file.parent.mkdir(exist_ok=True)
    file.write_text(json.dumps([asdict(resource) for resource in kept], indent=2), "utf-8")
    cloudformation.delete_stack(StackName=order.stack)
    cloudformation.get_waiter("stack_delete_complete").wait(StackName=order.stack)
    print(f"\n{order.stack} is deleted. To have a stack use again what is left of it:\n")
    print(f"  make deploy STACK={order.stack} ADOPT={file}\n\nTo remove it for good:\n")
    for resource in kept:
        print(f"  {resource.removed_by(region) or f'# {resource.id} may be in use by other APIs of the account'}")


def retained(cloudformation: Any, stack: str) -> list[Retained]:
    """What stays of a stack: what CloudFormation is told to keep, and API Gateway keys that the command line has made.

    Versions of functions, which it is told to keep as well, go with their functions.
    """
    template = cloudformation.get_template(StackName=stack, TemplateStage="Processed")["TemplateBody"]
    resources = (template if isinstance(template, dict) else json.loads(template))["Resources"]
    pages = cloudformation.get_paginator("list_stack_resources").paginate(StackName=stack)
    rows = [row for page in pages for row in page["StackResourceSummaries"]]
    kept = [
        Retained(row["ResourceType"], row["LogicalResourceId"], row["PhysicalResourceId"])
        for row in rows
        if resources.get(row["LogicalResourceId"], {}).get("DeletionPolicy", "Delete") != "Delete"
        and row["ResourceType"] != "AWS::Lambda::Version"
    ]
    own = {row["PhysicalResourceId"] for row in rows}
    (described,) = cloudformation.describe_stacks(StackName=stack)["Stacks"]
    plans = [row["OutputValue"] for row in described.get("Outputs", ()) if row["OutputKey"] == "UsagePlanId"]
    return kept + [key for plan in plans for key in _keys(plan, cloudformation.meta.region_name) if key.id not in own]


def _keys(plan: str, region: str) -> list[Retained]:
    """The API Gateway keys in a usage plan."""
    pages = client("apigateway", region).get_paginator("get_usage_plan_keys").paginate(usagePlanId=plan)
    return [
        Retained("AWS::ApiGateway::ApiKey", f"API Gateway key {row['name']}", row["id"])
        for page in pages
        for row in page["items"]
    ]


if __name__ == "__main__":
    main()
