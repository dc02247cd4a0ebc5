"""The runtime's workers: tasks of one event loop, each of which serves one invocation after another."""

import asyncio
from collections.abc import Mapping, MutableMapping
from contextlib import suppress

from mangum.types import ASGI

from shared.dataclass import dataclass
from shared.request_id import request_id_of
from shared.runtime.api import Invocation, RuntimeApi, RuntimeApiError
from shared.runtime.context import context_of
from shared.runtime.cycle import Cycle
from shared.runtime.event import NotAnHttpEvent, http_event, streams
from shared.runtime.failure import Failure
from shared.runtime.lifespan import Lifespan
from shared.runtime.log import log_crash, log_error
from shared.runtime.output import BufferedOutput, Output, StreamedOutput
from shared.trace_header import VARIABLE, set_trace_header

# Seconds before its deadline at which an invocation is cancelled: time to respond before Lambda kills the process.
_MARGIN = 0.5
# Seconds before a worker that has others beside it asks again for an event that it could not get.
_PAUSES = (0.1, 0.2, 0.4, 0.8, 1.6)
_FAILURES = (EOFError, OSError, RuntimeApiError, ValueError)


def max_concurrency(environment: Mapping[str, str]) -> int:
    """How many invocations Lambda gives the process at once: more than one only on Lambda Managed Instances.

    https://docs.aws.amazon.com/lambda/latest/dg/runtimes-custom.html#runtimes-custom-managed-instances
    """
    given = environment.get("AWS_LAMBDA_MAX_CONCURRENCY", "")
    return max(1, int(given)) if given.isdecimal() else 1


@dataclass(frozen=True, slots=True)
class Grace:
    """How many seconds a runtime that is stopped lets its invocations finish, then breaks off the others, and then lets
    the application end.

    Together they are less than the 0.6 after which AWS's emulator kills the process:
    https://github.com/aws/aws-lambda-runtime-interface-emulator (internal/lambda-managed-instances/rapid/shutdown.go).
    """

    finishing: float = 0.25
    breaking_off: float = 0.1
    ending: float = 0.2


_GRACE = Grace()


class Runtime:
    """Serves invocations by an application, as many at once as Lambda gives, on the running event loop."""

    def __init__(self, address: str, app: ASGI, environment: MutableMapping[str, str], grace: Grace = _GRACE) -> None:
        """`address` is the Runtime API's, `host:port`."""
        self._address = address
        self._app = app
        self._environment = environment
        self._grace = grace
        self.concurrency = max_concurrency(environment)
        self._lifespan = Lifespan(app)
        self._cycles: set[Cycle] = set()
        self._in_flight = 0
        self._quiet = asyncio.Event()
        self._quiet.set()
        self._stopped = asyncio.get_running_loop().create_future()

    def stop(self) -> None:
        """Makes `serve` return soon: no more events are asked for, and what is in flight has a moment to finish."""
        if not self._stopped.done():
            self._stopped.set_result(None)

    async def serve(self) -> None:
        """Serves invocations until it is stopped. Raises what `next_invocation` raises, if no worker can go on."""
        if self.concurrency > 1:
            await self._lifespan.start()
        workers = {asyncio.create_task(self._work()) for _ in range(self.concurrency)}
        try:
            await self._watch(workers)
            await self._drain()
        finally:
            for worker in workers:
                worker.cancel()
            await asyncio.gather(*workers, return_exceptions=True)
            await self._lifespan.end(self._grace.ending)

    async def _watch(self, workers: "set[asyncio.Task[None]]") -> None:
        """Returns when the runtime is stopped. Raises the last worker's error, and logs those of others."""
        working = workers
        while not self._stopped.done():
            ended, _ = await asyncio.wait({*working, self._stopped}, return_when=asyncio.FIRST_COMPLETED)
            working = working - ended
            for worker in ended & workers:
                if not working:
                    worker.result()
                elif error := worker.exception():
                    log_crash(error)

    async def _drain(self) -> None:
        """Lets invocations in flight finish, then breaks off those that have not."""
        await self._until_quiet(self._grace.finishing)
        for cycle in self._cycles:
            cycle.stop()
        await self._until_quiet(self._grace.breaking_off)

    async def _until_quiet(self, seconds: float) -> None:
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._quiet.wait()

    async def _work(self) -> None:
        """Serves one invocation after another, over a connection of its own."""
        api = RuntimeApi(self._address)
        try:
            while not self._stopped.done():
                await self._serve_next(api)
        finally:
            api.close()

    async def _serve_next(self, api: RuntimeApi) -> None:
        """Serves one invocation, of which nothing is referenced any more while the next one is waited for."""
        invocation = await self._next(api)
        self._in_flight += 1
        self._quiet.clear()
        try:
            self._trace(invocation)
            await self._answer(api, invocation)
        except _FAILURES as error:
            # The response could not be delivered: this invocation is lost, but the next one may succeed.
            log_crash(error, function_request_id=invocation.request_id)
            api.close()
        finally:
            self._in_flight -= 1
            if not self._in_flight:
                self._quiet.set()

    async def _next(self, api: RuntimeApi) -> Invocation:
        """The next event. A process that serves one at a time had better end if there is none: Lambda replaces it."""
        for pause in _PAUSES if self.concurrency > 1 else ():
            try:
                return await api.next_invocation()
            except _FAILURES as error:
                log_crash(error)
                api.close()
                await asyncio.sleep(pause)
        return await api.next_invocation()

    async def _answer(self, api: RuntimeApi, invocation: Invocation) -> None:
        try:
            context = context_of(invocation, self._environment)
            event = http_event(invocation.take_event(), context)
        except (NotAnHttpEvent, ValueError) as error:
            log_error(str(error), function_request_id=invocation.request_id)
            await api.invocation_error(invocation, Failure("Function.NotAnHttpEvent", str(error)))
            return
        output: Output = BufferedOutput(api, invocation, event.handler)
        if streams(event, self._environment):
            output = StreamedOutput(api, invocation)
        seconds = context.get_remaining_time_in_millis() / 1000 - _MARGIN
        cycle = Cycle(event, output, request_id_of(event.scope, invocation.request_id))
        self._cycles.add(cycle)
        try:
            await cycle.run(self._app, seconds)
        finally:
            self._cycles.discard(cycle)

    def _trace(self, invocation: Invocation) -> None:
        """Sets the invocation's trace id, also where libraries look that know no concurrency, if there is none."""
        header = invocation.headers.get("lambda-runtime-trace-id")
        set_trace_header(header)
        if self.concurrency > 1:
            return
        if header is None:
            self._environment.pop(VARIABLE, None)
        else:
            self._environment[VARIABLE] = header
