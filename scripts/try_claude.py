"""Lets Anthropic's terminal agent work through the gateway: `python -m scripts.try_claude [path of claude]`.

The agent is `@anthropic-ai/claude-code` of the npm registry, unmodified but for base URL, key and model. It writes and
edits a file in an empty folder with its own tools, once for each of three wires on which a scripted provider on this
machine answers: Anthropic's, an OpenAI-compatible vendor's and Gemini's. Shows statement M21. Not part of CI.
"""

import json
from pathlib import Path

from scripts.agent_trial import DONE, FILE, PROMPT, TOKEN, Agent, main
from scripts.scripted_provider import Call, Turn


def _script(turn: Turn) -> Call | str:
    """Writes the file, and edits it, by the agent's tools."""
    if not {"Write", "Edit"} <= turn.tools:
        return DONE
    # The agent tells the model its folder, which its tools want in paths.
    folder = json.dumps(turn.request).partition("working directory: ")[2].split("\\n")[0].strip()
    path = f"{folder}/{FILE}"
    calls = (
        Call("Write", {"file_path": path, "content": "hello\n"}),
        Call("Edit", {"file_path": path, "old_string": "hello", "new_string": "goodbye"}),
    )
    return calls[turn.results] if turn.results < len(calls) else DONE


def _start(url: str, model: str, home: Path) -> tuple[list[str], dict[str, str]]:
    environment = {
        "ANTHROPIC_BASE_URL": url,
        "ANTHROPIC_AUTH_TOKEN": TOKEN,
        "ANTHROPIC_MODEL": model,
        "ANTHROPIC_DEFAULT_HAIKU_MODEL": model,
        "CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC": "1",
    }
    return ["-p", PROMPT, "--permission-mode", "acceptEdits"], environment


CLAUDE = Agent(
    program="claude",
    package="@anthropic-ai/claude-code",
    models=(
        ("anthropic", "claude-sonnet-5"),
        ("deepinfra", "deepseek-ai/DeepSeek-V3-0324"),
        ("gemini", "gemini-3.8-flash"),
    ),
    script=_script,
    start=_start,
)

if __name__ == "__main__":
    main(CLAUDE)
