"""Lets a terminal agent write and change a file through the gateway, with a scripted provider behind it."""

import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from scripts.scripted_provider import Script, provider
from scripts.serving import gateway, isolated

TOKEN = "sk-local"  # noqa: S105 - of the local server
PROMPT = "Write a file greeting.txt that says hello, then change it to say goodbye."
FILE = "greeting.txt"
DONE = "I wrote the file and changed it."
_CHANGED = "goodbye\n"
_SECONDS = 120


@dataclass(frozen=True)
class Agent:
    """An agent: the `program` of an npm `package`, and what its model says in a trial.

    `models` are pairs of a provider and one of its models. `start` gives the program's arguments and its environment,
    besides HOME, for the gateway's URL, a model and an empty home folder, into which it may write.
    """

    program: str
    package: str
    models: Sequence[tuple[str, str]]
    script: Script
    start: Callable[[str, str, Path], tuple[Sequence[str], Mapping[str, str]]]


def main(agent: Agent) -> None:
    """Prints one line for each model. Exits with 1 if the agent failed with one."""
    program = sys.argv[1] if len(sys.argv) > 1 else shutil.which(agent.program)
    if program is None:
        sys.exit(f"usage: python -m scripts.try_{agent.program} PATH, after npm install {agent.package}")
    failed = 0
    with provider(agent.script) as address:
        environment = {f"{name.upper()}_API_KEY": "scripted" for name, _ in agent.models}
        environment |= {f"{name.upper()}_BASE_URL": f"{address}/{name}" for name, _ in agent.models}
        with gateway(environment) as server:
            for name, model in agent.models:
                failed += not _passes(agent, program, server.url, name, model)
    sys.exit(1 if failed else 0)


def _passes(agent: Agent, program: str, url: str, name: str, model: str) -> bool:
    with tempfile.TemporaryDirectory() as home, tempfile.TemporaryDirectory() as folder:
        arguments, environment = agent.start(url, model, Path(home))
        try:
            result = subprocess.run(  # noqa: S603 - the operator names the program
                [program, *arguments],
                cwd=folder,
                env=isolated({"HOME": home, **environment}),
                stdin=subprocess.DEVNULL,
                capture_output=True,
                text=True,
                timeout=_SECONDS,
                check=False,
            )
        except subprocess.TimeoutExpired:
            print(f"FAIL  {name}: no end after {_SECONDS} s")
            return False
        file = Path(folder) / FILE
        text = file.read_text("utf-8") if file.exists() else None
    if result.returncode == 0 and text == _CHANGED and DONE in result.stdout:
        print(f"ok    {name}: {model} wrote and changed a file")
        return True
    print(f"FAIL  {name}: status {result.returncode}, file {text!r}\n{result.stdout}\n{result.stderr}")
    return False
