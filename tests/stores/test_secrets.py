"""Providers' keys come from the secret, are renewed in place, and outlive a secret store that is down."""

import json
from collections.abc import Callable

import httpx
import pytest

from shared.stores.aws import Aws
from shared.stores.aws_calls import AwsError
from shared.stores.secrets import TTL_SECONDS, ProviderSecret

pytestmark = pytest.mark.anyio
CREDENTIALS = {"AWS_ACCESS_KEY_ID": "a", "AWS_SECRET_ACCESS_KEY": "s"}


def secret(answer: Callable[[], httpx.Response], clock: list[float]) -> ProviderSecret:
    aws = Aws(CREDENTIALS, transport=httpx.MockTransport(lambda request: answer()))
    return ProviderSecret(aws, "arn", clock=lambda: clock[0])


def holding(text: str) -> httpx.Response:
    return httpx.Response(200, json={"SecretString": text})


async def test_a_secret_is_read_once_until_it_is_old_and_stays_the_same_object_while_unchanged() -> None:
    answers = [
        holding('{"OPENAI_API_KEY": "1"}'),
        holding('{"OPENAI_API_KEY": "1"}'),
        holding('{"OPENAI_API_KEY": "2"}'),
    ]
    clock = [0.0]
    provider = secret(lambda: answers.pop(0), clock)
    first = await provider.values()
    assert first == {"OPENAI_API_KEY": "1"}
    assert await provider.values() is first
    clock[0] += TTL_SECONDS
    assert await provider.values() is first
    clock[0] += TTL_SECONDS
    assert await provider.values() == {"OPENAI_API_KEY": "2"}
    assert answers == []


async def test_known_keys_are_kept_while_the_secret_cannot_be_read() -> None:
    answers = [holding('{"A": "1"}'), httpx.Response(400, json={"__type": "AccessDenied"})]
    clock = [0.0]
    provider = secret(lambda: answers.pop(0), clock)
    await provider.values()
    clock[0] += TTL_SECONDS
    assert await provider.values() == {"A": "1"}


@pytest.mark.parametrize("text", ["not json, but sk-secret", '["sk-secret"]', '{"A": {"b": "sk-secret"}}'])
async def test_a_secret_of_another_form_is_an_error_that_does_not_tell_it(text: str) -> None:
    with pytest.raises(AwsError) as raised:
        await secret(lambda: holding(text), [0.0]).values()
    assert "sk-secret" not in str(raised.value)
    assert json.dumps(text) not in repr(raised.value)
