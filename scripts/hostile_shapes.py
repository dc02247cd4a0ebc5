"""Requests that are made to hold a gateway up: bodies, and answers of vendors, each as large as it may be."""

import base64
import io
import json
import struct
import wave
import zlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

MB = 2**20
CHAT = "/v1/chat/completions"
MODELS = ("gpt-4o-mini", "claude-haiku-4-5", "gemini-2.5-flash")
"""One of each wire format into which a chat is translated."""
_BOUNDARY = "----bound"
_FORM = f"multipart/form-data; boundary={_BOUNDARY}"
_FORMS = "/v1/audio/transcriptions"


@dataclass(frozen=True)
class Shape:
    """One hostile request, for each of `models`; `vendor` is what the vendor answers, by default plainly."""

    name: str
    path: str
    body: Callable[[str], bytes]
    models: tuple[str, ...] = MODELS
    media_type: str = "application/json"
    vendor: Callable[[], tuple[int, bytes]] | None = None
    environment: Mapping[str, str] = field(default_factory=dict)


def plain() -> Iterator[Shape]:
    """A small request to each route that the others are sent to."""
    yield Shape("a plain chat", CHAT, _chat(messages=[_user("Hello")]))
    for path, body in {
        "/v1/embeddings": {"model": "text-embedding-3-small", "input": "Hello"},
        "/v1/completions": {"model": "gpt-4o-mini", "prompt": "Hello"},
        "/v1/images/generations": {"model": "gpt-image-1", "prompt": "a cat"},
        "/v1/image/generation/stable": {"prompt": "a cat"},
        "/v1/audio/speech": {"model": "tts-1", "voice": "alloy", "input": "Hello"},
        "/v1/inference/batch": {"requests": [{}]},
    }.items():
        yield Shape(f"a plain request to {path}", path, lambda model, body=body: json.dumps(body).encode(), MODELS[:1])
    yield Shape(
        "a plain form",
        _FORMS,
        _form(_part("model", b"whisper-1"), _part("file", sounds()["WAV"][1][:99], "a.wav")),
        MODELS[:1],
        _FORM,
    )
    edit = _form(_part("model", b"gpt-image-1"), _part("prompt", b"a"), _part("image", _PNG, "a.png"))
    yield Shape("a plain edit", "/v1/images/edits", edit, MODELS[:1], _FORM)


def shapes() -> Iterator[Shape]:
    """All of them."""
    yield from plain()
    yield from _values()
    yield from _chats()
    yield from _texts()
    yield from _tools()
    yield from _media()
    yield from _others()
    yield from _forms()
    yield from _vendors()


# ---- JSON alone ------------------------------------------------------------------------------------------------------


def _values() -> Iterator[Shape]:
    for name, value in {
        "numbers": b"[" + b"0," * (8 * MB) + b"0]",
        "long numbers": b"[" + b"1e22," * (3 * MB) + b"0]",
        "empty arrays": b"[" + b"[]," * (5 * MB) + b"0]",
        "empty objects": b"[" + b"{}," * (5 * MB) + b"0]",
        "small objects": b"[" + b'{"a":0},' * (2 * MB) + b"0]",
        "names": b"{" + b",".join(b'"%d":0' % at for at in range(MB)) + b"}",
        "short strings": b"[" + b'"a",' * (4 * MB) + b"0]",
        "arrays of 100 numbers": b"[" + (b"[" + b"7," * 99 + b"7],") * 80_000 + b"0]",
    }.items():
        yield Shape(f"unknown field of many {name}", CHAT, _raw(b'"x":' + value), MODELS[:1])
    for depth in (150, 5_000, 10 * MB):
        yield Shape(f"nesting of {depth:,}", CHAT, _raw(b'"x":' + b"[" * depth + b"]" * depth), MODELS[:1])
    yield Shape("nesting of objects", CHAT, _raw(b'"x":' + b'{"a":' * 5_000 + b"0" + b"}" * 5_000), MODELS[:1])
    yield Shape("a number of 4 MB", CHAT, _raw(b'"seed":' + b"9" * (4 * MB)), MODELS[:1])
    yield Shape("no JSON at its end", CHAT, lambda model: b"[" + b"0," * (8 * MB) + b"!", MODELS[:1])
    yield Shape("a million names of one field", CHAT, _raw(b'"temperature":0,' * MB + b'"n":1'), MODELS[:1])


