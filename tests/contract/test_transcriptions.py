"""Transcription by the contract's numbers: I17 to I20 on /v1, S16 to S22 on /v1/inference, and hostile uploads."""

from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest
from openai.types.audio import Transcription, TranscriptionVerbose

from shared.stores.keys import KeyStore
from tests.client import frames, gateway_client, stream_of
from tests.contract.image_vendors import SentFile, form_of
from tests.contract.sounds import (
    AUDIO,
    BARE_MP3,
    BOUNDARY,
    ENVIRONMENT,
    FILM,
    GROQ_WHISPER,
    HOSTED_WHISPER,
    M4A,
    NO_AUDIO,
    PNG,
    SEGMENTS,
    SRT,
    STREAM,
    STREAMING,
    TEXT,
    TOKENS,
    VTT,
    WAV,
    WHISPER,
    WORDS,
    body,
    in_pieces,
    listen,
    multipart,
    part,
    plain_fields,
    wav,
)
from tests.contract.vendor import Handler, Vendor, answering, frame, raising
from tests.contract.wire import assert_broken_stream, assert_error

pytestmark = pytest.mark.anyio

OPENAI = "/v1/audio/transcriptions"
ENVELOPE = "/v1/inference/audio/transcribe"
ROUTES = [OPENAI, ENVELOPE]
SANDBOX = "sandbox/transcription"
FORMATS = ["json", "text", "srt", "vtt", "verbose_json"]
GRANULARITIES = "timestamp_granularities"

on_both = pytest.mark.parametrize("path", ROUTES)


@pytest.fixture
async def listener(keys: KeyStore) -> AsyncIterator[Vendor]:
    """OpenAI, DeepInfra and Groq, which write down what they hear, and the sandbox."""
    vendor = Vendor(listen)
    async with gateway_client(keys, ENVIRONMENT, vendor) as vendor.client:
        yield vendor


async def send(client: httpx.AsyncClient, path: str, recording: bytes = WAV, **fields: Any) -> httpx.Response:
    """A recording as client libraries send it; a field of None is left out."""
    data = {"model": WHISPER, **fields}
    given = {name: value for name, value in data.items() if value is not None}
    return await client.post(path, data=given, files={"file": ("talk.wav", recording, "audio/wav")})


async def answered(client: httpx.AsyncClient, path: str, recording: bytes = WAV, **fields: Any) -> httpx.Response:
    response = await send(client, path, recording, **fields)
    assert response.status_code == 200, response.text[:1000]
    return response


async def data_of(client: httpx.AsyncClient, **fields: Any) -> Any:
    """The data of an enveloped answer."""
    response = await answered(client, ENVELOPE, **fields)
    body = response.json()
    assert response.headers["content-type"] == "application/json"
    assert body.keys() == {"status", "data", "meta"}
    assert (body["status"], body["meta"]) == ("ok", {"request_id": response.headers["x-request-id"]})
    return body["data"]


def sent_form(vendor: Vendor) -> dict[str, Any]:
    """What the vendor got: each field's values, and its one file."""
    (request,) = vendor.requests
    return {**form_of(request)}


# --- /v1


async def test_I17_a_form_is_written_down(listener: Vendor) -> None:
    response = await answered(listener.client, OPENAI, model=HOSTED_WHISPER)
    Transcription.model_validate(response.json(), strict=True)
    assert response.json()["text"] == TEXT
    assert response.headers["x-gateway-model"] == HOSTED_WHISPER
    assert response.headers["x-gateway-backend"] == f"deepinfra/{HOSTED_WHISPER}"
    (request,) = listener.requests
    assert request.url.path == "/v1/openai/audio/transcriptions"
    assert request.headers["content-type"].startswith("multipart/form-data; boundary=")
    form = sent_form(listener)
    assert form["model"] == [HOSTED_WHISPER]
    assert form["file"] == [SentFile("talk.wav", "audio/wav", WAV)]


@pytest.mark.parametrize("model", [SANDBOX, WHISPER, HOSTED_WHISPER, GROQ_WHISPER, "whisper-large-v3"])
@pytest.mark.parametrize("sent_as", ["audio/mp4", "audio/x-m4a", "application/octet-stream", "image/png"])
async def test_I18_m4a_is_accepted_whatever_the_client_calls_it(listener: Vendor, model: str, sent_as: str) -> None:
    response = await listener.client.post(OPENAI, data={"model": model}, files={"file": ("example.m4a", M4A, sent_as)})
    assert response.status_code == 200, response.text
    assert response.json()["text"]
    if model != SANDBOX:
        assert sent_form(listener)["file"] == [SentFile("example.m4a", "audio/mp4", M4A)]


@on_both
async def test_I19_language_and_prompt_reach_the_provider(listener: Vendor, path: str) -> None:
    prompt = "This is a Chinese conversation, 包括标点。"
    await answered(listener.client, path, model=HOSTED_WHISPER, language="zh", prompt=prompt)
    form = sent_form(listener)
    assert form["language"] == ["zh"]
    assert form["prompt"] == [prompt]


