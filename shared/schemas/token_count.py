"""The count of a request's input tokens."""

from shared.schemas.base import Frozen
from shared.schemas.usage import Usage


class TokenCount(Frozen):
    """`input_tokens` as the provider counts them. The call itself uses nothing."""

    input_tokens: int

    @property
    def usage(self) -> Usage:
        return Usage()
