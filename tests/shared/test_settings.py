"""Settings come from the environment, and a wrong one is named."""

import pytest

from shared.settings import KeyHeader, Settings


def test_settings_are_read_by_the_type_of_their_default() -> None:
    settings = Settings.from_environment(
        {
            "GATEWAY_SANDBOX": "on",
            "GATEWAY_KEEP_ALIVE": "2.5",
            "GATEWAY_MAX_BODY": "1000",
            "GATEWAY_KEYS_TABLE": "k",
            "GATEWAY_KEY_HEADER": "x-api-key",
        }
    )
    assert settings.sandbox is True
    assert settings.keep_alive == 2.5
    assert settings.max_body == 1000
    assert settings.keys_table == "k"
    assert settings.key_header is KeyHeader.X_API_KEY


def test_an_empty_variable_is_no_setting() -> None:
    assert Settings.from_environment({"GATEWAY_MAX_BODY": " "}) == Settings(environment={"GATEWAY_MAX_BODY": " "})


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("GATEWAY_SANDBOX", "maybe"),
        ("GATEWAY_MAX_BODY", "10 MB"),
        ("GATEWAY_KEEP_ALIVE", "-1"),
        ("GATEWAY_KEEP_ALIVE", "nan"),
        ("GATEWAY_UPSTREAM_TIMEOUT", "inf"),
        ("GATEWAY_KEY_HEADER", "cookie"),
    ],
)
def test_a_wrong_value_is_refused_by_its_variables_name(variable: str, value: str) -> None:
    with pytest.raises(ValueError, match=variable):
        Settings.from_environment({variable: value})


def test_no_secret_of_the_environment_is_in_the_repr() -> None:
    assert "sk-secret" not in repr(Settings.from_environment({"OPENAI_API_KEY": "sk-secret"}))