@pytest.mark.parametrize("name", ["keywords", "keywords[]"])
async def test_keywords_and_languages_are_lists_of_the_models_that_have_them(listener: Vendor, name: str) -> None:
    fields = {"languages[]": ["de", "en"], name: ["Köln", "Rhein"]}
    await answered(listener.client, OPENAI, model="gpt-transcribe", prompt="A talk.", **fields)
    form = sent_form(listener)
    assert form["languages[]"] == ["de", "en"]
    assert form["keywords[]"] == ["Köln", "Rhein"]
    assert form["prompt"] == ["A talk."]


async def test_keywords_are_in_the_prompt_of_other_models(listener: Vendor) -> None:
    await answered(listener.client, OPENAI, prompt="A talk.", keywords='["Köln", "Rhein"]', languages="de,en")
    form = sent_form(listener)
    assert form["prompt"] == ["A talk.\nKöln, Rhein"]
    assert form.keys() == {"file", "model", "prompt", "response_format"}


@pytest.mark.parametrize("field", ["include[]", "known_speaker_names[]", "known_speaker_references[]"])
async def test_a_field_on_which_nothing_acts_is_a_400(listener: Vendor, field: str) -> None:
    response = await send(listener.client, OPENAI, **{field: "logprobs"})
    assert_error(response, "validation", field=field.removesuffix("[]"))
    assert not listener.requests


@pytest.mark.parametrize("value", ["x" * 201, "[1]", "[", ",".join("x" * 101)])
async def test_a_list_of_words_that_is_none_is_a_400(listener: Vendor, value: str) -> None:
    assert_error(await send(listener.client, OPENAI, keywords=value), "validation", field="keywords")


async def test_I19_nothing_is_made_up_of_what_was_not_sent(listener: Vendor) -> None:
    await answered(listener.client, OPENAI, model=HOSTED_WHISPER)
    assert sent_form(listener).keys() == {"file", "model", "response_format"}


async def test_I20_the_answer_is_the_text(client: httpx.AsyncClient) -> None:
    response = await answered(client, OPENAI, model=SANDBOX)
    assert response.headers["content-type"] == "application/json"
    assert response.json().keys() == {"text", "usage"}
    assert response.json()["text"]


async def test_I20_a_vendor_that_counts_nothing_is_answered_by_the_text_alone(listener: Vendor) -> None:
    listener.answer = lambda request: httpx.Response(200, json={"text": TEXT})
    assert (await answered(listener.client, OPENAI)).json() == {"text": TEXT}


# --- /v1/inference


async def test_S16_a_form_is_answered_in_the_envelope(client: httpx.AsyncClient) -> None:
    data = await data_of(client, model=SANDBOX)
    assert data["text"]
    response = await client.post(ENVELOPE, json={"model": SANDBOX})
    assert_error(response, "malformed")


@on_both
@pytest.mark.parametrize("model", [None, ""])
async def test_S17_the_model_is_required(client: httpx.AsyncClient, path: str, model: Any) -> None:
    assert_error(await send(client, path, model=model), "validation", field="model")


@on_both
@pytest.mark.parametrize("language", ["zh", "de", "EN", "yue", "zh-Hans", "pt-BR"])
async def test_S18_language_is_a_code_of_iso_639_1(listener: Vendor, path: str, language: str) -> None:
    await answered(listener.client, path, language=language)
    assert sent_form(listener)["language"] == [language]


@on_both
@pytest.mark.parametrize("language", ["chinese", "z", "z!", "zh\r\nx: y", "1a", "zh-", "../zh"])
async def test_S18_what_is_no_language_is_refused(listener: Vendor, path: str, language: str) -> None:
    assert_error(await send(listener.client, path, language=language), "validation", field="language")
    assert listener.requests == []


@on_both
@pytest.mark.parametrize(("given", "sent"), [("0", "0.0"), ("0.0", "0.0"), ("1", "1.0"), ("0.25", "0.25")])
async def test_S19_temperature_goes_from_0_to_1(listener: Vendor, path: str, given: str, sent: str) -> None:
    await answered(listener.client, path, temperature=given)
    assert sent_form(listener)["temperature"] == [sent]


@on_both
@pytest.mark.parametrize("temperature", ["1.5", "-0.1", "nan", "inf", "hot", "1e400", "true", "null"])
async def test_S19_another_temperature_is_refused(listener: Vendor, path: str, temperature: str) -> None:
    assert_error(await send(listener.client, path, temperature=temperature), "validation", field="temperature")
    assert listener.requests == []


async def test_S20_the_prompt_is_what_to_expect(client: httpx.AsyncClient) -> None:
    assert (await data_of(client, model=SANDBOX, prompt="Aardvarks, mostly"))["text"].startswith("Aardvarks, mostly")


@on_both
async def test_S20_a_prompt_without_end_is_refused(listener: Vendor, path: str) -> None:
    assert_error(await send(listener.client, path, prompt="p" * 20_001), "validation", field="prompt")


