"""`gateway keys` and `gateway tenants`: keys are made, shown, rotated and revoked, and no token is shown twice."""

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from shared.authentication import authenticate
from shared.errors import Unauthorized
from shared.schemas.caller import Key, Permission
from shared.schemas.limits import Limits
from shared.stores.keys import KeyStore
from shared.stores.limits.store import LimitStore
from tests.cli.conftest import Command, Stores


def found(local: Stores, token: str) -> Key | None:
    """The key that the gateway itself finds for a token."""

    async def find(keys: KeyStore, _: LimitStore) -> Key | None:
        return await keys.find(token)

    key: Key | None = local.run(find)
    return key


def opens(local: Stores, token: str) -> bool:
    async def enter(keys: KeyStore, _: LimitStore) -> bool:
        try:
            await authenticate({"authorization": f"Bearer {token}"}, keys)
        except Unauthorized:
            return False
        return True

    return bool(local.run(enter))


def made(command: Command, *arguments: str) -> Any:
    return command("keys", "create", *arguments, "--json").json


def test_a_new_key_opens_the_gateway_with_all_that_it_was_given(command: Command, local: Stores) -> None:
    given = ["app", "--tenant", "team", "--permissions", "models:use,batch:use", "--models", "sandbox/chat, gpt-5"]
    limits = ["--requests-per-minute", "60", "--tokens-per-minute", "90000", "--concurrency", "4"]
    money = ["--budget-day", "2.50", "--budget-month", "$40"]
    shown = made(command, *given, *limits, *money, "--expires", "30d", "--cache-seconds", "600")
    key = found(local, shown["token"])
    assert key is not None
    assert key.name == "app"
    assert key.tenant == "team"
    assert key.permissions == {Permission.MODELS_USE, Permission.BATCH_USE}
    assert key.models == {"sandbox/chat", "gpt-5"}
    assert key.cache_seconds == shown["cache_seconds"] == 600
    assert key.limits == Limits(
        requests_per_minute=60, tokens_per_minute=90_000, concurrency=4, budget_day=2_500_000, budget_month=40_000_000
    )
    assert key.expires_at is not None
    assert timedelta(days=29, hours=23) < key.expires_at - datetime.now(UTC) <= timedelta(days=30)
    assert shown["key_id"] == key.key_id
    assert (shown["budget_day"], shown["budget_month"], shown["state"]) == ("2.50", "40.00", "active")
    assert opens(local, shown["token"])


def test_a_key_of_which_nothing_is_said_may_use_models_and_batches_without_limits(
    command: Command, local: Stores
) -> None:
    key = found(local, made(command, "app")["token"])
    assert key is not None
    assert (key.tenant, key.permissions) == ("app", {Permission.MODELS_USE, Permission.BATCH_USE})
    assert (key.models, key.limits, key.tenant_limits, key.expires_at) == (None, Limits(), Limits(), None)


def test_the_token_is_shown_once_and_is_stored_nowhere(command: Command, local: Stores) -> None:
    plain = command("keys", "create", "app")
    assert plain.status == 0
    told = dict(line.split(None, 1) for line in plain.stdout.splitlines())
    token, key_id = told["token"], plain.stdout.split("key id", 1)[1].split()[0]
    assert len(token) > 40
    rotated = command("keys", "rotate", key_id)
    renewed = rotated.stdout.split()[-1]
    assert opens(local, renewed)
    for arguments in (["list"], ["show", key_id], ["revoke", key_id], ["list"]):
        for form in ([], ["--json"]):
            result = command("keys", *arguments, *form)
            assert result.status == 0
            for secret in (token, renewed):
                assert secret not in result.stdout + result.stderr
                assert secret[3:] not in result.stdout

    async def items(keys: KeyStore, _: LimitStore) -> str:
        return json.dumps(await keys._items())

    stored = local.run(items)
    assert key_id in stored
    assert token not in stored
    assert renewed not in stored


