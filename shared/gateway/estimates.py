"""How much a request will probably use of its key's tokens a minute, and what bounds its cost, before it is made."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from shared.schemas.model import Capability, Model
from shared.schemas.usage import Usage

if TYPE_CHECKING:
    from shared.schemas.chat import ChatRequest
    from shared.schemas.embedding import EmbeddingRequest
    from shared.schemas.generated_content import ContentRequest
    from shared.schemas.image import ImageRequest
    from shared.schemas.speech import SpeechRequest
    from shared.schemas.transcription import TranscriptionRequest

# A careful estimate: English has about 4 characters a token, code and other scripts fewer.
CHARACTERS_PER_TOKEN = 3
TOKENS_PER_MEDIUM = 1500
# Of an answer that the caller does not cap.
_PROBABLE_ANSWER = 1024
_LONGEST_ANSWER = 32_768
# More than any vendor's largest image takes.
_TOKENS_PER_IMAGE = 8192
# Speech in the least that codecs need for it, and what vendors count for a second of it.
_BYTES_PER_SECOND = 4000
_TOKENS_PER_SECOND = 32
_WORDS_PER_SECOND = 5


def of_chat(requests: "Sequence[ChatRequest]", model: Model) -> tuple[int, Usage]:
    """The tokens, and the bound, of chat requests that are made together."""
    from shared.gateway.chat_model import input_tokens

    inputs = sum(input_tokens(request) for request in requests)
    probable = sum((request.max_tokens or _PROBABLE_ANSWER) * request.n for request in requests)
    draws = Capability.IMAGE_OUTPUT in model.capabilities and Capability.FUNCTION_CALLING not in model.capabilities
    longest = _TOKENS_PER_IMAGE if draws else model.max_output_tokens or _LONGEST_ANSWER
    most = sum((longest if draws else request.max_tokens or longest) * request.n for request in requests)
    images = sum(request.n for request in requests) if draws else 0
    return inputs + probable, Usage(input_tokens=inputs, output_tokens=most, images=images)


def of_images(request: "ImageRequest") -> tuple[int, Usage]:
    media = len(request.images) + (request.mask is not None)
    return _of_pictures(request.prompt, media, request.n)


def of_content(request: "ContentRequest") -> tuple[int, Usage]:
    text = request.prompt + (request.system_instruction or "")
    return _of_pictures(text, len(request.images), request.candidate_count)


def _of_pictures(text: str, media: int, count: int) -> tuple[int, Usage]:
    inputs = (len(text) // CHARACTERS_PER_TOKEN + media * TOKENS_PER_MEDIUM + 1) * count
    return inputs + TOKENS_PER_MEDIUM * count, Usage(
        input_tokens=inputs, output_tokens=_TOKENS_PER_IMAGE * count, images=count
    )


def of_embeddings(request: "EmbeddingRequest") -> tuple[int, Usage]:
    tokens = sum(len(item) // (CHARACTERS_PER_TOKEN if isinstance(item, str) else 1) + 1 for item in request.inputs)
    return tokens, Usage(input_tokens=tokens)


def of_transcription(request: "TranscriptionRequest") -> tuple[int, Usage]:
    seconds = request.file.size // _BYTES_PER_SECOND + 1
    most = Usage(
        input_tokens=seconds * _TOKENS_PER_SECOND,
        output_tokens=seconds * _WORDS_PER_SECOND,
        audio_seconds=float(seconds),
    )
    return most.total_tokens, most


def of_speech(request: "SpeechRequest") -> tuple[int, Usage]:
    characters = len(request.input)
    tokens = (characters + len(request.instructions or "")) // CHARACTERS_PER_TOKEN + 1
    most = Usage(input_tokens=tokens, output_tokens=characters * 2, characters=characters)
    return tokens, most
