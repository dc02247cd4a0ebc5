"""How the sandbox's models behave whatever they are asked."""

import json
from dataclasses import replace
from typing import Any

import pytest

from shared.errors import (
    CredentialsRefused,
    GatewayError,
    ModelNotFound,
    UpstreamError,
    UpstreamRateLimited,
    UpstreamRejected,
    UpstreamTimeout,
)
from shared.providers import load
from shared.providers.base import InProcess
from shared.providers.sandbox.vendor import vendor
from shared.schemas.chat import ChatRequest
from shared.schemas.embedding import EmbeddingRequest
from shared.schemas.generated_content import ContentRequest
from shared.schemas.image import ImageRequest, Size
from shared.schemas.speech import SpeechRequest
from shared.schemas.transcription import TranscriptionRequest
from tests.providers.canonical import user
from tests.providers.reading import streamed
from tests.providers.sandbox_calls import body, events, local_answer, sent, upload

# For each operation a request, and the model that answers it.
REQUESTS: dict[str, tuple[Any, str]] = {
    "chat": (ChatRequest(model="m", messages=(user("Tell me a story"),)), "chat"),
    "images": (ImageRequest(model="m", prompt="A story", size=Size(64, 64)), "image"),
    "content": (ContentRequest(model="m", prompt="A story"), "image"),
    "embeddings": (EmbeddingRequest(model="m", inputs=("A story",)), "embedding"),
    "transcription": (TranscriptionRequest(model="m", file=upload(b"ID3")), "transcription"),
    "speech": (SpeechRequest(model="m", input="A story about the sea", format="wav"), "speech"),
}
STREAMS: dict[str, tuple[Any, str]] = {
    "chat": (REQUESTS["chat"][0].model_copy(update={"stream": True}), "chat"),
    "transcription": (replace(REQUESTS["transcription"][0], stream=True), "transcription"),
    "speech": REQUESTS["speech"],
}

of_each_operation = pytest.mark.parametrize("operation", REQUESTS)
of_each_stream = pytest.mark.parametrize("operation", STREAMS)
of_each_whole = pytest.mark.parametrize("operation", [name for name in REQUESTS if name != "speech"])


def pauses(operation: str, request: Any, name: str) -> list[float]:
    return [chunk for chunk in local_answer(operation, request, name).chunks if isinstance(chunk, float)]


def test_it_answers_inside_the_process_and_needs_no_key() -> None:
    assert isinstance(vendor, InProcess)
    assert vendor.auth(None) is None


@of_each_operation
def test_the_same_request_gets_the_same_bytes(operation: str) -> None:
    first, again = (list(local_answer(operation, *REQUESTS[operation]).chunks) for _ in range(2))
    assert first == again


@of_each_operation
@pytest.mark.parametrize(
    ("name", "raises"),
    [
        ("fail-400", UpstreamRejected),
        ("fail-401", CredentialsRefused),
        ("fail-429", UpstreamRateLimited),
        ("fail-500", UpstreamError),
        ("fail-timeout", UpstreamTimeout),
        ("unheard-of", ModelNotFound),
    ],
)
def test_a_failing_model_fails_at_once(operation: str, name: str, raises: type[GatewayError]) -> None:
    request, _ = REQUESTS[operation]
    assert pauses(operation, request, name) == []
    with pytest.raises(GatewayError) as raised:
        body(operation, request, name)
    assert type(raised.value) is raises
    assert "sk-" not in raised.value.message
    assert raised.value.retry_after == (7 if name == "fail-429" else None)


def test_a_time_out_is_waited_for_where_the_request_asks_for_it() -> None:
    request = ChatRequest(model="m", messages=(user("Answer me [sandbox:wait 30]"),))
    answer = local_answer("chat", request, "fail-timeout")
    assert answer.status == 504
    assert next(answer.chunks) == 30.0
    assert pauses("chat", request, "chat") == []


@of_each_operation
def test_garbage_is_answered_with_success_and_has_no_events(operation: str) -> None:
    request, _ = REQUESTS[operation]
    content = body(operation, request, "fail-garbage")
    with pytest.raises(ValueError, match="Expecting"):
        json.loads(content)


@of_each_whole
def test_a_whole_answer_fails_is_cut_or_is_late(operation: str) -> None:
    request, name = REQUESTS[operation]
    good = body(operation, request, name)
    with pytest.raises(UpstreamError):
        body(operation, request, "fail-midstream")
    cut = body(operation, request, "fail-truncated")
    with pytest.raises(ValueError, match=r"Expecting|Unterminated"):
        json.loads(cut)
    assert len(cut) == len(body(operation, request, "slow")) // 2
    assert pauses(operation, request, "slow") == [2.0]
    assert pauses(operation, request, name) == []
    json.loads(good)


@of_each_stream
@pytest.mark.parametrize("name", ["fail-midstream", "fail-truncated"])
def test_a_stream_that_breaks_has_begun_well(operation: str, name: str) -> None:
    request, _ = STREAMS[operation]
    good, broken = (sent(local_answer(operation, request, model).chunks) for model in ("slow", name))
    with pytest.raises(UpstreamError):
        events(operation, request, name)
    begun = broken.rpartition(b'data: {"type":"error"')[0] if name == "fail-midstream" else broken
    assert begun.count(b"data: ") > 1
    assert good.startswith(begun)


@of_each_stream
def test_a_stream_without_its_last_object_is_not_complete(operation: str) -> None:
    request, name = STREAMS[operation]
    frames = sent(local_answer(operation, request, name).chunks).split(b"\n\n")[:-1]
    assert frames.pop() == b'data: {"type":"done"}'
    for kept in range(len(frames) + 1):
        with pytest.raises(UpstreamError, match="before it was complete"):
            streamed(load("sandbox", operation), request, [b"".join(frame + b"\n\n" for frame in frames[:kept])])


@of_each_stream
def test_a_stream_pauses_between_its_events(operation: str) -> None:
    request, name = STREAMS[operation]
    assert set(pauses(operation, request, name)) == {0.02}
    assert set(pauses(operation, request, "slow")) == {0.2}


def test_the_pauses_of_a_long_stream_add_up_to_three_seconds() -> None:
    request = ChatRequest(model="m", messages=(user("word " * 200),), stream=True, n=4)
    assert sum(pauses("chat", request, "chat")) == pytest.approx(3, abs=0.1)
