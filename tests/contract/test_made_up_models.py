"""Names that a caller makes up under a vendor with an open list do not become rows of their own."""

import httpx
import pytest

from shared.schemas.limits import Limits
from shared.stores.keys import KeyStore
from tests.contract.accounts import CHAT, account
from tests.contract.vendor import BEGINNING, KEY, Handler, answering, breaking, frame, hello, raising
from tests.contract.wire import DISTINCT

pytestmark = pytest.mark.anyio

ENVIRONMENT = {"GROQ_API_KEY": KEY, "GROQ_BASE_URL": "https://vendor.test/v1"}
LIMITS = Limits(requests_per_minute=1000, tokens_per_minute=10**9)
UNKNOWN = answering(404, b'{"error":{"message":"The model `x1` does not exist.","code":"model_not_found"}}')
NO_ANSWERS: dict[str, Handler] = {
    "not found": UNKNOWN,
    "rejected": answering(400, b'{"error":{"message":"unknown model"}}'),
    "failed": answering(500),
    "unreadable": answering(200, b"<html>"),
    "broken": raising(httpx.ReadError("broken")),
    "error in a stream": answering(200, frame({"error": {"message": "The model `x1` does not exist.", "code": 404}})),
}


@pytest.mark.parametrize("how", NO_ANSWERS)
@pytest.mark.parametrize("stream", [False, True])
async def test_names_that_the_vendor_does_not_answer_for_are_counted_as_the_wildcard(
    keys: KeyStore, caplog: pytest.LogCaptureFixture, how: str, stream: bool
) -> None:
    async with account(keys, LIMITS, environment=ENVIRONMENT, vendor=NO_ANSWERS[how]) as caller:
        for number in range(3):
            answer = await caller.ask(CHAT, model=f"groq/x{number}", stream=stream)
            assert answer.status_code >= 400
        row = await caller.row()
    # A broken connection is tried once more; either call may have cost something, so each is counted.
    assert (row.model, row.failures) == ("groq/*", 6 if how == "broken" else 3)
    lines = [vars(record) for record in caplog.records if record.message == "request"]
    assert {line["model"] for line in lines} == {"groq/*"}


@pytest.mark.parametrize("path", DISTINCT)
@pytest.mark.parametrize("stream", [False, True])
async def test_a_name_that_the_vendor_answers_for_has_a_row_of_its_own(
    keys: KeyStore, caplog: pytest.LogCaptureFixture, path: str, stream: bool
) -> None:
    async with account(keys, LIMITS, environment=ENVIRONMENT, vendor=hello) as caller:
        assert (await caller.ask(path, model="groq/new", stream=stream)).status_code == 200
        assert (await caller.row()).model == "groq/new"
    (line,) = [vars(record) for record in caplog.records if record.message == "request"]
    assert line["model"] == "groq/new"


async def test_an_answer_that_breaks_off_was_the_models(keys: KeyStore) -> None:
    vendor = breaking(httpx.ReadError("broken"))
    assert b"Hello" in BEGINNING
    async with account(keys, LIMITS, environment=ENVIRONMENT, vendor=vendor) as caller:
        await caller.ask(CHAT, model="groq/new", stream=True)
        assert (await caller.row()).model == "groq/new"


async def test_a_row_of_the_catalog_is_counted_as_itself_whatever_the_vendor_says(keys: KeyStore) -> None:
    async with account(keys, LIMITS, environment=ENVIRONMENT, vendor=UNKNOWN) as caller:
        await caller.ask(CHAT, model="groq/openai/gpt-oss-120b")
        assert (await caller.row()).model == "groq/openai/gpt-oss-120b"
