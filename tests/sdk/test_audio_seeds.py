"""The API references' samples of transcription and embeddings, run as printed: only base URL and key are ours.

A local vendor answers for the models that they name, and says here too what the sandbox cannot: MP3 and the like.
"""

import base64
import json
import shlex
import struct
from collections.abc import Callable, Iterator
from email.parser import BytesParser
from pathlib import Path
from typing import Any

import pytest
from openai import OpenAI

from tests.contract.sounds import M4A, SRT, STREAM, TEXT, VERBOSE, VTT
from tests.sdk.curl import Answer, needs_curl, shell
from tests.sdk.server import TOKEN, running
from tests.sdk.vendor import KEY, Vendor

Run = Callable[[str], Answer]


@pytest.fixture
def run(vendor_url: str, tmp_path: Path) -> Run:
    """Runs a printed command line, in a directory with the file that it names, against the gateway before `vendor`."""
    (tmp_path / "example.m4a").write_bytes(M4A)

    def run(printed: str) -> Answer:
        printed = printed.replace("https://gateway.iotex.ai", vendor_url).replace("YOU_KAPI_KEY", TOKEN)
        return shell(f"cd {shlex.quote(str(tmp_path))} && {printed}", tmp_path)

    return run


@pytest.fixture
def client(vendor_url: str) -> Iterator[OpenAI]:
    with OpenAI(base_url=f"{vendor_url}/v1", api_key=TOKEN, max_retries=0) as client:
        yield client


def form_of(vendor: Vendor) -> dict[str, Any]:
    """The one form that the vendor got."""
    (seen,) = vendor.seen
    headers = {name.lower(): value for name, value in seen.headers.items()}
    message = BytesParser().parsebytes(f"content-type: {headers['content-type']}\r\n\r\n".encode() + seen.body)
    parts: Any = message.get_payload()
    return {part.get_param("name", header="content-disposition"): part.get_payload(decode=True) for part in parts}


# --- /v1/audio/transcriptions

TRANSCRIPTION = r"""curl -X POST "https://gateway.iotex.ai/v1/audio/transcriptions" \
  -H "Authorization: Bearer YOU_KAPI_KEY" \
  -H "Content-Type: multipart/form-data" \
  -F "file=@example.m4a" \
  -F "model=openai/whisper-large-v3" \
  -F "language=zh" \
  -F "prompt=This is a Chinese conversation with complete punctuation."
"""


@needs_curl
def test_the_transcription_sample_answers_the_text(run: Run, vendor: Vendor) -> None:
    vendor.say(json.dumps({"text": "你好世界。"}).encode())
    answer = run(TRANSCRIPTION)
    assert answer.status == 200
    assert answer.headers["content-type"] == "application/json"
    assert answer.json() == {"text": "你好世界。"}
    assert form_of(vendor) == {
        "file": M4A,
        "model": b"openai/whisper-large-v3",
        "language": b"zh",
        "prompt": b"This is a Chinese conversation with complete punctuation.",
        "response_format": b"json",
    }
    (seen,) = vendor.seen
    assert seen.path == "/v1/audio/transcriptions"
    assert KEY in seen.headers["authorization"]
    assert TOKEN not in repr(seen)
    assert b'filename="example.m4a"' in seen.body
    assert b"Content-Type: audio/mp4" in seen.body


@needs_curl
def test_the_sample_is_answered_on_the_enveloped_route_as_well(run: Run, vendor: Vendor) -> None:
    vendor.say(json.dumps({"text": "你好世界。"}).encode())
    answer = run(TRANSCRIPTION.replace("/v1/audio/transcriptions", "/v1/inference/audio/transcribe"))
    assert answer.status == 200
    assert answer.json()["data"] == {"text": "你好世界。\n"}


@needs_curl
@pytest.mark.parametrize(("response_format", "text"), [("srt", SRT), ("vtt", VTT), ("text", TEXT + "\n")])
def test_the_sample_gives_files_that_a_shell_can_save(
    run: Run, vendor: Vendor, response_format: str, text: str
) -> None:
    vendor.say(json.dumps(VERBOSE).encode())
    answer = run(TRANSCRIPTION.rstrip("\n") + f' \\\n  -F "response_format={response_format}"')
    assert answer.body.decode() == text


@needs_curl
def test_the_sample_without_its_authorization_is_refused(run: Run, vendor: Vendor) -> None:
    answer = run(TRANSCRIPTION.replace('  -H "Authorization: Bearer YOU_KAPI_KEY" \\\n', ""))
    assert answer.status == 401
    assert answer.json()["error"]["code"] == "missing_api_key"
    assert vendor.seen == []


