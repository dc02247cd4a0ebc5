"""The command line beside `make run`: keys that it makes open the gateway, limits hold, and usage is reported."""

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from shared.cli.target import RUNNING
from tests.sdk.server import ROOT, TOKEN, LocalServer, running

CHAT = {"model": "sandbox/chat", "messages": [{"role": "user", "content": "Hello"}]}
CACHED_SECONDS = 0.5


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalServer]:
    home = tmp_path_factory.mktemp("cli-gateway")
    with running(home, GATEWAY_KEY_CACHE=str(CACHED_SECONDS)) as server:
        yield server


Command = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture
def gateway(server: LocalServer, tmp_path: Path) -> Command:
    def run(*arguments: str) -> "subprocess.CompletedProcess[str]":
        environment = {"PATH": os.environ["PATH"], "HOME": str(tmp_path), "PORT": server.url.rpartition(":")[2]}
        command = [sys.executable, "-m", "shared.cli", *arguments]
        return subprocess.run(
            command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=60, check=False
        )

    return run


def read(result: "subprocess.CompletedProcess[str]") -> Any:
    assert (result.returncode, result.stderr) == (0, "")
    return json.loads(result.stdout)


def ask(server: LocalServer, token: str, **fields: Any) -> httpx.Response:
    headers = {"authorization": f"Bearer {token}"}
    url = f"{server.url}/v1/chat/completions"
    return httpx.post(url, json={**CHAT, **fields}, headers=headers, trust_env=False, timeout=60)


def soon_refused(server: LocalServer, token: str) -> httpx.Response:
    """The answer once the gateway has forgotten that it knew the key."""
    deadline = time.monotonic() + 20 * CACHED_SECONDS
    while (answer := ask(server, token)).status_code == 200 and time.monotonic() < deadline:
        time.sleep(CACHED_SECONDS / 5)
    return answer


def test_a_key_opens_the_gateway_until_it_is_revoked(server: LocalServer, gateway: Command) -> None:
    key = read(gateway("keys", "create", "app", "--json"))
    assert ask(server, key["token"]).status_code == 200
    assert read(gateway("keys", "revoke", key["key_id"], "--json"))["revoked"] is True
    assert soon_refused(server, key["token"]).status_code == 401


def test_a_rotated_key_opens_it_by_both_tokens_until_the_old_one_ends(server: LocalServer, gateway: Command) -> None:
    key = read(gateway("keys", "create", "app", "--json"))
    new = read(gateway("keys", "rotate", key["key_id"], "--json"))
    assert [ask(server, row["token"]).status_code for row in (key, new)] == [200, 200]
    newest = read(gateway("keys", "rotate", key["key_id"], "--overlap", "0m", "--json"))
    assert soon_refused(server, key["token"]).status_code == 401
    assert soon_refused(server, new["token"]).status_code == 401
    assert ask(server, newest["token"]).status_code == 200


def test_limits_hold_and_what_was_used_is_reported(server: LocalServer, gateway: Command) -> None:
    given = ["--requests-per-minute", "3", "--budget-day", "1"]
    key = read(gateway("keys", "create", "limited", *given, "--json"))
    answers = [ask(server, key["token"], stream=at == 1, max_tokens=20) for at in range(4)]
    assert [answer.status_code for answer in answers] == [200, 200, 200, 429]
    assert int(answers[-1].headers["retry-after"]) >= 1
    assert answers[0].headers["x-ratelimit-remaining-requests"] == "2"
    cost = round(3 * float(answers[0].headers["x-gateway-cost"]) * 10**6)
    (row,) = read(gateway("usage", "--by", "model", "--key", key["key_id"], "--json"))
    assert (row["model"], row["requests"], row["failures"]) == ("sandbox/chat", 3, 0)
    assert round(float(row["cost_dollars"]) * 10**6) == cost > 0
    (row,) = read(gateway("usage", "--by", "day", "--key", key["key_id"], "--json"))
    assert row["requests"] == 3
    rows = read(gateway("usage", "--by", "key", "--json"))
    assert ("limited", key["key_id"], 3) in [(row["key"], row["key_id"], row["requests"]) for row in rows]


def test_what_a_key_may_not_use_is_forbidden(server: LocalServer, gateway: Command) -> None:
    key = read(gateway("keys", "create", "narrow", "--models", "sandbox/embedding", "--json"))
    assert ask(server, key["token"]).status_code == 403
    key = read(gateway("keys", "create", "clerk", "--permissions", "batch:use", "--json"))
    assert ask(server, key["token"]).status_code == 403


def test_a_tenants_limits_hold_for_all_its_keys_together(server: LocalServer, gateway: Command) -> None:
    keys = [read(gateway("keys", "create", name, "--tenant", "team", "--json")) for name in ("one", "two")]
    read(gateway("tenants", "limit", "team", "--requests-per-minute", "2", "--json"))
    statuses = [ask(server, key["token"]).status_code for key in (*keys, *keys)]
    assert statuses == [200, 200, 429, 429]


def test_the_local_key_is_listed_and_has_no_limits(server: LocalServer, gateway: Command) -> None:
    (local,) = [row for row in read(gateway("keys", "list", "--json")) if row["key_id"] == "local"]
    assert (local["state"], local["requests_per_minute"], local["budget_month"]) == ("active", None, None)
    told = ask(server, TOKEN).headers
    assert told["x-ratelimit-remaining-requests"] == told["x-ratelimit-limit-requests"]
    result = gateway("keys", "list")
    assert result.returncode == 0
    assert TOKEN not in result.stdout
    assert "sandbox/chat" in gateway("models").stdout


def test_what_leads_to_the_embedded_aws_is_for_its_owner_and_goes_with_the_gateway(
    tmp_path: Path,
) -> None:
    with running(tmp_path) as server:
        file = RUNNING / f"{server.url.rpartition(':')[2]}.json"
        assert file.stat().st_mode & 0o077 == 0
        assert json.loads(file.read_text("utf-8"))["pid"] == server.pid
        assert ask(server, TOKEN).status_code == 200
    assert not file.exists()
