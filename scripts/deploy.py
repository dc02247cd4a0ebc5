"""`make deploy`: deploys the built template without asking anything.

It reads samconfig.toml as `sam deploy` does, and hands `sam` every parameter with its value, since what is given on
sam's command line replaces the lists in samconfig.toml. A value comes, in this order, from PARAMETERS="Name=value …",
from samconfig.toml, from what the deployed stack has, and from the template.

The variables of make are read from the environment: ENV, STACK, REGION, ARCH, PARAMETERS, TAGS, CATALOG (a file of your
own providers and models) and ADOPT (what `make delete` has written, for a new stack to use again).
"""

import json
import os
import shlex
import subprocess
import sys
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import yaml

from scripts.adopt import adopt
from scripts.release import TEMPLATE, on_capacity_provider, release_of
from shared.cli.__main__ import main as gateway
from shared.cli.catalog import checked
from shared.cli.releases import kept, make_live, prune
from shared.cli.target import NoTarget, client

ROOT = Path(__file__).parents[1]
CONFIG = ROOT / "samconfig.toml"
SAM = ROOT / ".venv" / "sam" / "bin" / "sam"
_TAGS = {"application": "inference-gateway"}
_DEFAULT_ARCHITECTURE = "arm64"


class Refused(Exception):
    """The deployment cannot start; the message says what to do."""


@dataclass(frozen=True)
class Order:
    """What is to be deployed where: `given` are the parameters that were asked for, here or in samconfig.toml."""

    env: str
    stack: str
    region: str | None
    given: Mapping[str, str]
    tags: Mapping[str, str]
    catalog: Path | None = None
    adopted: Path | None = None

    @classmethod
    def read(cls, environment: Mapping[str, str], config: Path = CONFIG) -> "Order":
        """Raises Refused for what cannot be read."""
        env = environment.get("ENV") or "default"
        sections = tomllib.loads(config.read_text("utf-8"))
        if env not in sections:
            raise Refused(f"{config.name} has no section [{env}.deploy.parameters].")
        options = sections[env].get("deploy", {}).get("parameters", {})
        stack = environment.get("STACK") or options.get("stack_name")
        if not stack:
            raise Refused(f"Name the stack: STACK=…, or stack_name in {config.name}.")
        given = pairs(options.get("parameter_overrides", [])) | pairs(environment.get("PARAMETERS", ""))
        if environment.get("ARCH"):
            given["Architecture"] = environment["ARCH"]
        catalog = Path(environment["CATALOG"]) if environment.get("CATALOG") else None
        if catalog is not None:
            checked(catalog)
            given["Catalog"] = "on"
        return cls(
            env=env,
            stack=stack,
            region=environment.get("REGION") or options.get("region") or None,
            given=given,
            tags=_TAGS | pairs(options.get("tags", [])) | pairs(environment.get("TAGS", "")),
            catalog=catalog,
            adopted=Path(environment["ADOPT"]) if environment.get("ADOPT") else None,
        )


def pairs(written: str | list[str]) -> dict[str, str]:
    """`Name=value` pairs, in a list or in one text with spaces between. Raises Refused for anything else."""
    words = shlex.split(written) if isinstance(written, str) else written
    found: dict[str, str] = {}
    for word in words:
        name, separator, value = str(word).partition("=")
        if not name or not separator:
            raise Refused(f"{word!r} is not Name=value.")
        found[name] = value.strip('"')
    return found


def main(arguments: list[str] | None = None) -> None:
    """`deploy.py architecture` prints the processor to build for; `deploy.py stack` deploys what is built."""
    (command,) = sys.argv[1:] if arguments is None else arguments
    try:
        order = Order.read(os.environ)
        deployed = deployed_values(order)
        if command == "architecture":
            print(architecture(order, deployed))
        else:
            sys.exit(deploy(order, deployed))
    except (Refused, NoTarget, ValueError) as error:
        sys.exit(f"make deploy: {error}")


def architecture(order: Order, deployed: Mapping[str, str]) -> str:
    return order.given.get("Architecture") or deployed.get("Architecture") or _DEFAULT_ARCHITECTURE


def deployed_values(order: Order) -> dict[str, str]:
    """The parameters of the stack, nothing for one that does not exist yet. Raises Refused where AWS does not tell."""
    from botocore.exceptions import BotoCoreError, ClientError

    try:
        (stack,) = client("cloudformation", order.region).describe_stacks(StackName=order.stack)["Stacks"]
    except ClientError as error:
        if "does not exist" in str(error):
            return {}
        raise Refused(str(error)) from None
    except BotoCoreError as error:
        raise Refused(str(error)) from None
    return {row["ParameterKey"]: row["ParameterValue"] for row in stack.get("Parameters", ())}