# --- /ai/embeddings

EMBEDDING = """{
"model": "text-embedding-3-small",
"input": "Machine learning is fascinating"
}"""
EMBEDDINGS = """{
"model": "text-embedding-3-small",
"input": [
"First document",
"Second document"
]
}"""


@needs_curl
@pytest.mark.parametrize("path", ["/ai/embeddings", "/ai/ai/embeddings"])
@pytest.mark.parametrize("body", [EMBEDDING, EMBEDDINGS])
def test_the_embedding_samples_answer_vectors(run: Run, vendor: Vendor, vendor_url: str, path: str, body: str) -> None:
    texts = json.loads(body)["input"]
    count = 1 if isinstance(texts, str) else len(texts)
    rows = [[float(number)] * 1536 for number in range(count)]
    data = [{"index": index, "embedding": coded(row)} for index, row in enumerate(rows)]
    vendor.say(json.dumps({"data": data, "usage": {"prompt_tokens": 5, "total_tokens": 5}}).encode())
    answer = run(
        f"curl -X POST {vendor_url}{path} -H 'Authorization: Bearer {TOKEN}'"
        f" -H 'Content-Type: application/json' -d {shlex.quote(body)}"
    )
    assert answer.status == 200
    found = {"embedding": rows[0]} if isinstance(texts, str) else {"embeddings": rows}
    assert answer.json() == {**found, "dimensions": 1536, "usage": {"total_tokens": 5}}
    assert vendor.seen[0].json["input"] == ([texts] if isinstance(texts, str) else texts)


def coded(row: list[float]) -> str:
    return base64.b64encode(struct.pack(f"<{len(row)}f", *row)).decode()


# --- what the sandbox cannot say, by OpenAI's SDK


@pytest.mark.parametrize("response_format", ["mp3", "opus", "aac", "flac"])
def test_speech_in_every_format_is_what_the_vendor_sent(client: OpenAI, vendor: Vendor, response_format: Any) -> None:
    sound = bytes(range(256)) * 1000
    vendor.say(sound)
    answer = client.audio.speech.create(
        model="gpt-4o-mini-tts",
        voice="coral",
        input="Hello",
        instructions="Cheerfully.",
        response_format=response_format,
    )
    assert answer.read() == sound
    assert answer.response.headers["content-type"].startswith("audio/")
    assert vendor.seen[0].json == {
        "model": "gpt-4o-mini-tts",
        "voice": "coral",
        "input": "Hello",
        "instructions": "Cheerfully.",
        "response_format": response_format,
    }


def test_a_vendors_stream_is_the_sdks_stream(client: OpenAI, vendor: Vendor) -> None:
    vendor.say(b"".join(STREAM))
    events = list(client.audio.transcriptions.create(model="gpt-transcribe", file=("a.m4a", M4A), stream=True))
    assert [event.type for event in events] == ["transcript.text.delta"] * 2 + ["transcript.text.done"]
    assert form_of(vendor)["stream"] == b"true"


# --- 25 MB


def test_25_megabytes_reach_the_vendor_and_stay_out_of_memory(
    vendor: Vendor, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    recording = M4A + bytes(25 * 2**20 - len(M4A))
    with (
        running(tmp_path, **vendor.environment()) as server,
        OpenAI(base_url=f"{server.url}/v1", api_key=TOKEN, max_retries=0) as client,
    ):
        peaks = [_peak(server.pid)]
        for model in ("whisper-1", "sandbox/transcription"):
            vendor.say(json.dumps({"text": TEXT}).encode())
            assert client.audio.transcriptions.create(model=model, file=("talk.m4a", recording)).text
            peaks.append(_peak(server.pid))
            if model == "whisper-1":
                assert len(form_of(vendor)["file"]) == len(recording)
        stored = client.files.create(file=("talk.m4a", recording), purpose="user_data")
        assert stored.bytes == len(recording)
        peaks.append(_peak(server.pid))
    vendor.seen.clear()
    told = ", ".join(
        f"{what} {peak} MB"
        for what, peak in zip(("idle", "sent on", "by the sandbox", "stored in moto"), peaks, strict=True)
    )
    with capsys.disabled():
        print(f"\na 25 MB upload, peak memory of the server: {told}")
    assert peaks[1] - peaks[0] < 25, "no copy of the recording in memory"


def _peak(pid: int) -> int:
    """The most memory that a process has had, in MB."""
    status = Path(f"/proc/{pid}/status")
    if not status.exists():
        pytest.skip("only Linux tells")
    line = next(line for line in status.read_text().splitlines() if line.startswith("VmHWM"))
    return int(line.split()[1]) // 1024
