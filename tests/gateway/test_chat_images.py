"""Images of a request are made such that its model's provider takes them, within bounds, and none is had twice."""

import asyncio
import io
import time
from base64 import b64decode, b64encode
from typing import Any

import pytest
from PIL import Image as Pillow

from shared.errors import GatewayError, InvalidRequest, UpstreamError
from shared.gateway.chat_images import MAX_CHANGED_IMAGES, Inputs
from shared.schemas.chat import ChatRequest
from shared.schemas.content import Image, Inline, Message, Part, Remote, Text, ToolCall, ToolResult
from shared.schemas.model import Capability, Model
from shared.stores.aws_calls import AwsError

pytestmark = pytest.mark.anyio

TENANT = "t"
OURS = "https://bucket.test/images/"
PNG = b"\x89PNG\r\n\x1a\n a picture"


def gif() -> bytes:
    file = io.BytesIO()
    Pillow.new("P", (3, 2)).save(file, "gif")
    return file.getvalue()


GIF = gif()


class Shelves:
    """What stands in for the internet and for the store: both hold what they are given, and count who asks."""

    def __init__(self, **content: bytes | Exception | None) -> None:
        self.content = content
        self.asked: list[str] = []
        self.at_once = self.most_at_once = 0

    def check(self, url: str, *, field: str) -> None:
        if not url.startswith("https://"):
            raise InvalidRequest.field(field, "must be an https URL")

    async def owns(self, tenant: str, url: str) -> bool:
        return tenant == TENANT and url.startswith(OURS)

    async def get(self, *where: str, **options: Any) -> tuple[str, bytes] | None:
        """As both are asked: the internet by URL, the store by tenant and URL."""
        url = where[-1]
        self.asked.append(url)
        self.at_once += 1
        self.most_at_once = max(self.most_at_once, self.at_once)
        for _ in range(3):
            await asyncio.sleep(0)
        self.at_once -= 1
        found = self.content.get(url.rpartition("/")[2].partition(".")[0], PNG)
        if isinstance(found, Exception):
            raise found
        return None if found is None else ("image/gif" if found[:3] == b"GIF" else "image/png", found)


def model(*quirks: str, sees: bool = True) -> Model:
    capabilities = {Capability.CHAT, Capability.VISION} if sees else {Capability.CHAT}
    return Model(
        id="m", provider="p", upstream="u", owned_by="o", capabilities=frozenset(capabilities), quirks=frozenset(quirks)
    )


FETCHED_FOR = model("inline_images", "no_gif")
FETCHES_ITSELF = model()


def request(*parts: Part, role: Any = "user") -> ChatRequest:
    return ChatRequest(model="m", messages=(Message(role=role, parts=parts),))


def remote(name: str) -> Image:
    return Image(source=Remote(url=name if ":" in name else f"https://example.com/{name}"))


def inline(data: bytes, media_type: str = "image/png") -> Image:
    return Image(source=Inline(media_type=media_type, data=b64encode(data).decode()))


def link(name: str, query: str = "") -> str:
    return f"![image]({OURS}{name}.png{query})"


async def prepared(
    asked: ChatRequest, to: Model = FETCHED_FOR, shelves: Shelves | None = None, tenant: str = TENANT
) -> tuple[Part, ...]:
    """The parts of all messages as the provider gets them."""
    both: Any = shelves or Shelves()
    ready = await Inputs(lambda: both, lambda: both).prepared(asked, to, tenant)
    return tuple(part for message in ready.messages for part in message.parts)


async def refused(asked: ChatRequest, shelves: Shelves | None = None, to: Model = FETCHED_FOR) -> GatewayError:
    with pytest.raises(GatewayError) as caught:
        await prepared(asked, to, shelves)
    return caught.value


def nobody() -> Any:
    raise AssertionError("nobody needs it")


@pytest.mark.parametrize(
    "asked",
    [
        request(Text(text="Hello")),
        request(inline(PNG), Text(text="![image](nothing)")),
        request(Text(text="An answer without ![ an image"), role="assistant"),
    ],
)
async def test_a_request_with_nothing_to_do_is_the_very_same_and_needs_neither_internet_nor_store(
    asked: ChatRequest,
) -> None:
    assert await Inputs(nobody, nobody).prepared(asked, FETCHED_FOR, TENANT) is asked


async def test_an_image_is_fetched_for_a_vendor_that_does_not_fetch() -> None:
    assert await prepared(request(Text(text="a"), remote("a"), Text(text="b"))) == (
        Text(text="a"),
        inline(PNG),
        Text(text="b"),
    )


