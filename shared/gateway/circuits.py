"""Circuits: targets that fail often are skipped for a while, then probed by one request.

A target is a provider's upstream model, as `provider/upstream`. Processes share which circuits are open through a
store, which is written when that changes and read every few seconds. What a provider's headers say is known to this
process only.
"""

import asyncio
import json
import re
from collections import deque
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import field
from datetime import datetime
from typing import TYPE_CHECKING

from shared.dataclass import dataclass
from shared.errors import (
    GatewayError,
    InsufficientQuota,
    RateLimited,
    UpstreamError,
    UpstreamOverloaded,
    UpstreamTimeout,
)
from shared.observability import log_circuit
from shared.stores.aws_calls import AwsError

if TYPE_CHECKING:
    from collections.abc import Coroutine

    from shared.stores.circuits import CircuitStore

WINDOW_SECONDS = 30
LEAST_CALLS = 10
OPEN_SECONDS = 30.0
READ_SECONDS = 3.0
_MOST_TARGETS = 1000
_LONGEST_REST = 300.0
_FAILURES = (UpstreamError, UpstreamOverloaded, UpstreamTimeout, RateLimited, InsufficientQuota)
_ANTHROPICS_KINDS = ("requests", "tokens", "input-tokens", "output-tokens")
_DURATION = re.compile(
    r"(?:(\d{1,4})h)?(?:(\d{1,4})m(?!s))?(?:(\d{1,6}(?:\.\d{1,9})?)s)?(?:(\d{1,9}(?:\.\d{1,9})?)ms)?"
)


@dataclass(frozen=True, slots=True)
class Open:
    """An open circuit: its target is skipped until `until` and has been since `since`, both in Unix seconds.

    `why` is the outcome of the call that opened it.
    """

    until: float
    since: float
    why: str

    def text(self) -> str:
        return json.dumps([round(self.until, 3), round(self.since, 3), self.why])

    @classmethod
    def read(cls, text: str) -> "Open":
        until, since, why = json.loads(text)
        return cls(float(until), float(since), str(why))


@dataclass(slots=True)
class _Target:
    """What is known of one target.

    `calls` has [second, calls, failures] for each of the latest seconds. `stored` is its state in the store, as far as
    that is known. `is_probed` while this process asks the store whether it may probe the target.
    """

    in_a_row: int = 0
    calls: deque[list[int]] = field(default_factory=deque)
    rests_until: float = 0.0
    open: Open | None = None
    stored: str | None = None
    is_probed: bool = False

    def count(self, now: float, *, failed: bool) -> None:
        second = int(now)
        while self.calls and self.calls[0][0] <= second - WINDOW_SECONDS:
            self.calls.popleft()
        if not self.calls or self.calls[-1][0] != second:
            self.calls.append([second, 0, 0])
        self.calls[-1][1] += 1
        self.calls[-1][2] += failed
        self.in_a_row = self.in_a_row + 1 if failed else 0

    def fails_often(self, most_in_a_row: int) -> bool:
        if self.in_a_row >= most_in_a_row:
            return True
        calls, failures = sum(one[1] for one in self.calls), sum(one[2] for one in self.calls)
        return calls >= LEAST_CALLS and 2 * failures >= calls


