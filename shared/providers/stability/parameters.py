"""The parameters of Stability's models, which are the same wherever they are served."""

from shared.errors import InvalidRequest
from shared.png_mask import has_alpha
from shared.providers.base import unsupported
from shared.schemas.image import Size
from shared.schemas.upload import Upload

_ASPECT_RATIOS = ((21, 9), (16, 9), (3, 2), (5, 4), (1, 1), (4, 5), (2, 3), (9, 16), (9, 21))

# A size may differ from its aspect ratio by 1 in 50: OpenAI's 1792x1024 is almost 16:9.
_TOLERANCE = 50

# How much an image may be changed, from 0 (not at all) to 1 (as if there were none). The field is required and has no
# default. For sd3.5-flash the vendor recommends 0.94 to 0.97; the other value is our choice: the result follows both
# the prompt and the image.
_STRENGTH = 0.7
_STRENGTHS = {"sd3.5-flash": 0.95}

_MAX_SEED = 4294967294


def aspect_ratio(size: Size | None) -> str | None:
    """The aspect ratio of a size. Raises InvalidRequest if it is not supported."""
    if size is None:
        return None
    for width, height in _ASPECT_RATIOS:
        expected, given = size.height * width, size.width * height
        if abs(given - expected) * _TOLERANCE <= expected:
            return f"{width}:{height}"
    ratios = ", ".join(f"{width}:{height}" for width, height in _ASPECT_RATIOS)
    raise InvalidRequest.field("size", f"{size} has none of the aspect ratios that this provider supports: {ratios}")


def check_no_size(size: Size | None) -> None:
    """Raises InvalidRequest for a size in a request whose result keeps the size of its input."""
    if size is not None:
        raise InvalidRequest.field("size", "the edited image keeps the size of the original; leave this field out")


def strength(upstream: str) -> float:
    """How much a model changes an image."""
    return _STRENGTHS.get(upstream, _STRENGTH)


def usable_seed(seed: int) -> int:
    """Any integer as a seed from 1 to 4294967294: equal seeds stay equal, adjacent ones stay different.

    The vendor's 0 is excluded, since it requests a random seed.
    """
    return (seed - 1) % _MAX_SEED + 1


def check_mask(mask: Upload) -> None:
    """Raises UnsupportedFeature for a mask that can mean something else than what the vendor takes it for.

    White is edited, black is kept. OpenAI's masks mark the area by their alpha channel instead, and their colours mean
    nothing. The gateway has already converted those that are PNGs.
    """
    if not _is_without_alpha(mask):
        raise unsupported(
            "mask",
            "this provider accepts a PNG, transparent where the image is to be edited, or a PNG or JPEG without an "
            "alpha channel, white where it is to be edited and black elsewhere",
        )


def _is_without_alpha(mask: Upload) -> bool:
    if mask.media_type == "image/jpeg":
        return True
    if mask.media_type != "image/png":
        return False
    try:
        return not has_alpha(mask.read())
    except ValueError:
        return False