@pytest.mark.parametrize(
    ("response_format", "text"),
    [(None, TEXT + "\n"), ("text", TEXT + "\n"), ("json", TEXT), ("srt", SRT), ("vtt", VTT)],
)
async def test_S21_text_and_subtitles_come_in_the_envelope(
    listener: Vendor, response_format: str | None, text: str
) -> None:
    data = await data_of(listener.client, response_format=response_format)
    assert data["text"] == text
    assert data.keys() <= {"text", "usage"}


async def test_S21_verbose_json_adds_language_duration_and_segments(listener: Vendor) -> None:
    data = await data_of(listener.client, response_format="verbose_json")
    assert (data["language"], data["duration"], data["text"]) == ("english", 60.0, TEXT)
    assert data["segments"] == SEGMENTS
    assert "words" not in data


@on_both
@pytest.mark.parametrize("response_format", ["mp3", "JSON", "diarized_json", "json, text", "xml"])
async def test_S21_another_format_is_refused(listener: Vendor, path: str, response_format: str) -> None:
    response = await send(listener.client, path, response_format=response_format)
    assert_error(response, "validation", field="response_format")
    assert listener.requests == []


@pytest.mark.parametrize(
    ("response_format", "media_type", "text"),
    [("text", "text/plain", TEXT + "\n"), ("srt", "text/plain", SRT), ("vtt", "text/vtt", VTT)],
)
async def test_on_v1_text_and_subtitles_are_bare(
    listener: Vendor, response_format: str, media_type: str, text: str
) -> None:
    response = await answered(listener.client, OPENAI, response_format=response_format)
    assert response.headers["content-type"] == f"{media_type}; charset=utf-8"
    assert response.text == text
    assert response.headers["x-request-id"]


async def test_on_v1_verbose_json_is_openais_object(listener: Vendor) -> None:
    response = await answered(listener.client, OPENAI, response_format="verbose_json")
    TranscriptionVerbose.model_validate(response.json(), strict=True)
    assert response.json() == {
        "task": "transcribe",
        "language": "english",
        "duration": 60.0,
        "text": TEXT,
        "segments": SEGMENTS,
        "usage": {"type": "duration", "seconds": 60.0},
    }


async def test_on_v1_json_has_the_vendors_tokens(listener: Vendor) -> None:
    response = await answered(listener.client, OPENAI, model=STREAMING)
    assert response.json() == {"text": TEXT, "usage": TOKENS}


@on_both
@pytest.mark.parametrize("response_format", FORMATS)
async def test_every_format_is_answered_by_the_sandbox(
    client: httpx.AsyncClient, path: str, response_format: str
) -> None:
    response = await answered(client, path, wav(3.0), model=SANDBOX, response_format=response_format)
    text = response.json()["data"]["text"] if path == ENVELOPE else response.text
    assert len(text.split()) > 3
    assert (" --> " in text) == (response_format in ("srt", "vtt"))


_SPELLINGS: list[tuple[list[str], list[tuple[str, str]]]] = [
    (["segment"], [(GRANULARITIES, "segment")]),
    (["word"], [(f"{GRANULARITIES}[]", "word")]),
    (["segment", "word"], [(GRANULARITIES, "word"), (GRANULARITIES, "segment")]),
    (["segment", "word"], [(f"{GRANULARITIES}[]", "word"), (f"{GRANULARITIES}[]", "segment")]),
    (["segment", "word"], [(GRANULARITIES, "word"), (f"{GRANULARITIES}[]", "segment")]),
    (["segment", "word"], [(GRANULARITIES, '["segment", "word"]')]),
    (["word"], [(f"{GRANULARITIES}[]", '["word"]')]),
    (["segment", "word"], [(GRANULARITIES, "segment,word")]),
    (["segment", "word"], [(f"{GRANULARITIES}[]", " word , segment ")]),
    (["word"], [(GRANULARITIES, "word"), (GRANULARITIES, "word")]),
]


@on_both
@pytest.mark.parametrize(("wanted", "spelling"), _SPELLINGS, ids=lambda value: str(value))
async def test_S22_granularities_are_read_in_every_spelling(
    listener: Vendor, path: str, wanted: list[str], spelling: list[tuple[str, str]]
) -> None:
    parts = [part(name, value) for name, value in spelling]
    form = [part("model", WHISPER), part("response_format", "verbose_json"), part("file", WAV, "a.wav"), *parts]
    response = await listener.client.post(path, **multipart(*form))
    assert response.status_code == 200, response.text
    answer = response.json()["data"] if path == ENVELOPE else response.json()
    assert ("segments" in answer) == ("segment" in wanted)
    assert answer.get("words") == (WORDS if "word" in wanted else None)
    assert sent_form(listener)[f"{GRANULARITIES}[]"] == wanted


@on_both
@pytest.mark.parametrize("value", ["sentence", "segment,sentence", '["word"', "[1]", "[[]]", "[{}]", "[" * 9999, "{}"])
async def test_S22_another_granularity_is_refused(listener: Vendor, path: str, value: str) -> None:
    response = await send(listener.client, path, WAV, response_format="verbose_json", **{GRANULARITIES: value})
    assert_error(response, "validation", field=GRANULARITIES)
    assert listener.requests == []