async def test_a_vendor_that_fetches_gets_the_url() -> None:
    shelves = Shelves()
    assert await prepared(request(remote("a")), FETCHES_ITSELF, shelves) == (remote("a"),)
    assert shelves.asked == []


async def test_a_url_of_a_wrong_form_is_refused_whoever_would_fetch_it() -> None:
    for to in (FETCHED_FOR, FETCHES_ITSELF):
        assert (await refused(request(remote("http://10.0.0.1/a")), to=to)).param == "image_url"


async def test_a_gif_becomes_a_png_where_the_vendor_refuses_it() -> None:
    for asked in (request(inline(GIF, "image/gif")), request(remote("a"))):
        (part,) = await prepared(asked, shelves=Shelves(a=GIF))
        assert isinstance(part, Image)
        assert isinstance(part.source, Inline)
        assert part.source.media_type == "image/png"
        with Pillow.open(io.BytesIO(b64decode(part.source.data))) as image:
            assert image.size == (3, 2)


async def test_a_gif_stays_one_where_the_vendor_takes_it() -> None:
    assert await prepared(request(inline(GIF, "image/gif")), FETCHES_ITSELF) == (inline(GIF, "image/gif"),)
    assert await prepared(request(remote("a")), model("inline_images"), Shelves(a=GIF)) == (inline(GIF, "image/gif"),)


async def test_a_gif_that_cannot_be_read_is_refused() -> None:
    assert (await refused(request(inline(GIF[:20], "image/gif")))).param == "image_url"


async def test_the_detail_of_an_image_is_kept() -> None:
    (part,) = await prepared(request(remote("a").model_copy(update={"detail": "low"})))
    assert isinstance(part, Image)
    assert part.detail == "low"


async def test_the_same_image_is_had_once() -> None:
    shelves = Shelves()
    assert await prepared(request(remote("a"), remote("a"), remote("b")), shelves=shelves) == (inline(PNG),) * 3
    assert sorted(shelves.asked) == ["https://example.com/a", "https://example.com/b"]


async def test_images_in_the_results_of_tools_are_prepared_too() -> None:
    call = Message(role="assistant", parts=(ToolCall(id="c", name="f", arguments="{}"),))
    result = ToolResult(call_id="c", name="f", content=(Text(text="a"), Image(source=remote("a").source)))
    asked = ChatRequest(model="m", messages=(call, Message(role="tool", parts=(result,))))
    (_, part) = await prepared(asked)
    assert isinstance(part, ToolResult)
    assert part.content == (Text(text="a"), inline(PNG))


async def test_few_images_are_had_at_once_and_not_too_many_in_all() -> None:
    shelves = Shelves()
    images = [remote(f"{at}") for at in range(MAX_CHANGED_IMAGES + 1)]
    assert len(await prepared(request(*images[:-1]), shelves=shelves)) == MAX_CHANGED_IMAGES
    assert 1 < shelves.most_at_once <= 4
    assert "20" in (await refused(request(*images))).message


async def test_images_are_not_too_large_together() -> None:
    shelves = Shelves(**dict.fromkeys("abc", PNG + bytes(20 * 2**20)))
    await prepared(request(remote("a"), remote("b")), shelves=shelves)
    assert "50 MB" in (await refused(request(*map(remote, "abc")), shelves)).message


async def test_one_image_that_cannot_be_had_is_the_requests_error() -> None:
    shelves = Shelves(b=InvalidRequest.field("image_url", "could not be fetched"))
    assert "could not be fetched" in (await refused(request(remote("a"), remote("b")), shelves)).message


# --- stored images


@pytest.mark.parametrize("to", [FETCHED_FOR, FETCHES_ITSELF])
async def test_a_stored_image_is_read_for_every_vendor(to: Model) -> None:
    shelves = Shelves()
    assert await prepared(request(remote(f"{OURS}a.png?expired")), to, shelves) == (inline(PNG),)


async def test_another_tenants_image_is_not_read_from_the_store() -> None:
    asked = request(remote(f"{OURS}a.png"), Text(text=link("a")))
    assert await prepared(asked, FETCHES_ITSELF, tenant="another") == asked.messages[0].parts


async def test_links_of_an_answer_become_its_images_in_their_places() -> None:
    text = f"One:\n\n{link('a')}\n\nTwo and three:\n{link('b')}{link('a')} and that is all."
    assert await prepared(request(Text(text=text), role="assistant"), shelves=Shelves(b=GIF)) == (
        Text(text="One:"),
        inline(PNG),
        Text(text="Two and three:"),
        (await prepared(request(inline(GIF, "image/gif"))))[0],
        inline(PNG),
        Text(text="and that is all."),
    )


