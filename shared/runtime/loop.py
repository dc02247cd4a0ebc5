"""The runtime's loop: one invocation after another, on one event loop, for the life of the process."""

from collections.abc import Mapping, MutableMapping
from typing import NoReturn

from mangum.types import ASGI

from shared.request_id import request_id_of
from shared.runtime.api import Invocation, RuntimeApi, RuntimeApiError
from shared.runtime.context import context_of
from shared.runtime.cycle import Cycle
from shared.runtime.event import NotAnHttpEvent, http_event, streams
from shared.runtime.failure import Failure
from shared.runtime.log import log_crash, log_error
from shared.runtime.output import BufferedOutput, Output, StreamedOutput

# Seconds before its deadline at which an invocation is cancelled: time to respond before Lambda kills the process.
_MARGIN = 0.5
_TRACE_ID = "_X_AMZN_TRACE_ID"


async def serve(api: RuntimeApi, app: ASGI, environment: MutableMapping[str, str]) -> NoReturn:
    """Serves invocations forever. Raises what `next_invocation` raises."""
    while True:
        await _serve_next(api, app, environment)


async def _serve_next(api: RuntimeApi, app: ASGI, environment: MutableMapping[str, str]) -> None:
    """Serves one invocation. A separate function, so that nothing of it is referenced while waiting for the next."""
    invocation = await api.next_invocation()
    _trace(invocation, environment)
    try:
        await _answer(api, app, invocation, environment)
    except (EOFError, OSError, RuntimeApiError, ValueError) as error:
        # The response could not be delivered: this invocation is lost, but the next one may succeed.
        log_crash(error, function_request_id=invocation.request_id)
        api.close()


async def _answer(api: RuntimeApi, app: ASGI, invocation: Invocation, environment: Mapping[str, str]) -> None:
    try:
        context = context_of(invocation, environment)
        event = http_event(invocation.event, context)
    except (NotAnHttpEvent, ValueError) as error:
        log_error(str(error), function_request_id=invocation.request_id)
        await api.invocation_error(invocation, Failure("Function.NotAnHttpEvent", str(error)))
        return
    output: Output = BufferedOutput(api, invocation, event.handler)
    if streams(event, environment):
        output = StreamedOutput(api, invocation)
    seconds = context.get_remaining_time_in_millis() / 1000 - _MARGIN
    await Cycle(event, output, request_id_of(event.scope, invocation.request_id)).run(app, seconds)


def _trace(invocation: Invocation, environment: MutableMapping[str, str]) -> None:
    """Sets the variable from which X-Ray's and OpenTelemetry's libraries read the invocation's trace id."""
    trace_id = invocation.headers.get("lambda-runtime-trace-id")
    if trace_id is None:
        environment.pop(_TRACE_ID, None)
    else:
        environment[_TRACE_ID] = trace_id
