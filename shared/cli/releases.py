"""`gateway releases`: which releases a stack keeps, which one is live, and the way back to an earlier one."""

import re
from argparse import Namespace
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import field
from typing import Any

from shared.cli import values
from shared.cli.output import Output
from shared.cli.target import NoTarget, Target, client
from shared.dataclass import dataclass

_ALIAS = "live"
# SAM ends the description of a function, which its versions copy, with the release.
_RELEASE = re.compile(r"(?:^| )([0-9a-f]{20})$")


@dataclass()
class Release:
    """The versions of a release by their functions' names, and of which functions it is live.

    A release that was deployed again after another has several versions of a function, of which the last is its own.
    """

    name: str
    published: str = ""
    all_versions: dict[str, list[str]] = field(default_factory=dict)
    live: set[str] = field(default_factory=set)

    @property
    def versions(self) -> dict[str, str]:
        return {name: versions[-1] for name, versions in self.all_versions.items()}


def add_commands(commands: Any) -> None:
    """The command's parsers."""
    releases = commands.add_parser("releases", help="what a stack runs, and the way back").add_subparsers(required=True)
    releases.add_parser("list", help="the releases that are kept, the newest first").set_defaults(run=_list)
    rollback = releases.add_parser("rollback", help="let an earlier release serve, at once")
    rollback.add_argument("release", nargs="?", help="default: the one before the live one")
    rollback.set_defaults(run=_rollback)
    prune = releases.add_parser("prune", help="delete old releases; with SnapStart each of them costs")
    prune.add_argument(
        "--keep", type=values.whole(1000), default=5, metavar="N", help="besides what is live (default: 5)"
    )
    prune.set_defaults(run=_prune)


async def _list(options: Namespace, target: Target, output: Output) -> None:
    rows = [
        {
            "release": release.name,
            "published": release.published[:19],
            "functions": len(release.versions),
            "live": len(release.live),
        }
        for release in kept(*_stack(options, target))
    ]
    output.rows(rows, empty="No function has a release: deploy with make deploy.")


async def _rollback(options: Namespace, target: Target, output: Output) -> None:
    stack, region = _stack(options, target)
    releases = kept(stack, region)
    if options.release is None:
        first_live = next((number for number, release in enumerate(releases) if release.live), len(releases))
        found = releases[first_live + 1 : first_live + 2]
    else:
        found = [release for release in releases if release.name == options.release]
    if not found:
        raise NoTarget("No such release is kept: see gateway releases list")
    (release,) = found
    moved = make_live(release, region)
    output.one({"release": release.name, "published": release.published[:19], "functions_moved": len(moved)})


async def _prune(options: Namespace, target: Target, output: Output) -> None:
    stack, region = _stack(options, target)
    pruned = prune(stack, region, keep=options.keep)
    output.one({"deleted": [release.name for release in pruned]})


def _stack(options: Namespace, target: Target) -> tuple[str, str | None]:
    if target.is_local:
        raise NoTarget("Only a stack has releases: name one with --stack.")
    return options.stack, target.region


def kept(stack: str, region: str | None) -> list[Release]:
    """The stack's releases, the newest first. Raises NoTarget where AWS does not tell."""
    releases: dict[str, Release] = {}
    with _told("The releases could not be looked up"):
        functions = client("lambda", region)
        for name in _functions(stack, region):
            alias = functions.get_alias(FunctionName=name, Name=_ALIAS)["FunctionVersion"]
            pages = functions.get_paginator("list_versions_by_function").paginate(FunctionName=name)
            # The versions come by their numbers.
            for version in (version for page in pages for version in page["Versions"]):
                named = _RELEASE.search(version.get("Description", ""))
                if named is None or version["Version"] == "$LATEST":
                    continue
                release = releases.setdefault(named[1], Release(named[1]))
                release.all_versions.setdefault(name, []).append(version["Version"])
                release.published = max(release.published, version["LastModified"])
                if version["Version"] == alias:
                    release.live.add(name)
    return sorted(releases.values(), key=lambda release: release.published, reverse=True)


def make_live(release: Release, region: str | None) -> list[str]:
    """Sends all traffic of the functions that have the release to it, and names those that were moved.

    CloudFormation does not notice: its next deployment of another release moves them on. Raises NoTarget.
    """
    moved = []
    with _told("The release could not be made live"):
        functions = client("lambda", region)
        for name, version in release.versions.items():
            alias = functions.get_alias(FunctionName=name, Name=_ALIAS)
            shifting = alias.get("RoutingConfig", {}).get("AdditionalVersionWeights", {})
            if alias["FunctionVersion"] != version or shifting:
                # Without weights: a gradual deployment may have been under way.
                functions.update_alias(
                    FunctionName=name,
                    Name=_ALIAS,
                    FunctionVersion=version,
                    RoutingConfig={"AdditionalVersionWeights": {}},
                )
                moved.append(name)
    return moved


def prune(stack: str, region: str | None, *, keep: int) -> list[Release]:
    """Deletes all releases but the newest `keep` and those that serve. Raises NoTarget."""
    old = [release for release in kept(stack, region)[keep:] if not release.live]
    with _told("Old releases could not be deleted"):
        functions = client("lambda", region)
        for release in old:
            for name, versions in release.all_versions.items():
                for version in versions:
                    functions.delete_function(FunctionName=name, Qualifier=version)
    return old


def _functions(stack: str, region: str | None) -> list[str]:
    pages = client("cloudformation", region).get_paginator("list_stack_resources").paginate(StackName=stack)
    resources = [resource for page in pages for resource in page["StackResourceSummaries"]]
    return [row["PhysicalResourceId"] for row in resources if row["ResourceType"] == "AWS::Lambda::Function"]


@contextmanager
def _told(failure: str) -> Iterator[None]:
    """Makes one sentence of what botocore raises."""
    try:
        yield
    except Exception as error:  # noqa: BLE001 - botocore's errors have no common base worth importing
        raise NoTarget(f"{failure}: {error}") from None
