"""Lets OpenAI's terminal agent work through the gateway: `python -m scripts.try_codex [path of codex]`.

The agent is `@openai/codex` of the npm registry, unmodified, with the gateway as a provider in its configuration. It
writes and changes a file in an empty folder with its own tools, once for each wire on which a scripted provider on this
machine answers: OpenAI's, Anthropic's and Gemini's. Not part of CI.
"""

import json
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from scripts.scripted_provider import Call, provider
from scripts.serving import gateway, isolated

TOKEN = "sk-local"  # noqa: S105 - of the local server
MODELS = (
    ("openai", "gpt-5"),
    ("openai", "gpt-6-sol"),  # which the agent knows, and gives other tools
    ("anthropic", "claude-sonnet-5-5"),
    ("gemini", "gemini-3-pro-preview"),
)
CONFIG = """
model = "{model}"
model_provider = "gateway"

[model_providers.gateway]
name = "Gateway"
base_url = "{url}/v1"
env_key = "GATEWAY_KEY"
wire_api = "responses"
"""
PROMPT = "Write a file greeting.txt that says hello, then change it to say goodbye."
_SECONDS = 120
_FILE = "greeting.txt"
_DONE = "I wrote the file and changed it."


def main() -> None:
    """Prints one line for each wire. Exits with 1 if the agent failed on one."""
    codex = sys.argv[1] if len(sys.argv) > 1 else shutil.which("codex")
    if codex is None:
        sys.exit("usage: python -m scripts.try_codex PATH, after npm install @openai/codex")
    failed = 0
    with provider(_script) as address:
        environment = {f"{name.upper()}_API_KEY": "scripted" for name, _ in MODELS}
        environment |= {f"{name.upper()}_BASE_URL": f"{address}/{name}" for name, _ in MODELS}
        with gateway(environment) as server:
            for wire, model in MODELS:
                failed += not _passes(codex, server.url, wire, model)
    sys.exit(1 if failed else 0)


def _script(tools: set[str], results: int) -> Call | str:
    """Writes the file, and changes it, by commands: as calls of a tool, or in a program that calls it."""
    commands = (f"echo hello > {_FILE}", f"echo goodbye > {_FILE}")
    if results >= len(commands):
        return _DONE
    if "exec_command" in tools:
        return Call("exec_command", {"cmd": commands[results]})
    if "functions__exec" in tools:
        return Call("functions__exec", text=f"await tools.exec_command({json.dumps({'cmd': commands[results]})});")
    return _DONE


def _passes(codex: str, url: str, wire: str, model: str) -> bool:
    with tempfile.TemporaryDirectory() as home, tempfile.TemporaryDirectory() as folder:
        (Path(home) / "config.toml").write_text(CONFIG.format(url=url, model=model), "utf-8")
        # The folder is empty and the commands are those of the script: nothing has to be kept from anything.
        command = [codex, "exec", "--skip-git-repo-check", "--sandbox", "danger-full-access", PROMPT]
        try:
            result = subprocess.run(  # noqa: S603 - our own words
                command,
                cwd=folder,
                env=isolated({"CODEX_HOME": home, "HOME": home, "GATEWAY_KEY": TOKEN}),
                stdin=subprocess.DEVNULL,
                capture_output=True,
                text=True,
                timeout=_SECONDS,
                check=False,
            )
        except subprocess.TimeoutExpired:
            print(f"FAIL  {wire}: no end after {_SECONDS} s")
            return False
        file = Path(folder) / _FILE
        text = file.read_text("utf-8") if file.exists() else None
    if result.returncode == 0 and text == "goodbye\n" and _DONE in result.stdout:
        print(f"ok    {wire}: {model} wrote and changed a file")
        return True
    print(f"FAIL  {wire}: status {result.returncode}, file {text!r}\n{result.stdout}\n{result.stderr}")
    return False


if __name__ == "__main__":
    main()
