"""`make key` stores a key that the gateway then knows."""

import asyncio
import os
import subprocess
import sys
from pathlib import Path

import pytest

from shared.schemas.caller import Key, Permission
from shared.stores.aws import Aws
from shared.stores.keys import KeyStore

ROOT = Path(__file__).parents[1]


def made(environment: dict[str, str]) -> "subprocess.CompletedProcess[str]":
    command = [sys.executable, "-m", "scripts.create_key"]
    return subprocess.run(
        command, cwd=ROOT, env={**os.environ, **environment}, capture_output=True, text=True, check=False
    )


async def found(environment: dict[str, str], token: str) -> Key | None:
    aws = Aws(environment)
    key = await KeyStore(aws, "keys").find(token)
    await aws.aclose()
    return key


def test_a_new_key_is_printed_once_and_stored_by_its_hash(keys: KeyStore, aws_environment: dict[str, str]) -> None:
    result = made({**aws_environment, "TABLE": "keys", "REGION": "us-east-1", "ID": "app", "TENANT": "team"})
    token = result.stdout.strip()
    assert len(token) > 40
    key = asyncio.run(found(aws_environment, token))
    assert key == Key(key_id="app", tenant="team", permissions={Permission.MODELS_USE, Permission.BATCH_USE})


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({}, "usage: make key"),
        ({"TABLE": "keys", "REGION": "us-east-1", "ID": "app", "MAY": "everything"}, "models:use, batch:use, admin"),
        ({"TABLE": "nowhere", "REGION": "us-east-1", "ID": "app"}, "ResourceNotFoundException"),
    ],
)
def test_what_is_wrong_is_said_in_one_line(
    aws_environment: dict[str, str], given: dict[str, str], message: str
) -> None:
    result = made({**aws_environment, **given})
    assert result.returncode == 1
    assert message in result.stderr
    assert len(result.stderr.splitlines()) == 1
    assert not result.stdout