def test_keys_are_listed_by_tenant_and_name(command: Command, local: Stores) -> None:
    assert command("keys", "list").stdout == "There are no keys yet. Create one with: gateway keys create NAME\n"
    assert command("keys", "list", "--json").json == []
    for name, tenant in (("b", "two"), ("a", "two"), ("c", "one")):
        made(command, name, "--tenant", tenant, "--budget-day", "1234.5")
    listed = command("keys", "list", "--json").json
    assert [(row["tenant"], row["name"]) for row in listed] == [("one", "c"), ("two", "a"), ("two", "b")]
    assert all("token" not in row for row in listed)
    table = command("keys", "list").stdout.splitlines()
    assert len(table) == 4
    assert table[0].split()[:4] == ["key", "id", "name", "tenant"]
    assert [line.split()[1] for line in table[1:]] == ["c", "a", "b"]
    assert all("1234.50" in line for line in table[1:])


def test_one_key_is_shown_with_the_limits_above_it(command: Command, local: Stores) -> None:
    key_id = made(command, "app", "--tenant", "team", "--concurrency", "3")["key_id"]
    command("tenants", "limit", "team", "--budget-month", "7")
    shown = command("keys", "show", key_id, "--json").json
    assert (shown["concurrency"], shown["tenant_budget_month"], shown["tenant_concurrency"]) == (3, "7.00", None)
    assert "tenant budget month" in command("keys", "show", key_id).stdout


def test_rotation_lets_both_tokens_in_until_the_old_one_ends(command: Command, local: Stores) -> None:
    first = made(command, "app", "--requests-per-minute", "9")
    second = command("keys", "rotate", first["key_id"], "--overlap", "90m", "--json").json
    assert second["key_id"] == first["key_id"]
    assert opens(local, first["token"])
    assert opens(local, second["token"])
    old, new = found(local, first["token"]), found(local, second["token"])
    assert old is not None
    assert new is not None
    assert old.expires_at is not None
    assert timedelta(minutes=89) < old.expires_at - datetime.now(UTC) <= timedelta(minutes=90)
    assert not old.usable(old.expires_at)
    assert new.expires_at is None
    assert new.limits == old.limits == Limits(requests_per_minute=9)
    (row,) = command("keys", "list", "--json").json
    assert (row["state"], row["expires"]) == ("rotating", None)


def test_rotation_without_an_overlap_ends_the_old_token_at_once(command: Command, local: Stores) -> None:
    first = made(command, "app")
    second = command("keys", "rotate", first["key_id"], "--overlap", "0m", "--json").json
    assert not opens(local, first["token"])
    assert opens(local, second["token"])
    assert command("keys", "show", first["key_id"], "--json").json["state"] == "active"


def test_rotation_never_makes_a_key_live_longer(command: Command, local: Stores) -> None:
    first = made(command, "app", "--expires", "1h")
    second = command("keys", "rotate", first["key_id"], "--overlap", "30d", "--json").json
    old, new = found(local, first["token"]), found(local, second["token"])
    assert old is not None
    assert new is not None
    assert old.expires_at == new.expires_at
    third = command("keys", "rotate", first["key_id"], "--overlap", "5m", "--json").json
    ends = [found(local, token) for token in (first["token"], second["token"], third["token"])]
    left = [key.expires_at - datetime.now(UTC) for key in ends if key and key.expires_at]
    assert left[0] <= timedelta(minutes=5)
    assert left[1] <= timedelta(minutes=5)
    assert left[2] > timedelta(minutes=50)


def test_a_revoked_key_is_revoked_with_all_its_tokens(command: Command, local: Stores) -> None:
    first = made(command, "app")
    second = command("keys", "rotate", first["key_id"], "--json").json
    other = made(command, "app")
    assert command("keys", "revoke", first["key_id"], "--json").json == {"key_id": first["key_id"], "revoked": True}
    assert not opens(local, first["token"])
    assert not opens(local, second["token"])
    assert opens(local, other["token"])
    assert command("keys", "show", first["key_id"], "--json").json["state"] == "revoked"
    assert "is revoked" in command("keys", "rotate", first["key_id"]).error