@on_both
@pytest.mark.parametrize("response_format", [None, "json", "text", "srt", "vtt"])
async def test_S22_granularities_need_verbose_json(listener: Vendor, path: str, response_format: str | None) -> None:
    response = await send(listener.client, path, WAV, response_format=response_format, **{GRANULARITIES: "word"})
    assert "verbose_json" in assert_error(response, "validation", field=GRANULARITIES)


@on_both
@pytest.mark.parametrize("wanted", ["segment", "word", "segment,word"])
async def test_S22_the_sandbox_has_both(client: httpx.AsyncClient, path: str, wanted: str) -> None:
    response = await answered(
        client, path, wav(3.0), model=SANDBOX, response_format="verbose_json", **{GRANULARITIES: wanted}
    )
    answer = response.json()["data"] if path == ENVELOPE else response.json()
    TranscriptionVerbose.model_validate(answer)
    for granularity, name in (("segment", "segments"), ("word", "words")):
        assert bool(answer.get(name)) == (granularity in wanted)


# --- files by their bytes


@on_both
@pytest.mark.parametrize(("media_type", "recording"), [*AUDIO.items(), ("audio/mp4", FILM), ("audio/mpeg", BARE_MP3)])
async def test_a_recording_is_known_by_its_bytes(
    listener: Vendor, path: str, media_type: str, recording: bytes
) -> None:
    response = await listener.client.post(
        path, data={"model": WHISPER}, files={"file": ("notes.txt", recording, "text/plain")}
    )
    assert response.status_code == 200, response.text
    assert sent_form(listener)["file"] == [SentFile("notes.txt", media_type, recording)]


@on_both
@pytest.mark.parametrize("kind", NO_AUDIO)
async def test_what_is_no_recording_is_refused_whatever_it_is_called(listener: Vendor, path: str, kind: str) -> None:
    response = await send(listener.client, path, NO_AUDIO[kind])
    assert "m4a" in assert_error(response, "validation", field="file")
    assert listener.requests == []


@on_both
@pytest.mark.parametrize(
    ("given", "told"),
    [
        ("../../etc/passwd", "passwd"),
        ("..\\\\..\\\\boot.ini", "boot.ini"),
        ("C:\\\\Users\\\\me\\\\talk.m4a", "talk.m4a"),
        ("Gespräch 会話.m4a", "Gespräch 会話.m4a"),
        ('a\\"; name=\\"model', "a__ name__model"),
        ("a\x00b.wav", "a_b.wav"),
        ("<script>.wav", "_script_.wav"),
        ("a" * 300 + ".wav", "a" * 96 + ".wav"),
        ("", "upload"),
        ("/", "upload"),
    ],
)
async def test_a_file_name_does_no_harm(listener: Vendor, path: str, given: str, told: str) -> None:
    form = [part("model", WHISPER), part("file", WAV, given)]
    response = await listener.client.post(path, **multipart(*form))
    assert response.status_code == 200, response.text
    (request,) = listener.requests
    assert f'name="file"; filename="{told}"\r\n'.encode() in request.content
    assert sent_form(listener)["file"][0].content == WAV
    assert sent_form(listener)["model"] == [WHISPER]


@on_both
async def test_a_header_cannot_be_smuggled_into_the_vendors_form(listener: Vendor, path: str) -> None:
    form = [
        part("model", WHISPER),
        part("prompt", 'x\r\n--a1b2--\r\nContent-Disposition: form-data; name="model"\r\n\r\nother'),
        part("file", WAV, "a.wav", "X-Evil: 1", "Content-Type: audio/wav\t; x=y"),
    ]
    await listener.client.post(path, **multipart(*form[:1], form[2]))
    (request,) = listener.requests
    assert b"X-Evil" not in request.content
    assert b"x=y" not in request.content


# --- hostile forms


@on_both
@pytest.mark.parametrize(
    ("field", "parts"),
    [
        ("file", []),
        ("file", [part("file", WAV, "a.wav"), part("file", WAV, "b.wav")]),
        ("file", [part("file", b"", "a.wav")]),
        ("file", [part("file", WAV)]),
        ("file", [part("file", "https://example.com/a.wav")]),
        ("file", [part("file", "")]),
        ("file", [part("audio", WAV, "a.wav")]),
        ("file", [part("file[]", WAV, "a.wav")]),
        ("file_id", [part("file", WAV, "a.wav"), part("file_id", "file-1")]),
        ("file_id", [part("file_id", "file-1"), part("file_id", "file-2")]),
        ("file", [part("file_id", "")]),
        ("other", [part("file", WAV, "a.wav"), part("other", b"", "b.wav")]),
    ],
    ids=[
        "missing",
        "two",
        "empty",
        "no-filename",
        "url",
        "empty-text",
        "other-name",
        "brackets",
        "file-and-id",
        "two-ids",
        "empty-id",
        "another-empty",
    ],
)
async def test_there_must_be_one_file(listener: Vendor, path: str, field: str, parts: list[bytes]) -> None:
    response = await listener.client.post(path, **multipart(part("model", WHISPER), *parts))
    assert_error(response, "validation", field=field)
    assert listener.requests == []


