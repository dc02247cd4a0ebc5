"""The sandbox's tokens: a space and up to four characters, which comes close to what real tokenizers count."""

import re
from collections.abc import Sequence

from shared.schemas.usage import Usage

# What a message costs beside its text. An image has 1024 times 1024 pixels.
OF_MESSAGE, OF_AUDIO, OF_FILE, _OF_IMAGE = 3, 128, 512, 256

# No token reaches over the end of a word, and a text cut at the end of a token keeps the tokens before it.
_TOKEN = re.compile(r"\s?\S{1,4}|\s")
_WORD = re.compile(r"\s*\S+|\s+")


def split(text: str) -> list[str]:
    """The tokens of a text; joined they are the text."""
    return _TOKEN.findall(text)


def words(text: str) -> list[str]:
    """The words of a text, each with the space before it; joined they are the text."""
    return _WORD.findall(text)


def count(text: str) -> int:
    return len(split(text))


def until(text: str, stop: Sequence[str]) -> str:
    """The text before the first stop sequence in it."""
    return text[: min((text.find(sequence) for sequence in stop if sequence and sequence in text), default=None)]


def of_images(shown: int, drawn: int, width: int, height: int) -> Usage:
    """What images in the request, and pictures of that size in the answer, add to the usage of a call."""
    given, made = shown * _OF_IMAGE, drawn * max(1, width * height * _OF_IMAGE // 1024**2)
    return Usage(
        input_tokens=given, input_image_tokens=given, output_tokens=made, output_image_tokens=made, images=drawn
    )
