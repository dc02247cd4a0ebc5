"""Log probabilities of tokens, which have the same form in all of OpenAI's text APIs."""

from collections.abc import Iterable

from shared.schemas.chat import JsonObject, TokenLogprob, TopLogprob


def token_logprobs(tokens: Iterable[JsonObject]) -> tuple[TokenLogprob, ...]:
    return tuple(
        TokenLogprob(
            **_token(token),
            top_logprobs=tuple(TopLogprob(**_token(other)) for other in token.get("top_logprobs") or ()),
        )
        for token in tokens
    )


def _token(token: JsonObject) -> JsonObject:
    return {"token": token["token"], "logprob": token["logprob"], "bytes": token.get("bytes")}