@on_both
@pytest.mark.parametrize(
    "parts",
    [
        [part("prompt", b"p" * 300_000)],
        [part("p" * 100_000, b"x")],
        [part("x", b"y")] * 200,
        [part("x", WAV, "a.wav")] * 30,
        [part("x", b"y", None, *[f"X-Header-{number}: x" for number in range(2000)])],
    ],
    ids=["huge-field", "huge-name", "many-fields", "many-files", "many-headers"],
)
async def test_a_form_out_of_all_proportion_is_refused(listener: Vendor, path: str, parts: list[bytes]) -> None:
    form = [part("model", WHISPER), part("file", WAV, "a.wav"), *parts]
    response = await listener.client.post(path, **multipart(*form))
    if response.status_code != 200:  # a long name alone does no harm
        assert_error(response, "malformed")
        assert listener.requests == []
    else:
        assert sent_form(listener).keys() == {"model", "file", "response_format"}


GOOD = [part("model", WHISPER), part("file", WAV, "a.wav")]
_CUT = body(GOOD)


@on_both
@pytest.mark.parametrize(
    ("content_type", "content"),
    [
        (f"multipart/form-data; boundary=other{BOUNDARY}", _CUT),
        ("multipart/form-data", _CUT),
        ("multipart/form-data; boundary=", _CUT),
        ("multipart/form-data; boundary=" + "b" * 5000, _CUT),
        ("multipart/form-data; boundary*=utf-8''%E4%BD%A0", _CUT),
        (b"multipart/form-data; boundary=\xff", _CUT),
        ("multipart/mixed; boundary=a1b2", _CUT),
        ("application/x-www-form-urlencoded", b"model=whisper-1"),
        ("application/json", b'{"model": "whisper-1"}'),
        ("audio/wav", WAV),
        ("", _CUT),
        (f"multipart/form-data; boundary={BOUNDARY}", b""),
        (f"multipart/form-data; boundary={BOUNDARY}", b"no form at all"),
        (f"multipart/form-data; boundary={BOUNDARY}", WAV),
        (f"multipart/form-data; boundary={BOUNDARY}", _CUT[:-40]),
        (
            f"multipart/form-data; boundary={BOUNDARY}",
            b"--a1b2\r\nContent-Disposition: form-data\r\n\r\nx\r\n--a1b2--\r\n",
        ),
        (f"multipart/form-data; boundary={BOUNDARY}", b"--a1b2\r\n\xff\xfe: \x00\r\n\r\nx\r\n--a1b2--\r\n"),
    ],
    ids=[
        "wrong-boundary",
        "no-boundary",
        "empty-boundary",
        "long-boundary",
        "encoded-boundary",
        "binary-boundary",
        "mixed",
        "urlencoded",
        "json",
        "audio",
        "no-type",
        "empty-body",
        "text",
        "recording",
        "cut-off",
        "no-name",
        "binary-header",
    ],
)
async def test_what_is_no_form_is_refused(
    listener: Vendor, path: str, content_type: str | bytes, content: bytes
) -> None:
    encoded = content_type.encode() if isinstance(content_type, str) else content_type
    response = await listener.client.post(path, content=content, headers=[(b"content-type", encoded)])
    assert_error(response, "malformed")
    assert listener.requests == []


@on_both
@pytest.mark.parametrize("charset", ["raw_unicode_escape", "utf-7", "utf-16", "idna", "zlib", "undefined", "nonsense"])
@pytest.mark.parametrize("name", ["model", "prompt", "language", "file_id", "response_format", GRANULARITIES])
async def test_no_charset_makes_a_crash_of_a_form(listener: Vendor, path: str, charset: str, name: str) -> None:
    form = [part("model", WHISPER), part("file", WAV, "a.wav"), part(name, rb"\ud800+2AA-")]
    response = await listener.client.post(path, **multipart(*form, more=f"; charset={charset}"))
    assert response.status_code in (200, 400, 404, 422), response.text


@on_both
@pytest.mark.parametrize(
    "parameters",
    [
        "boundary=a1b2",
        'boundary="a1b2"',
        "BOUNDARY=a1b2",
        "charset=utf-8; boundary=a1b2",
        'boundary="a1b2" ; charset=x',
    ],
)
async def test_a_boundary_is_read_in_every_spelling(listener: Vendor, path: str, parameters: str) -> None:
    headers = {"content-type": f"Multipart/Form-Data; {parameters}"}
    assert (await listener.client.post(path, content=_CUT, headers=headers)).status_code == 200