def test_a_tenants_limits_are_those_of_all_its_keys_the_later_ones_too(command: Command, local: Stores) -> None:
    first, other = made(command, "one", "--tenant", "team"), made(command, "two", "--tenant", "else")
    rotated = command("keys", "rotate", first["key_id"], "--json").json
    told = command("tenants", "limit", "team", "--requests-per-minute", "7", "--budget-day", "3", "--json").json
    assert (told["tenant"], told["keys"], told["requests_per_minute"], told["budget_day"]) == ("team", 1, 7, "3.00")
    later = made(command, "three", "--tenant", "team")
    above = Limits(requests_per_minute=7, budget_day=3_000_000)
    limits = [found(local, row["token"]) for row in (first, rotated, later, other)]
    assert [key and key.tenant_limits for key in limits] == [above, above, above, Limits()]
    command("tenants", "limit", "team", "--concurrency", "2")
    key = found(local, first["token"])
    assert key is not None
    assert key.tenant_limits == Limits(concurrency=2)
    assert "has no key" in command("tenants", "limit", "nobody", "--concurrency", "2").error


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        ([], "COMMAND"),
        (["nonsense"], "nonsense"),
        (["keys"], "create"),
        (["keys", "create"], "name"),
        (["keys", "create", "a", "--budget-day", "much"], "much"),
        (["keys", "create", "a", "--budget-day", "1e999999"], "dollars"),
        (["keys", "create", "a", "--budget-day", "NaN"], "dollars"),
        (["keys", "create", "a", "--budget-day", "-1"], "dollars"),
        (["keys", "create", "a", "--budget-day", "0.0000001"], "six decimals"),
        (["keys", "create", "a", "--concurrency", "0"], "whole number"),
        (["keys", "create", "a", "--concurrency", "9" * 5000], "whole number"),
        (["keys", "create", "a", "--requests-per-minute", "99999999999"], "whole number"),
        (["keys", "create", "a", "--permissions", "models:use,everything"], "models:use, batch:use"),
        (["keys", "create", "a", "--expires", "soon"], "soon"),
        (["keys", "rotate", "key_x", "--overlap", "1y"], "1y"),
        (["usage", "--by", "colour"], "colour"),
        (["usage", "--since", "21.11.2026"], "21.11.2026"),
    ],
)
def test_a_command_that_is_wrong_is_refused_in_one_line(
    command: Command, local: Stores, arguments: list[str], named: str
) -> None:
    result = command(*arguments)
    assert result.status == 2
    assert named in result.error
    assert command("keys", "list", "--json").json == []


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        (["keys", "show", "key_none"], "Unknown key key_none"),
        (["keys", "revoke", "key_none"], "Unknown key key_none"),
        (["keys", "rotate", "key_none"], "Unknown key key_none"),
        (["keys", "create", "a", "--expires", "2020-01-31"], "past"),
        (["keys", "create", "a", "--api-gateway"], "--stack"),
        (["usage", "--since", "2026-11-21", "--until", "2026-11-20"], "before it begins"),
    ],
)
def test_what_cannot_be_done_is_said_in_one_line(
    command: Command, local: Stores, arguments: list[str], named: str
) -> None:
    result = command(*arguments)
    assert result.status == 1
    assert named in result.error
    assert command("keys", "list", "--json").json == []


def test_a_key_that_has_expired_is_not_rotated(command: Command, local: Stores) -> None:
    key_id = made(command, "app")["key_id"]

    async def expire(keys: KeyStore, _: LimitStore) -> None:
        over = datetime.now(UTC) - timedelta(days=1)
        await keys.change(key_id, lambda key: key.model_copy(update={"expires_at": over}))

    local.run(expire)
    assert command("keys", "show", key_id, "--json").json["state"] == "expired"
    assert "is expired" in command("keys", "rotate", key_id).error


def test_tables_that_are_missing_are_said_in_one_line(
    command: Command, box: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("KEYS", "LIMITS", "USAGE"):
        monkeypatch.setenv(f"GATEWAY_{name}_TABLE", "nowhere")
    for arguments in (["keys", "list"], ["usage"], ["keys", "create", "app"]):
        result = command(*arguments)
        assert result.status == 1
        assert "ResourceNotFoundException" in result.error


def test_an_aws_that_cannot_be_reached_is_said_in_one_line(
    command: Command, box: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    result = command("keys", "list")
    assert result.status == 1
    assert "ConnectError" in result.error
