"""What is peculiar to OpenAI and compatible vendors beyond chat."""

import base64
import json
import sys
from array import array
from typing import Any

import pytest

from shared.errors import (
    ContentFiltered,
    GatewayError,
    InvalidRequest,
    UnsupportedFeature,
    UpstreamError,
    UpstreamRateLimited,
)
from shared.framing import Frame, sse_frame
from shared.providers import load, load_vendor
from shared.providers.openai.embeddings import adapter as embeddings
from shared.providers.openai.images import adapter as images
from shared.providers.openai.speech import adapter as speech
from shared.providers.openai.transcription import adapter as transcription
from shared.schemas.content import Inline, Remote
from shared.schemas.embedding import EmbeddingRequest
from shared.schemas.image import ImageRequest, Size
from shared.schemas.model import Model
from shared.schemas.speech import SpeechRequest
from shared.schemas.transcription import (
    Transcript,
    TranscriptDelta,
    TranscriptDone,
    TranscriptEvent,
    TranscriptionRequest,
)
from shared.schemas.usage import Usage
from tests.providers.operations.openai import JPEG, MP3, PNG, in_base64, upload
from tests.providers.reading import streamed, whole
from tests.test_architecture import loaded_by


def model(*quirks: str, upstream: str = "vendor-m") -> Model:
    return Model(id="m", provider="p", upstream=upstream, owned_by="p", quirks=frozenset(quirks))


def image_json(*quirks: str, **fields: Any) -> Any:
    return images.call(ImageRequest(model="m", prompt="a cat", **fields), model(*quirks)).json


def talk(**fields: Any) -> TranscriptionRequest:
    return TranscriptionRequest(model="m", file=upload(MP3, "talk.mp3"), **fields)


def events(*frames: Frame | dict[str, Any]) -> list[TranscriptEvent]:
    """The events of a streamed transcript; objects are the data of frames without a name."""
    chunks = (
        sse_frame(*frame) if isinstance(frame, Frame) else sse_frame(json.dumps(frame).encode()) for frame in frames
    )
    return streamed(transcription, talk(stream=True), chunks)


@pytest.mark.parametrize(
    ("operation", "needed"),
    [
        (
            "chat",
            {
                *("abilities", "chat", "chat_answer", "chat_reader", "logprobs", "messages", "strict_schema", "usage"),
                *("responses", *(f"responses.{name}" for name in ("items", "original", "reader", "request"))),
            },
        ),
        ("images", {"images", "usage"}),
        ("embeddings", {"embeddings", "usage"}),
        ("transcription", {"transcription", "usage"}),
        ("speech", {"speech"}),
    ],
)
def test_an_operation_loads_its_own_modules_only(operation: str, needed: set[str]) -> None:
    loaded = loaded_by(f"from shared.providers import load\nload('openai', '{operation}')")
    package = "shared.providers.openai."
    assert {name.removeprefix(package) for name in loaded if name.startswith(package)} == {"vendor", *needed}
    assert "httpx" not in loaded


@pytest.mark.parametrize("operation", ["chat", "images", "embeddings", "transcription", "speech"])
def test_the_operations_share_a_vendor(operation: str) -> None:
    assert load("openai", operation).vendor is load_vendor("openai")


def test_an_operation_that_the_vendor_lacks_is_refused() -> None:
    with pytest.raises(InvalidRequest, match="'openai' does not support content"):
        load("openai", "content")


# --- images


def test_an_image_in_standard_base64_is_not_copied() -> None:
    encoded = in_base64(PNG)
    source = images.response({"data": [{"b64_json": encoded}]}).images[0].source
    assert isinstance(source, Inline)
    assert source.data is encoded


def test_an_image_in_url_safe_base64_becomes_standard() -> None:
    picture = PNG + bytes([0xFB, 0xFF, 0xFE])  # whatever follows a picture, here to have both letters in question
    encoded = base64.urlsafe_b64encode(picture).decode().rstrip("=")
    source = images.response({"data": [{"b64_json": encoded}]}).images[0].source
    assert source == Inline(media_type="image/png", data=in_base64(picture))