@on_both
@pytest.mark.parametrize("boundary", ["=_x'()+,./:?-", "----WebKitFormBoundary7MA4YWxkTrZu0gW", "a;b c"])
async def test_a_boundary_may_have_what_a_quoted_string_may(listener: Vendor, path: str, boundary: str) -> None:
    content = _CUT.replace(BOUNDARY.encode(), boundary.encode())
    headers = {"content-type": f'multipart/form-data; boundary="{boundary}"'}
    assert (await listener.client.post(path, content=content, headers=headers)).status_code == 200


@on_both
async def test_a_charset_does_not_cost_the_time_of_others(listener: Vendor, path: str) -> None:
    """Python's punycode takes a quarter of a minute for a quarter of a megabyte."""
    form = [*GOOD, part("prompt", b"abc-" + b"b" * 19_000)]
    response = await listener.client.post(path, **multipart(*form, more="; charset=punycode"))
    assert response.status_code == 200, response.text
    assert sent_form(listener)["prompt"] == ["abc-" + "b" * 19_000]


@on_both
async def test_a_form_that_comes_in_small_pieces_is_whole(listener: Vendor, path: str) -> None:
    recording = wav(20.0)
    content = body([part("file", recording, "a.wav"), part("model", WHISPER)])
    headers = {"content-type": f"multipart/form-data; boundary={BOUNDARY}"}
    response = await listener.client.post(path, content=stream_of(in_pieces(content, 777)), headers=headers)
    assert response.status_code == 200, response.text
    assert sent_form(listener)["file"][0].content == recording


@on_both
async def test_the_order_of_fields_makes_no_difference_and_unknown_ones_are_ignored(
    listener: Vendor, path: str
) -> None:
    form = [
        part("file", WAV, "a.wav"),
        part("chunking_strategy", "auto"),
        part("colour[]", "x"),
        part("model", WHISPER),
    ]
    response = await listener.client.post(path, **multipart(*form))
    assert response.status_code == 200, response.text
    assert sent_form(listener).keys() == {"file", "model", "response_format"}


@on_both
async def test_an_empty_field_is_one_that_was_left_out(listener: Vendor, path: str) -> None:
    await answered(listener.client, path, language="", prompt="", temperature="", response_format="", file_id="")
    assert sent_form(listener).keys() == {"file", "model", "response_format"}


# --- sizes


@on_both
@pytest.mark.parametrize("declared", [True, False])
async def test_an_upload_past_the_limit_names_the_way_around_it(keys: KeyStore, path: str, declared: bool) -> None:
    async with gateway_client(keys, {"GATEWAY_SANDBOX": "on", "GATEWAY_MAX_BODY": str(2**21)}) as client:
        content = body([part("model", SANDBOX), part("file", wav(200.0), "a.wav")])
        headers = {"content-type": f"multipart/form-data; boundary={BOUNDARY}"}
        sent: Any = content if declared else stream_of(in_pieces(content))
        message = assert_error(await client.post(path, content=sent, headers=headers), "too_large")
    assert "2 MB" in message
    assert "/v1/files" in message
    assert "file_id" in message


@on_both
async def test_a_recording_of_many_megabytes_reaches_the_vendor_whole(listener: Vendor, path: str) -> None:
    recording = wav(25 * 60)  # 24 MB
    await answered(listener.client, path, recording)
    assert sent_form(listener)["file"] == [SentFile("talk.wav", "audio/wav", recording)]


# --- streams


async def test_a_stream_is_openais_events(listener: Vendor) -> None:
    response = await answered(listener.client, OPENAI, model=STREAMING, stream="true")
    assert response.headers["content-type"].startswith("text/event-stream")
    assert frames(response.content) == [
        {"type": "transcript.text.delta", "delta": "Hello there."},
        {"type": "transcript.text.delta", "delta": " How are you?"},
        {"type": "transcript.text.done", "text": TEXT, "usage": TOKENS},
        "[DONE]",
    ]
    assert sent_form(listener)["stream"] == ["true"]


@pytest.mark.parametrize("response_format", ["json", "text"])
@pytest.mark.parametrize("spelling", ["true", "True", "1"])
async def test_the_sandbox_streams_what_it_says_whole(
    client: httpx.AsyncClient, response_format: str, spelling: str
) -> None:
    whole = (await answered(client, OPENAI, model=SANDBOX)).json()
    response = await answered(client, OPENAI, model=SANDBOX, stream=spelling, response_format=response_format)
    *deltas, done, end = frames(response.content)
    assert len(deltas) > 2
    assert "".join(delta["delta"] for delta in deltas) == done["text"] == whole["text"]
    assert done["usage"] == whole["usage"]
    assert end == "[DONE]"


@pytest.mark.parametrize("value", ["false", "0", ""])
async def test_no_stream_is_no_stream(listener: Vendor, value: str) -> None:
    assert (await answered(listener.client, OPENAI, stream=value)).json()["text"] == TEXT
    assert "stream" not in sent_form(listener)


@pytest.mark.parametrize("response_format", ["srt", "vtt", "verbose_json"])
async def test_a_stream_of_subtitles_is_refused(listener: Vendor, response_format: str) -> None:
    response = await send(listener.client, OPENAI, model=STREAMING, stream="true", response_format=response_format)
    assert_error(response, "validation", field="stream")
    assert listener.requests == []


