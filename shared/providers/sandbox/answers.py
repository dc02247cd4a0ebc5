"""The sandbox's side of the wire: which of its operations answers at a path. Each is loaded when it is first called."""

from pydantic import ValidationError

from shared.providers.base import LocalAnswer
from shared.providers.sandbox.behaviour import failure


def answer(path: str, body: bytes) -> LocalAnswer:
    """The answer to one call."""
    try:
        return _answer(path, body)
    except ValidationError:
        return failure(400, "The request is not what this path takes.")


def _answer(path: str, body: bytes) -> LocalAnswer:
    match path:
        case "/chat":
            from shared.providers.sandbox import chat_answers

            return chat_answers.answer(body)
        case "/images":
            from shared.providers.sandbox import images

            return images.answer(body)
        case "/content":
            from shared.providers.sandbox import content

            return content.answer(body)
        case "/embeddings":
            from shared.providers.sandbox import embeddings

            return embeddings.answer(body)
        case "/transcriptions":
            from shared.providers.sandbox import transcriptions

            return transcriptions.answer(body)
        case "/speech":
            from shared.providers.sandbox import speech

            return speech.answer(body)
        case _:
            return failure(404, "The sandbox has no such path.")
