"""The sandbox's tokens: a space and up to four characters, which comes close to what real tokenizers count."""

import re
from typing import assert_never

from shared.schemas.content import Audio, File, Image, Part, Reasoning, Refusal, Text, ToolCall, ToolResult

# What costs tokens without being text.
MESSAGE_TOKENS = 3
IMAGE_TOKENS = 256  # of 1024 times 1024 pixels, or of unknown size
AUDIO_TOKENS = 128
FILE_TOKENS = 512

# No token reaches over the end of a word, and a text cut at the end of a token keeps the tokens before it: a prefix
# of the tokens is the tokens of the prefix.
_TOKEN = re.compile(r"\s?\S{1,4}|\s")
_WORD = re.compile(r"\s*\S+|\s+")


def split(text: str) -> list[str]:
    """The tokens of a text; joined they are the text."""
    return _TOKEN.findall(text)


def words(text: str) -> list[str]:
    """The words of a text, each with the space before it; joined they are the text."""
    return _WORD.findall(text)


def count(text: str) -> int:
    """How many tokens a text has."""
    return len(split(text))


def first(text: str, limit: int) -> str:
    """The first `limit` tokens of a text."""
    return "".join(split(text)[:limit])


def of_pixels(width: int, height: int) -> int:
    """How many tokens an image of that size has."""
    return max(1, width * height * IMAGE_TOKENS // 1024**2)


def of_part(part: Part) -> int:
    """How many tokens a part of a message has."""
    match part:
        case Text() | Refusal() | Reasoning():
            return count(part.text)
        case ToolCall():
            return count(part.name) + count(part.arguments)
        case ToolResult():
            return sum(map(of_part, part.content))
        case Image():
            return IMAGE_TOKENS
        case Audio():
            return AUDIO_TOKENS
        case File():
            return FILE_TOKENS
        case _:
            assert_never(part)