@pytest.mark.parametrize("text", [link("a"), f"\n\n{link('a')}\n\n"])
async def test_an_answer_that_is_nothing_but_an_image_has_no_empty_text_beside_it(text: str) -> None:
    assert await prepared(request(Text(text=text), role="assistant")) == (inline(PNG),)


@pytest.mark.parametrize(
    "text",
    [
        "![a cat](https://example.com/a.png)",
        "![image](data:image/png;base64,AAAA)",
        f"![image]({OURS}a.png",
        f"[image]({OURS}a.png)",
        f"![image] ({OURS}a.png)",
        f"![im\nage]({OURS}a.png)",
        f"{OURS}a.png",
        f"![{'x' * 201}]({OURS}a.png)",
    ],
)
async def test_what_is_no_link_to_a_stored_image_stays_text(text: str) -> None:
    assert await prepared(request(Text(text=text), role="assistant")) == (Text(text=text),)


@pytest.mark.parametrize("role", ["user", "system"])
async def test_only_answers_have_images_for_their_links(role: str) -> None:
    assert await prepared(request(Text(text=link("a")), role=role)) == (Text(text=link("a")),)


async def test_a_model_without_eyes_gets_the_links() -> None:
    asked = request(Text(text=link("a")), role="assistant")
    assert await Inputs(nobody, nobody).prepared(asked, model(sees=False), TENANT) is asked


def drawn(count: int) -> list[Message]:
    """A conversation in which that many images were made."""
    return [Message(role="assistant", parts=(Text(text=f"No. {at}: {link(str(at))}"),)) for at in range(count)]


@pytest.mark.parametrize("beside", [0, 3, MAX_CHANGED_IMAGES])
async def test_of_a_long_conversation_the_newest_images_are_shown_and_the_others_stay_links(beside: int) -> None:
    shelves = Shelves()
    last = Message(role="user", parts=tuple(remote(f"own{at}") for at in range(beside)))
    parts = await prepared(ChatRequest(model="m", messages=(*drawn(30), last)), shelves=shelves)
    room = MAX_CHANGED_IMAGES - beside
    shown = [url.rpartition("/")[2] for url in shelves.asked if url.startswith(OURS)]
    assert sorted(shown) == sorted(f"{at}.png" for at in range(30 - room, 30))
    assert sum(isinstance(part, Text) and link(str(at)) in part.text for at, part in enumerate(parts)) == 30 - room


async def test_a_deleted_image_of_an_answer_is_told_and_one_of_the_callers_refused() -> None:
    shelves = Shelves(a=None)
    parts = await prepared(request(Text(text=f"Here: {link('a')}"), role="assistant"), shelves=shelves)
    assert parts == (Text(text="Here:"), Text(text="[an image that is no longer stored]"))
    assert (await refused(request(remote(f"{OURS}a.png")), shelves)).param == "image_url"


async def test_a_store_that_cannot_be_read_is_not_the_callers_fault() -> None:
    shelves = Shelves(a=AwsError("s3", "GetObject", "SlowDown"))
    for asked in (request(remote(f"{OURS}a.png")), request(Text(text=link("a")), role="assistant")):
        error = await refused(asked, shelves)
        assert isinstance(error, UpstreamError)
        assert "SlowDown" not in error.message


HOSTILE = {
    "links that never end": "![](https://x" * 200_000,
    "texts that never end": "![" * 1_000_000,
    "long links that never end": ("![](https://" + "x" * 7990) * 300,
    "links to everywhere": "![](https://x)" * 150_000,
    "links to nothing of ours": f"![]({OURS[:-2]})" * 80_000,
}


@pytest.mark.parametrize("text", HOSTILE.values(), ids=HOSTILE)
async def test_hostile_text_costs_no_time(text: str) -> None:
    """Read by a pattern that looks at a place twice, these take minutes."""
    began = time.process_time()
    assert await prepared(request(Text(text=text), role="assistant")) == (Text(text=text),)
    assert time.process_time() - began < 2


@pytest.mark.parametrize("before", [0, 2**18 - 8_300, 2**18 - 40, 2**18 - 1, 2**18, 2**19 + 7])
async def test_a_link_is_found_wherever_it_is_in_a_long_text(before: int) -> None:
    long = "!" + "x" * (8_000 - len(OURS) - 20)
    for name in ("a", long):
        parts = await prepared(request(Text(text="w" * before + link(name) + "after"), role="assistant"))
        assert [type(part) for part in parts][-2:] == [Image, Text]
        assert parts[-1] == Text(text="after")