def test_an_image_that_only_has_a_url_is_remote() -> None:
    body = {"data": [{"url": "https://images.vendor.test/1.jpg", "revised_prompt": "a tabby"}], "usage": None}
    image = images.response(body).images[0]
    assert image.source == Remote(url="https://images.vendor.test/1.jpg")
    assert image.revised_prompt == "a tabby"


def test_bytes_that_are_no_image_are_not_passed_off_as_one() -> None:
    with pytest.raises(ValueError, match="not an image"):
        images.response({"data": [{"b64_json": in_base64(b"<svg></svg>")}]})


def test_images_that_were_moderated_away_are_left_out() -> None:
    data = [
        {"b64_json": in_base64(JPEG), "respect_moderation": False},
        {"b64_json": "", "url": ""},
        {"b64_json": in_base64(PNG), "respect_moderation": True},
    ]
    response = images.response({"data": data, "usage": {"cost_in_usd_ticks": 200000000}})
    assert [image.source for image in response.images] == [Inline(media_type="image/png", data=in_base64(PNG))]
    assert response.usage == Usage(images=1, cost=20_000)


@pytest.mark.parametrize("data", [[], [{"b64_json": in_base64(JPEG), "respect_moderation": False}]])
def test_an_answer_of_which_every_image_was_withheld_is_a_content_filter(data: Any) -> None:
    with pytest.raises(ContentFiltered):
        images.response({"data": data})


def test_an_error_in_the_place_of_images_is_raised() -> None:
    with pytest.raises(UpstreamRateLimited):
        images.response({"error": {"message": "slow down", "code": "rate_limit_exceeded"}})


@pytest.mark.parametrize("size", [Size(1024, 640), Size(640, 1024), Size(3840, 1280), Size(1280, 3840), Size(16, 16)])
def test_a_gpt_image_size_is_bounded_by_its_pixels_and_its_shape(size: Size) -> None:
    possible = size != Size(16, 16)
    if possible:
        assert image_json("image_b64_only", size=size)["size"] == str(size)
    else:
        with pytest.raises(GatewayError) as caught:
            image_json("image_b64_only", size=size)
        assert caught.value.param == "size"


def test_input_fidelity_is_sent_to_models_that_take_it() -> None:
    request = ImageRequest(model="m", prompt="a hat", images=(upload(PNG, "cat.png"),), input_fidelity="high")
    assert ("input_fidelity", "high") in (images.call(request, model("image_b64_only")).form or ())


def test_a_compatible_vendor_gets_edits_as_a_form() -> None:
    request = ImageRequest(model="m", prompt="a hat", images=(upload(PNG, "cat.png"),), style="vivid")
    call = images.call(request, model())
    assert call.path == "/images/edits"
    assert call.form == [
        ("model", "vendor-m"),
        ("prompt", "a hat"),
        ("style", "vivid"),
        ("response_format", "b64_json"),
        ("image", request.images[0]),
    ]


# --- embeddings


def test_openai_takes_two_thousand_inputs_a_call_and_others_fewer() -> None:
    assert embeddings.batch_size(model()) == 2048
    assert embeddings.batch_size(model("small_batches")) == 128


def test_base64_vectors_are_little_endian_wherever_they_are_read(monkeypatch: pytest.MonkeyPatch) -> None:
    there = array("f", [0.5, -2.0])
    there.byteswap()  # as a machine of the other kind would read the bytes
    monkeypatch.setattr(sys, "byteorder", "big" if sys.byteorder == "little" else "little")
    body = {"data": [{"embedding": in_base64(there.tobytes())}]}
    assert embeddings.response(body).vectors == (array("f", [0.5, -2.0]),)


@pytest.mark.parametrize("embedding", ["AAA", "AAAA", "A-AA", None, ["red"], 3])
def test_what_is_no_vector_is_not_read_as_one(embedding: Any) -> None:
    with pytest.raises((ValueError, TypeError)):
        embeddings.response({"data": [{"embedding": embedding}]})


def test_vectors_without_an_index_stay_in_their_order() -> None:
    body = {"data": [{"embedding": [2.0]}, {"embedding": [1.0]}], "usage": None}
    response = embeddings.response(body)
    assert response.vectors == (array("f", [2.0]), array("f", [1.0]))
    assert response.usage == Usage()


