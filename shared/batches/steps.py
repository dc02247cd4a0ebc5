"""The steps of processing a batch: each is started by a message and is idempotent."""

import time
from collections.abc import Callable, Sequence
from contextlib import closing
from math import ceil
from typing import assert_never

from shared.batches.chunk import LONGEST_WAIT, ChunkRun
from shared.batches.compose import compose
from shared.batches.lines import InputRejected
from shared.batches.object_keys import partial_key, plan_key, result_key
from shared.batches.results import Results, stored_tally
from shared.batches.split import split
from shared.gateway.services import Services
from shared.schemas.batch import (
    Batch,
    BatchMessage,
    BatchStatus,
    ChunkMessage,
    FinishMessage,
    InputError,
    SplitMessage,
    Tally,
    WatchMessage,
    read_message,
    read_plan,
    write_plan,
)
from shared.stores.objects import ObjectExists
from shared.stores.queue import MAX_DELAY_SECONDS, Outgoing

MAX_RECEIVES = 8
"""A message received more often than this has its step given up as failed. Below the queue's `maxReceiveCount`."""
_GRACE_SECONDS = 60


class NotReady(Exception):
    """The batch does not exist, or its row has not been written yet."""


class Steps:
    """Processes batch messages. `clock` is Unix time."""

    def __init__(self, services: Services, *, clock: Callable[[], float] = time.time) -> None:
        self._services = services
        self._store = services.batches
        self._objects = services.objects
        self._clock = clock

    async def process(self, text: str, *, receives: int, remaining: Callable[[], float]) -> None:
        """Processes a message that was received `receives` times; `remaining` returns the seconds left for it.

        Raises NotReady, AwsError, and ValueError for an invalid message. After any exception the message must be
        delivered again.
        """
        message = read_message(text)
        batch = await self._store.find(message.tenant, message.batch)
        last_try = receives > MAX_RECEIVES
        if batch is None:
            if last_try:
                return  # the submission failed before the row was written
            raise NotReady("unknown batch")
        if batch.status.ended:
            return
        await self._services.refresh()
        match message:
            case SplitMessage():
                await self._split(batch, last_try)
            case ChunkMessage():
                await self._chunk(batch, message, last_try, remaining)
            case FinishMessage():
                await self._finish(batch)
            case WatchMessage():
                await self._watch(batch, message)
            case _:
                assert_never(message)

    async def _split(self, batch: Batch, last_try: bool) -> None:
        plan: tuple[ChunkMessage, ...] | None = None
        if batch.chunks is None:
            try:
                if last_try:
                    raise InputRejected("internal_error", "The gateway failed repeatedly to read the input.")
                plan, total = await split(batch, self._objects, self._services.settings)
            except InputRejected as rejected:
                error = InputError(code=rejected.code, message=rejected.message, line=rejected.line)
                await self._store.fail(batch, [error])
                return
            await self._objects.put(plan_key(batch), write_plan(plan), "application/json")
            batch = _known(await self._started(batch, total, len(plan)))
            if batch.chunks is None:
                return
        if plan is None:
            plan = read_plan((await self._objects.get(plan_key(batch))).content)
        await self._send([message for message in plan if message.chunk not in batch.done])
        await self._finish_if_done(batch)

    async def _started(self, batch: Batch, total: int, chunks: int) -> Batch | None:
        output, error = [
            await self._services.files.new_key(batch.tenant, "batch_output", f"{batch.id}_{kind}.jsonl")
            for kind in ("output", "error")
        ]
        return await self._store.start(batch, total=total, chunks=chunks, output_key=output, error_key=error)

    async def _chunk(self, batch: Batch, message: ChunkMessage, last_try: bool, remaining: Callable[[], float]) -> None:
        if message.chunk not in batch.done:
            tally = await stored_tally(self._objects, result_key(batch, message.chunk))
            if tally is None:
                if self._may_go_on(batch) and self._clock() < message.not_before:
                    await self._send([message])
                    return
                tally = await self._answered(batch, message, last_try, remaining)
                if tally is None:
                    return
            batch = _known(await self._store.count(batch, message.chunk, tally))
        await self._finish_if_done(batch)

    async def _answered(
        self, batch: Batch, message: ChunkMessage, last_try: bool, remaining: Callable[[], float]
    ) -> Tally | None:
        """The counts of a finished chunk; None if lines were postponed, for which a message was sent."""
        with closing(Results(batch)) as results:
            await results.load(self._objects, partial_key(batch, message.chunk))
            run = ChunkRun(
                self._services, batch, message, results, remaining=remaining, clock=self._clock, give_up=last_try
            )
            rest = await run.run()
            if rest is not None:
                await results.store(self._objects, partial_key(batch, message.chunk), new=False)
                await self._send([rest])
                return None
            key = result_key(batch, message.chunk)
            try:
                await results.store(self._objects, key, new=True)
            except ObjectExists:  # stored by another worker, or by an earlier attempt whose response was lost
                return await stored_tally(self._objects, key)
            return results.tally

    def _may_go_on(self, batch: Batch) -> bool:
        return batch.status is not BatchStatus.CANCELLING and self._clock() < batch.submission.expires_at

    async def _finish_if_done(self, batch: Batch) -> None:
        if batch.all_done and not batch.status.ended:
            await self._send([FinishMessage(tenant=batch.tenant, batch=batch.id)])

    async def _finish(self, batch: Batch) -> None:
        if not batch.all_done:
            return
        batch = _known(await self._store.finalize(batch))
        if batch.status.ended:
            return
        has_output, has_errors = await compose(batch, self._objects)
        while not batch.status.ended:  # it may be cancelled concurrently, which changes the final status
            status = _end_of(batch)
            batch = _known(await self._store.finish(batch, status, has_output=has_output, has_errors=has_errors))

    async def _watch(self, batch: Batch, message: WatchMessage) -> None:
        """Once the batch's window has ended, sends the unfinished chunks again, in case their messages were lost."""
        messages: list[BatchMessage] = []
        if self._clock() > batch.submission.expires_at + _GRACE_SECONDS:
            messages.append(SplitMessage(tenant=batch.tenant, batch=batch.id))
        await self._send([*messages, message])

    async def _send(self, messages: Sequence[BatchMessage]) -> None:
        await self._services.batch_queue.send(
            [Outgoing(message.model_dump_json(), self._delay(message)) for message in messages]
        )

    def _delay(self, message: BatchMessage) -> int:
        if isinstance(message, WatchMessage):
            return MAX_DELAY_SECONDS
        if isinstance(message, ChunkMessage):
            return min(LONGEST_WAIT, max(0, ceil(message.not_before - self._clock())))
        return 0


def _known(batch: Batch | None) -> Batch:
    if batch is None:
        raise NotReady("the batch no longer exists")
    return batch


def _end_of(batch: Batch) -> BatchStatus:
    if batch.status is BatchStatus.CANCELLING:
        return BatchStatus.CANCELLED
    return BatchStatus.EXPIRED if batch.tally.expired else BatchStatus.COMPLETED
