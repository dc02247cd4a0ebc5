"""The import rule of the architecture, read from the source, and what importing a module may drag in or do."""

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
FUNCTIONS = sorted(path.parent.name for path in (ROOT / "functions").glob("*/app.py"))

# Leaves: small tools that know no other part; everything may use them.
LEAVES = {"errors", "framing", "gif", "json_text", "media", "offload", "png_mask", "pump", "request_id"}
MAY_IMPORT = {
    "functions": {
        "functions",
        "authorizer",
        "cli",
        "web",
        "batches",
        "dialects",
        "gateway",
        "observability",
        "stores",
        "schemas",
    },
    "web": {"web", "batches", "gateway", "authentication", "authorizer", "dialects", "schemas", "observability"},
    # A line of a batch goes the way that a request goes through web, without HTTP.
    "batches": {"batches", "gateway", "dialects", "stores", "schemas", "settings", "fetch", "observability"},
    "cli": {"cli", "batches", "gateway", "stores", "schemas", "settings"},
    # These four are where the parts meet; the rest is taken apart so that each file has one reason to exist.
    "gateway": {
        "gateway",
        "catalog",
        "observability",
        "providers",
        "upstream",
        "fetch",
        "stores",
        "schemas",
        "settings",
        "prices",
        "pricing",
    },
    "pricing": {"schemas"},
    "prices": {"schemas"},
    "catalog": {"schemas", "settings"},
    "providers": {"providers", "schemas"},
    "dialects": {"dialects", "schemas"},
    "observability": {"schemas", "terminal_log"},
    "terminal_log": set(),
    "authentication": {"stores", "schemas"},
    "authorizer": {"authentication", "stores", "schemas", "settings"},
    "runtime": {"runtime"},
    "upstream": {"schemas"},
    "fetch": set(),
    "stores": {"stores", "schemas", "settings"},
    "schemas": {"schemas"},
    "settings": set(),
    **{leaf: set() for leaf in LEAVES},
}
ONLY_IN = {
    "fastapi": {"web", "functions"},
    "starlette": {"web", "functions"},
    "uvicorn": {"functions"},
    "moto": {"functions"},
    "werkzeug": {"functions"},
    "boto3": {"stores", "cli"},
    "botocore": {"stores"},
    "httpx": {"upstream", "gateway", "providers", "stores", "cli"},
    "mangum": {"runtime", "functions"},
    "rich": {"cli"},
    "httpcore": {"fetch"},
    "idna": {"fetch"},
    "aws_lambda_powertools": {"observability", "terminal_log", "batches"},
    "pydantic": {"schemas", "dialects", "providers", "catalog", "web"},
    "pydantic_core": {"batches", "dialects", "json_text", "providers", "gateway", "web"},
}


def modules() -> list[Path]:
    return [path for folder in ("shared", "functions") for path in sorted((ROOT / folder).rglob("*.py"))]


def unit_of(path: Path) -> str:
    parts = path.relative_to(ROOT).with_suffix("").parts
    return "functions" if parts[0] == "functions" else parts[1]


def imported(path: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: imports are absolute"
            assert node.module is not None
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


@pytest.mark.parametrize("path", modules(), ids=lambda path: str(path.relative_to(ROOT)))
def test_a_module_only_imports_what_the_architecture_lets_it(path: Path) -> None:
    unit = unit_of(path)
    for name in imported(path):
        top, _, rest = name.partition(".")
        if top in ("shared", "functions"):
            target = "functions" if top == "functions" else rest.split(".")[0]
            allowed = MAY_IMPORT.get(unit, set()) | LEAVES
            assert unit == "__init__" or target in allowed, f"{unit} may not import {name}"
        elif top not in sys.stdlib_module_names:
            assert unit in ONLY_IN.get(top, ()), f"{unit} may not import {top}"


def loaded_by(statement: str) -> set[str]:
    """The modules that a fresh interpreter has after a statement, in which sockets, files and processes are off."""
    program = f"""
import sys
def forbid(event, arguments):
    if event in ("socket.connect", "socket.bind", "socket.getaddrinfo", "subprocess.Popen", "os.system"):
        raise RuntimeError(f"import does I/O: {{event}}")
    if event == "open" and isinstance(arguments[0], str) and not arguments[0].endswith((".py", ".pyc", ".so")):
        if arguments[0].startswith({str(ROOT / "shared")!r}):
            raise RuntimeError(f"import reads {{arguments[0]}}")
sys.addaudithook(forbid)
{statement}
print("\\n".join(sys.modules))
"""
    command = [sys.executable, "-B", "-c", program]
    result = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr
    return set(result.stdout.split())


def test_importing_the_providers_loads_no_adapter() -> None:
    loaded = {name for name in loaded_by("import shared.providers") if name.startswith("shared.providers.")}
    assert loaded == {"shared.providers.base"}


@pytest.mark.parametrize("function", FUNCTIONS)
def test_importing_a_function_does_no_io_and_loads_no_adapter_and_no_aws_client(function: str) -> None:
    loaded = loaded_by(f"import functions.{function}.app")
    adapters = {name for name in loaded if name.startswith("shared.providers.")}
    assert adapters <= {"shared.providers.base"}
    assert "boto3" not in loaded
    assert "botocore.session" not in loaded


@pytest.mark.parametrize("unit", ["gateway", "stores.keys", "catalog", "upstream", "fetch", "dialects.openai.chat"])
def test_importing_what_is_not_http_loads_no_fastapi(unit: str) -> None:
    loaded = loaded_by(f"import shared.{unit}")
    assert "fastapi" not in loaded
    assert "starlette" not in loaded


@pytest.mark.parametrize("function", FUNCTIONS)
def test_an_entry_point_holds_no_logic(function: str) -> None:
    source = (ROOT / "functions" / function / "app.py").read_text("utf-8")
    assert len(source.splitlines()) <= 40
    assert not any(isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) for node in ast.walk(ast.parse(source)))
