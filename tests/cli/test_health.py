"""`gateway health`: the providers' models that are skipped."""

from shared.gateway.circuits import Open
from shared.stores.circuits import CircuitStore
from shared.stores.keys import KeyStore
from shared.stores.limits.store import LimitStore
from tests.cli.conftest import Command, Stores


def test_F10_health_shows_what_is_skipped_since_when_and_why(command: Command, local: Stores) -> None:
    assert "No provider's model is skipped." in command("health").stdout

    async def fail(keys: KeyStore, limits: LimitStore) -> None:
        store = CircuitStore(keys.aws, local.names[1])
        since = 1_700_000_000.0
        await store.change("acme/large", None, Open(since + 30, since, "500").text())

    local.run(fail)
    assert command("health", "--json").json == [
        {"target": "acme/large", "since": "2023-11-14T22:13:20Z", "until": "2023-11-14T22:13:50Z", "why": "500"}
    ]