def _raw(fields: bytes) -> Callable[[str], bytes]:
    return lambda model: b'{"model":"%s","messages":[{"role":"user","content":"Hello"}],%s}' % (model.encode(), fields)


# ---- Chats -----------------------------------------------------------------------------------------------------------


def _chats() -> Iterator[Shape]:
    for count in (20_000, 500_000):
        yield Shape(f"{count:,} messages", CHAT, _chat(messages=[_user("a")] * count))
    yield Shape("20,000 wrong messages", CHAT, _chat(messages=[{"role": "x"}] * 20_000), MODELS[:1])
    yield Shape("20,000 system messages", CHAT, _chat(messages=[{"role": "system", "content": "a"}] * 20_000))
    for count in (2_000, 300_000):
        yield Shape(f"a message of {count:,} parts", CHAT, _chat(messages=[_user([_text("a")] * count)]))
    yield Shape("2,000 messages of 50 parts", CHAT, _chat(messages=[_user([_text("a")] * 50)] * 2_000))
    yield Shape("100,000 tool calls", CHAT, _chat(messages=[_user("a"), *_calls(100_000)]))
    yield Shape("10,000 turns with tools", CHAT, _chat(messages=[_user("a"), *_calls(1) * 10_000]))
    yield Shape("100,000 thoughts", CHAT, _chat(messages=[_user("a"), _thinking(100_000)]))
    for name, value in {
        "logit_bias": {str(at): 1 for at in range(300_000)},
        "metadata": {str(at): "a" for at in range(300_000)},
        "stop": ["a"] * 300_000,
        "modalities": ["text"] * 300_000,
    }.items():
        yield Shape(f"{name} of 300,000", CHAT, _chat(messages=[_user("a")], **{name: value}))
    yield Shape("stop of 4 MB each", CHAT, _chat(messages=[_user("a")], stop=["a" * 4 * MB] * 4))


def _calls(count: int) -> list[Any]:
    ids = [f"call_{at}" for at in range(count)]
    function = {"name": "f", "arguments": "{}"}
    calls = [{"id": call, "type": "function", "function": function} for call in ids]
    return [
        {"role": "assistant", "content": None, "tool_calls": calls},
        *({"role": "tool", "tool_call_id": call, "content": "a"} for call in ids),
    ]


def _thinking(count: int) -> Any:
    detail = {"type": "reasoning.text", "text": "a", "signature": "b", "format": "anthropic"}
    return {"role": "assistant", "content": "a", "reasoning_details": [detail] * count}


# ---- Text ------------------------------------------------------------------------------------------------------------


def _texts() -> Iterator[Shape]:
    for name, text in {
        "ASCII": "word " * (6 * MB),
        "Chinese": "字" * (10 * MB),
        "escapes": "\x01" * (5 * MB),
        "quotes": '"' * (15 * MB),
        "lone surrogates": "a" * 20 * MB,
    }.items():
        yield Shape(f"30 MB of {name}", CHAT, _chat(messages=[_user(text)]))
    for name, text in {
        "beginnings of links": "![" * (5 * MB),
        "links that do not end": "![a](https://" * MB,
        "links": "![a](https://example.com/a.png)" * 300_000,
        "links to the store": "![a](https://gateway-media.s3.us-east-1.amazonaws.com/images/a.png)" * 150_000,
    }.items():
        answer = {"role": "assistant", "content": text}
        yield Shape(f"10 MB of {name}", CHAT, _chat(messages=[_user("a"), answer, _user("b")]))
    yield Shape("a model's name of 30 MB", CHAT, _chat(messages=[_user("a")], model="a/" * (15 * MB)), MODELS[:1])


# ---- Tools -----------------------------------------------------------------------------------------------------------


