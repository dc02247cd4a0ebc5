"""The usage of one call to a provider: as reported by the provider, or an upper estimate if it reports none.

A call that was sent and whose outcome is unknown (it timed out, broke off, could not be read, or the client left before
any output) counts as everything that was reserved for it. With partial output, it counts as its input and an upper
estimate of what was generated until then.
"""

import time
from collections.abc import Callable
from typing import Protocol

from shared.schemas.usage import COUNTS, Usage, no_usage

Estimate = Callable[[], tuple[Usage, Usage]]
"""The call's expected usage and its ceiling. Computed only when needed."""

# No tokenizer in use produces more tokens than this from ordinary text in any script; most produce half as many.
_BYTES_PER_TOKEN = 2.5
_HIDDEN_TOKENS_PER_SECOND = 100
_TOKENS_PER_IMAGE = 1500
# Longer than any model's context: larger reported counts are taken for errors.
_MAX_TOKENS = 20_000_000


class Recorder(Protocol):
    """Adds a call's usage to the request's. `is_answered` means that the provider has answered with the model."""

    def __call__(
        self, usage: Usage, *, is_estimate: bool = False, is_ceiling: bool = False, is_answered: bool = True
    ) -> None: ...


class CallMeter:
    """Notified of a call's progress; must be closed however the call ends.

    `reasons_unseen` is whether the model may reason without including the reasoning in its response.
    """

    def __init__(self, record: Recorder, estimate: Estimate, *, reasons_unseen: bool = False) -> None:
        self._record = record
        self._estimate = estimate
        self._reasons_unseen = reasons_unseen
        self._began = time.perf_counter()
        self._may_cost = False
        self._is_reported = self._is_declined = False
        self._begun = no_usage()
        self._bytes = self._deltas = self._images = 0
        self._first_said: float | None = None

    def sent(self) -> None:
        """The request is being sent: from now on the provider may charge for it."""
        self._may_cost = True

    def refused(self) -> None:
        """The provider rejected the request, failed or was not reached: it does not charge for it."""
        self._may_cost &= self._has_said_something

    def declined(self) -> None:
        """The provider declined to answer: it charges for the input at most."""
        self._is_declined = not self._has_said_something

    @property
    def _has_said_something(self) -> bool:
        return bool(self._deltas or self._images)

    def begun(self, usage: Usage) -> None:
        """Usage that the provider reports at the start of its response."""
        self._begun = usage

    def said(self, text: str) -> None:
        """A fragment of text, reasoning or a tool call."""
        if text:
            if self._first_said is None:
                self._first_said = time.perf_counter()
            self._deltas += 1
            self._bytes += len(text) if text.isascii() else len(text.encode("utf-8", "surrogatepass"))

    def made_image(self) -> None:
        self._images += 1

    def reported(self, usage: Usage) -> None:
        """The usage that the provider reports; all zeros and implausible numbers are ignored."""
        if _is_plausible(usage):
            self._is_reported = True
            self._record(usage)

    def close(self, *, is_complete: bool = False) -> None:
        """The call has ended. `is_complete` is whether the whole response arrived, even without reported usage."""
        if self._is_reported or not self._may_cost:
            return
        self._may_cost = False
        expected, ceiling = self._estimate()
        if self._is_declined:
            self._record(Usage(input_tokens=expected.input_tokens), is_estimate=True, is_answered=False)
        elif self._has_said_something:
            self._record(self._generated(expected, ceiling), is_estimate=True)
        elif is_complete:
            self._record(expected, is_estimate=True)
        else:
            begun = {"input_tokens": self._begun.input_tokens} if self._begun.input_tokens else {}
            most = ceiling.model_copy(update=begun)
            self._record(most, is_estimate=True, is_ceiling=not begun, is_answered=False)

    def _generated(self, expected: Usage, ceiling: Usage) -> Usage:
        text = max(self._deltas, -(-self._bytes // _BYTES_PER_TOKEN))
        hidden = 0.0
        if self._reasons_unseen:
            hidden = ((self._first_said or time.perf_counter()) - self._began) * _HIDDEN_TOKENS_PER_SECOND
        image_tokens = self._images * _TOKENS_PER_IMAGE
        output = int(text + hidden) + image_tokens
        counted = self._begun if self._begun.input_tokens else expected
        return counted.model_copy(
            update={
                "output_tokens": min(output, ceiling.output_tokens) if ceiling.output_tokens else output,
                "output_image_tokens": image_tokens,
                "images": self._images,
            }
        )


def _is_plausible(usage: Usage) -> bool:
    counts = [getattr(usage, name) for name in COUNTS]
    says_something = any(counts) or usage.cost is not None
    return says_something and all(0 <= count <= _MAX_TOKENS for count in counts)
