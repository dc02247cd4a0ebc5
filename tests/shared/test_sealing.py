"""Seals: what a caller carries, and can neither read nor alter."""

import pytest

from shared.sealing import Sealer

TEXT = "The model thought of Größe 🐢."


def test_a_seal_is_opened_by_the_same_secret_and_purpose_only() -> None:
    token = Sealer(b"secret").seal(TEXT, "acme")
    assert Sealer(b"secret").open(token, "acme") == TEXT
    assert Sealer(b"other").open(token, "acme") is None
    assert Sealer(b"secret").open(token, "umbrella") is None


def test_a_seal_shows_nothing_of_its_text_and_is_never_the_same_twice() -> None:
    sealer = Sealer(b"secret")
    one, other = sealer.seal(TEXT, "acme"), sealer.seal(TEXT, "acme")
    assert one != other
    assert "thought" not in one


def test_a_seal_that_was_altered_anywhere_is_not_opened() -> None:
    sealer = Sealer(b"secret")
    token = sealer.seal(TEXT, "acme")
    for at in range(len(token)):
        changed = token[:at] + ("A" if token[at] != "A" else "B") + token[at + 1 :]
        # The last character has bits that stand for nothing.
        assert sealer.open(changed, "acme") in ((None,) if at < len(token) - 1 else (None, TEXT))


@pytest.mark.parametrize("token", ["", "gw1_", "gw1_AAAA", "gw1_ä", "gw1_" + "A" * 15, "EqQBCkYIAxABGAIq", "gw1_a b"])
def test_what_is_no_seal_is_not_opened(token: str) -> None:
    assert Sealer(b"secret").open(token, "acme") is None
