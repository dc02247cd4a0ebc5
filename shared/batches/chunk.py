"""Answers the lines of one chunk, several at once, until all have a result or the invocation's time runs out."""

import asyncio
import math
import random
import time
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, datetime

from shared.authentication import require_permissions
from shared.batches.endpoints import URLS, answer, error_answer
from shared.batches.lines import BadLine, Line, duplicate, is_blank, read_line
from shared.batches.object_keys import input_key
from shared.batches.results import Results
from shared.dataclass import dataclass
from shared.errors import BudgetExceeded, GatewayError, InternalError, PermissionDenied, RateLimited, Unauthorized
from shared.gateway.services import Services
from shared.observability import log_crash, log_request
from shared.pump import gather_or_cancel
from shared.schemas.batch import Batch, BatchStatus, ChunkMessage
from shared.schemas.caller import Caller, Permission
from shared.schemas.context import Meter, RequestContext, RequestInfo
from shared.schemas.limits import Refused
from shared.stores.aws_calls import AwsError

LONGEST_WAIT = 300
"""The longest delay of a chunk's message, in seconds, and so the longest that cancelling a batch takes."""
_FIRST_WAIT = 2
# A line is started only while at least this share of the invocation's time is left, including storing the results.
_RESERVED = 0.35
# A chunk that has worked for so long goes back into the queue, so that others come to their turn.
_TURN_SECONDS = 10.0
# The least that a chunk waits for its key's limits after some of its lines were let through, so that many go at once.
_REFILL_SECONDS = 30
_STORING_SECONDS = 10.0
_MONEY_BACK_SECONDS = 10
# How often a chunk checks whether its batch was cancelled or its key revoked, and how old what it knows of the key is.
_LOOK_SECONDS = 3.0
_KEY_SECONDS = 30.0


@dataclass(frozen=True, slots=True)
class Ending:
    """Why the remaining lines are not started."""

    code: str
    message: str


CANCELLED = Ending("cancelled", "The batch was cancelled before this request was started.")
EXPIRED = Ending("expired", "The batch's window ended before this request was answered.")
GIVEN_UP = Ending("internal_error", "The gateway failed repeatedly on this part of the batch.")


