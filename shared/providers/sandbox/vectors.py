"""Vectors in which similar texts are near: their words, word pairs and letter groups hashed into dimensions.

Feature hashing as in Weinberger et al., "Feature Hashing for Large Scale Multitask Learning"
(https://arxiv.org/abs/0902.2206): each feature adds its weight, with a sign, in the dimensions that its hash names.
"""

import math
import re
import unicodedata
from array import array
from collections import Counter
from collections.abc import Iterator
from hashlib import blake2b
from itertools import pairwise

from shared.schemas.embedding import EmbeddingInput

_WORD = re.compile(r"[^\W_]+")
_ENDINGS = re.compile(r"(?<=...)(?:ations?|ings?|edly|ingly|ness|ments?|ies|ied|ed|es|ers?|ly|s)$")
_DOUBLED = re.compile(r"([bdfgklmnprt])\1$")

# What a sentence has whatever it is about.
_COMMON_WORDS = (
    "a about after all also am an and any are as at be because been but by can could did do does for from had has "
    "have he her his how i if in into is it its just me my no not of on or our out s she should so some such t than "
    "that the their them then there these they this to too up us very was we were what when where which who why "
    "will with would you your"
)
_COMMON = frozenset(_COMMON_WORDS.split())
_COMMON_WEIGHT = 0.1
_PAIR_WEIGHT = 0.5
_LETTERS_WEIGHT = 0.6
_SIGNS_WEIGHT = 2.0  # in scripts without capitals, many of which put no space between words

# Each feature goes into this many dimensions, so that two rarely have all of theirs in common.
_SPREAD = 4


class Embedder:
    """Makes vectors of one length; a word that was hashed once is not hashed again."""

    def __init__(self, dimensions: int) -> None:
        self._dimensions = dimensions
        self._places: dict[str, tuple[tuple[int, float], ...]] = {}

    def vector(self, text: EmbeddingInput) -> "array[float]":
        """A vector of length 1 for a text, or for the ids of tokens."""
        values: dict[int, float] = {}
        for feature, weight in _weighted(text):
            for place, sign in self._places.get(feature) or self._hashed(feature):
                values[place] = values.get(place, 0.0) + sign * weight
        length = math.sqrt(math.fsum(value * value for value in values.values()))
        if length < 1e-6:  # features that cancel each other, which happens where dimensions are few
            values, length = {0: 1.0}, 1.0
        vector = array("f", bytes(4 * self._dimensions))
        for place, value in values.items():
            vector[place] = value / length
        return vector

    def _hashed(self, feature: str) -> tuple[tuple[int, float], ...]:
        digest = blake2b(feature.encode(), digest_size=4 * _SPREAD).digest()
        numbers = (int.from_bytes(digest[at : at + 4], "big") for at in range(0, len(digest), 4))
        object_keys = tuple((number % self._dimensions, 1.0 if number >> 31 else -1.0) for number in numbers)
        self._places[feature] = object_keys
        return object_keys


def _weighted(text: EmbeddingInput) -> Iterator[tuple[str, float]]:
    """The features of a text with their weights; what occurs often counts for less each time."""
    if isinstance(text, str):
        words = [_stem(word) for word in _WORD.findall(_plain(text))]
        pairs = list(pairwise(word for word in words if word not in _COMMON))
    else:
        words = [f"#{token}" for token in text]
        pairs = list(pairwise(words))
    if not words:  # punctuation, or nothing
        yield f"text {text}", 1.0
    for word, count in Counter(words).items():
        often = 1 + math.log(count)
        if word in _COMMON:
            yield word, _COMMON_WEIGHT * often
            continue
        yield word, often
        groups = _letter_groups(word)
        weight = _LETTERS_WEIGHT if word.isascii() or word != word.upper() else _SIGNS_WEIGHT
        for group in groups:
            yield group, weight * often / math.sqrt(len(groups))
    for (first, second), count in Counter(pairs).items():
        yield f"{first} {second}", _PAIR_WEIGHT * (1 + math.log(count))


def _plain(text: str) -> str:
    """Lower case without accents."""
    if text.isascii():
        return text.lower()
    decomposed = unicodedata.normalize("NFKD", text.casefold())
    return "".join(letter for letter in decomposed if not unicodedata.combining(letter))


def _stem(word: str) -> str:
    """A word without the commonest English endings; words of other languages keep what looks like none."""
    if word in _COMMON:
        return word
    stem = _DOUBLED.sub(r"\1", _ENDINGS.sub("", word))
    return stem[:-1] if len(stem) > 3 and stem[-1] in "ey" else stem


def _letter_groups(word: str) -> list[str]:
    """Groups of three letters, the word's bounds among them; of two where the script writes whole words in few."""
    if word.startswith("#"):
        return []
    size = 3 if word.isascii() else 2
    bounded = f"<{word}>"
    return [f"~{bounded[at : at + size]}" for at in range(len(bounded) - size + 1)]
