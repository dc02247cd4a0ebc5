"""Where the command line works: a stack, or the embedded AWS of `make run`."""

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from shared.gateway.services import Services
from shared.settings import Settings
from shared.stores.aws import Aws
from shared.stores.keys import KeyStore
from shared.stores.secrets import ProviderSecret

RUNNING = Path(__file__).parents[2] / ".run"
"""Where `make run` leaves the address of its embedded AWS, a file for each port."""
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
    """There is nothing to work on; the message says what to do."""


@dataclass(frozen=True)
class Target:
    """A gateway's state, and the `url` at which it answers. `usage_plan` is that of API Gateway, where there is one."""

    services: Services
    aws: Aws
    url: str
    is_local: bool = False
    usage_plan: str | None = None

    @property
    def keys(self) -> KeyStore:
        return self.services.keys


def local(environment: Mapping[str, str] = os.environ) -> Target:
    """The gateway that runs here, on PORT where several do. Raises NoPlace."""
    given = environment.get("AWS_ENDPOINT_URL")
    found = {} if given else _running(environment.get("PORT"))
    as_make_run_has_it = {"GATEWAY_SANDBOX": "on", "GATEWAY_LIMITS_TABLE": "gateway-limits"}
    port = environment.get("PORT") or found.pop("PORT", "8080")
    services, aws = _opened({**as_make_run_has_it, **environment, **found})
    return Target(services, aws, f"http://127.0.0.1:{port}", is_local=True)


def _running(port: str | None) -> dict[str, str]:
    """The variables that lead to the embedded AWS of the one gateway that runs here, or of that on a port."""
    found: dict[str, dict[str, str]] = {}
    # An installed command lies elsewhere: it looks where it is called.
    running = RUNNING if RUNNING.is_dir() else Path.cwd() / RUNNING.name
    for file in sorted(running.glob(f"{port or '*'}.json")):
        left = json.loads(file.read_text("utf-8"))
        if _is_alive(left["pid"]):
            found[file.stem] = {**left["environment"], "PORT": file.stem}
    if not found:
        raise NoTarget("No gateway runs here: start one with `make run`, or name a stack with --stack.")
    if len(found) > 1:
        raise NoTarget(f"Several gateways run here: choose one with PORT={next(iter(found))} (of {', '.join(found)}).")
    return next(iter(found.values()))


def _is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except OSError:
        return False
    return True


def stack(name: str, region: str | None, environment: Mapping[str, str] = os.environ) -> Target:
    """A deployed stack, by its outputs. Raises NoPlace where there is none, and where AWS lets nobody look."""
    try:
        cloudformation = client("cloudformation", region)
        described = cloudformation.describe_stacks(StackName=name)["Stacks"][0]
    except Exception as error:  # noqa: BLE001 - botocore's errors have no common base worth importing
        raise NoTarget(f"The stack {name} could not be looked up: {error}") from None
    outputs = {output["OutputKey"]: output["OutputValue"] for output in described.get("Outputs", ())}
    if "KeysTableName" not in outputs:
        raise NoTarget(f"The stack {name} is no gateway.")
    settings = {setting: outputs[output] for output, setting in _SETTING_OF_OUTPUT.items() if output in outputs}
    parameters = {row["ParameterKey"]: row["ParameterValue"] for row in described.get("Parameters", ())}
    # Providers' keys in this shell are not the stack's.
    of_aws = {name: value for name, value in environment.items() if name.startswith("AWS_")}
    sandbox = {"GATEWAY_SANDBOX": parameters.get("Sandbox", "off")}
    target = {**of_aws, **settings, **sandbox, "AWS_REGION": cloudformation.meta.region_name}
    services, aws = _opened(target)
    return Target(services, aws, outputs["BaseUrl"].removesuffix("/v1"), usage_plan=outputs.get("UsagePlanId"))


def client(service: str, region: str | None) -> Any:
    """A boto3 client; loaded by who works on a stack only."""
    import boto3

    sdk: Any = boto3  # which has no types of its own
    return sdk.client(service, region_name=region or os.environ.get("AWS_REGION"))


def _opened(environment: Mapping[str, str]) -> tuple[Services, Aws]:
    settings = Settings.from_environment(environment)
    aws = Aws(environment)
    secret = ProviderSecret(aws, settings.provider_secret) if settings.provider_secret else None
    return Services(settings, KeyStore(aws, settings.keys_table), aws=aws, secret=secret), aws