class Circuits:
    """The circuits of this process.

    `failures` in a row open a circuit; with 0 none ever opens. `clock` is Unix time. Without a `store` the circuits are
    shared with no other process.
    """

    def __init__(
        self, failures: int, *, clock: Callable[[], float], store: "Callable[[], CircuitStore] | None" = None
    ) -> None:
        self._failures = failures
        self._clock = clock
        self._make_store = store
        self._targets: dict[str, _Target] = {}
        self._read_at = 0.0
        self._tasks: set[asyncio.Task[None]] = set()

    # ---- Asked before a call -----------------------------------------------------------------------------------------

    def is_open(self, target: str) -> bool:
        """Whether a target is skipped at the moment."""
        return self.opens_at(target) > self._clock()

    def opens_at(self, target: str) -> float:
        """The Unix time until which a target is skipped; 0 if it is not."""
        known = self._targets.get(target)
        if known is None:
            return 0.0
        return max(known.rests_until, known.open.until if known.open else 0.0)

    async def admits(self, target: str) -> bool:
        """Whether a target may be called. Of an open circuit whose time has passed, one request of all processes gets
        True: its probe.
        """
        known = self._targets.get(target)
        if known is None:
            return True
        now = self._clock()
        if self.opens_at(target) > now:
            return False
        if known.open is None:
            return True
        if known.is_probed:
            return False
        known.is_probed = True
        try:
            return await self._claim(target, known)
        finally:
            known.is_probed = False

    async def _claim(self, target: str, known: _Target) -> bool:
        """Whether this process may probe a target.

        Whoever first moves the end on in the store may; if that process dies, another may after that.
        """
        await self.flush()
        now = self._clock()
        if known.open is None or known.open.until > now:
            return known.open is None
        probing = Open(now + OPEN_SECONDS, known.open.since, known.open.why)
        known.open = probing
        if self._make_store is None:
            return True
        try:
            done, states = await self._make_store().change(target, known.stored, probing.text())
        except AwsError:
            return True
        self._take_in(states)
        return done or target not in states

    def refresh(self) -> None:
        """Reads in the background what other processes have found, every few seconds at most."""
        now = self._clock()
        if self._failures and self._make_store is not None and not 0 <= now - self._read_at < READ_SECONDS:
            self._read_at = now
            self._run(self._read())

    async def _read(self) -> None:
        assert self._make_store is not None
        self._take_in(await self._make_store().read())

    async def all_open(self) -> dict[str, Open]:
        """The circuits that processes have opened, read now. Raises AwsError."""
        if self._make_store is not None:
            self._take_in(await self._make_store().read())
        return {name: known.open for name, known in self._targets.items() if known.open is not None}

    # ---- Told after a call -------------------------------------------------------------------------------------------

    def succeeded(self, target: str) -> None:
        """A target has begun to answer."""
        if not self._failures:
            return
        known = self._target(target)
        known.count(self._clock(), failed=False)
        if known.open is not None:
            known.calls.clear()
            self._change(target, known, None)

    def failed(self, target: str, error: GatewayError, outcome: str) -> None:
        """A call of a target has failed with an error; one that is the caller's fault shows that the target works."""
        if not self._failures:
            return
        if not isinstance(error, _FAILURES):
            if outcome.isdecimal() and int(outcome) < 500:
                self.succeeded(target)
            return
        now, known = self._clock(), self._target(target)
        known.count(now, failed=True)
        # One that is open already stays as it is: whoever probes it has moved its end on.
        if known.open is None and known.fails_often(self._failures):
            until = known.rests_until if known.rests_until > now else now + OPEN_SECONDS
            self._change(target, known, Open(until, now, outcome))

    def told(self, target: str, headers: Mapping[str, str], *, retry_after: int | None = None) -> None:
        """Takes in what a provider says of its limits: none is left for a while, or when to come again."""
        if not self._failures:
            return
        seconds = float(retry_after or 0)
        for kind in ("requests", "tokens"):
            if headers.get(f"x-ratelimit-remaining-{kind}") == "0":
                seconds = max(seconds, _seconds(headers.get(f"x-ratelimit-reset-{kind}", "")))
        if "anthropic-ratelimit-requests-remaining" in headers:  # looked for once, since others never have them
            for kind in _ANTHROPICS_KINDS:
                if headers.get(f"anthropic-ratelimit-{kind}-remaining") == "0":
                    reset = _unix_time(headers.get(f"anthropic-ratelimit-{kind}-reset", ""))
                    seconds = max(seconds, reset - self._clock())
        if seconds:
            known = self._target(target)
            known.rests_until = max(known.rests_until, self._clock() + min(seconds, _LONGEST_REST))

    # ---- Sharing -----------------------------------------------------------------------------------------------------

    def _change(self, target: str, known: _Target, state: Open | None) -> None:
        known.open, known.in_a_row = state, 0
        log_circuit(target, why=None if state is None else state.why)
        if self._make_store is not None:
            self._run(self._write(target, known, state))

    async def _write(self, target: str, known: _Target, state: Open | None) -> None:
        assert self._make_store is not None
        store, after = self._make_store(), None if state is None else state.text()
        done, states = await store.change(target, known.stored, after)
        if not done and after is None and target in states:  # opened or probed by another process meanwhile
            _, states = await store.change(target, states[target], None)
        self._take_in(states)

    def _take_in(self, states: Mapping[str, str]) -> None:
        """Makes the circuits those of the store."""
        for target in [name for name, known in self._targets.items() if known.stored and name not in states]:
            known = self._targets[target]
            known.stored = known.open = None
        for target, text in states.items():
            with suppress(ValueError, TypeError):  # written by another version
                state = Open.read(text)
                known = self._target(target)
                known.stored, known.open = text, state

    def _run(self, work: "Coroutine[None, None, None]") -> None:
        """Does something in the background; what AWS fails to do is done with the next change or read."""

        async def quietly() -> None:
            with suppress(AwsError):
                await work

        task = asyncio.get_running_loop().create_task(quietly())
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def flush(self) -> None:
        """Waits for what is being read and written."""
        await asyncio.gather(*self._tasks)

    def _target(self, name: str) -> _Target:
        known = self._targets.get(name)
        if known is None:
            if len(self._targets) >= _MOST_TARGETS:
                self._targets.pop(next(iter(self._targets)))
            known = self._targets[name] = _Target()
        return known


def _unix_time(moment: str) -> float:
    """An RFC 3339 time such as `2026-11-21T12:40:59Z` in Unix seconds; 0 for anything else.

    https://platform.claude.com/docs/en/api/rate-limits#response-headers
    """
    try:
        found = datetime.fromisoformat(moment)
    except ValueError:
        return 0.0
    return found.timestamp() if found.tzinfo is not None else 0.0


def _seconds(duration: str) -> float:
    """A duration such as `1.2s`, `6m0s` or `120ms` in seconds; 0 for anything else.

    https://platform.openai.com/docs/guides/rate-limits
    """
    found = _DURATION.fullmatch(duration)
    if found is None:
        return 0.0
    hours, minutes, seconds, milliseconds = (float(part or 0) for part in found.groups())
    return hours * 3600 + minutes * 60 + seconds + milliseconds / 1000
