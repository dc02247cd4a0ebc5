"""What requests use is in the books right after them, however they end, and never costs more than was reserved."""

import asyncio
import base64
import json
import random
import wave
from collections.abc import AsyncIterator, Callable
from decimal import Decimal
from io import BytesIO
from itertools import chain
from typing import Any

import httpx
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from shared.gateway.call_meter import CallMeter
from shared.gateway.estimates import (
    of_chat,
    of_content,
    of_embeddings,
    of_images,
    of_speech,
    of_transcription,
)
from shared.prices import PriceTable
from shared.pricing import cost, upper_bound
from shared.providers import load, load_vendor
from shared.schemas.chat import ChatRequest, JsonSchemaFormat, Tool
from shared.schemas.content import Audio, File, Image, Inline, Message, Refusal, Remote, Text, ToolCall, ToolResult
from shared.schemas.embedding import EmbeddingRequest
from shared.schemas.events import Finished
from shared.schemas.generated_content import ContentRequest
from shared.schemas.image import ImageRequest, Size
from shared.schemas.limits import Limits
from shared.schemas.model import Capability, Model
from shared.schemas.price import Price
from shared.schemas.speech import SpeechRequest
from shared.schemas.transcription import TranscriptDone, TranscriptionRequest
from shared.schemas.upload import Upload
from shared.schemas.usage import Usage
from shared.stores.keys import KeyStore
from tests.contract import vendor as upstream
from tests.contract.accounts import CHAT, EVERY_KIND, SANDBOX, STABLE_IMAGES, Account, account, catalog
from tests.contract.sounds import wav
from tests.contract.vendor import ENVIRONMENT, MODEL
from tests.contract.wire import DISTINCT, events

BUDGET = Limits(budget_day=10**9, tokens_per_minute=10**7)
PRICE = Price.read({"input": "1", "output": "2", "image": "0.01", "characters": "10", "audio_hour": "0.1"})
COST = "x-gateway-cost"

anyio = pytest.mark.anyio


