"""Lets OpenAI's terminal agent work through the gateway: `python -m scripts.try_codex [path of codex]`.

The agent is `@openai/codex` of the npm registry, unmodified, with the gateway as a provider in its configuration. It
writes and changes a file in an empty folder with its own tools, once for each wire on which a scripted provider on this
machine answers: OpenAI's, Anthropic's and Gemini's. Shows statement P24. Not part of CI.
"""

import json
from pathlib import Path

from scripts.agent_trial import DONE, FILE, PROMPT, TOKEN, Agent, main
from scripts.scripted_provider import Call, Turn

CONFIG = """
model = "{model}"
model_provider = "gateway"

[model_providers.gateway]
name = "Gateway"
base_url = "{url}/v1"
env_key = "GATEWAY_KEY"
wire_api = "responses"
"""


def _script(turn: Turn) -> Call | str:
    """Writes the file, and changes it, by commands: as calls of a tool, or in a program that calls it."""
    commands = (f"echo hello > {FILE}", f"echo goodbye > {FILE}")
    if turn.results >= len(commands):
        return DONE
    command = {"cmd": commands[turn.results]}
    if "exec_command" in turn.tools:
        return Call("exec_command", command)
    if "functions__exec" in turn.tools:
        return Call("functions__exec", text=f"await tools.exec_command({json.dumps(command)});")
    return DONE


def _start(url: str, model: str, home: Path) -> tuple[list[str], dict[str, str]]:
    (home / "config.toml").write_text(CONFIG.format(url=url, model=model), "utf-8")
    # The folder is empty and the commands are those of the script: nothing has to be kept from anything.
    arguments = ["exec", "--skip-git-repo-check", "--sandbox", "danger-full-access", PROMPT]
    return arguments, {"CODEX_HOME": str(home), "GATEWAY_KEY": TOKEN}


CODEX = Agent(
    program="codex",
    package="@openai/codex",
    models=(
        ("openai", "gpt-5"),
        ("openai", "gpt-6-sol"),  # which the agent knows, and gives other tools
        ("anthropic", "claude-sonnet-5-5"),
        ("gemini", "gemini-3-pro-preview"),
    ),
    script=_script,
    start=_start,
)

if __name__ == "__main__":
    main(CODEX)
