"""The operator's rows come from the bucket, are taken in when they change, and outlive a bucket that is down."""

from collections.abc import Callable

import httpx
import pytest

from shared.gateway.configuration import Configuration
from shared.settings import Settings
from shared.stores.aws import Aws
from shared.stores.aws_calls import AwsError
from shared.stores.operator_catalog import TTL_SECONDS, OperatorCatalog
from shared.stores.secrets import ProviderSecret

pytestmark = pytest.mark.anyio
CREDENTIALS = {"AWS_ACCESS_KEY_ID": "a", "AWS_SECRET_ACCESS_KEY": "s", "AWS_REGION": "eu-west-1"}
URL = "s3://media/config/catalog.toml"
ROWS = """
[providers.acme]
adapter = "openai"
base_url = "https://api.acme.example/v1"
api_key_env = "ACME_API_KEY"

[[models]]
id = "acme-large"
provider = "acme"
owned_by = "acme"
created = 1735689600
capabilities = ["chat"]
"""
MISSING = httpx.Response(404, content=b"<Error><Code>NoSuchKey</Code></Error>")
FORBIDDEN = httpx.Response(403, content=b"<Error><Code>AllAccessDisabled</Code></Error>")


def aws(answer: Callable[[httpx.Request], httpx.Response]) -> Aws:
    return Aws(CREDENTIALS, transport=httpx.MockTransport(answer))


def catalog(answers: list[httpx.Response], clock: list[float], seen: list[httpx.Request]) -> OperatorCatalog:
    def answer(request: httpx.Request) -> httpx.Response:
        seen.append(request)
        return answers.pop(0)

    return OperatorCatalog(aws(answer), URL, clock=lambda: clock[0])


async def test_an_object_is_read_once_until_it_is_old() -> None:
    clock, seen = [0.0], list[httpx.Request]()
    rows = catalog([httpx.Response(200, content=b"a"), httpx.Response(200, content=b"b")], clock, seen)
    assert [await rows.text(), await rows.text()] == ["a", "a"]
    clock[0] += TTL_SECONDS
    assert await rows.text() == "b"
    assert {str(request.url) for request in seen} == {"https://media.s3.eu-west-1.amazonaws.com/config/catalog.toml"}


async def test_there_may_be_no_object_yet_and_none_any_more() -> None:
    clock = [0.0]
    rows = catalog([MISSING, httpx.Response(200, content=b"a"), MISSING], clock, [])
    for expected in (None, "a", None):
        assert await rows.text() == expected
        clock[0] += TTL_SECONDS


async def test_what_was_read_is_kept_while_it_cannot_be_read_again() -> None:
    clock = [0.0]
    rows = catalog([httpx.Response(200, content=b"a"), FORBIDDEN], clock, [])
    await rows.text()
    clock[0] += TTL_SECONDS
    assert await rows.text() == "a"


async def test_an_object_that_was_never_read_is_an_error() -> None:
    with pytest.raises(AwsError, match="AllAccessDisabled"):
        await catalog([FORBIDDEN], [0.0], []).text()


class Stack:
    """A bucket with the operator's rows, and a secret."""

    def __init__(self, rows: str | None, keys: str = "{}") -> None:
        self.rows = rows
        self.keys = keys
        self.clock = 0.0
        account = aws(self._answer)
        secret = ProviderSecret(account, "arn", clock=lambda: self.clock)
        self.configuration = Configuration(Settings(catalog=URL), account, secret, clock=lambda: self.clock)

    def _answer(self, request: httpx.Request) -> httpx.Response:
        if "secretsmanager" in request.url.host:
            return httpx.Response(200, json={"SecretString": self.keys})
        return MISSING if self.rows is None else httpx.Response(200, content=self.rows.encode())

    async def models(self) -> list[str]:
        """What is configured, after both have become old."""
        self.clock += TTL_SECONDS
        return [model.id for model in (await self.configuration.refresh()).models()]


async def test_an_operators_models_are_served_with_the_secrets_key_and_change_in_place() -> None:
    stack = Stack(ROWS)
    assert await stack.models() == []
    stack.keys = '{"ACME_API_KEY": "k"}'
    assert await stack.models() == ["acme-large"]
    stack.rows = ROWS.replace("acme-large", "acme-huge")
    assert await stack.models() == ["acme-huge"]
    stack.rows = None
    assert await stack.models() == []


@pytest.mark.parametrize(
    "wrong", ["[[models]", '[[models]]\nid = "x"\n', '[[models]]\nid = "x"\nprovider = "nobody"\n']
)
async def test_rows_that_are_wrong_change_nothing_and_are_told(wrong: str, caplog: pytest.LogCaptureFixture) -> None:
    stack = Stack(ROWS, '{"ACME_API_KEY": "k"}')
    assert await stack.models() == ["acme-large"]
    stack.rows = wrong
    assert await stack.models() == ["acme-large"]
    assert await stack.models() == ["acme-large"]
    (record,) = caplog.records
    assert "operator's rows" in record.message
    stack.rows = ROWS.replace("acme-large", "acme-huge")
    assert await stack.models() == ["acme-huge"]


async def test_a_catalog_stays_the_same_object_while_nothing_changes() -> None:
    stack = Stack(ROWS)
    await stack.models()
    first = stack.configuration.catalog
    stack.clock += TTL_SECONDS
    assert await stack.configuration.refresh() is first
