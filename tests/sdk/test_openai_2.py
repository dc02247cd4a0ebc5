"""The tests of OpenAI's SDK once more, under the major version before the newest: many clients still have it."""

from pathlib import Path

from tests.sdk.other_packages import assert_pass

NAMES = ("openai", "responses", "images", "embeddings", "audio", "files", "batches")


def test_the_previous_sdk_meets_the_same_gateway(sandbox_url: str, tmp_path: Path) -> None:
    files = [f"tests/sdk/test_{name}.py" for name in NAMES]
    assert_pass(files, "openai-2", sandbox_url, tmp_path, TEST_OPENAI_VERSION="2.")
