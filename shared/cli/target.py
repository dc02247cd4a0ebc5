"""What the command line works on: a deployed stack, or the embedded AWS of `make run`."""

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from shared.dataclass import dataclass
from shared.gateway.services import Services
from shared.stores.aws import Aws
from shared.stores.keys import KeyStore
from shared.stores.operator_catalog import KEY

RUNNING = Path(__file__).parents[2] / ".run"
"""Where `make run` writes the address of its embedded AWS, one file per port."""
_SETTING_OF_OUTPUT = {
    "KeysTableName": "GATEWAY_KEYS_TABLE",
    "LimitsTableName": "GATEWAY_LIMITS_TABLE",
    "UsageTableName": "GATEWAY_USAGE_TABLE",
    "BatchesTableName": "GATEWAY_BATCHES_TABLE",
    "BatchQueueUrl": "GATEWAY_BATCH_QUEUE",
    "MediaBucketName": "GATEWAY_MEDIA_BUCKET",
    "ProviderSecretArn": "GATEWAY_PROVIDER_SECRET",
    "TenantSecretArn": "GATEWAY_TENANT_SECRET",
}


class NoTarget(Exception):
    """The command cannot run on this target; the message is for the user and says what to do."""


@dataclass(frozen=True)
class Target:
    """A gateway's state and the `url` that it serves.

    `usage_plan` is the id of API Gateway's and `dead_letter_queue` the URL of the batches' dead-letter queue; None for
    what is no stack.
    """

    services: Services
    region: str | None
    url: str
    is_local: bool = False
    usage_plan: str | None = None
    dead_letter_queue: str | None = None

    @property
    def keys(self) -> KeyStore:
        return self.services.keys


def local(environment: Mapping[str, str] = os.environ) -> Target:
    """The gateway that runs on this machine, on PORT if there are several. Raises NoTarget."""
    given = environment.get("AWS_ENDPOINT_URL")
    found = {} if given else _running(environment.get("PORT"))
    defaults_of_make_run = {"GATEWAY_SANDBOX": "on", "GATEWAY_LIMITS_TABLE": "gateway-limits"}
    port = environment.get("PORT") or found.pop("PORT", "8080")
    services = _services({**defaults_of_make_run, **environment, **found})
    return Target(services, None, f"http://127.0.0.1:{port}", is_local=True)


def _running(port: str | None) -> dict[str, str]:
    """The environment variables for the embedded AWS of the only gateway on this machine, or the one on `port`."""
    found: dict[str, dict[str, str]] = {}
    # An installed command is not inside the repository: it looks in the working directory.
    running = RUNNING if RUNNING.is_dir() else Path.cwd() / RUNNING.name
    for file in sorted(running.glob(f"{port or '*'}.json")):
        written = json.loads(file.read_text("utf-8"))
        if _is_alive(written["pid"]):
            found[file.stem] = {**written["environment"], "PORT": file.stem}
    if not found:
        raise NoTarget("No gateway is running here: start one with `make run`, or name a stack with --stack.")
    if len(found) > 1:
        raise NoTarget(
            f"Several gateways are running here: choose one with PORT={next(iter(found))} (of {', '.join(found)})."
        )
    return next(iter(found.values()))


def _is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except OSError:
        return False
    return True


def stack(name: str, region: str | None, environment: Mapping[str, str] = os.environ) -> Target:
    """A deployed stack, by its outputs. Raises NoTarget if it does not exist or AWS denies access."""
    try:
        cloudformation = client("cloudformation", region)
        described = cloudformation.describe_stacks(StackName=name)["Stacks"][0]
    except Exception as error:  # noqa: BLE001 - botocore's errors have no common base worth importing
        raise NoTarget(f"The stack {name} could not be read: {error}") from None
    outputs = {output["OutputKey"]: output["OutputValue"] for output in described.get("Outputs", ())}
    if "KeysTableName" not in outputs:
        raise NoTarget(f"The stack {name} is not a gateway.")
    settings = {setting: outputs[output] for output, setting in _SETTING_OF_OUTPUT.items() if output in outputs}
    parameters = {row["ParameterKey"]: row["ParameterValue"] for row in described.get("Parameters", ())}
    # Only AWS variables are taken from this shell: its provider keys are not the stack's.
    of_aws = {name: value for name, value in environment.items() if name.startswith("AWS_")}
    sandbox = {"GATEWAY_SANDBOX": parameters.get("Sandbox", "off")}
    if parameters.get("Bedrock", "off") != "off":
        settings["BEDROCK_REGION"] = parameters.get("BedrockRegion") or cloudformation.meta.region_name
    if parameters.get("Catalog") == "on":
        settings["GATEWAY_CATALOG"] = f"s3://{outputs['MediaBucketName']}/{KEY}"
    region = cloudformation.meta.region_name
    services = _services({**of_aws, **settings, **sandbox, "AWS_REGION": region})
    return Target(
        services,
        region,
        outputs["BaseUrl"].removesuffix("/v1"),
        usage_plan=outputs.get("UsagePlanId"),
        dead_letter_queue=outputs.get("BatchDeadLetterQueueUrl"),
    )


def client(service: str, region: str | None) -> Any:
    """A boto3 client; boto3 is imported only when a command works on a stack."""
    import boto3

    sdk: Any = boto3  # which has no types of its own
    return sdk.client(service, region_name=region or os.environ.get("AWS_REGION"))


def _services(environment: Mapping[str, str]) -> Services:
    return Services.from_environment(environment, Aws(environment))
