"""Log probabilities that look like a model's: made up from the letters of each token."""

import zlib
from collections.abc import Iterable
from string import ascii_lowercase

from shared.providers.sandbox import tokens
from shared.schemas.chat import TokenLogprob, TopLogprob
from shared.schemas.content import Part, Text


def logprobs(parts: Iterable[Part], alternatives: int) -> tuple[TokenLogprob, ...] | None:
    """One for each token of text, with that many alternatives (at most 27); None where there is no text."""
    text = "".join(part.text for part in parts if isinstance(part, Text))
    return tuple(_token_logprob(token, alternatives) for token in tokens.split(text)) or None


def _token_logprob(token: str, alternatives: int) -> TokenLogprob:
    """The token is its own likeliest alternative; the less likely ones have a letter more."""
    logprob = -(1 + zlib.crc32(token.encode()) % 600) / 1000
    names = [token, *(token + letter for letter in ascii_lowercase)][:alternatives]
    return TokenLogprob(
        token=token,
        logprob=logprob,
        bytes=tuple(token.encode()),
        top_logprobs=tuple(
            TopLogprob(token=name, logprob=round(logprob - rank, 3), bytes=tuple(name.encode()))
            for rank, name in enumerate(names)
        ),
    )
