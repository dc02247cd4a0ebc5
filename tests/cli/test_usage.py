"""`gateway usage` and `gateway models`: what was used by day, model and key, and what can be called."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from shared.schemas.caller import Caller, Key, Permission
from shared.schemas.limits import Estimate
from shared.schemas.usage import Usage
from shared.stores.keys import KeyStore
from shared.stores.limits.store import LimitStore
from tests.cli.conftest import Command, Stores

TODAY = datetime.now(UTC).replace(hour=12, minute=0, second=0, microsecond=0)
DAYS = [TODAY - timedelta(days=age) for age in (40, 1, 0)]
USED = [
    # day, key, model, usage, micro-dollars, failed
    (0, "key_a", "gpt-5", Usage(input_tokens=1000, output_tokens=10), 7, False),
    (1, "key_a", "gpt-5", Usage(input_tokens=100, output_tokens=20, cached_read_tokens=5), 250_000, False),
    (1, "key_b", "gpt-5", Usage(input_tokens=1, output_tokens=2), 1, True),
    (2, "key_a", "whisper-1", Usage(audio_seconds=12.5), 1_000_001, False),
    (2, "key_b", "gpt-5", Usage(input_tokens=3, output_tokens=4), 20, False),
    (2, "key_b", "gpt-5", Usage(input_tokens=3, output_tokens=4), 20, False),
]


@pytest.fixture
def used(local: Stores) -> Stores:
    """A gateway at which two keys have used something on three days."""

    async def fill(keys: KeyStore, limits: LimitStore) -> None:
        await keys.put("sk-a", Key(key_id="key_a", tenant="t", permissions=frozenset(Permission), name="shop"))
        await keys.put("sk-a2", Key(key_id="key_a", tenant="t", permissions=frozenset(Permission), name="shop"))
        for day, key_id, model, usage, cost, failed in USED:
            at = int(DAYS[day].timestamp()) * 1_000_000
            store = LimitStore(keys.aws, *local.names[1:], clock=lambda at=at: at)  # type: ignore[misc]
            caller = Caller(key_id=key_id, tenant="t", permissions=frozenset(Permission))
            await store.settle(await store.reserve(caller, Estimate()), model, usage, cost, failed=failed)

    local.run(fill)
    return local


def day(index: int) -> str:
    return DAYS[index].strftime("%Y-%m-%d")


def test_usage_by_day(command: Command, used: Stores) -> None:
    rows = command("usage", "--since", day(0), "--json").json
    assert [row["day"] for row in rows] == [day(0), day(1), day(2)]
    assert [(row["requests"], row["failures"]) for row in rows] == [(1, 0), (1, 1), (3, 0)]
    assert [row["input_tokens"] for row in rows] == [1000, 101, 6]
    assert [row["cost_dollars"] for row in rows] == ["0.000007", "0.250001", "1.000041"]
    assert [row["audio_seconds"] for row in rows] == [0, 0, 12.5]
    assert "images" not in rows[0]


def test_usage_by_model(command: Command, used: Stores) -> None:
    rows = command("usage", "--by", "model", "--since", day(1), "--until", day(2), "--json").json
    assert {row["model"]: (row["requests"], row["failures"], row["cost_dollars"]) for row in rows} == {
        "gpt-5": (3, 1, "0.250041"),
        "whisper-1": (1, 0, "1.000001"),
    }


def test_usage_by_key_names_it_also_when_it_is_gone(command: Command, used: Stores) -> None:
    rows = command("usage", "--by", "key", "--since", day(0), "--json").json
    assert [(row["key"], row["key_id"], row["cost_dollars"]) for row in rows] == [
        ("shop", "key_a", "1.250008"),
        ("key_b", "key_b", "0.000041"),
    ]


def test_usage_of_one_key_and_of_some_days(command: Command, used: Stores) -> None:
    rows = command("usage", "--key", "key_b", "--since", day(0), "--json").json
    assert [(row["day"], row["requests"], row["failures"]) for row in rows] == [(day(1), 0, 1), (day(2), 2, 0)]
    rows = command("usage", "--since", day(1), "--until", day(1), "--json").json
    assert [row["day"] for row in rows] == [day(1)]
    assert command("usage", "--key", "key_none", "--json").json == []


def test_usage_is_of_this_month_unless_something_else_is_said(command: Command, used: Stores) -> None:
    days = [row["day"] for row in command("usage", "--json").json]
    assert days[-1] == day(2)
    assert all(found.startswith(TODAY.strftime("%Y-%m")) for found in days)


def test_a_report_for_people_is_a_table(command: Command, used: Stores) -> None:
    head, *lines = command("usage", "--since", day(0)).stdout.splitlines()
    assert head.split("  ")[0] == "day"
    assert [line.split()[0] for line in lines] == [day(0), day(1), day(2)]
    assert "1,000" in lines[0]
    assert lines[2].rstrip().endswith("1.000041")


def test_nothing_used_is_a_sentence(command: Command, local: Stores) -> None:
    result = command("usage", "--since", "2026-01-01", "--until", "2026-01-31")
    assert result.stdout == "Nothing was used from 2026-01-01 to 2026-01-31.\n"
    assert command("usage", "--json").json == []


def test_models_are_listed_with_what_stands_behind_them(
    command: Command, local: Stores, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    for name in ("OPENAI_API_KEY", "GEMINI_API_KEY", "ANTHROPIC_API_KEY"):
        monkeypatch.delenv(name, raising=False)
    rows = {row["model"]: row for row in command("models", "--json").json}
    assert rows["sandbox/chat"]["provider"] == "sandbox"
    assert rows["sandbox/chat"]["priced"] is True
    assert "chat" in rows["sandbox/chat"]["capabilities"]
    assert (rows["sandbox/chat"]["retires"], rows["sandbox/chat"]["retired"]) == (None, False)
    assert "gpt-5" not in rows
    monkeypatch.setenv("OPENAI_API_KEY", "sk-vendor-secret")
    result = command("models")
    assert "gpt-5" in result.stdout
    assert "sk-vendor-secret" not in result.stdout
    (tmp_path / "rows.toml").write_text("[[models]]\nid = 'sandbox/chat'\nretires = 2020-01-01\n")
    monkeypatch.setenv("GATEWAY_CATALOG", str(tmp_path / "rows.toml"))
    rows = {row["model"]: row for row in command("models", "--json").json}
    assert (rows["sandbox/chat"]["retires"], rows["sandbox/chat"]["retired"]) == ("2020-01-01", True)
    monkeypatch.setenv("GATEWAY_CATALOG", str(tmp_path / "none.toml"))
    assert "none.toml" in command("models").error
