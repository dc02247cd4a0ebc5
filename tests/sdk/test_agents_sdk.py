"""OpenAI's Agents SDK, which is pinned apart from the development environment."""

from pathlib import Path

from tests.sdk.other_packages import assert_pass


def test_P23_agents_work_with_the_sdks_default_model_class(sandbox_url: str, tmp_path: Path) -> None:
    untraced = {"OPENAI_AGENTS_DISABLE_TRACING": "1"}  # traces go to OpenAI itself
    assert_pass(["tests/sdk/agents_sdk.py"], "agents", sandbox_url, tmp_path, **untraced)