def test_a_vendor_that_refuses_user_does_not_get_it() -> None:
    request = EmbeddingRequest(model="m", inputs=("red",), user="user-1")
    assert "user" not in embeddings.call(request, model("no_user")).json


# --- transcription


def test_a_transcripts_file_is_handed_on_unread() -> None:
    request = talk()
    form = transcription.call(request, model()).form or ()
    assert form[0] == ("file", request.file)
    assert request.file.file.tell() == 0


def test_a_stream_of_a_transcript_is_asked_for() -> None:
    call = transcription.call(talk(stream=True), model())
    assert call.streamed
    assert ("stream", "true") in (call.form or ())
    assert not transcription.call(talk(), model()).streamed


@pytest.mark.parametrize(("quirks", "wanted"), [(("no_transcript_stream",), "json"), ((), "verbose_json")])
def test_what_cannot_be_streamed_is_refused(quirks: tuple[str, ...], wanted: Any) -> None:
    with pytest.raises(UnsupportedFeature, match=r"^stream: "):
        transcription.call(talk(stream=True, format=wanted), model(*quirks))


def test_a_streamed_transcript_comes_in_pieces_and_then_whole() -> None:
    usage = {"type": "tokens", "input_tokens": 14, "output_tokens": 3, "total_tokens": 17}
    assert events(
        {"type": "transcript.text.delta", "delta": "Hello"},
        {"type": "transcript.text.segment", "id": "s1", "start": 0, "end": 1, "speaker": "A", "text": "Hello"},
        {"type": "transcript.text.delta", "delta": " there."},
        {"type": "transcript.text.done", "text": "Hello there.", "languages": [], "usage": usage},
    ) == [
        TranscriptDelta("Hello"),
        TranscriptDelta(" there."),
        TranscriptDone(Transcript("Hello there.", usage=Usage(input_tokens=14, output_tokens=3))),
    ]


def test_a_whole_transcript_is_the_last_event_of_a_streamed_one() -> None:
    body = {"text": "Hello there.", "usage": {"type": "duration", "seconds": 3}}
    done = TranscriptDone(Transcript("Hello there.", usage=Usage(audio_seconds=3)))
    assert whole(transcription, talk(), json.dumps(body).encode()) == [done]
    assert events({"type": "transcript.text.done", **body}, Frame(b"[DONE]")) == [done]


def test_nothing_is_read_after_the_end_of_a_transcript() -> None:
    last = sse_frame(b'{"type": "transcript.text.done", "text": "Hello"}') + sse_frame(b'{"error": "late"}')
    assert streamed(transcription, talk(stream=True), [last]) == [TranscriptDone(Transcript("Hello"))]


def test_an_error_in_the_place_of_a_transcript_is_raised() -> None:
    with pytest.raises(UpstreamRateLimited):
        whole(transcription, talk(), b'{"error": {"message": "slow down", "code": "rate_limit_exceeded"}}')


@pytest.mark.parametrize("last", [(), (Frame(b"[DONE]"),)])
def test_a_streamed_transcript_that_breaks_off_is_an_error(last: tuple[Frame, ...]) -> None:
    with pytest.raises(UpstreamError):
        events({"type": "transcript.text.delta", "delta": "Hello"}, *last)


@pytest.mark.parametrize(
    "frame",
    [
        Frame(b'{"error": {"message": "slow down", "code": "rate_limit_exceeded"}}'),
        Frame(b'{"type": "error", "code": "rate_limit_exceeded", "message": "slow down"}'),
        Frame(b'{"code": "rate_limit_exceeded", "message": "slow down"}', "error"),
    ],
)
def test_an_error_inside_a_streamed_transcript_is_raised(frame: Frame) -> None:
    with pytest.raises(UpstreamRateLimited):
        events(frame)


# --- speech


def test_audio_is_handed_on_as_it_comes() -> None:
    request = SpeechRequest(model="m", input="Hi.")
    assert speech.call(request, model()).streamed
    assert streamed(speech, request, [b"ID3", b"\x00", b"", b"more"]) == [b"ID3", b"\x00", b"more"]
    assert whole(speech, request, b"ID3") == [b"ID3"]
