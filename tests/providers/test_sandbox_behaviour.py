"""The sandbox fails in the same ways whatever it is asked for, and loads only what it is asked for."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from shared.errors import GatewayError, ModelNotFound, UpstreamError, UpstreamRateLimited, UpstreamRejected
from shared.providers.base import Call
from shared.providers.sandbox import adapter
from shared.schemas.chat import ChatRequest
from shared.schemas.embedding import EmbeddingRequest
from shared.schemas.generated_content import ContentRequest
from shared.schemas.image import ImageRequest, Size
from shared.schemas.model import Model
from shared.schemas.speech import SpeechRequest
from shared.schemas.transcription import TranscriptionRequest
from tests.providers.canonical import user
from tests.providers.sandbox_calls import local_answer, model, sent, upload

ROOT = Path(__file__).parents[2]
OPERATIONS = ["chat", "images", "content", "embeddings", "transcriptions", "speech"]
WORKERS = {
    "chat": "chat",
    "images": "image",
    "content": "image",
    "embeddings": "embedding",
    "transcriptions": "transcription",
    "speech": "speech",
}

of_each_operation = pytest.mark.parametrize("operation", OPERATIONS)


def call(operation: str, name: str) -> Call:
    row: Model = model(name)
    match operation:
        case "chat":
            return adapter.chat(ChatRequest(model=row.id, messages=(user("Hi"),)), row)
        case "images":
            return adapter.image(ImageRequest(model=row.id, prompt="Hi", size=Size(64, 64)), row)
        case "content":
            return adapter.content(ContentRequest(model=row.id, prompt="Hi"), row)
        case "embeddings":
            return adapter.embedding(EmbeddingRequest(model=row.id, inputs=("Hi",)), row)
        case "transcriptions":
            return adapter.transcription(TranscriptionRequest(model=row.id, file=upload(b"ID3")), row)
        case _:
            return adapter.speech(SpeechRequest(model=row.id, input="Hi", format="wav"), row)


@of_each_operation
@pytest.mark.parametrize(
    ("name", "status", "raises"),
    [
        ("fail-400", 400, UpstreamRejected),
        ("fail-401", 401, UpstreamError),
        ("fail-429", 429, UpstreamRateLimited),
        ("fail-500", 500, UpstreamError),
        ("unheard-of", 404, ModelNotFound),
    ],
)
def test_a_failing_model_fails_at_once(operation: str, name: str, status: int, raises: type[GatewayError]) -> None:
    answer = local_answer(call(operation, name))
    assert answer.status == status
    error = adapter.error(status, answer.headers, sent(answer.chunks))
    assert type(error) is raises
    assert "sk-" not in error.message
    assert error.retry_after == (7 if status == 429 else None)


@of_each_operation
def test_a_time_out_is_one_long_pause(operation: str) -> None:
    answer = local_answer(call(operation, "fail-timeout"))
    assert (answer.status, [*answer.chunks]) == (200, [3600.0])


@of_each_operation
def test_garbage_is_answered_with_success(operation: str) -> None:
    answer = local_answer(call(operation, "fail-garbage"))
    assert answer.status == 200
    assert b"<html>" in sent(answer.chunks)


WHOLE = [operation for operation in OPERATIONS if operation != "speech"]


@pytest.mark.parametrize("operation", WHOLE)
def test_a_whole_answer_has_no_middle_but_may_be_cut_or_late(operation: str) -> None:
    good = local_answer(call(operation, WORKERS[operation]))
    whole = sent(good.chunks)
    json.loads(whole)
    assert good.headers == {"content-type": "application/json"}
    assert local_answer(call(operation, "fail-midstream")).status == 500
    cut = sent(local_answer(call(operation, "fail-truncated")).chunks)
    assert whole[: len(cut)] != whole
    with pytest.raises(ValueError, match=r"Expecting|Unterminated"):
        json.loads(cut)
    late = [*local_answer(call(operation, "slow")).chunks]
    assert isinstance(late[0], float)
    assert late[0] >= 2
    json.loads(sent(late))


@of_each_operation
def test_a_model_does_only_its_own_work(operation: str) -> None:
    others = {*WORKERS.values()} - {WORKERS[operation]} - ({"image"} if operation == "chat" else set())
    for name in others:
        assert local_answer(call(operation, name)).status == 404


def loaded_by(operation: str) -> set[str]:
    """The sandbox's modules in a fresh interpreter that has built a call and answered it."""
    asked = call(operation, WORKERS[operation])
    program = f"""
import sys
from shared.providers.sandbox import adapter
answer = adapter.answer({asked.path!r}, {json.dumps(asked.json).encode()!r})
assert answer.status == 200
for chunk in answer.chunks: pass
print("\\n".join(name.removeprefix("shared.providers.sandbox") for name in sys.modules if "sandbox" in name))
"""
    command = [sys.executable, "-B", "-c", program]
    result = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    return {name.removeprefix(".").split(".")[0] for name in result.stdout.split()} - {""}


SHARED = {"answers", "behaviour"}
OWN: dict[str, set[str]] = {
    "images": {"images", "pictures", "png", "lettering", "triggers", "media", "tokens"},
    "content": {"content", "pictures", "png", "lettering", "triggers", "tokens"},
    "embeddings": {"embeddings", "vectors", "tokens"},
    "transcriptions": {"transcriptions", "dictation", "frames", "wav", "tokens"},
    "speech": {"speech", "voice", "wav"},
}


@of_each_operation
def test_an_operation_loads_no_other(operation: str) -> None:
    loaded = loaded_by(operation)
    if operation == "chat":
        others: set[Any] = set().union(*OWN.values()) - {"triggers", "media", "tokens", "frames"}
        assert not loaded & others
    else:
        assert loaded == SHARED | OWN[operation]
