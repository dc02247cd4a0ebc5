"""What one chat call uses, from its events: as its provider reports it, or as far as it has been said."""

from typing import TYPE_CHECKING

from shared.schemas.events import (
    ChatEvent,
    Finished,
    ImageDelta,
    LogprobsDelta,
    ReasoningDelta,
    RefusalDelta,
    Started,
    TextDelta,
    ToolCallDelta,
    ToolCallStarted,
)
from shared.schemas.usage import Usage

if TYPE_CHECKING:
    from shared.gateway.attempt import Attempt


class ChatMeter:
    """Fed the events of one call. To be closed however the call ends."""

    def __init__(self, attempt: "Attempt", *, is_streamed: bool) -> None:
        self._attempt = attempt
        self._streamed = attempt.streamed
        self._waits_for_token = is_streamed
        self._begun = Usage()

    def feed(self, event: ChatEvent) -> None:
        if isinstance(event, Started):
            self._begun = event.usage
            return
        if self._waits_for_token:
            self._waits_for_token = False
            self._attempt.note_first_token()
        match event:
            case TextDelta() | ReasoningDelta() | RefusalDelta():
                self._streamed.said(event.text, event.index)
            case ToolCallDelta():
                self._streamed.said(event.arguments, event.index)
            case ToolCallStarted():
                self._streamed.said(event.name, event.index)
            case ImageDelta():
                self._streamed.made_image(event.index)
            case Finished():
                self._streamed.finished(event.index)
                self._begun = Usage()
                self._attempt.record(event.usage)
            case LogprobsDelta():
                pass

    def close(self) -> None:
        """Records what the provider had counted before a call that did not finish."""
        if self._begun.total_tokens:
            self._attempt.record(self._begun)
