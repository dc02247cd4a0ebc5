"""Measures the usage of one chat call from its events."""

from shared.gateway.attempt import Attempt
from shared.gateway.call_meter import CallMeter
from shared.gateway.estimates import of_chat
from shared.schemas.chat import ChatRequest
from shared.schemas.events import (
    ChatEvent,
    CitationDelta,
    Finished,
    ImageDelta,
    LogprobsDelta,
    OriginalEvent,
    ReasoningDelta,
    RefusalDelta,
    Started,
    TextDelta,
    ToolCallDelta,
    ToolCallStarted,
)
from shared.schemas.model import Capability


class ChatMeter:
    """Fed the events of one call."""

    def __init__(self, attempt: Attempt, request: ChatRequest) -> None:
        model = attempt.model
        self.call = CallMeter(
            attempt.record,
            lambda: of_chat([request], model),
            reasons_unseen=Capability.REASONING in model.capabilities and request.reasoning_effort != "none",
        )
        self._attempt = attempt
        self._waits_for_token = request.stream

    def feed(self, event: ChatEvent) -> None:
        if isinstance(event, Started):
            self.call.begun(event.usage)
            return
        if isinstance(event, OriginalEvent):
            return
        if self._waits_for_token:
            self._waits_for_token = False
            self._attempt.note_first_token()
        match event:
            case TextDelta() | ReasoningDelta() | RefusalDelta():
                self.call.said(event.text)
            case ToolCallDelta():
                self.call.said(event.arguments)
            case ToolCallStarted():
                self.call.said(event.name)
            case ImageDelta():
                self.call.made_image()
            case Finished():
                self.call.reported(event.usage)
            case LogprobsDelta() | CitationDelta():
                pass