async def test_a_stream_that_is_neither_on_nor_off_is_refused(listener: Vendor) -> None:
    assert_error(await send(listener.client, OPENAI, stream="maybe"), "validation", field="stream")


@pytest.mark.parametrize("model", [WHISPER, HOSTED_WHISPER, GROQ_WHISPER])
async def test_a_vendor_that_does_not_stream_transcripts_says_so(listener: Vendor, model: str) -> None:
    response = await send(listener.client, OPENAI, model=model, stream="true")
    assert "stream" in assert_error(response, "unsupported")
    assert listener.requests == []


async def test_the_envelope_has_no_stream(listener: Vendor) -> None:
    assert (await data_of(listener.client, model=STREAMING, stream="true"))["text"].strip() == TEXT
    assert "stream" not in sent_form(listener)


async def test_a_stream_that_fails_before_it_begins_keeps_its_status(listener: Vendor) -> None:
    listener.answer = answering(429, headers={"retry-after": "4"})
    response = await send(listener.client, OPENAI, model=STREAMING, stream="true")
    assert_error(response, "rate_limited", retry_after=4)
    listener.answer = answering(200, frame({"error": {"message": "no", "code": "rate_limit_exceeded"}}))
    response = await send(listener.client, OPENAI, model=STREAMING, stream="true")
    assert response.status_code == 429


@pytest.mark.parametrize(
    "ending",
    [b"", frame({"error": {"message": "boom", "type": "server_error"}}), b"data: {\n\n", b"data: [DONE]\n\n"],
    ids=["cut-off", "error", "no-json", "early-end"],
)
async def test_a_stream_that_breaks_says_so_and_does_not_end_well(listener: Vendor, ending: bytes) -> None:
    listener.answer = answering(200, STREAM[0] + ending)
    response = await answered(listener.client, OPENAI, model=STREAMING, stream="true")
    assert frames(response.content)[0]["delta"] == "Hello there."
    assert_broken_stream(response, "upstream")


@pytest.mark.parametrize("model", ["sandbox/fail-midstream", "sandbox/fail-truncated"])
async def test_a_sandbox_that_breaks_off_says_so(client: httpx.AsyncClient, model: str) -> None:
    response = await answered(client, OPENAI, model=model, stream="true")
    assert len(frames(response.content)) > 1
    assert_broken_stream(response, "upstream")


# --- models and vendors


@on_both
@pytest.mark.parametrize("response_format", ["srt", "vtt", "verbose_json"])
async def test_a_model_without_times_refuses_what_needs_them(listener: Vendor, path: str, response_format: str) -> None:
    response = await send(listener.client, path, model=STREAMING, response_format=response_format)
    assert "response_format" in assert_error(response, "unsupported")
    assert listener.requests == []


@on_both
async def test_an_unknown_model_is_not_found(client: httpx.AsyncClient, path: str) -> None:
    assert "nobody" in assert_error(await send(client, path, model="nobody/nothing"), "model_not_found")


@on_both
async def test_a_model_that_does_not_transcribe_says_so(client: httpx.AsyncClient, path: str) -> None:
    assert "transcription" in assert_error(await send(client, path, model="sandbox/chat"), "unsupported")


@on_both
async def test_a_key_may_be_kept_from_a_model(client: httpx.AsyncClient, path: str) -> None:
    headers = {"authorization": "Bearer sk-one-model"}
    response = await client.post(path, **_with(multipart(part("model", SANDBOX), part("file", WAV, "a")), headers))
    assert_error(response, "model_access")


def _with(arguments: dict[str, Any], headers: dict[str, str]) -> dict[str, Any]:
    return {**arguments, "headers": {**arguments["headers"], **headers}}


@on_both
async def test_a_key_and_its_permission_are_needed_before_anything_is_read(
    stranger: httpx.AsyncClient, path: str
) -> None:
    assert_error(await stranger.post(path, content=b"no form"), "token_missing")
    powerless = {"authorization": "Bearer sk-powerless"}
    assert_error(await stranger.post(path, content=b"no form", headers=powerless), "permission")


@on_both
@pytest.mark.parametrize(
    ("answer", "kind"),
    [
        (answering(500, b'{"error":{"message":"stack at 10.1.2.3"}}'), "upstream"),
        (answering(401, b'{"error":{"message":"Incorrect API key: vendor-secret-key"}}'), "upstream"),
        (answering(200, b"<html>"), "upstream"),
        (answering(200, b"{}"), "upstream"),
        (answering(200, b'{"text": "x", "segments": [{"start": "a"}]}'), "upstream"),
        (answering(200, b'{"text": "x", "duration": "long"}'), "upstream"),
        (answering(200, b'{"error": {"message": "busy", "code": 503}}'), "upstream"),
        (raising(httpx.ConnectError("to vendor.test")), "upstream"),
        (raising(httpx.ReadTimeout("")), "timeout"),
        (answering(504), "timeout"),
        (answering(400, b'{"error":{"message":"Audio file is too short."}}'), "rejected"),
        (answering(413, b""), "too_large"),
    ],
    ids=[
        "500", "401", "html", "no-text", "segments", "duration", "error-in-200", "connect", "read", "504", "400", "413"
    ],
)  # fmt: skip
@pytest.mark.parametrize("response_format", ["json", "srt"])
async def test_what_a_vendor_does_wrong_is_told_in_the_dialect(
    listener: Vendor, path: str, answer: Handler, kind: str, response_format: str
) -> None:
    listener.answer = answer
    message = assert_error(await send(listener.client, path, response_format=response_format), kind)
    for private in ("10.1.2.3", "secret", "vendor.test"):
        assert private not in message