def values_of(template: Mapping[str, Any], order: Order, deployed: Mapping[str, str]) -> dict[str, str]:
    """Every parameter of the built template with its value. Raises Refused for names that the template lacks."""
    parameters = template["Parameters"]
    if unknown := set(order.given) - set(parameters):
        raise Refused(f"The template has no parameter {', '.join(sorted(unknown))}.")
    defaults = {name: str(parameter["Default"]) for name, parameter in parameters.items() if "Default" in parameter}
    remembered = {name: value for name, value in deployed.items() if name in parameters}
    values = defaults | remembered | order.given
    built_for = parameters["Architecture"]["Default"]
    if "Architecture" in order.given and order.given["Architecture"] != built_for:
        raise Refused(f"The functions are built for {built_for}, not for {order.given['Architecture']}.")
    values["Architecture"] = built_for
    if deployed and bool(deployed.get("CapacityProvider")) != bool(values["CapacityProvider"]):
        raise Refused("Functions cannot be moved to a capacity provider or away from it: make a new stack.")
    values["Release"] = release_of(template, values)
    return values


def deploy(order: Order, deployed: Mapping[str, str], sam: Path = SAM, built: Path = TEMPLATE) -> int:
    """Runs `sam deploy` and returns its exit status."""
    if not built.exists():
        raise Refused("Nothing is built: run make build.")
    template = yaml.safe_load(built.read_text("utf-8"))
    if not deployed and "ApiLogRole" not in order.given and not _account_has_log_role(order.region):
        order = replace(order, given={**order.given, "ApiLogRole": "stack"})
    values = values_of(template, order, deployed)
    changed = sorted(name for name, value in values.items() if deployed.get(name, value) != value)
    if order.adopted is not None:
        _adopt(order, order.adopted, template, values, deployed)
    print(f"Deploying {order.stack}, release {values['Release']}", flush=True)
    for name in changed:
        print(f"  {name}: {deployed[name]} -> {values[name]}", flush=True)
    # In a file, where no character of a value has a meaning to sam. sam reads YAML there, of which JSON is a part.
    overrides = built.parent.with_name("parameters.yaml")
    overrides.write_text(json.dumps(values), "utf-8")
    command = [str(sam), "deploy", "--config-file", str(CONFIG), "--config-env", order.env]
    command += ["--template-file", str(_placed(template, values, built)), "--stack-name", order.stack]
    command += ["--region", order.region] if order.region else []
    command += ["--parameter-overrides", f"file://{overrides}"]
    command += ["--tags", *(f"{name}={value}" for name, value in order.tags.items())]
    command += ["--no-confirm-changeset", "--no-fail-on-empty-changeset"]
    environment = {**os.environ, "SAM_CLI_TELEMETRY": "0"}
    status = subprocess.run(command, cwd=ROOT, env=environment, check=False).returncode  # noqa: S603 - our own words
    if status == 0:
        _undo_rollback(order, values["Release"])
        prune(order.stack, order.region, keep=_kept_releases(values))
        if order.catalog is not None:
            where = ["--stack", order.stack, *(("--region", order.region) if order.region else ())]
            gateway([*where, "catalog", "set", str(order.catalog)])
    return status


def _placed(template: dict[str, Any], values: Mapping[str, str], built: Path) -> Path:
    """The template to deploy: the built one, or one beside it whose functions run on a capacity provider."""
    if not values["CapacityProvider"]:
        return built
    on_capacity_provider(template)
    placed = built.with_name("template-on-capacity-provider.yaml")
    placed.write_text(yaml.safe_dump(template, sort_keys=False), "utf-8")
    return placed


def _kept_releases(values: Mapping[str, str]) -> int:
    """Every version with a snapshot is paid for, and every version on a capacity provider has processes of its own."""
    if values["CapacityProvider"]:
        return 1
    return 2 if values["SnapStart"] == "on" else 5


def _adopt(
    order: Order, file: Path, template: Mapping[str, Any], values: Mapping[str, str], deployed: Mapping[str, str]
) -> None:
    from botocore.exceptions import BotoCoreError, ClientError, WaiterError

    if deployed:
        raise Refused(f"{order.stack} exists: only a new stack can adopt what another has left.")
    try:
        left = json.loads(file.read_text("utf-8"))
        adopt(client("cloudformation", order.region), order.stack, template, values, left)
    except (OSError, ValueError, KeyError, BotoCoreError, ClientError, WaiterError) as error:
        raise Refused(f"{file} could not be adopted: {error}") from None


def _account_has_log_role(region: str | None) -> bool:
    """Whether API Gateway can write logs in the account and region already. Raises Refused where AWS does not tell."""
    from botocore.exceptions import BotoCoreError, ClientError

    try:
        return bool(client("apigateway", region).get_account().get("cloudwatchRoleArn"))
    except (BotoCoreError, ClientError) as error:
        raise Refused(
            f"Whether the account has an API Gateway log role is unknown ({error}): set ApiLogRole."
        ) from None


def _undo_rollback(order: Order, name: str) -> None:
    """CloudFormation does not notice a rollback by hand: deploying what it takes for deployed would change nothing."""
    for release in kept(order.stack, order.region):
        if release.name == name and (moved := make_live(release, order.region)):
            print(f"Moved {len(moved)} functions from an earlier release, to which they had been rolled back.")


if __name__ == "__main__":
    main()
