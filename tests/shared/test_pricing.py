"""What a call costs is what its vendor charges, to the micro-dollar, and never more than was foreseen."""

from datetime import UTC, datetime, timedelta
from decimal import ROUND_CEILING, Decimal

import pytest
from genai_prices.data_snapshot import get_snapshot
from genai_prices.types import Usage as LibraryUsage
from hypothesis import given
from hypothesis import strategies as st

from scripts.update_prices import PROVIDERS
from shared.prices import PriceTable
from shared.pricing import cost, upper_bound
from shared.schemas.price import Price
from shared.schemas.usage import Usage

NOON = datetime(2026, 11, 21, 12, tzinfo=UTC)
TABLE = PriceTable.load()
LIBRARY = get_snapshot()
EVERYTHING = Price.read(
    {
        "input": "2",
        "output": "10",
        "cached_read": "0.5",
        "cache_write": "2.5",
        "cache_write_1h": "4",
        "reasoning": "12",
        "input_image": "3",
        "cached_image": "1",
        "output_image": "40",
        "input_audio": "6",
        "cached_audio": "1.5",
        "output_audio": "20",
        "image": "0.04",
        "characters": "15",
        "audio_hour": "0.36",
        "search": "0.01",
    }
)


def in_the_table(provider: str, upstream: str, at: datetime = NOON) -> Price:
    price = TABLE.find(provider, upstream, at)
    assert price is not None
    return price


def by_the_library(provider: str, upstream: str, at: datetime, **usage: float) -> int:
    """Micro-dollars by genai-prices' own calculation, rounded up as ours are."""
    calculation = LIBRARY.calc(
        LibraryUsage(**usage), upstream, PROVIDERS.get(provider, provider), None, genai_request_timestamp=at
    )
    return int((calculation.total_price * 1_000_000).to_integral_value(ROUND_CEILING))


@pytest.mark.parametrize(
    ("usage", "micro_dollars"),
    [
        (Usage(), 0),
        (Usage(input_tokens=1000), 2000),
        (Usage(output_tokens=1000), 10_000),
        (Usage(input_tokens=1000, cached_read_tokens=400), 600 * 2 + 200),
        (Usage(input_tokens=1000, cached_read_tokens=400, cache_write_tokens=600), 200 + 1500),
        (Usage(input_tokens=1000, cache_write_tokens=600, cache_write_1h_tokens=200), 400 * 2 + 1000 + 200 * 4),
        (Usage(output_tokens=1000, reasoning_tokens=400), 600 * 10 + 400 * 12),
        (Usage(input_tokens=1000, input_image_tokens=300, input_audio_tokens=100), 600 * 2 + 300 * 3 + 100 * 6),
        (Usage(output_tokens=1000, output_image_tokens=300, output_audio_tokens=100), 600 * 10 + 300 * 40 + 100 * 20),
        (Usage(images=3), 120_000),
        (Usage(searches=3), 30_000),
        (Usage(characters=1000), 15_000),
        (Usage(audio_seconds=90), 9000),
        (Usage(audio_seconds=0.1), 10),
    ],
    ids=str,
)
def test_every_kind_of_use_has_its_own_price(usage: Usage, micro_dollars: int) -> None:
    assert cost(usage, EVERYTHING) == micro_dollars


def test_a_share_without_a_price_of_its_own_costs_what_the_rest_does() -> None:
    price = Price.read({"input": "2", "output": "10"})
    usage = Usage(
        input_tokens=1000,
        output_tokens=100,
        cached_read_tokens=400,
        cache_write_tokens=300,
        reasoning_tokens=50,
        input_image_tokens=700,
        input_audio_tokens=200,
        output_image_tokens=60,
        output_audio_tokens=20,
    )
    assert cost(usage, price) == 3000