def _tools() -> Iterator[Shape]:
    for name, parameters in {
        "100,000 properties": _object({f"p{at}": {"type": "string"} for at in range(100_000)}),
        "schemas 60 deep": _deep(60),
        "references that double": _doubling(),
        "a description of 10 MB": {"type": "object", "description": "a" * 10 * MB},
        "an enum of 300,000": _object({"a": {"enum": [str(at) for at in range(300_000)]}}),
        "a default of 300,000 numbers": _object({"a": {"default": [0] * 300_000}}),
        "100,000 alternatives": _object({"a": {"anyOf": [{"type": "string"}] * 100_000}}),
        "required of 300,000": {**_object({"a": {}}), "required": ["a"] * 300_000},
    }.items():
        tool = {"type": "function", "function": {"name": "f", "parameters": parameters}}
        yield Shape(f"a tool with {name}", CHAT, _chat(messages=[_user("a")], tools=[tool]))
        strict = {"type": "json_schema", "json_schema": {"name": "s", "strict": True, "schema": parameters}}
        yield Shape(f"an answer with {name}", CHAT, _chat(messages=[_user("a")], response_format=strict))
    tool = {"type": "function", "function": {"name": "f", "parameters": _object({f"p{n}": {} for n in range(1000)})}}
    yield Shape("128 tools of 1,000 properties", CHAT, _chat(messages=[_user("a")], tools=[tool] * 128))
    yield Shape("100,000 tools", CHAT, _chat(messages=[_user("a")], tools=[{"type": "function"}] * 100_000), MODELS[:1])
    for name, arguments in {
        "300,000 numbers": json.dumps({"a": [0] * 300_000}),
        "5,000 levels": '{"a":' * 5_000 + "0" + "}" * 5_000,
        "10 million levels": '{"a":' + "[" * (10 * MB) + "]" * (10 * MB) + "}",
        "a string of 20 MB": json.dumps({"a": "b" * 20 * MB}),
        "no JSON": "{" * MB,
    }.items():
        call = {"id": "c", "type": "function", "function": {"name": "f", "arguments": arguments}}
        messages = [
            _user("a"),
            {"role": "assistant", "tool_calls": [call]},
            {"role": "tool", "tool_call_id": "c", "content": "b"},
        ]
        yield Shape(f"arguments of {name}", CHAT, _chat(messages=messages))


def _object(properties: Any) -> Any:
    return {"type": "object", "properties": properties}


def _deep(depth: int) -> Any:
    schema: Any = {"type": "string"}
    for _ in range(depth):
        schema = _object({"a": schema})
    return schema


def _doubling() -> Any:
    steps = {
        f"s{at}": _object({"a": {"$ref": f"#/$defs/s{at + 1}"}, "b": {"$ref": f"#/$defs/s{at + 1}"}})
        for at in range(30)
    }
    return {**_object({"a": {"$ref": "#/$defs/s0"}}), "$defs": {**steps, "s30": {"type": "string"}}}


# ---- Media -----------------------------------------------------------------------------------------------------------

PNG = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
"""An image of one pixel, in base64."""
_PNG = base64.b64decode(PNG)


