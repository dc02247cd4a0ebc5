"""What is peculiar to Gemini beyond chat; what every provider's operations must do is in test_operation_contract.py."""

import io
import json
import math
import wave
from array import array
from typing import Any, get_args

import pytest
from google.genai import types
from openai.types.audio.speech_create_params import Voice

from shared.catalog import Catalog
from shared.errors import (
    ContentFiltered,
    InvalidRequest,
    UpstreamError,
    UpstreamOverloaded,
)
from shared.framing import Frame
from shared.providers import load, load_vendor
from shared.schemas.image import ImageRequest, Size
from shared.schemas.model import Model
from shared.schemas.transcription import Transcript, TranscriptDelta, TranscriptDone, TranscriptEvent
from shared.settings import Settings
from tests.providers.operation_wire import Answer
from tests.providers.operations.gemini import (
    CONTENT,
    COUNTS,
    ENV,
    FLASH,
    HEARD_USAGE,
    PCM,
    SPOKEN,
    TALK,
    answer,
    blob,
    candidate,
    content,
    image,
    sound,
    speech,
    spoken,
    transcription,
)
from tests.providers.wires.gemini import OVERLOADED, PNG, body, stream
from tests.test_architecture import loaded_by

IMAGES, RAW, EMBEDDINGS, TRANSCRIPTION, SPEECH = OPERATIONS = [
    load("gemini", operation) for operation in ("images", "content", "embeddings", "transcription", "speech")
]
CATALOG = Catalog.load(Settings.from_environment(ENV))


def model(model_id: str = FLASH, *quirks: str) -> Model:
    found = CATALOG.find(model_id)
    return found.model_copy(update={"quirks": found.quirks | set(quirks)})


@pytest.mark.parametrize("adapter", OPERATIONS)
def test_every_operation_is_of_the_same_vendor(adapter: Any) -> None:
    assert adapter.vendor is load_vendor("gemini")


# --- images


def image_config(size: Size, *quirks: str) -> Any:
    request = ImageRequest(model=FLASH, prompt="x", size=size)
    return IMAGES.call(request, model(FLASH, *quirks)).json["generationConfig"]["imageConfig"]


@pytest.mark.parametrize(
    ("size", "expected"),
    [
        (Size(848, 1264), {"aspectRatio": "2:3"}),
        (Size(6336, 2688), {"aspectRatio": "21:9", "imageSize": "4K"}),
        (Size(1152, 928), {"aspectRatio": "5:4"}),
        (Size(1280, 720), {"aspectRatio": "16:9"}),
        (Size(768, 768), {"aspectRatio": "1:1"}),
        (Size(1500, 1500), {"aspectRatio": "1:1", "imageSize": "2K"}),
    ],
)
def test_size_becomes_the_nearest_ratio_and_resolution(size: Size, expected: Any) -> None:
    assert image_config(size) == expected


@pytest.mark.parametrize("size", [Size(512, 512), Size(8192, 8192), Size(1024, 1100), Size(1, 100_000)])
def test_size_that_is_near_none_is_refused_with_those_there_are(size: Size) -> None:
    with pytest.raises(InvalidRequest, match="1024x1024, 848x1264") as caught:
        image_config(size)
    assert caught.value.param == "size"
    assert len(caught.value.message) < 1000


def test_several_images_are_asked_for_at_once_where_the_model_can() -> None:
    sent = IMAGES.call(image(n=2), model()).json
    assert sent["generationConfig"]["candidateCount"] == 2


