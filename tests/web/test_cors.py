"""What browsers are told: the origins that GATEWAY_CORS_ORIGIN names may read answers, and no others."""

import httpx
import pytest

from shared.stores.keys import KeyStore
from tests.client import gateway_client

pytestmark = pytest.mark.anyio

APP, OTHER = "https://app.example.com", "https://other.example.com"
ALLOW = "access-control-allow-origin"


async def asked(keys: KeyStore, path: str = "/v1/models", **headers: str) -> httpx.Response:
    async with gateway_client(keys) as client:
        return await client.get(path, headers=headers)


async def test_without_the_setting_nothing_is_said(keys: KeyStore, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("GATEWAY_CORS_ORIGIN", raising=False)
    answer = await asked(keys, origin=APP)
    assert not [name for name in answer.headers if name.startswith("access-control")]
    assert "vary" not in answer.headers


@pytest.mark.parametrize("origins", [APP, f"{OTHER},{APP}", f" {OTHER} , {APP}/ "])
@pytest.mark.parametrize("path", ["/v1/models", "/ai/models", "/v1/inference/nothing"])
async def test_a_listed_origin_is_echoed_on_every_answer(
    keys: KeyStore, monkeypatch: pytest.MonkeyPatch, origins: str, path: str
) -> None:
    monkeypatch.setenv("GATEWAY_CORS_ORIGIN", origins)
    answer = await asked(keys, path, origin=APP)
    assert (answer.headers[ALLOW], answer.headers["vary"]) == (APP, "Origin")
    assert answer.headers["access-control-expose-headers"] == "*"


@pytest.mark.parametrize(
    "origin", ["https://app.example.com.evil.example", "http://app.example.com", "null", "", f"{APP},{OTHER}"]
)
async def test_another_origin_is_not(keys: KeyStore, monkeypatch: pytest.MonkeyPatch, origin: str) -> None:
    monkeypatch.setenv("GATEWAY_CORS_ORIGIN", f"{APP},{OTHER},")
    answer = await asked(keys, origin=origin)
    assert ALLOW not in answer.headers
    assert answer.headers["vary"] == "Origin"


async def test_a_request_of_no_browser_is_told_that_answers_vary(
    keys: KeyStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GATEWAY_CORS_ORIGIN", APP)
    answer = await asked(keys)
    assert ALLOW not in answer.headers
    assert answer.headers["vary"] == "Origin"


async def test_a_star_is_for_everybody(keys: KeyStore, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GATEWAY_CORS_ORIGIN", "*")
    for headers in ({"origin": OTHER}, {}):
        answer = await asked(keys, **headers)
        assert answer.headers[ALLOW] == "*"
        assert "vary" not in answer.headers
