"""What a call costs, in whole micro-dollars.

A micro-dollar is a millionth of a US dollar, so that dollars per million tokens are micro-dollars per token.
"""

from collections.abc import Iterable
from decimal import ROUND_CEILING, Decimal

from shared.schemas.price import Price, Rates
from shared.schemas.usage import Usage

_MICRO = 1_000_000
_SECONDS_AN_HOUR = 3600


def cost(usage: Usage, price: Price) -> int:
    """Micro-dollars of one call of the vendor, rounded up once.

    Of one call, since a tier is chosen by the call's own input: of several calls for one request, add the costs, not
    the usages.
    """
    rates = _rates(price, usage.input_tokens)
    return _whole(_input(usage, rates) + _output(usage, rates) + _units(usage, price))


def upper_bound(most: Usage, price: Price) -> int:
    """An upper bound in micro-dollars for calls whose totals do not exceed those in `most`.

    It holds for any mix of token kinds: uncached input, only images, or only reasoning.
    """
    reachable = [price.rates, *(tier.rates for tier in price.tiers if tier.above < most.input_tokens)]
    for_an_hour = most.cache_write_1h_tokens > 0
    return _whole(
        most.input_tokens * max(_dearest_input(rates, for_an_hour=for_an_hour) for rates in reachable)
        + most.output_tokens * max(map(_dearest_output, reachable))
        + _units(most, price)
    )


def _rates(price: Price, input_tokens: int) -> Rates:
    """The tier's where there is one: every vendor charges the whole call by it, the output too."""
    return next((tier.rates for tier in reversed(price.tiers) if tier.above < input_tokens), price.rates)


def _input(usage: Usage, rates: Rates) -> Decimal:
    # A share without a rate of its own stays in the text.
    image = 0 if rates.input_image is None else usage.input_image_tokens
    audio = 0 if rates.input_audio is None else usage.input_audio_tokens
    text = max(0, usage.input_tokens - image - audio)
    cached = _first(rates.cached_read, rates.input)
    kinds = (
        (text, rates.input, cached),
        (image, _first(rates.input_image, rates.input), _first(rates.cached_image, cached)),
        (audio, _first(rates.input_audio, rates.input), _first(rates.cached_audio, cached)),
    )
    # Nobody says which tokens came from the cache or went there. Text, on which the cache saves least, is taken first.
    hits, writes, total = usage.cached_read_tokens, usage.cache_write_tokens, Decimal(0)
    if rates.cache_write is not None and rates.cache_write_1h is not None:
        total += min(usage.cache_write_1h_tokens, writes) * (rates.cache_write_1h - rates.cache_write)
    for tokens, fresh, again in kinds:
        hit = min(tokens, hits)
        written = min(tokens - hit, writes)
        hits -= hit
        writes -= written
        total += hit * again + written * _first(rates.cache_write, fresh) + (tokens - hit - written) * fresh
    return total


def _output(usage: Usage, rates: Rates) -> Decimal:
    shares = (
        (usage.reasoning_tokens, rates.reasoning),
        (usage.output_image_tokens, rates.output_image),
        (usage.output_audio_tokens, rates.output_audio),
    )
    priced = [(tokens, rate) for tokens, rate in shares if rate is not None]
    rest = max(0, usage.output_tokens - sum(tokens for tokens, _ in priced))
    return sum((tokens * rate for tokens, rate in priced), rest * rates.output)


def _units(usage: Usage, price: Price) -> Decimal:
    # A float's shortest notation is what the vendor wrote.
    seconds = Decimal(str(usage.audio_seconds))
    if seconds:
        seconds = max(seconds, Decimal(price.audio_minimum))
    return (
        usage.images * price.image * _MICRO
        + usage.characters * price.characters
        + usage.searches * price.search * _MICRO
        + seconds * price.audio_hour * _MICRO / _SECONDS_AN_HOUR
    )


def _dearest_input(rates: Rates, *, for_an_hour: bool) -> Decimal:
    return _dearest(
        (
            rates.input,
            rates.cached_read,
            rates.cache_write,
            rates.cache_write_1h if for_an_hour else None,
            rates.input_image,
            rates.input_audio,
            rates.cached_image,
            rates.cached_audio,
        )
    )


def _dearest_output(rates: Rates) -> Decimal:
    return _dearest((rates.output, rates.reasoning, rates.output_image, rates.output_audio))


def _dearest(rates: Iterable[Decimal | None]) -> Decimal:
    return max(rate for rate in rates if rate is not None)


def _first(rate: Decimal | None, otherwise: Decimal) -> Decimal:
    return otherwise if rate is None else rate


def _whole(micro_dollars: Decimal) -> int:
    return int(micro_dollars.to_integral_value(ROUND_CEILING))
