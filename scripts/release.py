"""Ties the built template to its artefacts, and names what is deployed from a build and a stack's parameters.

A function's traffic goes to a published version, and SAM publishes one when the value of AutoPublishCodeSha256 changes
(references to parameters in other properties do not count). The template sets it to the parameter Release, which has to
change with the build and with every other parameter.
"""

import hashlib
import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

BUILD = Path(__file__).parents[1] / ".aws-sam" / "build"
TEMPLATE = BUILD / "template.yaml"
# SAM puts the first 10 characters into the logical ids of versions.
_DIGITS = 10


def main() -> None:
    """`release.py <architecture>`: pins the template that `sam build` has written."""
    (architecture,) = sys.argv[1:]
    template = yaml.safe_load(TEMPLATE.read_text("utf-8"))
    pin(template, digest_of(BUILD), architecture)
    TEMPLATE.write_text(yaml.safe_dump(template, sort_keys=False), "utf-8")


def pin(template: dict[str, Any], digest: str, architecture: str) -> None:
    """Lets CloudFormation refuse the template with another processor than it was built for, or another build's release.

    A stack remembers its parameters: whoever deploys without giving them would deploy with those of an earlier build.
    """
    parameters = template["Parameters"]
    parameters["Architecture"] |= {"AllowedValues": [architecture], "Default": architecture}
    parameters["Release"] |= {
        "AllowedPattern": f"^[0-9a-f]{{{_DIGITS}}}{digest}$",
        "ConstraintDescription": "must be of this build: deploy with `make deploy`, which computes it",
    }
    del parameters["Release"]["Default"]


def on_capacity_provider(template: dict[str, Any]) -> None:
    """Lets functions run on the capacity provider of the template's parameter, as their metadata say.

    SAM accepts neither a conditional CapacityProviderConfig nor one beside a VpcConfig.
    """
    for resource in template["Resources"].values():
        for name, value in resource.get("Metadata", {}).pop("OnCapacityProvider", {}).items():
            if value == {"Ref": "AWS::NoValue"}:
                del resource["Properties"][name]
            else:
                resource["Properties"][name] = value


def release_of(template: Mapping[str, Any], values: Mapping[str, str]) -> str:
    """The release of a pinned template with the values of all its other parameters: 20 hexadecimal digits."""
    pattern = template["Parameters"]["Release"]["AllowedPattern"]
    digest = pattern.partition("}")[2].rstrip("$")
    others = {name: value for name, value in values.items() if name != "Release"}
    return _hash(json.dumps([digest, others], sort_keys=True).encode()) + digest


def digest_of(folder: Path) -> str:
    """Changes with the path or content of any file in the folder."""
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    rows = [[str(path.relative_to(folder)), hashlib.sha256(path.read_bytes()).hexdigest()] for path in files]
    return _hash(json.dumps(rows).encode())


def _hash(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()[:_DIGITS]


if __name__ == "__main__":
    main()