def test_image_that_is_standard_base64_already_is_not_copied() -> None:
    data = PNG.rstrip("=")[: len(PNG) // 4 * 4 - 4] + "".join(["AAAA"] * 100)
    response = IMAGES.response(answer(candidate(blob(data))))
    assert response.images[0].source.data is data  # type: ignore[union-attr]


@pytest.mark.parametrize("data", ["not base64!", "A", None])
def test_image_that_is_no_base64_is_not_passed_on(data: Any) -> None:
    with pytest.raises((ValueError, TypeError)):
        IMAGES.response(answer(candidate(blob(data))))


# --- raw content


@pytest.mark.parametrize("given", CONTENT.answers.values(), ids=CONTENT.answers)
def test_content_is_what_googles_own_client_understands(given: Answer) -> None:
    response = RAW.response(json.loads(given.body))
    typed = types.GenerateContentResponse.model_validate(response.body)
    assert typed.candidates
    assert all(each.content and each.content.parts is not None for each in typed.candidates)


def test_content_changes_the_names_that_are_googles_and_no_others() -> None:
    call = {"functionCall": {"name": "f", "args": {"someArg": {"innerArg": None}}}, "partMetadata": {"ownKey": 1}}
    result = {"functionResponse": {"name": "f", "response": {"ownKey": None}, "willContinue": False}}
    grounding = {"groundingChunks": [{"web": {"uri": "x", "title": None}}], "searchEntryPoint": {"sdkBlob": "-_-_AA"}}
    response = RAW.response(answer(candidate(call, result, groundingMetadata=grounding)))
    seen = response.body["candidates"][0]
    assert seen["content"]["parts"] == [
        {"function_call": {"name": "f", "args": {"someArg": {"innerArg": None}}}, "part_metadata": {"ownKey": 1}},
        {"function_response": {"name": "f", "response": {"ownKey": None}, "will_continue": False}},
    ]
    assert seen["grounding_metadata"] == {
        "grounding_chunks": [{"web": {"uri": "x"}}],
        "search_entry_point": {"sdk_blob": "+/+/AA=="},
    }


def test_content_keeps_thoughts_and_does_not_copy_images() -> None:
    data = PNG.rstrip("=")[: len(PNG) // 4 * 4 - 4] + "".join(["AAAA"] * 100)
    response = RAW.response(answer(candidate({"text": "Hm", "thought": True}, blob(data))))
    parts = response.body["candidates"][0]["content"]["parts"]
    assert parts[0] == {"text": "Hm", "thought": True}
    assert parts[1]["inline_data"]["data"] is data


@pytest.mark.parametrize(
    ("reason", "finish"),
    [
        ("SAFETY", "SAFETY"),
        ("BLOCKLIST", "BLOCKLIST"),
        ("IMAGE_SAFETY", "IMAGE_SAFETY"),
        ("JAILBREAK", "PROHIBITED_CONTENT"),
        ("OTHER", "OTHER"),
        ("BLOCKED_REASON_UNSPECIFIED", "OTHER"),
        ("SOMETHING_NEW", "OTHER"),
    ],
)
def test_blocked_prompt_ends_its_one_candidate_with_a_finish_reason(reason: str, finish: str) -> None:
    response = RAW.response({"promptFeedback": {"blockReason": reason}})
    assert response.body["candidates"][0]["finish_reason"] == finish
    assert finish in types.FinishReason.__members__
    assert response.body["usage_metadata"] == {
        "prompt_token_count": 0,
        "candidates_token_count": 0,
        "total_token_count": 0,
    }


def test_candidates_of_one_call_are_numbered() -> None:
    first, second = ({"content": {"parts": [{"text": text}]}} for text in "ab")
    body = RAW.response(answer(first, second, usageMetadata=dict(COUNTS))).body
    assert [(each["index"], each["content"]["role"]) for each in body["candidates"]] == [(0, "model"), (1, "model")]
    sent = RAW.call(content(candidate_count=2), model()).json
    assert sent["generationConfig"]["candidateCount"] == 2


# --- embeddings


def test_vectors_come_at_length_one_whatever_the_model_gave() -> None:
    body = {"embeddings": [{"values": [0.1] * 700}, {"values": [3e-20, 4e-20]}]}
    for vector in EMBEDDINGS.response(body).vectors:
        assert vector.typecode == "f"
        assert math.isclose(math.hypot(*vector), 1, rel_tol=1e-5)


def test_vectors_that_have_their_length_keep_their_values() -> None:
    values = [0.36, 0.48, 0.8]
    assert EMBEDDINGS.response({"embeddings": [{"values": values}]}).vectors == (array("f", values),)


def test_a_hundred_inputs_fit_in_one_call() -> None:
    assert EMBEDDINGS.batch_size(model("gemini-embedding-2")) == 100


# --- transcription


def transcript_events(*chunks: Any) -> list[TranscriptEvent]:
    """What a stream is read into."""
    reader = TRANSCRIPTION.reader(transcription(stream=True))
    events = [event for frame in TRANSCRIPTION.frames().feed(stream(*chunks)) for event in reader.frame(frame)]
    assert not reader.done
    return [*events, *reader.end()]


def test_transcript_is_streamed_as_it_is_understood() -> None:
    first, second, end = spoken({"text": SPOKEN[:7]}), spoken({"text": SPOKEN[7:]}), spoken()
    for chunk in (first, second):
        del chunk["candidates"][0]["finishReason"]
    assert transcript_events(first, second, end) == [
        TranscriptDelta(SPOKEN[:7]),
        TranscriptDelta(SPOKEN[7:]),
        TranscriptDone(Transcript(SPOKEN, usage=HEARD_USAGE)),
    ]
    whole = list(TRANSCRIPTION.reader(transcription()).body(body(spoken({"text": SPOKEN}))))
    assert whole == [TranscriptDelta(SPOKEN), TranscriptDone(Transcript(SPOKEN, usage=HEARD_USAGE))]
    with pytest.raises(UpstreamError, match="before it was complete"):
        transcript_events(first, second)
    with pytest.raises(UpstreamOverloaded):
        transcript_events(first, OVERLOADED)
    with pytest.raises(ContentFiltered):
        transcript_events(first, spoken(finish="SAFETY"))


def test_text_is_passed_on_before_its_frame_is_found_to_be_blocked() -> None:
    reader = TRANSCRIPTION.reader(transcription(stream=True))
    events = reader.frame(Frame(body(spoken({"text": SPOKEN}, finish="SAFETY"))))
    assert next(events) == TranscriptDelta(SPOKEN)
    with pytest.raises(ContentFiltered):
        next(events)


@pytest.mark.parametrize("streamed", [False, True])
def test_call_says_whether_the_transcript_is_streamed(streamed: bool) -> None:
    assert TRANSCRIPTION.call(transcription(stream=streamed), model()).streamed == streamed


def test_words_to_expect_are_a_thousand_at_most() -> None:
    request = transcription("gemini-3.5-transcribe", prompt=",".join(f"w{number}" for number in range(2000)))
    config = TRANSCRIPTION.call(request, model("gemini-3.5-transcribe")).json["generationConfig"]
    assert len(config["audioTranscriptionConfig"]["customVocabulary"]) == 1000


@pytest.mark.parametrize(
    ("language", "locale"), [("en", "en-US"), ("zh", "cmn-Hans-CN"), ("no", "nb-NO"), ("es", "es-419")]
)
def test_language_becomes_one_of_the_documented_locales(language: str, locale: str) -> None:
    request = transcription("gemini-3.5-transcribe", language=language)
    config = TRANSCRIPTION.call(request, model("gemini-3.5-transcribe")).json["generationConfig"]
    assert config == {"audioTranscriptionConfig": {"languageCodes": [locale]}}


# --- speech


def audio_of(*pieces: bytes, **options: Any) -> list[bytes]:
    """What a stream that arrives in these pieces is read into."""
    assert SPEECH.call(speech(**options), model("gemini-3.8-flash-tts")).streamed
    decoder, reader = SPEECH.frames(), SPEECH.reader(speech(**options))
    audio = [chunk for piece in pieces for frame in decoder.feed(piece) for chunk in reader.frame(frame)]
    assert not reader.done
    return [*audio, *reader.end()]


def test_audio_comes_as_it_arrives_however_the_body_is_split() -> None:
    assert audio_of(TALK) == [PCM[:7], PCM[7:]]
    assert audio_of(*(TALK[at : at + 1] for at in range(len(TALK)))) == [PCM[:7], PCM[7:]]


def test_whole_speech_is_the_same_audio() -> None:
    whole = body(answer({**sound(PCM), "finishReason": "STOP"}))
    assert list(SPEECH.reader(speech()).body(whole)) == [PCM]


def test_wav_can_be_read_without_its_length() -> None:
    with wave.open(io.BytesIO(b"".join(audio_of(TALK, format="wav")))) as sound:
        assert (sound.getframerate(), sound.getsampwidth(), sound.getnchannels()) == (24000, 2, 1)
        assert sound.readframes(len(PCM)) == PCM


@pytest.mark.parametrize("voice", [*get_args(get_args(Voice)[1]), "MARIN", "kOrE"])
def test_every_voice_of_openai_has_one_of_gemini_to_stand_in(voice: str) -> None:
    call = SPEECH.call(speech(voice=voice), model("gemini-3.8-flash-tts"))
    config = call.json["generationConfig"]["speechConfig"]["voiceConfig"]["prebuiltVoiceConfig"]
    assert config["voiceName"][0].isupper()


# --- what is loaded


@pytest.mark.parametrize(
    ("operation", "needed"),
    [
        (
            "chat",
            {
                *("chat_messages", "chat_reader", "chat_schema", "chat_sources", "requests", "responses", "thinking"),
                "usage",
            },
        ),
        ("images", {"requests", "responses", "usage"}),
        ("content", {"requests", "responses", "usage"}),
        ("embeddings", {"requests", "usage"}),
        ("transcription", {"requests", "responses", "thinking", "usage"}),
        ("speech", {"requests", "responses"}),
    ],
)
def test_an_operation_loads_its_own_modules_only(operation: str, needed: set[str]) -> None:
    package = "shared.providers.gemini."
    loaded = loaded_by(f"from shared.providers import load\nload('gemini', '{operation}')")
    expected = {"vendor", operation, *needed}
    assert {name.removeprefix(package) for name in loaded if name.startswith(package)} == expected
    assert "httpx" not in loaded