@pytest.fixture(scope="module")
def drawing(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """The sandbox in the place of the stable route's model too."""
    rows = '[[models]]\nid = "gemini-2.5-flash-image"\nprovider = "sandbox"'
    return catalog(tmp_path_factory.mktemp("catalog"), rows, "image")


def dollars(response: httpx.Response) -> int:
    """What an answer says that it cost, in micro-dollars."""
    told = response.headers[COST]
    assert len(told.partition(".")[2]) == 6
    return int(Decimal(told) * 10**6)


# --- what is in the books


@anyio
async def test_every_kind_of_endpoint_is_in_the_books_with_what_its_answer_says_that_it_cost(
    keys: KeyStore, drawing: dict[str, str]
) -> None:
    for path in EVERY_KIND:
        async with account(keys, BUDGET, environment=drawing) as caller:
            answer = await caller.ask(path)
            assert answer.status_code == 200, answer.text
            row = await caller.row()
            assert (row.requests, row.failures) == (1, 0)
            assert row.model == answer.headers["x-gateway-model"]
            assert row.cost == cost(row.usage, PRICE) == dollars(answer) > 0, path


@anyio
async def test_the_books_have_what_the_answer_tells(keys: KeyStore, drawing: dict[str, str]) -> None:
    async def row_of(path: str, **fields: Any) -> tuple[Any, Usage]:
        async with account(keys, environment=drawing) as caller:
            answer = await caller.ask(path, **fields)
            return answer, (await caller.row()).usage

    answer, usage = await row_of(CHAT, n=3)
    told = answer.json()["usage"]
    assert (usage.input_tokens, usage.output_tokens) == (told["prompt_tokens"], told["completion_tokens"])
    answer, usage = await row_of("/v1/embeddings")
    assert usage == Usage(input_tokens=answer.json()["usage"]["prompt_tokens"])
    answer, usage = await row_of("/v1/images/generations", n=2)
    told = answer.json()["usage"]
    assert (usage.input_tokens, usage.output_tokens) == (told["input_tokens"], told["output_tokens"])
    assert usage.images == 2
    answer, usage = await row_of("/v1/audio/transcriptions", response_format="verbose_json")
    assert usage.audio_seconds == answer.json()["duration"] == 0.5
    _, usage = await row_of("/v1/audio/speech", input="Twelve chars")
    assert usage == Usage(characters=12)
    answer, usage = await row_of(STABLE_IMAGES, candidate_count=2)
    told = answer.json()["usage_metadata"]
    assert (usage.input_tokens, usage.output_tokens) == (told["prompt_token_count"], told["candidates_token_count"])


@anyio
async def test_a_stream_costs_what_the_whole_answer_costs_and_says_nothing_of_it_in_its_headers(
    keys: KeyStore,
) -> None:
    for path in DISTINCT:
        async with account(keys, BUDGET) as caller:
            whole = await caller.ask(path)
            streamed = await caller.ask(path, stream=True)
            assert events(streamed)[-1].data == b"[DONE]"
            assert COST not in streamed.headers
            row = await caller.row()
            assert (row.requests, row.failures, row.cost) == (2, 0, 2 * dollars(whole))


@anyio
async def test_a_stream_of_several_candidates_names_no_part_of_its_cost(keys: KeyStore) -> None:
    async with account(keys, BUDGET) as caller:
        answer = await caller.ask(CHAT, stream=True, n=4, max_tokens=1)
        assert answer.status_code == 200
        assert COST not in answer.headers


@anyio
async def test_a_streamed_transcript_is_in_the_books(keys: KeyStore) -> None:
    async with account(keys, BUDGET) as caller:
        answer = await caller.ask("/v1/audio/transcriptions", stream="true")
        assert events(answer)
        row = await caller.row()
        assert (row.requests, row.usage.audio_seconds) == (1, 0.5)
        assert row.cost > 0


FAILURES = {"fail-400": 400, "fail-401": 502, "fail-500": 502}
UNKNOWN = {"fail-garbage": 502, "fail-truncated": 502, "fail-timeout": 504}
PATHS = [path for path in EVERY_KIND if path != STABLE_IMAGES and "/speech" not in path and "/syn" not in path]


@anyio
@pytest.mark.parametrize(("model", "status"), FAILURES.items())
async def test_a_providers_error_is_counted_as_one_and_costs_nothing(keys: KeyStore, model: str, status: int) -> None:
    async with account(keys, BUDGET) as caller:
        for path in PATHS:
            answer = await caller.ask(path, f"sandbox/{model}")
            assert answer.status_code == status, answer.text
            assert COST not in answer.headers
        row = await caller.row()
        assert (row.requests, row.failures, row.cost, row.usage) == (0, len(PATHS), 0, Usage())


@anyio
@pytest.mark.parametrize(("model", "status"), UNKNOWN.items())
async def test_a_call_whose_outcome_is_unknown_costs_what_was_reserved(keys: KeyStore, model: str, status: int) -> None:
    for path in PATHS:
        async with account(keys, BUDGET) as caller:
            answer = await caller.ask(path, f"sandbox/{model}")
            assert answer.status_code == status, answer.text
            row = await caller.row()
            assert (row.requests, row.failures) == (0, 1)
            assert row.cost == dollars(answer) > 0, path


@anyio
@pytest.mark.parametrize("model", ["fail-midstream", "fail-truncated"])
async def test_a_stream_that_breaks_off_costs_what_it_has_said(keys: KeyStore, model: str) -> None:
    for path in DISTINCT:
        async with account(keys, BUDGET) as caller:
            answer = await caller.ask(path, f"sandbox/{model}", stream=True)
            assert answer.status_code == 200
            row = await caller.row()
            assert (row.requests, row.failures) == (0, 1)
            assert 2 <= row.usage.output_tokens <= 20
            assert 1 <= row.usage.input_tokens <= 10
            assert row.cost == cost(row.usage, PRICE)


@anyio
async def test_what_is_wrong_with_a_request_is_not_in_the_books(keys: KeyStore) -> None:
    async with account(keys, BUDGET) as caller:
        assert (await caller.ask(CHAT, temperature=9)).status_code == 400
        assert (await caller.ask(CHAT, "nobody/nothing")).status_code == 404
        assert (await caller.ask("/v1/embeddings", "sandbox/chat")).status_code == 400
        assert await caller.rows() == []
        assert (await caller.standing()).spent_day == 0


@anyio
async def test_requests_at_once_are_all_in_the_books(keys: KeyStore) -> None:
    async with account(keys, BUDGET) as caller:
        answers = await asyncio.gather(*(caller.ask(DISTINCT[at % len(DISTINCT)]) for at in range(25)))
        row = await caller.row()
        assert row.requests == 25
        assert row.cost == sum(map(dollars, answers))


async def leave(caller: Account, *, after: int, model: str = MODEL) -> None:
    """Asks for a stream as a client that leaves when it has got some chunks, and waits until the server is done."""
    gone, chunks = asyncio.Event(), 0
    body = json.dumps({"model": model, "stream": True, "messages": [{"role": "user", "content": "Hello"}]}).encode()
    asked = False

    async def receive() -> dict[str, Any]:
        nonlocal asked
        if not asked:
            asked = True
            return {"type": "http.request", "body": body, "more_body": False}
        await gone.wait()
        return {"type": "http.disconnect"}

    async def send(message: Any) -> None:
        nonlocal chunks
        chunks += message.get("body", b"").count(b"data: ")
        if chunks >= after:
            gone.set()

    transport = caller.client._transport
    assert isinstance(transport, httpx.ASGITransport)
    scope = {
        "type": "http",
        "asgi": {"version": "3.0"},
        "http_version": "1.1",
        "method": "POST",
        "scheme": "http",
        "path": CHAT,
        "raw_path": CHAT.encode(),
        "query_string": b"",
        "root_path": "",
        "headers": [(b"authorization", caller.client.headers["authorization"].encode())],
        "client": ("127.0.0.1", 1),
        "server": ("gateway", 80),
    }
    await asyncio.wait_for(transport.app(scope, receive, send), 10)  # type: ignore[arg-type]


def talking(forever: asyncio.Event, words: int) -> Callable[[httpx.Request], httpx.Response]:
    """A vendor that says some words and then no more."""

    async def body() -> AsyncIterator[bytes]:
        yield upstream.BEGINNING
        for _ in range(words):
            yield upstream.chunk({"content": " and so on"})
        await forever.wait()

    return lambda request: httpx.Response(200, content=body())


@anyio
async def test_a_client_that_leaves_a_stream_pays_for_what_was_said_until_then(keys: KeyStore) -> None:
    """Vendors tell what was used at the end alone: who leaves before it would have had everything for nothing."""
    vendor = talking(asyncio.Event(), 60)
    async with account(keys, BUDGET, environment=ENVIRONMENT, vendor=vendor) as caller:
        await leave(caller, after=61)
        row = await caller.row()
        assert (row.requests, row.failures) == (0, 1)
        assert 150 <= row.usage.output_tokens <= 250
        assert row.usage.input_tokens > 0
        assert row.cost > 0


@anyio
async def test_a_client_that_leaves_the_sandbox_pays_too(keys: KeyStore) -> None:
    async with account(keys, BUDGET) as caller:
        await leave(caller, after=4, model="sandbox/chat")
        row = await caller.row()
        assert 1 <= row.usage.output_tokens < 30
        assert row.cost == cost(row.usage, PRICE)


@anyio
async def test_a_client_that_leaves_before_anything_was_said_pays_what_was_reserved(keys: KeyStore) -> None:
    silent, asked = talking(asyncio.Event(), 0), asyncio.Event()

    def vendor(request: httpx.Request) -> httpx.Response:
        asked.set()
        return silent(request)

    async with account(keys, BUDGET, environment=ENVIRONMENT, vendor=vendor) as caller:
        asking = asyncio.create_task(caller.ask(CHAT, MODEL, max_tokens=500))
        await asked.wait()
        asking.cancel()
        with pytest.raises(asyncio.CancelledError):
            await asking
        row = await caller.row()
        assert (row.requests, row.failures) == (0, 1)
        assert row.usage.output_tokens == 500
        assert row.cost > 0


# --- one call


EXPECTED = Usage(input_tokens=10, output_tokens=1024)
CEILING = Usage(input_tokens=40, output_tokens=4096)


class Recorded:
    """What a call's meter has recorded."""

    def __init__(self, **options: Any) -> None:
        self.usage = Usage()
        self.is_estimate = self.is_ceiling = False
        self.meter = CallMeter(self._record, lambda: (EXPECTED, CEILING), **options)

    def _record(
        self, usage: Usage, *, is_estimate: bool = False, is_ceiling: bool = False, is_answered: bool = True
    ) -> None:
        self.usage += usage
        self.is_estimate |= is_estimate
        self.is_ceiling |= is_ceiling


def sent(**options: Any) -> Recorded:
    recorded = Recorded(**options)
    recorded.meter.sent()
    return recorded


def test_a_call_that_was_never_sent_costs_nothing() -> None:
    call = Recorded()
    call.meter.close()
    assert call.usage == Usage()


def test_a_call_that_was_refused_costs_nothing() -> None:
    call = sent()
    call.meter.refused()
    call.meter.close()
    assert call.usage == Usage()


def test_an_unknown_outcome_is_recorded_as_the_ceiling() -> None:
    call = sent()
    call.meter.close()
    assert (call.usage, call.is_estimate, call.is_ceiling) == (CEILING, True, True)


def test_what_the_provider_has_counted_before_a_call_broke_off_is_believed() -> None:
    call = sent()
    call.meter.begun(Usage(input_tokens=17, output_tokens=1))
    call.meter.close()
    assert call.usage == Usage(input_tokens=17, output_tokens=4096)


def test_a_call_that_breaks_off_costs_its_input_and_what_was_said() -> None:
    call = sent()
    call.meter.said("abcdefghij")
    call.meter.said("klmno")
    call.meter.close()
    assert (call.usage, call.is_estimate, call.is_ceiling) == (Usage(input_tokens=10, output_tokens=6), True, False)


def test_what_was_said_counts_by_its_bytes_and_by_its_pieces() -> None:
    chinese, pieces = sent(), sent()
    chinese.meter.said("\u6f22\u5b57" * 100)
    for letter in "abcdef":
        pieces.meter.said(letter)
    for call in (chinese, pieces):
        call.meter.close()
    assert chinese.usage.output_tokens == 240
    assert pieces.usage.output_tokens == 6


def test_what_was_said_never_counts_more_than_was_reserved() -> None:
    call = sent()
    call.meter.said("x" * 100_000)
    call.meter.close()
    assert call.usage.output_tokens == CEILING.output_tokens


def test_an_image_counts_when_a_call_breaks_off() -> None:
    call = sent()
    call.meter.made_image()
    call.meter.close()
    assert call.usage.images == 1
    assert call.usage.output_tokens == call.usage.output_image_tokens > 1000


def test_what_is_reported_is_all_that_counts() -> None:
    call = sent()
    call.meter.said("abcdef")
    call.meter.reported(Usage(input_tokens=3, output_tokens=1))
    call.meter.close(is_complete=True)
    call.meter.close()
    assert (call.usage, call.is_estimate) == (Usage(input_tokens=3, output_tokens=1), False)


@pytest.mark.parametrize(
    "reported",
    [
        Usage(),
        Usage.model_construct(**{**dict(Usage()), "input_tokens": -5}),
        Usage(input_tokens=10**15, output_tokens=1),
        Usage.model_construct(**{**dict(Usage()), "audio_seconds": float("nan")}),
    ],
    ids=["nothing", "negative", "absurd", "nan"],
)
def test_numbers_that_cannot_be_are_replaced_by_an_estimate(reported: Usage) -> None:
    call = sent()
    call.meter.said("abcdef")
    call.meter.reported(reported)
    call.meter.close(is_complete=True)
    assert (call.usage, call.is_estimate) == (Usage(input_tokens=10, output_tokens=3), True)


def test_a_whole_response_without_usage_costs_what_was_expected() -> None:
    call = sent()
    call.meter.close(is_complete=True)
    assert (call.usage, call.is_estimate) == (EXPECTED, True)


def test_a_call_that_the_provider_declines_costs_its_input() -> None:
    call = sent()
    call.meter.declined()
    call.meter.close()
    assert call.usage == Usage(input_tokens=10)


# --- what is reserved bounds what is paid

SIZES = st.sampled_from([1, 7, 200, 3000])
TEXTS = st.builds(
    lambda piece, times: (piece * times)[:6000],
    st.sampled_from([" ", "a ", "word ", "日本", "🎉", "\n", "!?", "a", "\U0001f469\u200d", "x" * 40, '"']),
    SIZES,
)
PNG = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAIAAACQd1PeAAAADElEQVR4nGNgYGAAAAAEAAH2FzhVAAAAAElFTkSuQmCC"
SOUND = base64.b64encode(wav()).decode()
PARTS = st.one_of(
    TEXTS.map(lambda text: Text(text=text)),
    st.just(Image(source=Inline(media_type="image/png", data=PNG))),
    st.just(Image(source=Remote(url="https://example.com/a.png"))),
    st.just(Audio(data=SOUND, format="wav")),
    st.just(File(source=Inline(media_type="application/pdf", data="JVBERi0xLjQK"))),
)
REPLIES = st.one_of(
    TEXTS.map(lambda text: Text(text=text)),
    TEXTS.map(lambda text: Refusal(text=text)),
    TEXTS.map(lambda text: ToolCall(id="c", name="f", arguments=json.dumps({"a": text}))),
)
MESSAGES = st.one_of(
    st.lists(PARTS, max_size=4).map(lambda parts: Message(role="user", parts=tuple(parts))),
    st.lists(REPLIES, max_size=3).map(lambda parts: Message(role="assistant", parts=tuple(parts))),
    TEXTS.map(
        lambda text: Message(role="tool", parts=(ToolResult(call_id="c", name="f", content=(Text(text=text),)),))
    ),
)
TOOLS = st.builds(
    lambda name, text, wide: Tool(
        name=name,
        description=text,
        parameters={"type": "object", "properties": {f"p{at}": {"type": "string"} for at in range(wide)}},
    ),
    st.sampled_from(["f", "g" * 60]),
    TEXTS,
    st.integers(0, 5),
)
FORMATS = st.sampled_from(
    [None, JsonSchemaFormat(name="s", json_schema={"type": "object", "properties": {"a": {"type": "string"}}})]
)
CHATS = st.builds(
    ChatRequest,
    model=st.sampled_from(["sandbox/chat", "sandbox/image"]),
    system=st.none() | TEXTS,
    messages=st.lists(MESSAGES, min_size=1, max_size=6).map(tuple),
    max_tokens=st.none() | st.sampled_from([1, 10, 500]),
    n=st.integers(1, 4),
    tools=st.lists(TOOLS, max_size=2, unique_by=lambda tool: tool.name).map(tuple),
    response_format=FORMATS,
    reasoning_effort=st.sampled_from([None, "low", "high"]),
)


def model_of(name: str) -> Model:
    from shared.catalog import Catalog
    from shared.settings import Settings

    return Catalog.load(Settings(sandbox=True)).find(name)


MODELS = {
    f"sandbox/{name}": model_of(f"sandbox/{name}") for name in ("chat", "image", "embedding", "transcription", "speech")
}
VENDOR: Any = load_vendor("sandbox")


def answered(operation: str, request: Any) -> bytes | None:
    """The sandbox's body for a request; None where it refuses."""
    call = load("sandbox", operation).call(request, MODELS[request.model])
    answer = VENDOR.answer(call.path, json.dumps(call.json).encode())
    content = b"".join(chunk for chunk in answer.chunks if isinstance(chunk, bytes))
    return content if answer.status == 200 else None


def response_usage(operation: str, request: Any) -> Usage | None:
    """What the sandbox reports for a call that is answered in one piece."""
    body = answered(operation, request)
    if body is None:
        return None
    usage: Usage = load("sandbox", operation).response(json.loads(body)).usage
    return usage


def event_usage(operation: str, request: Any) -> Usage | None:
    """What the sandbox reports for a call that is answered in events."""
    body = answered(operation, request)
    if body is None:
        return None
    events = list(load("sandbox", operation).reader(request).body(body))
    reported = [event.usage for event in events if isinstance(event, Finished)]
    reported += [event.transcript.usage for event in events if isinstance(event, TranscriptDone)]
    return sum(reported, Usage())


def assert_bounded(usage: Usage | None, estimate: tuple[Usage, Usage]) -> None:
    _, most = estimate
    if usage is None:
        return
    dear = Price.read({"input": "1", "output": "2", "input_image": "9", "output_image": "40", "reasoning": "7"})
    for price in (PRICE, dear):
        assert cost(usage, price) <= upper_bound(most, price), (usage, most)
    assert usage.input_tokens <= most.input_tokens
    assert usage.output_tokens <= most.output_tokens


often = settings(max_examples=120, suppress_health_check=list(HealthCheck))
seldom = settings(max_examples=15, suppress_health_check=list(HealthCheck))


@often
@given(CHATS)
def test_no_chat_costs_more_than_was_reserved(request: ChatRequest) -> None:
    model = MODELS[request.model]
    if model.upstream == "image":
        request = request.model_copy(update={"tools": (), "n": 1})
    assert_bounded(event_usage("chat", request), of_chat([request], model))


@often
@given(st.lists(TEXTS | st.lists(st.integers(0, 9), min_size=1, max_size=50).map(tuple), min_size=1, max_size=5))
def test_no_embedding_costs_more_than_was_reserved(inputs: list[Any]) -> None:
    request = EmbeddingRequest(model="sandbox/embedding", inputs=tuple(inputs))
    usage = response_usage("embeddings", request)
    assert_bounded(usage, of_embeddings(request))


def upload(data: bytes, media_type: str) -> Upload:
    return Upload(BytesIO(data), "file", media_type, len(data))


@seldom
@given(TEXTS, st.integers(0, 3), st.integers(1, 3), st.sampled_from([None, Size(64, 64), Size(1024, 512)]))
def test_no_image_costs_more_than_was_reserved(prompt: str, given_images: int, n: int, size: Size | None) -> None:
    images = tuple(upload(base64.b64decode(PNG), "image/png") for _ in range(given_images))
    request = ImageRequest(model="sandbox/image", prompt=prompt, images=images, n=n, size=size or Size(64, 64))
    usage = response_usage("images", request)
    assert usage is None or usage.images == n
    assert_bounded(usage, of_images(request))


@seldom
@given(TEXTS, st.none() | TEXTS, st.integers(0, 2), st.integers(1, 2))
def test_no_raw_content_costs_more_than_was_reserved(
    prompt: str, system: str | None, given_images: int, candidates: int
) -> None:
    request = ContentRequest(
        model="sandbox/image",
        prompt=prompt,
        system_instruction=system,
        images=(Inline(media_type="image/png", data=PNG),) * given_images,
        candidate_count=candidates,
    )
    usage = response_usage("content", request)
    assert_bounded(usage, of_content(request))


def recording(rate: int, width: int, seconds: float) -> bytes:
    file = BytesIO()
    with wave.open(file, "wb") as out:
        out.setparams((1, width, rate, 0, "NONE", ""))
        out.writeframes(bytes(width * round(rate * seconds)))
    return file.getvalue()


@often
@given(
    st.sampled_from([200, 8000, 48000]), st.sampled_from([1, 2]), st.floats(0.01, 20), st.none() | TEXTS, st.booleans()
)
def test_no_transcript_costs_more_than_was_reserved(
    rate: int, width: int, seconds: float, prompt: str | None, is_mp3: bool
) -> None:
    data = random.Random(rate).randbytes(round(seconds * 2000)) if is_mp3 else recording(rate, width, seconds)
    file = upload(data, "audio/mpeg" if is_mp3 else "audio/wav")
    request = TranscriptionRequest(model="sandbox/transcription", file=file, prompt=prompt)
    assert_bounded(event_usage("transcription", request), of_transcription(request))


@pytest.mark.parametrize("text", ["Hello", "a b c " * 500, "日本" * 1000, "x" * 4096])
def test_no_speech_costs_more_than_was_reserved_nor_the_transcript_of_it(text: str) -> None:
    request = SpeechRequest(model="sandbox/speech", input=text, voice="alloy", format="wav")
    assert_bounded(Usage(characters=len(text)), of_speech(request))
    body = answered("speech", request)
    assert body is not None
    adapter = load("sandbox", "speech")
    reader = adapter.reader(request)
    spoken = b"".join(chain.from_iterable(map(reader.frame, adapter.frames().feed(body))))
    assert spoken[:4] == b"RIFF"
    heard_again = TranscriptionRequest(model="sandbox/transcription", file=upload(spoken, "audio/wav"))
    usage = event_usage("transcription", heard_again)
    assert usage is not None
    assert usage.audio_seconds > 0
    assert_bounded(usage, of_transcription(heard_again))


def test_what_the_sandbox_costs_is_in_the_table() -> None:
    from datetime import UTC, datetime

    assert PriceTable.load().find("sandbox", "chat", datetime.now(UTC)) is not None


def test_candidates_that_take_a_call_each_are_reserved_their_inputs_each() -> None:
    request = ChatRequest(model="m", messages=(Message(role="user", parts=(Text(text="x" * 300),)),), n=4, max_tokens=5)
    model = MODELS["sandbox/chat"]
    alone = model.model_copy(update={"quirks": frozenset({"single_candidate"})})
    together, apart = of_chat([request], model), of_chat([request], alone)
    assert [usage.input_tokens * 4 for usage in together] == [usage.input_tokens for usage in apart]
    assert [usage.output_tokens for usage in together] == [usage.output_tokens for usage in apart] == [20, 20]


def test_an_answer_without_a_cap_is_reserved_the_models_longest() -> None:
    request = ChatRequest(model="m", messages=(Message(role="user", parts=(Text(text="Hi"),)),))
    probable, most = of_chat([request], MODELS["sandbox/chat"])
    assert probable.output_tokens == 1024
    assert most.output_tokens == MODELS["sandbox/chat"].max_output_tokens
    unknown = Model(**{**dict(MODELS["sandbox/chat"]), "max_output_tokens": None})
    assert of_chat([request], unknown)[1].output_tokens == 32_768
    assert Capability.CHAT in unknown.capabilities


@anyio
async def test_a_budget_is_never_overspent_by_many_requests_at_once(keys: KeyStore) -> None:
    limit = 3000
    async with account(keys, Limits(budget_day=limit), environment=SANDBOX) as caller:
        answers = await asyncio.gather(
            *(caller.ask(CHAT, max_tokens=50, n=1 + at % 3, stream=at % 2 == 0) for at in range(60))
        )
        statuses = {answer.status_code for answer in answers}
        assert statuses == {200, 429}
        row = await caller.row()
        assert 0 < row.cost <= limit
        assert row.requests == sum(answer.status_code == 200 for answer in answers)
