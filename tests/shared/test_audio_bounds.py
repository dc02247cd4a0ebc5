"""A recording counts as long as a decoder can make it, whatever its headers say of length, rate or samples."""

import io
import struct
import wave
from collections.abc import Callable
from tempfile import SpooledTemporaryFile, TemporaryFile

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shared.audio.bounds import longest_seconds, longest_seconds_of_file
from shared.gateway.estimates import of_chat, of_transcription
from shared.media import encoded
from shared.schemas.chat import ChatRequest
from shared.schemas.content import Audio, Message
from shared.schemas.model import Model
from shared.schemas.transcription import TranscriptionRequest
from shared.schemas.upload import Upload

UNKNOWN = 9.5 * 3600
ID3 = b"ID3\x04\x00\x00\x00\x00\x00\x0a" + bytes(10)


def wav(
    frames: int, *, tag: int = 1, channels: int = 1, rate: int = 8000, bits: int = 16, stated: int = 16_000
) -> bytes:
    """`stated` is the byte rate of the header, which decoders do not look at."""
    width = channels * bits // 8
    form = struct.pack("<HHIIHH", tag, channels, rate, stated, width, bits)
    data = bytes(frames * width)
    chunks = b"fmt " + struct.pack("<I", len(form)) + form + b"data" + struct.pack("<I", len(data)) + data
    return b"RIFF" + struct.pack("<I", 4 + len(chunks)) + b"WAVE" + chunks


def mp3(frames: int) -> bytes:
    """MPEG 1, layer III, 128 kbit/s, 44.1 kHz: 1,152 samples in 417 bytes."""
    return (b"\xff\xfb\x90\x00" + bytes(413)) * frames


def adts(frames: int) -> bytes:
    """AAC-LC at 44.1 kHz: 1,024 samples in 100 bytes."""
    length = 100
    head = bytes((0xFF, 0xF1, 0x50, 0x80 | length >> 11, length >> 3 & 255, (length & 7) << 5 | 0x1F, 0xFC))
    return (head + bytes(length - 7)) * frames


def flac(frames: int, *, samples: int = 44_100) -> bytes:
    """Frames of 4,096 samples at 44.1 kHz; `samples` is what the stream's description says of all of them."""
    described = (
        struct.pack(">HH", 4096, 4096) + bytes(6) + ((44_100 << 44) + (15 << 36) + samples).to_bytes(8) + bytes(16)
    )
    head = b"\xff\xf8\xc9\x08\x00"
    return b"fLaC\x80\x00\x00\x22" + described + (head + bytes((crc8(head),)) + bytes(50)) * frames


def crc8(data: bytes) -> int:
    """https://www.rfc-editor.org/rfc/rfc9639#section-9.1.8"""
    value = 0
    for byte in data:
        value ^= byte
        for _ in range(8):
            value = (value << 1 ^ 0x07) & 0xFF if value & 0x80 else value << 1
    return value