@on_both
@pytest.mark.parametrize("number", ["NaN", "Infinity", "1e999"])
async def test_times_that_are_no_numbers_are_no_crash(listener: Vendor, path: str, number: str) -> None:
    segment = f'{{"start": 0, "end": {number}, "text": "x"}}'
    for told in (f'"segments": [{segment}]', f'"duration": {number}', f'"usage": {{"seconds": {number}}}'):
        listener.answer = answering(200, f'{{"text": "x", {told}}}'.encode())
        for response_format in ("srt", "verbose_json"):
            assert_error(await send(listener.client, path, response_format=response_format), "upstream")


@on_both
@pytest.mark.parametrize(
    "answer",
    [
        b'{"text": null}',
        b'{"text": 5}',
        rb'{"text": "\ud83d"}',
        b'{"text": "x", "language": 5}',
        b'{"text": "x", "segments": [{"start": 0, "end": 1, "text": null}]}',
        b'{"text": "x", "words": [{"start": 0, "end": 1, "word": 5}]}',
        b'{"text": "x", "usage": {"input_tokens": "many"}}',
        b'"x"',
        b"[]",
    ],
)
async def test_text_that_is_none_is_the_vendors_failure(listener: Vendor, path: str, answer: bytes) -> None:
    listener.answer = answering(200, answer)
    for response_format in FORMATS:
        assert_error(await send(listener.client, path, response_format=response_format), "upstream")


@pytest.mark.parametrize("delta", [b"null", b"5", rb'"\ud83d"'])
async def test_a_streamed_text_that_is_none_is_the_vendors_failure(listener: Vendor, delta: bytes) -> None:
    bad = b'data: {"type": "transcript.text.delta", "delta": %b}\n\n' % delta
    listener.answer = answering(200, STREAM[0] + bad + STREAM[2])
    response = await answered(listener.client, OPENAI, model=STREAMING, stream="true")
    assert_broken_stream(response, "upstream")


@on_both
async def test_failures_keep_their_dialect(client: httpx.AsyncClient, path: str) -> None:
    assert_error(await send(client, path, model="sandbox/fail-429"), "rate_limited", retry_after=7)
    assert_error(await send(client, path, model="sandbox/fail-500"), "upstream")
    assert_error(await send(client, path, model="sandbox/fail-400"), "rejected")
    assert_error(await client.get(path), "method")


@on_both
async def test_subtitles_are_made_of_words_where_there_are_no_segments(listener: Vendor, path: str) -> None:
    listener.answer = lambda request: httpx.Response(200, json={"text": TEXT, "words": WORDS})
    response = await answered(listener.client, path, response_format="srt")
    text = response.json()["data"]["text"] if path == ENVELOPE else response.text
    assert text == "1\n00:00:00,000 --> 00:00:01,500\nHello there\n"


@on_both
async def test_every_language_is_written_down_in_its_own_letters(listener: Vendor, path: str) -> None:
    said = "你好世界。 Größe, naïve 🎙"
    segments = [{"start": 0, "end": 1, "text": said}]
    listener.answer = lambda request: httpx.Response(200, json={"text": said, "segments": segments})
    for response_format in FORMATS:
        response = await answered(listener.client, path, response_format=response_format)
        assert said in response.text
        assert said in response.content.decode()


async def test_the_model_may_be_chosen_by_the_gateway(listener: Vendor) -> None:
    response = await answered(listener.client, OPENAI, model="Auto")
    assert response.headers["x-gateway-model"] not in ("Auto", SANDBOX)


@on_both
async def test_a_png_in_the_place_of_a_recording_is_not_shown_to_the_vendor(listener: Vendor, path: str) -> None:
    response = await listener.client.post(path, data={"model": WHISPER}, files={"file": ("talk.m4a", PNG, "audio/mp4")})
    assert_error(response, "validation", field="file")
    assert listener.requests == []


async def test_the_log_has_neither_recording_nor_words(listener: Vendor, caplog: pytest.LogCaptureFixture) -> None:
    await answered(listener.client, OPENAI, prompt="secret-of-the-caller")
    (request,) = listener.requests
    assert plain_fields(request)["prompt"] == ["secret-of-the-caller"]
    logged = str([vars(record) for record in caplog.records])
    assert WHISPER in logged
    assert "secret-of-the-caller" not in logged
    assert TEXT not in logged