class ChunkRun:
    """One attempt at a chunk. `remaining` returns the seconds left for it, `clock` is Unix time."""

    def __init__(
        self,
        services: Services,
        batch: Batch,
        message: ChunkMessage,
        results: Results,
        *,
        remaining: Callable[[], float],
        clock: Callable[[], float] = time.time,
        give_up: bool = False,
    ) -> None:
        self._services = services
        self._batch = batch
        self._message = message
        self._results = results
        self._remaining = remaining
        begun = remaining()
        self._least = max(_RESERVED * begun, begun - _TURN_SECONDS)
        self._clock = clock
        self._ending: Ending | None = GIVEN_UP if give_up else None
        self._looked = clock()
        self._lines: deque[Line] = deque()
        self._waiting: list[Line] = []
        self._resumes: list[float] = []
        self._resting: dict[str, float] = {}
        self._caller: Caller | GatewayError = Unauthorized("The API key is no longer valid.")
        self._unanswered = set(message.unanswered)
        self.refused_until: float | None = None
        """Until when the key's limits let no line through, where they have refused one."""
        self.is_limited = False
        """Whether lines wait for limits, of the key or of a provider, which no other line of the batch would pass."""
        self.has_new_results = False

    async def run(self) -> ChunkMessage | None:
        """Answers as many lines as possible: None if all have results, else a message for the rest. Raises AwsError."""
        begun = self._results.tally
        await self._read()
        self._caller = await self._current_caller()
        if self._message.round:  # where none was answered the last time, one is enough to see whether that has changed
            await self._work(1)
        await gather_or_cancel(self._work() for _ in range(max(1, self._services.settings.batch_concurrency)))
        if not self._waiting and not self._lines:
            return None
        self.has_new_results = self._results.tally != begun
        changes = {
            "round": 0 if self.has_new_results else self._message.round + 1,
            "not_before": 0.0 if self._lines else self._resume(),
            "unanswered": frozenset(self._unanswered),
            "failures": 0,
        }
        return self._message.model_copy(update=changes)

    def _resume(self) -> float:
        """When the first of the waiting lines may be tried again."""
        resume = min(self._resumes)
        if self.refused_until is not None and self.has_new_results:
            self.refused_until = max(self.refused_until, self._clock() + _REFILL_SECONDS)
            resume = max(resume, self.refused_until)
        return min(resume, self._batch.submission.expires_at)

    async def _read(self) -> None:
        """Reads the lines that have no result yet from the input."""
        message, submission = self._message, self._batch.submission
        stored = await self._services.objects.get(input_key(submission), first=message.first, last=message.last)
        for number, text in enumerate(stored.content.split(b"\n"), message.line):
            if is_blank(text) or self._results.has(number):
                continue
            try:
                line = read_line(number, text, URLS, submission.endpoint)
                if number in message.duplicates:
                    raise duplicate(line.custom_id, message.duplicates[number])
            except BadLine as bad:
                self._results.refuse(number, bad)
            else:
                self._lines.append(line)

    async def _current_caller(self) -> Caller | GatewayError:
        """The current state of the key that submitted the batch, or why it may no longer be used."""
        key = await self._services.keys.find_hashed(self._batch.submission.token_hash, newer_than=_KEY_SECONDS)
        if key is None or not key.usable(datetime.fromtimestamp(self._clock(), UTC)):
            return Unauthorized("The API key is no longer valid.")
        try:
            require_permissions(key, (Permission.MODELS_USE, Permission.BATCH_USE))
        except PermissionDenied as error:
            return error
        return key

    async def _work(self, most: float = math.inf) -> None:
        """One of several concurrent workers: answers lines until there are none, or so many, or no time is left."""
        answered = 0
        while self._lines and answered < most and (self._remaining() > self._least or self._ending):
            ending = await self._look()
            if not self._lines:
                return
            line = self._lines.popleft()
            if ending is not None:
                self._results.fail(line, ending.code, ending.message, expired=ending is EXPIRED)
            elif (resume := max(self.refused_until or 0.0, self._resting.get(_model(line), 0.0))) > self._clock():
                self._put_off(line, resume)
            else:
                answered += 1
                await self._answer(line, self._caller)

    async def _look(self) -> Ending | None:
        """Why no more lines may be started; None if they may."""
        now = self._clock()
        if self._ending is None and now >= self._batch.submission.expires_at:
            self._ending = EXPIRED
        if self._ending is None and self._batch.status is BatchStatus.CANCELLING:
            self._ending = CANCELLED
        if self._ending is None and now >= self._looked + _LOOK_SECONDS:
            self._looked = now
            with suppress(AwsError):  # a failed check must not lose the lines in progress
                self._caller = await self._current_caller()
                self._batch = await self._services.batches.find(self._batch.tenant, self._batch.id) or self._batch
            return await self._look()
        return self._ending

    async def _answer(self, line: Line, caller: Caller | GatewayError) -> None:
        """Answers one line, or postpones it if a retry may succeed."""
        request_id = f"{self._batch.id}.{line.number}"
        deadline = asyncio.get_running_loop().time() + max(0.0, self._remaining() - _STORING_SECONDS)
        request, meter = RequestInfo(request_id, deadline, is_batch=True), Meter()
        status = 200
        try:
            if isinstance(caller, GatewayError):
                raise caller
            context = RequestContext(request, caller, meter)
            body = await answer(line.url, line.body, self._services, context)
        except AwsError:
            status = 503
            self._put_off(line, self._clock() + self._pause())
        except GatewayError as error:
            meter.error = error.code
            status = self._failed(line, error, request_id, is_charged=meter.is_estimate)
        except Exception:  # noqa: BLE001 - a crash in one line must not fail the others
            log_crash(request)
            status = self._failed(line, InternalError("The gateway failed."), request_id)
        else:
            self._results.succeed(line, request_id, body)
        finally:
            key = None if isinstance(caller, GatewayError) else caller
            log_request(request, meter, key, method="POST", path=line.url, status=status)

    def _failed(self, line: Line, error: GatewayError, request_id: str, *, is_charged: bool = False) -> int:
        """Records the error as the line's result, or postpones the line. Returns the HTTP status.

        A call that is charged although its outcome is unknown, such as one that timed out, is made once more at most.
        """
        status, body = error_answer(line.url, error, request_id)
        is_last = is_charged and line.number in self._unanswered
        if is_charged:
            self._unanswered.add(line.number)
        if _may_succeed_later(error) and not is_last:
            resume = self._clock() + max(error.retry_after or 0, self._pause())
            self.is_limited |= isinstance(error, RateLimited)
            if isinstance(error, Refused):  # so would any other line be
                self.refused_until = max(resume, self.refused_until or 0.0)
            elif isinstance(error, RateLimited):  # so would the next line for the same model be
                self._resting[_model(line)] = max(resume, self._resting.get(_model(line), 0.0))
            self._put_off(line, resume)
        else:
            response = {"status_code": status, "request_id": request_id, "body": body}
            code = body["error"].get("code") or body["error"].get("type") or error.code
            self._results.fail(line, code, error.message, response)
        return status

    def _put_off(self, line: Line, resume: float) -> None:
        self._waiting.append(line)
        self._resumes.append(resume)

    def _pause(self) -> float:
        """Seconds to wait: exponential in the number of rounds without progress, with jitter for each line."""
        longest = min(float(LONGEST_WAIT), _FIRST_WAIT * 2.0 ** min(self._message.round, 10))
        return longest * random.uniform(0.75, 1.0)  # noqa: S311 - jitter needs no secrecy


def _may_succeed_later(error: GatewayError) -> bool:
    """Whether retrying the line before the batch's window ends may succeed."""
    if isinstance(error, BudgetExceeded):  # retry only if requests in flight merely hold the money reserved
        return error.retry_after is not None and error.retry_after <= _MONEY_BACK_SECONDS
    if isinstance(error, InternalError):  # the same line would crash again
        return False
    return error.retryable or error.retry_after is not None


def _model(line: Line) -> str:
    """The model that a line asks for first, if its body is right."""
    model, models = line.body.get("model"), line.body.get("models")
    if model is None and isinstance(models, list) and models:
        model = models[0]
    return model if isinstance(model, str) else ""
