"""Circuits that processes share through DynamoDB."""

import asyncio
from collections.abc import Callable
from uuid import uuid4

import pytest

from shared.errors import UpstreamError
from shared.gateway.circuits import OPEN_SECONDS, READ_SECONDS, Circuits
from shared.stores.aws import Aws
from shared.stores.circuits import CircuitStore
from shared.stores.keys import KeyStore
from tests.client import LIMITS

pytestmark = pytest.mark.anyio
PROCESSES = 8
FAILURES = 3
ERROR = UpstreamError("The provider failed.")


class CountedStore(CircuitStore):
    """Counts the calls of DynamoDB."""

    def __init__(self, aws: Aws) -> None:
        super().__init__(aws, LIMITS)
        self.calls = 0

    async def read(self) -> dict[str, str]:
        self.calls += 1
        return await super().read()


class World:
    """Processes with a clock and a target of their own."""

    def __init__(self, keys: KeyStore) -> None:
        self.now = 1_700_000_000.0
        self.target = f"acme/{uuid4().hex}"
        self.store = CountedStore(keys.aws)
        self.processes = [self.process() for _ in range(PROCESSES)]

    def process(self) -> Circuits:
        clock: Callable[[], float] = lambda: self.now  # noqa: E731
        return Circuits(FAILURES, clock=clock, store=lambda: self.store)

    async def open(self) -> None:
        """The first process finds that the target fails, and all others learn it."""
        for _ in range(FAILURES):
            self.processes[0].failed(self.target, ERROR, "500")
        await self.learn()

    async def learn(self) -> None:
        await self.processes[0].flush()
        self.now += READ_SECONDS
        for process in self.processes:
            process.refresh()
            await process.flush()

    async def admitted(self) -> list[Circuits]:
        """The processes that may call the target, which all ask for that at once."""
        answers = await asyncio.gather(*(process.admits(self.target) for process in self.processes))
        return [process for process, admits in zip(self.processes, answers, strict=True) if admits]


@pytest.fixture
def world(keys: KeyStore) -> World:
    return World(keys)


async def test_F10_all_processes_know_an_open_circuit_within_seconds_and_that_it_has_closed(world: World) -> None:
    await world.open()
    assert await world.admitted() == []
    assert all(process.is_open(world.target) for process in world.processes)
    world.now += OPEN_SECONDS
    (prober,) = await world.admitted()
    prober.succeeded(world.target)
    await prober.flush()
    await world.learn()
    assert await world.admitted() == world.processes


async def test_F10_one_of_all_processes_probes_at_a_time(world: World) -> None:
    await world.open()
    for _ in range(3):
        world.now += OPEN_SECONDS
        (prober,) = await world.admitted()
        prober.failed(world.target, ERROR, "500")
        await prober.flush()
        assert await world.admitted() == []


async def test_F10_a_prober_that_dies_is_followed_by_another(world: World) -> None:
    await world.open()
    world.now += OPEN_SECONDS
    (prober,) = await world.admitted()
    world.processes.remove(prober)
    world.now += OPEN_SECONDS + 1
    assert len(await world.admitted()) == 1


async def test_F10_while_all_is_well_the_state_is_read_every_few_seconds_at_most(world: World) -> None:
    process = world.process()
    for _ in range(1000):
        process.refresh()
        assert await process.admits(world.target)
        process.succeeded(world.target)
    await process.flush()
    assert world.store.calls == 1
    world.now += READ_SECONDS
    process.refresh()
    await process.flush()
    assert world.store.calls == 2


async def test_F10_a_failure_while_a_circuit_is_open_writes_nothing(world: World) -> None:
    await world.open()
    before = await world.store.read()
    for _ in range(10):
        world.now += 1
        world.processes[3].failed(world.target, ERROR, "500")
        await world.processes[3].flush()
    assert await world.store.read() == before