@pytest.mark.parametrize(
    ("usage", "micro_dollars"),
    [
        # 200 tokens of text are read from the cache, and 300 of the images.
        (Usage(input_tokens=1000, input_image_tokens=800, cached_read_tokens=500), 200 // 2 + 300 * 1 + 500 * 3),
        (Usage(input_tokens=1000, input_audio_tokens=1000, cached_read_tokens=400), 400 * 3 // 2 + 600 * 6),
        (Usage(input_tokens=1000, input_image_tokens=1000, cached_read_tokens=1000), 1000),
        # 100 tokens of text are read and 100 written, and 200 of the images written.
        (
            Usage(input_tokens=1000, input_image_tokens=800, cached_read_tokens=100, cache_write_tokens=300),
            100 // 2 + 300 * 5 // 2 + 600 * 3,
        ),
    ],
    ids=str,
)
def test_tokens_that_are_images_and_cached_are_charged_once(usage: Usage, micro_dollars: int) -> None:
    assert cost(usage, EVERYTHING) == micro_dollars


def test_a_cost_is_rounded_up_once() -> None:
    price = Price.read({"input": "0.1", "output": "0.1", "audio_hour": "0.36"})
    assert cost(Usage(input_tokens=1), price) == 1
    assert cost(Usage(input_tokens=1, output_tokens=1), price) == 1
    assert cost(Usage(input_tokens=10), price) == 1
    assert cost(Usage(input_tokens=11), price) == 2
    assert cost(Usage(input_tokens=4, output_tokens=6), price) == 1


def test_large_counts_are_exact() -> None:
    price = Price.read({"input": "0.123456789", "audio_hour": "0.36"})
    assert cost(Usage(input_tokens=10**15), price) == 123_456_789_000_000
    assert cost(Usage(input_tokens=10**15 + 1), price) == 123_456_789_000_001
    assert cost(Usage(audio_seconds=1e9 + 0.01), price) == 100_000_000_001


def test_above_a_tier_every_token_costs_more() -> None:
    price = Price.read(
        {
            "input": "1",
            "output": "10",
            "tiers": [
                {"above": 500, "input": "4", "output": "40"},
                {"above": 100, "input": "2", "cached_read": "1", "output": "20"},
            ],
        }
    )
    assert cost(Usage(input_tokens=100, output_tokens=10), price) == 200
    assert cost(Usage(input_tokens=101, cached_read_tokens=101, output_tokens=10), price) == 301
    assert cost(Usage(input_tokens=500, output_tokens=10), price) == 1200
    assert cost(Usage(input_tokens=501, output_tokens=10), price) == 501 * 4 + 400


def test_short_audio_is_charged_as_the_vendors_minimum() -> None:
    price = Price.read({"audio_hour": "3.6", "audio_minimum": 10})
    assert [cost(Usage(audio_seconds=seconds), price) for seconds in (0, 0.5, 10, 11)] == [0, 10_000, 10_000, 11_000]


@pytest.mark.parametrize(
    ("provider", "upstream", "usage", "library"),
    [
        (
            "openai",
            "gpt-6-sol",
            Usage(input_tokens=20_007, cached_read_tokens=18_944, output_tokens=813, reasoning_tokens=512),
            {"input_tokens": 20_007, "cache_read_tokens": 18_944, "output_tokens": 813},
        ),
        (
            "openai",
            "gpt-6.1-terra",
            Usage(input_tokens=272_001, cached_read_tokens=100_000, cache_write_tokens=172_000, output_tokens=9),
            {
                "input_tokens": 272_001,
                "cache_read_tokens": 100_000,
                "cache_write_tokens": 172_000,
                "output_tokens": 9,
            },
        ),
        (
            "openai",
            "gpt-image-2.5-flare",
            Usage(input_tokens=1000, input_image_tokens=800, cached_read_tokens=500, output_tokens=4160),
            {
                "input_tokens": 1000,
                "input_image_tokens": 800,
                "cache_read_tokens": 500,
                "cache_image_read_tokens": 300,
                "output_tokens": 4160,
            },
        ),
        ("openai", "whisper-1", Usage(audio_seconds=61.37), {"audio_seconds": 61.37, "input_audio_seconds": 61.37}),
        ("openai", "tts-1-hd", Usage(characters=4095), {"input_characters": 4095}),
        ("groq", "whisper-large-v3", Usage(audio_seconds=3.3), {"audio_seconds": 3.3, "input_audio_seconds": 3.3}),
        (
            "groq",
            "whisper-large-v3-turbo",
            Usage(audio_seconds=77.7),
            {"audio_seconds": 77.7, "input_audio_seconds": 77.7},
        ),
        (
            "anthropic",
            "claude-opus-5-5",
            Usage(input_tokens=30_003, cached_read_tokens=20_000, cache_write_tokens=10_000, output_tokens=1234),
            {
                "input_tokens": 30_003,
                "cache_read_tokens": 20_000,
                "cache_write_tokens": 10_000,
                "output_tokens": 1234,
            },
        ),
        (
            "gemini",
            "gemini-3.1-pro-preview",
            Usage(input_tokens=200_001, cached_read_tokens=50_000, output_tokens=777, reasoning_tokens=700),
            {"input_tokens": 200_001, "cache_read_tokens": 50_000, "output_tokens": 777},
        ),
        (
            "gemini",
            "gemini-3.1-pro-preview",
            Usage(input_tokens=200_000, output_tokens=777),
            {"input_tokens": 200_000, "output_tokens": 777},
        ),
        (
            "gemini",
            "gemini-3.1-flash-lite",
            Usage(input_tokens=5000, input_audio_tokens=3333, output_tokens=77),
            {"input_tokens": 5000, "input_audio_tokens": 3333, "output_tokens": 77},
        ),
        (
            "gemini",
            "gemini-3-pro-image",
            Usage(input_tokens=571, input_image_tokens=560, output_tokens=1433, output_image_tokens=1120),
            {"input_tokens": 571, "output_tokens": 1433, "output_image_tokens": 1120},
        ),
    ],
)
def test_a_cost_agrees_with_the_librarys_calculation(
    provider: str, upstream: str, usage: Usage, library: dict[str, float]
) -> None:
    assert cost(usage, in_the_table(provider, upstream)) == by_the_library(provider, upstream, NOON, **library)


CHAT = [
    ("openai", "gpt-6-luna"),
    ("openai", "gpt-6-astra"),
    ("anthropic", "claude-haiku-5-5"),
    ("anthropic", "claude-fable-5-2"),
    ("gemini", "gemini-3.8-flash"),
    ("gemini", "gemini-4-argon"),
    ("xai", "grok-4.3"),
    ("deepseek", "deepseek-flash"),
    ("mistral", "mistral-large-4"),
    ("openrouter", "z-ai/glm-5.3"),
]
TOKENS = st.integers(0, 400_000)


@given(
    model=st.sampled_from(CHAT),
    minutes=st.integers(0, 100 * 24 * 60),
    cached=TOKENS,
    written=TOKENS,
    fresh=TOKENS,
    output=TOKENS,
)
def test_any_cost_at_any_time_agrees_with_the_librarys_calculation(
    model: tuple[str, str], minutes: int, cached: int, written: int, fresh: int, output: int
) -> None:
    at = datetime(2026, 11, 21, tzinfo=UTC) + timedelta(minutes=minutes)
    price = in_the_table(*model, at)
    written = written if price.rates.cache_write is not None else 0
    total = cached + written + fresh
    usage = Usage(input_tokens=total, cached_read_tokens=cached, cache_write_tokens=written, output_tokens=output)
    assert cost(usage, price) == by_the_library(
        *model, at, input_tokens=total, cache_read_tokens=cached, cache_write_tokens=written, output_tokens=output
    )


@st.composite
def usages(draw: st.DrawFn) -> Usage:
    """Any use whose shares are inside their totals; cached tokens may be of any kind."""
    text, image, audio = draw(TOKENS), draw(TOKENS), draw(TOKENS)
    total = text + image + audio
    cached = draw(st.integers(0, total))
    written = draw(st.integers(0, total - cached))
    said, thought, drawn, spoken = draw(TOKENS), draw(TOKENS), draw(TOKENS), draw(TOKENS)
    return Usage(
        input_tokens=total,
        output_tokens=said + thought + drawn + spoken,
        cached_read_tokens=cached,
        cache_write_tokens=written,
        cache_write_1h_tokens=draw(st.integers(0, written)),
        reasoning_tokens=thought,
        input_image_tokens=image,
        input_audio_tokens=audio,
        output_image_tokens=drawn,
        output_audio_tokens=spoken,
        images=draw(st.integers(0, 10)),
        characters=draw(st.integers(0, 4096)),
        audio_seconds=draw(st.floats(0, 1e5)),
    )


AMOUNTS = st.decimals(0, 100, places=3).map(str)
RATES = st.fixed_dictionaries(
    {"input": AMOUNTS, "output": AMOUNTS},
    optional=dict.fromkeys(
        (
            "cached_read",
            "cache_write",
            "cache_write_1h",
            "reasoning",
            "input_image",
            "input_audio",
            "output_image",
            "output_audio",
            "cached_image",
            "cached_audio",
        ),
        AMOUNTS,
    ),
)


@given(usage=usages(), rates=RATES, tier=RATES, above=TOKENS, units=st.tuples(AMOUNTS, AMOUNTS, AMOUNTS))
def test_no_call_costs_more_than_its_upper_bound(
    usage: Usage, rates: dict[str, str], tier: dict[str, str], above: int, units: tuple[str, str, str]
) -> None:
    image, characters, audio_hour = units
    price = Price.read(
        {
            **rates,
            "tiers": [{"above": above, **tier}],
            "image": image,
            "characters": characters,
            "audio_hour": audio_hour,
        }
    )
    most = Usage(
        input_tokens=usage.input_tokens + 1,
        cache_write_1h_tokens=usage.cache_write_1h_tokens,
        output_tokens=usage.output_tokens,
        images=usage.images,
        characters=usage.characters,
        audio_seconds=usage.audio_seconds,
    )
    assert cost(usage, price) <= upper_bound(most, price)


def test_an_upper_bound_counts_caches_of_an_hour_only_where_they_are_asked_for() -> None:
    price = Price.read({"input": "2", "cache_write": "2.5", "cache_write_1h": "4", "output": "10"})
    assert upper_bound(Usage(input_tokens=100), price) == 250
    assert upper_bound(Usage(input_tokens=100, cache_write_1h_tokens=100), price) == 400


def test_an_upper_bound_takes_the_dearest_that_can_happen_and_no_more() -> None:
    price = Price.read({"input": "2", "cache_write": "2.5", "output": "10", "tiers": [{"above": 100, "input": "9"}]})
    assert upper_bound(Usage(input_tokens=100, output_tokens=10), price) == 350
    assert upper_bound(Usage(input_tokens=101, output_tokens=10), price) == 1009
    assert upper_bound(Usage(output_tokens=10), Price.read({"output": "1", "reasoning": "3"})) == 30
    assert upper_bound(Usage(output_tokens=10), Price.read({"output": "1", "output_audio": "4"})) == 40
    assert upper_bound(Usage(images=2, characters=100, audio_seconds=1.5), EVERYTHING) == 80_000 + 1500 + 150


def test_money_is_never_a_float() -> None:
    amounts = (EVERYTHING.rates.input, EVERYTHING.rates.output_audio, EVERYTHING.image, EVERYTHING.audio_hour)
    assert all(isinstance(amount, Decimal) for amount in amounts)
    assert type(cost(Usage(audio_seconds=0.3), EVERYTHING)) is int