def ogg_page(stream: int, packets: list[bytes], *, granule: int = 0) -> bytes:
    lengths = b"".join(b"\xff" * (len(packet) // 255) + bytes((len(packet) % 255,)) for packet in packets)
    head = b"OggS\x00\x00" + struct.pack("<qIII", granule, stream, 0, 0) + bytes((len(lengths),))
    return head + lengths + b"".join(packets)


OPUS_HEAD = b"OpusHead\x01\x01" + bytes(9)
OPUS_20_MS = b"\x08" + bytes(30)
VORBIS_HEAD = b"\x01vorbis" + struct.pack("<IBIiiiB", 0, 1, 44_100, 0, 0, 0, 0xB8) + b"\x01"


def opus(packets: int) -> bytes:
    """Packets of 20 ms, of which the last page says that they took none."""
    pages = [ogg_page(7, [OPUS_20_MS] * 50) for _ in range(packets // 50)]
    return ogg_page(7, [OPUS_HEAD]) + ogg_page(7, [b"OpusTags" + bytes(20)]) + b"".join(pages)


def vorbis(packets: int) -> bytes:
    """Packets of 2,048 samples at most of which a decoder gives half, at 44.1 kHz."""
    return ogg_page(7, [VORBIS_HEAD]) + b"".join(ogg_page(7, [bytes(40)] * 50) for _ in range(packets // 50))


def box(kind: bytes, *content: bytes) -> bytes:
    return struct.pack(">I", 8 + sum(map(len, content))) + kind + b"".join(content)


def aac_entry(index: int) -> bytes:
    """A description whose own rate is 44.1 kHz, while the decoder's configuration has that of an index."""
    config = ((2 << 11) | index << 7 | 1 << 3).to_bytes(2) + bytes(3)
    descriptor = (
        b"\x04" + bytes((15 + len(config),)) + b"\x40\x15" + bytes(11) + b"\x05" + bytes((len(config),)) + config
    )
    esds = box(b"esds", bytes(4), b"\x03", bytes((3 + len(descriptor),)), b"\x00\x00\x00", descriptor)
    return box(b"mp4a", bytes(24), struct.pack(">I", 44_100 << 16), esds)


def m4a(samples: int, *, index: int = 4, entry: bytes | None = None, codec_count: int = 1) -> bytes:
    described = box(b"stsd", bytes(4), struct.pack(">I", codec_count), entry or aac_entry(index))
    sizes = box(b"stsz", bytes(4), struct.pack(">II", 1, samples))
    return box(b"ftyp", b"M4A \x00\x00\x00\x00M4A ") + box(b"moov", box(b"mvhd", bytes(100)), described, sizes)


def webm(blocks: int, *, codec: bytes = b"A_OPUS", before: bytes = b"", after: bytes = b"") -> bytes:
    head = (
        b"\x1a\x45\xdf\xa3\x8f\x42\x82\x84webm"
        + before
        + b"\x16\x54\xae\x6b\x88\x86"
        + bytes((0x80 + len(codec),))
        + codec
    )
    content = (b"\xa3\x8a\x81\x00\x00\x80" + OPUS_20_MS[:6]) * blocks
    return head + b"\x1f\x43\xb6\x75\x01\xff\xff\xff\xff\xff\xff\xff" + content + after


SECONDS: dict[str, tuple[str, bytes, float]] = {
    "WAV": ("audio/wav", wav(80_000), 10),
    "WAV with an enormous byte rate": ("audio/wav", wav(80_000, stated=2**32 - 1), 10),
    "WAV of 8 bits": ("audio/wav", wav(80_000, bits=8, tag=6), 10),
    "WAV in stereo": ("audio/wav", wav(80_000, channels=2, stated=1), 10),
    "MP3": ("audio/mpeg", mp3(383), 10),
    "MP3 with a tag": ("audio/mpeg", ID3 + bytes(100) + mp3(383), 10),
    "AAC": ("audio/aac", adts(431), 10),
    "FLAC": ("audio/flac", flac(108), 10),
    "FLAC that says that it has one sample": ("audio/flac", flac(108, samples=1), 10),
    "Opus": ("audio/ogg", opus(500), 10),
    "Vorbis": ("audio/ogg", vorbis(450), 10.4),
    "M4A": ("audio/mp4", m4a(431), 10),
    "M4A at another rate than it says": ("audio/mp4", m4a(79, index=11), 10.1),
    "M4A of Opus": ("audio/mp4", m4a(84, entry=box(b"Opus", bytes(40))), 10),
    "WebM": ("audio/webm", webm(500), 10),
}


@pytest.mark.parametrize(("media_type", "recording", "seconds"), SECONDS.values(), ids=SECONDS)
def test_a_recording_is_as_long_as_what_its_decoder_finds(media_type: str, recording: bytes, seconds: float) -> None:
    found = longest_seconds(recording, media_type)
    assert seconds <= found * 1.01
    assert found <= seconds * 1.1


@pytest.mark.parametrize(
    ("media_type", "recording"),
    [
        ("audio/wav", wav(800, tag=2)),
        ("audio/wav", b"RIFF\x00\x00\x00\x00WAVE"),
        ("audio/mpeg", ID3 + flac(100)),
        ("audio/mpeg", ID3 + opus(50)),
        ("audio/flac", b"fLaC\x04" + flac(100)[5:]),
        ("audio/ogg", ogg_page(7, [b"\x7fFLAC" + bytes(40)])),
        ("audio/ogg", ogg_page(7, [OPUS_HEAD]) + ogg_page(8, [b"\x7fFLAC" + bytes(40)]) + ogg_page(8, [bytes(40)])),
        ("audio/mp4", m4a(1, entry=box(b"ac-3", bytes(40)))),
        ("audio/mp4", m4a(1, codec_count=2)),
        ("audio/mp4", m4a(1, index=13)),
        ("audio/mp4", m4a(431) + box(b"cmov", bytes(8))),
        ("audio/mp4", b"\x00\x00\x00\x08ftypM4A " + b"stsd" * 10),
        ("audio/webm", webm(1, codec=b"A_FLAC")),
        ("audio/webm", webm(1, codec=b"A_OPUS", before=b"\x86\x40\x06A_FLAC")),
        ("audio/webm", webm(1, after=b"\x16\x54\xae\x6b\x88\x86\x86A_FLAC")),
        ("audio/webm", webm(1, before=b"\x6d\x80")),
        ("audio/webm", b"\x1a\x45\xdf\xa3\x8f\x42\x82\x84webm"),
        ("audio/x-unknown", bytes(100)),
        ("audio/wav", b""),
    ],
)
def test_what_cannot_be_bounded_counts_as_the_longest_that_a_provider_takes(media_type: str, recording: bytes) -> None:
    assert longest_seconds(recording, media_type) == UNKNOWN


def test_what_is_larger_than_that_counts_at_the_lowest_rate() -> None:
    assert longest_seconds(bytes(50_000_000), "audio/x-unknown") == 50_000


@pytest.mark.parametrize(
    ("media_type", "recording"),
    [
        ("audio/mp4", b"\x00\x00\x00\x08ftypM4A " + b"stsd" * 2_000_000),
        ("audio/mp4", m4a(1) + b"stsz" * 2_000_000),
        ("audio/mp4", (b"stsd\x00\x00\x00\x00\xff\xff\xff\xff" + b"\x00\x00\x00\x08avc1" * 400) * 2000),
        ("audio/webm", webm(0) + b"\x1f\x43\xb6\x75" * 2_000_000),
        ("audio/webm", webm(0) + b"\xa3\x85\x81\x00\x00\x00\x00" * 1_000_000),
        ("audio/flac", flac(0) + b"\xff\xf8\x10\x00" * 1_000_000),
        ("audio/ogg", ogg_page(7, [OPUS_HEAD]) + ogg_page(7, [b"\x08"] * 255) * 10_000),
    ],
    ids=["mp4 codecs", "mp4 tables", "mp4 entries", "webm clusters", "webm blocks", "flac", "ogg"],
)
def test_what_has_too_many_parts_to_be_looked_through_cannot_be_bounded(media_type: str, recording: bytes) -> None:
    assert longest_seconds(recording, media_type) == UNKNOWN


@pytest.mark.parametrize("open_file", [io.BytesIO, TemporaryFile, SpooledTemporaryFile])
@pytest.mark.parametrize("recording", [wav(80_000), wav(800_000), b""], ids=["small", "large", "empty"])
def test_a_file_is_as_long_as_its_content(open_file: Callable[[], io.BytesIO], recording: bytes) -> None:
    with open_file() as file:
        file.write(recording)
        assert longest_seconds_of_file(file, "audio/wav") == longest_seconds(recording, "audio/wav")


@pytest.mark.parametrize("name", SECONDS)
def test_a_recording_on_disk_is_as_long_as_in_memory(name: str) -> None:
    media_type, recording, _ = SECONDS[name]
    with TemporaryFile() as file:
        file.write(recording + bytes(1_100_000))
        assert longest_seconds_of_file(file, media_type) == longest_seconds(recording + bytes(1_100_000), media_type)


@settings(max_examples=300)
@given(st.sampled_from(sorted(SECONDS)), st.data())
def test_no_damage_raises(name: str, data: st.DataObject) -> None:
    media_type, recording, _ = SECONDS[name]
    damaged = bytearray(recording[: data.draw(st.integers(0, 1500))])
    for at, byte in data.draw(st.lists(st.tuples(st.integers(0, 1499), st.integers(0, 255)), max_size=8)):
        damaged[at : at + 1] = bytes((byte,))
    damaged += data.draw(st.binary(max_size=100))
    assert 0 <= longest_seconds(bytes(damaged), media_type) <= UNKNOWN


# ---- What is reserved ------------------------------------------------------------------------------------------------


def test_a_transcription_reserves_its_length_and_not_what_a_header_says() -> None:
    lying = wav(80_000 * 60, stated=2**32 - 1)
    upload = Upload(io.BytesIO(lying), "a.wav", "audio/wav", len(lying))
    expected, ceiling = of_transcription(TranscriptionRequest(model="m", file=upload))
    assert expected.audio_seconds >= 600
    assert 600 <= ceiling.audio_seconds <= 602


def test_audio_in_a_chat_reserves_its_length() -> None:
    sound = Audio(data=encoded(wav(80_000 * 60, rate=8000, bits=8, tag=6)), format="wav")
    message = Message(role="user", parts=(sound,))
    request = ChatRequest(model="m", messages=(message,))
    model = Model(id="m", provider="p", upstream="u", owned_by="p")
    _, ceiling = of_chat([request], model)
    _, bounded = of_chat([request], model.model_copy(update={"context_length": 10_000}))
    assert 32 * 600 <= ceiling.input_tokens <= 32 * 602 + 100
    assert bounded.input_tokens <= 10_100


def test_a_wav_file_is_no_shorter_than_pythons_own_reader_finds_it() -> None:
    for rate, channels, width in ((8000, 1, 2), (44_100, 2, 3), (1, 1, 1)):
        file = io.BytesIO()
        with wave.open(file, "wb") as out:
            out.setparams((channels, width, rate, 0, "NONE", ""))
            out.writeframes(bytes(channels * width * 3000))
        assert 3000 / rate <= longest_seconds(file.getvalue(), "audio/wav") <= 3000 / rate * 1.02 + 50
