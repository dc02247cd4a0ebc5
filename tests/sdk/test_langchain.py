"""LangChain's clients of the Responses and Messages APIs, which are pinned apart from the development environment."""

from pathlib import Path

from tests.sdk.other_packages import assert_pass


def test_langchains_clients_work_unmodified(sandbox_url: str, tmp_path: Path) -> None:
    assert_pass(["tests/sdk/langchain_clients.py"], "agents", sandbox_url, tmp_path)