def _media() -> Iterator[Shape]:
    pixels = base64.b64encode(_PNG + bytes(18 * MB)).decode()
    for name, data in {
        "plain": pixels,
        "in the URL-safe alphabet": base64.urlsafe_b64encode(_PNG + b"\xff\xfe" * (9 * MB)).decode(),
        "on lines of 4": "\n".join(pixels[at : at + 4] for at in range(0, 16 * MB, 4)),
        "wrong at its end": pixels[:-5] + "!" + pixels[-4:],
        "padded in its middle": pixels[: 12 * MB] + "=" + pixels[12 * MB + 1 :],
        "of padding": pixels[:1000] + "=" * (20 * MB),
        "percent-encoded": pixels[:1000] + "%41" * (7 * MB),
        "percent signs": pixels[:1000] + "%" * (20 * MB),
    }.items():
        yield Shape(f"base64 {name}", CHAT, _chat(messages=[_user([_image(f"data:image/png;base64,{data}")])]))
    small = f"data:image/png;base64,{base64.b64encode(_PNG).decode()}"
    for count in (1_000, 100_000):
        yield Shape(f"{count:,} small images", CHAT, _chat(messages=[_user([_image(small)] * count)]))
    links = [_image(f"https://example.com/{at}.png") for at in range(50_000)]
    yield Shape("50,000 images by URL", CHAT, _chat(messages=[_user(links)]))
    spelled = [_image(f"https://bücher{at}.example/") for at in range(2_000)]
    yield Shape("2,000 hosts that are not ASCII", CHAT, _chat(messages=[_user(spelled)]))
    for name, gif in gifs().items():
        uri = f"data:image/gif;base64,{base64.b64encode(gif).decode()}"
        count = max(1, min(20, 20 * MB // len(uri)))
        yield Shape(f"{count} GIFs {name}", CHAT, _chat(messages=[_user([_image(uri)] * count)]), MODELS[2:])
    for name, (form, sound) in sounds().items():
        part = {"type": "input_audio", "input_audio": {"data": base64.b64encode(sound).decode(), "format": form}}
        yield Shape(f"audio in chat: {name}", CHAT, _chat(messages=[_user([part])]), MODELS[2:])


def gifs() -> dict[str, bytes]:
    """GIFs that take long to decode for what they weigh."""
    noise = bytes((at * 7919 >> 3) & 255 for at in range(255)) * (8 * MB // 255)
    return {
        "of 25 million pixels of one colour": _gif(5000, 5000, _one_colour(5000 * 5000)),
        "of noise": _gif(4000, 4000, noise),
        "of clear codes": _gif(5000, 5000, _packed([256] * 4_000_000)),
        "in blocks of one byte": _gif(4000, 4000, noise[: 4 * MB], block=1),
        "of 5 million comments": b"GIF89a" + struct.pack("<HHBBB", 1, 1, 0, 0, 0) + b"\x21\xfe\x00" * (5 * MB) + b";",
        "of 15 million zeros": b"GIF89a" + struct.pack("<HHBBB", 1, 1, 0, 0, 0) + bytes(15 * MB),
        "of rows of one pixel": _gif(1, 60_000, _one_colour(60_000)),
        "that announce 4 billion pixels": _gif(65535, 65535, b"\x00"),
    }


def _gif(width: int, height: int, codes: bytes, *, block: int = 255) -> bytes:
    blocks = b"".join(
        bytes((len(codes[at : at + block]),)) + codes[at : at + block] for at in range(0, len(codes), block)
    )
    head = b"GIF89a" + struct.pack("<HHBBB", width, height, 0xF7, 0, 0) + bytes(768)
    return head + b"," + struct.pack("<HHHHB", 0, 0, width, height, 0) + b"\x08" + blocks + b"\x00;"


def _one_colour(pixels: int) -> bytes:
    """The codes of so many pixels of one colour: each code stands for one pixel more than the one before."""
    codes, bits, size, said, table = [256], [9], 9, 0, 258
    while said < pixels:
        codes.append(0 if table == 258 else table - 1)
        bits.append(size)
        said += 1 if table == 258 else table - 257
        table += 1
        if table == 4095:
            codes.append(256)
            bits.append(12)
            table, size = 258, 9
        elif table > 1 << size:
            size += 1
    return _packed(codes, bits)


def _packed(codes: list[int], bits: list[int] | None = None) -> bytes:
    """Codes in their bits, 9 each by default, the first in the lowest."""
    packed, held, buffer = bytearray(), 0, 0
    for at, code in enumerate(codes):
        buffer |= code << held
        held += bits[at] if bits else 9
        while held >= 8:
            packed.append(buffer & 255)
            buffer >>= 8
            held -= 8
    return bytes(packed) + bytes((buffer & 255,))


def _other_sounds() -> Iterator[tuple[str, str, bytes]]:
    """The same of the formats that only transcription takes: name, format and content."""
    mp4, webm = b"\x00\x00\x00\x08ftypM4A ", b"\x1a\x45\xdf\xa3\x8f\x42\x82\x84webmA_OPUS\x1f\x43\xb6\x75"
    ogg = b"OggS" + bytes(22) + b"\x01\x13OpusHead" + bytes(11)
    yield "MP4 of tables", "mp4", mp4 + b"stsd\x00\x00\x00\x00\x00\x00\x00\x01\x00\x00\x00\x08Opus" + b"stsz" * (4 * MB)
    yield "MP4 of codecs", "mp4", mp4 + b"stsd" * (4 * MB)
    yield "MP4 of nothing", "mp4", mp4 + b"cmo" * (6 * MB)
    yield "WebM of clusters", "webm", webm + webm[-4:] * (4 * MB)
    yield "WebM of blocks", "webm", webm + b"\x01" + b"\xff" * 7 + b"\xa3\x85\x81\x00\x00\x00\x00" * (2 * MB)
    yield "Ogg of small pages", "ogg", ogg + ogg[:26] + (ogg[:26] + b"\x01\x01\x00") * 600_000
    yield "Ogg of small packets", "ogg", ogg + (ogg[:26] + b"\xff" + b"\x01" * 255 + bytes(255)) * 30_000
    yield "FLAC of headers", "flac", b"fLaC\x80\x00\x00\x22" + bytes(34) + b"\xff\xf8\x10\x00" * (4 * MB)
    yield "AAC of headers", "aac", b"\xff\xf1\x50\x80" * (4 * MB)


def sounds() -> dict[str, tuple[str, bytes]]:
    """Recordings that are long to look through, or lie about themselves: format and content."""
    spoken = io.BytesIO()
    with wave.open(spoken, "wb") as sound:
        sound.setparams((1, 2, 8000, 0, "NONE", ""))
        sound.writeframes(bytes(18 * MB))
    chunks = b"RIFF" + struct.pack("<I", 18 * MB) + b"WAVE" + b"junk\x00\x00\x00\x00" * (2 * MB)
    return {
        "WAV": ("wav", spoken.getvalue()),
        "WAV of 2 million chunks": ("wav", chunks),
        "MP3 of headers": ("mp3", b"\xff\xfb\x90\x00" * (4 * MB)),
        "MP3 of the shortest frames": ("mp3", (b"\xff\xf3\x14\xc4" + bytes(20)) * (18 * MB // 24)),
        "MP3 of 0xFF": ("mp3", b"\xff\xfb\x90\x00" + b"\xff" * (18 * MB)),
    }


# ---- Other routes ----------------------------------------------------------------------------------------------------


def _others() -> Iterator[Shape]:
    def embedding(value: bytes) -> Callable[[str], bytes]:
        return lambda model: b'{"model":"text-embedding-3-small","input":%s}' % value

    one = MODELS[:1]
    for name, value in {
        "8 million tokens": b"[" + b"7," * (8 * MB) + b"7]",
        "2,048 arrays of 4,000 tokens": b"[" + b",".join([b"[" + b"7," * 3999 + b"7]"] * 2048) + b"]",
        "a million texts": b"[" + b'"a",' * MB + b'"a"]',
        "4 MB of text": json.dumps("word " * 800_000).encode(),
        "2,048 long texts": json.dumps(["word " * 390] * 2048).encode(),
    }.items():
        yield Shape(f"embeddings of {name}", "/v1/embeddings", embedding(value), one)
    yield Shape(
        "a prompt of 30 MB", "/v1/completions", lambda m: json.dumps({"model": m, "prompt": "a" * 30 * MB}).encode()
    )
    yield Shape(
        "a million prompts", "/v1/completions", lambda m: json.dumps({"model": m, "prompt": ["a"] * MB}).encode(), one
    )
    images = "/v1/images/generations"
    yield Shape(
        "an image of 30 MB of prompt",
        images,
        lambda m: json.dumps({"model": "gpt-image-1", "prompt": "a" * 30 * MB}).encode(),
        one,
    )
    gif = base64.b64encode(gifs()["of noise"]).decode()
    pictures = [{"mime_type": "image/gif", "data": gif[: 2 * MB]}] * 14
    stable = {"prompt": "a", "images": pictures}
    yield Shape(
        "14 GIFs on the stable route", "/v1/image/generation/stable", lambda m: json.dumps(stable).encode(), one
    )
    speech = {"model": "tts-1", "voice": "alloy", "input": "a" * 30 * MB}
    yield Shape("30 MB to be spoken", "/v1/audio/speech", lambda m: json.dumps(speech).encode(), one)
    batch = "/v1/inference/batch"
    lines = {
        "requests": [
            {"custom_id": str(at), "method": "POST", "url": "/v1/inference/chat", "body": {}} for at in range(50_000)
        ]
    }
    yield Shape("a batch of 50,000 inline", batch, lambda m: json.dumps(lines).encode(), one)
    encoded = {"input_file_base64": base64.b64encode(b"{}\n" * (3 * MB)).decode()}
    yield Shape("a batch of 10 MB in base64", batch, lambda m: json.dumps(encoded).encode(), one)


# ---- Forms -----------------------------------------------------------------------------------------------------------


def _forms() -> Iterator[Shape]:
    model = _part("model", b"whisper-1")
    one = MODELS[:1]
    for name, body in {
        "a million parts": _form(_part("a", b"") * 300_000),
        "half boundaries": _form(model, _part("file", f"\r\n--{_BOUNDARY[:-1]}".encode() * (2 * MB), "a.mp3")),
        "line ends": _form(model, _part("file", b"\r\n" * (10 * MB), "a.mp3")),
        "a field of 20 MB": _form(_part("model", b"a" * 20 * MB)),
        "a header of 20 MB": _form(f"--{_BOUNDARY}\r\nx: ".encode() + b"a" * 20 * MB + b"\r\n\r\n\r\n"),
        "100,000 headers": _form(f"--{_BOUNDARY}\r\n".encode() + b"x: y\r\n" * 100_000 + b"\r\n\r\n"),
        "a name of 20 MB": _form(_part("a" * 20 * MB, b"")),
        "a name of escapes": _form(_part("\\" * 2 * MB, b"")),
        "no end": lambda model: _part("file", bytes(20 * MB), "a.mp3"),
        "granularities of 250,000 bytes": _form(
            model, _part("file", sounds()["WAV"][1][:1000], "a.wav"), _part("timestamp_granularities", b"[" * 250_000)
        ),
    }.items():
        yield Shape(f"form: {name}", _FORMS, body, one, _FORM)
    spoken = [(name, *sound) for name, sound in sounds().items()]
    for name, form_of, sound in (*spoken, *_other_sounds()):
        yield Shape(f"transcription: {name}", _FORMS, _form(model, _part("file", sound, f"a.{form_of}")), one, _FORM)
    bombs = [_part("image[]", gif, "a.gif") for name, gif in gifs().items() if len(gif) < 2 * MB]
    edit = _form(_part("model", b"gpt-image-1"), _part("prompt", b"a"), *bombs * 2)
    yield Shape("form: GIFs to be edited", "/v1/images/edits", edit, one, _FORM)
    masked = _form(
        _part("model", b"sd3.5-large"),
        _part("prompt", b"a"),
        _part("image", _PNG, "a.png"),
        _part("mask", _png(5000, 5000), "m.png"),
    )
    yield Shape("form: a mask of 25 million pixels", "/v1/images/edits", masked, one, _FORM)


def _form(*parts: bytes) -> Callable[[str], bytes]:
    body = b"".join(parts) + f"--{_BOUNDARY}--\r\n".encode()
    return lambda model: body


def _part(name: str, content: bytes, filename: str | None = None) -> bytes:
    file = f'; filename="{filename}"' if filename else ""
    return f'--{_BOUNDARY}\r\nContent-Disposition: form-data; name="{name}"{file}\r\n\r\n'.encode() + content + b"\r\n"


def _png(width: int, height: int) -> bytes:
    packer = zlib.compressobj(9)
    row = b"\x04" + bytes(4 * width)
    pixels = b"".join([*(packer.compress(row) for _ in range(height)), packer.flush()])
    chunks = (b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 6, 0, 0, 0)), (b"IDAT", pixels), (b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data)) for kind, data in chunks
    )


# ---- Vendors ---------------------------------------------------------------------------------------------------------


def _vendors() -> Iterator[Shape]:
    plain = _chat(messages=[_user("Hello")])
    for name, message in {
        "dots": "a." * 100_000,
        "dashes": "a-" * 100_000,
        "numbers": "1." * 100_000,
        "colons": "a:" * 100_000,
        "digits": "1" * 200_000,
        "schemes": "a+" * 100_000,
        "spaces": " " * 4_000_000,
        "10 MB": "words " * (10 * MB // 6),
    }.items():
        error = json.dumps({"error": {"message": message}}).encode()
        yield Shape(f"a vendor's error of {name}", CHAT, plain, vendor=lambda error=error: (400, error))
    for name, body in {
        "10 million levels": b"[" * (10 * MB),
        "8 million numbers": b'{"x":[' + b"0," * (8 * MB) + b"0]}",
        "bytes": b"\xff" * (10 * MB),
    }.items():
        # A successful answer may be as large: the numbers of embeddings.
        for status in (400,) if "numbers" in name else (200, 400):
            yield Shape(f"a vendor's {status} of {name}", CHAT, plain, vendor=lambda s=status, b=body: (s, b))


# ---- Pieces ----------------------------------------------------------------------------------------------------------


def _chat(**fields: Any) -> Callable[[str], bytes]:
    return lambda model: json.dumps({"model": model, **fields}, ensure_ascii=False).encode()


def _user(content: Any) -> Any:
    return {"role": "user", "content": content}


def _text(text: str) -> Any:
    return {"type": "text", "text": text}


def _image(url: str) -> Any:
    return {"type": "image_url", "image_url": {"url": url}}
