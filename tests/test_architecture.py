"""The import rule of the architecture, read from the source, and what importing a module may drag in or do."""

import ast
import subprocess
import sys
from collections.abc import Iterator, Mapping
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

from shared.schemas.quirk import Quirk

ROOT = Path(__file__).parents[1]
FUNCTIONS = sorted(path.parent.name for path in (ROOT / "functions").glob("*/app.py"))

# Leaves: small tools that know no other part; everything may use them.
LEAVES = {
    "audio",
    "dataclass",
    "errors",
    "framing",
    "gif",
    "json_text",
    "media",
    "offload",
    "png",
    "png_mask",
    "pump",
    "request_id",
    "sealing",
    "shared_call",
    "sigv4",
    "snapshot",
    "tls",
    "trace_header",
}
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
        "routes",
        "stores",
        "schemas",
        "settings",
    },
    "web": {
        "web",
        "batches",
        "gateway",
        "authentication",
        "authorizer",
        "dialects",
        "responses",
        "routes",
        "schemas",
        "observability",
    },
    # What /v1/responses does around a call: continue, store, answer in the background. Web and the worker share it.
    "responses": {
        "responses",
        "authentication",
        "gateway",
        "dialects",
        "stores",
        "schemas",
        "settings",
        "observability",
    },
    # A line of a batch goes the way that a request goes through web, without HTTP.
    "batches": {
        "batches",
        "authentication",
        "gateway",
        "dialects",
        "responses",
        "routes",
        "stores",
        "schemas",
        "settings",
        "fetch",
        "observability",
    },
    "cli": {"cli", "batches", "catalog", "gateway", "stores", "schemas", "settings"},
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
    "routes": {"schemas"},
    "observability": {"log_lines", "schemas", "terminal_log", "tracing"},
    "log_lines": set(),
    "tracing": set(),
    "terminal_log": set(),
    "authentication": {"stores", "schemas", "settings"},
    "authorizer": {"authentication", "routes", "stores", "schemas", "settings"},
    "runtime": {"runtime"},
    "upstream": {"http_transport", "schemas"},
    "http_transport": set(),
    "fetch": set(),
    "stores": {"http_transport", "stores", "schemas", "settings"},
    "schemas": {"schemas"},
    "settings": set(),
    **{leaf: set() for leaf in LEAVES},
}
ONLY_IN = {
    "fastapi": {"functions"},
    "starlette": {"web", "functions"},
    "uvicorn": {"functions"},
    "uvloop": {"functions"},
    "moto": {"functions"},
    "werkzeug": {"functions"},
    "boto3": {"stores", "cli"},
    "cryptography": {"sealing"},
    "botocore": {"stores"},
    "httpx": {"upstream", "http_transport", "gateway", "providers", "stores", "cli", "tls"},
    "mangum": {"runtime", "functions"},
    "rich": {"cli"},
    "httpcore": {"fetch"},
    "httptools": {"http_transport"},
    "idna": {"fetch"},
    "aws_lambda_powertools": {"log_lines", "observability", "terminal_log", "batches"},
    "aws_xray_sdk": {"tracing"},
    "pydantic": {"schemas", "dialects", "providers", "catalog", "web", "functions"},
    "pydantic_core": {
        "batches",
        "dialects",
        "functions",
        "json_text",
        "log_lines",
        "providers",
        "gateway",
        "stores",
        "web",
    },
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


def module_name(path: Path) -> str:
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def without_type_checking(node: ast.AST) -> Iterator[ast.AST]:
    """The nodes below one, leaving out what only type checkers read."""
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.If) and ast.unparse(child.test) == "TYPE_CHECKING":
            continue
        yield child
        yield from without_type_checking(child)


def module_graph(sources: Mapping[str, str]) -> dict[str, set[str]]:
    """The modules that each module imports at run time, inside functions too, from the sources by module name."""
    graph: dict[str, set[str]] = {}
    for name, source in sources.items():
        targets = graph.setdefault(name, set())
        for node in without_type_checking(ast.parse(source)):
            if isinstance(node, ast.Import):
                targets.update(alias.name for alias in node.names)
            elif isinstance(node, ast.ImportFrom) and node.module is not None:
                members = {f"{node.module}.{alias.name}" for alias in node.names}
                targets.update(member if member in sources else node.module for member in members)
        targets &= sources.keys()
    return graph


def test_no_module_imports_itself_by_way_of_others() -> None:
    graph = module_graph({module_name(path): path.read_text("utf-8") for path in modules()})
    assert "shared.upstream" in graph["shared.gateway.services"], "imports inside functions count"
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        pytest.fail(f"import cycle: {' <- '.join(error.args[1])}")


def test_an_import_cycle_is_found_unless_only_type_checkers_see_it() -> None:
    upper = "def f():\n    from shared import lower\n"
    typing_only = "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    from shared.upper import f\n"
    TopologicalSorter(module_graph({"shared.upper": upper, "shared.lower": typing_only})).prepare()
    with pytest.raises(CycleError):
        TopologicalSorter(
            module_graph({"shared.upper": upper, "shared.lower": "from shared.upper import f\n"})
        ).prepare()


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


@pytest.mark.parametrize("module", [*(f"{function}.app" for function in FUNCTIONS), "__main__"])
def test_importing_a_function_or_the_local_server_loads_no_fastapi(module: str) -> None:
    """Its import would be most of a cold start's. It is for the API's document."""
    assert "fastapi" not in loaded_by(f"import functions.{module}")


def test_a_function_loads_the_modules_of_its_own_operations_only() -> None:
    loaded = loaded_by("import functions.models.app")
    assert "shared.web.models" in loaded
    for other in ("shared.web.chat", "shared.web.events", "shared.gateway.chat", "shared.dialects.openai.chat"):
        assert other not in loaded


@pytest.mark.parametrize(
    "unit", ["routes", "gateway", "stores.keys", "catalog", "upstream", "fetch", "dialects.openai.chat"]
)
def test_importing_what_is_not_http_loads_no_fastapi(unit: str) -> None:
    loaded = loaded_by(f"import shared.{unit}")
    assert "fastapi" not in loaded
    assert "starlette" not in loaded


@pytest.mark.parametrize("function", FUNCTIONS)
def test_an_entry_point_holds_no_logic(function: str) -> None:
    source = (ROOT / "functions" / function / "app.py").read_text("utf-8")
    assert len(source.splitlines()) <= 40
    assert not any(isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) for node in ast.walk(ast.parse(source)))


def test_code_asks_for_no_quirk_that_does_not_exist() -> None:
    """Quirks are compared with strings, in which a type checker sees no misspelling."""
    asked = {
        (node.left.value, str(path))
        for path in modules()
        for node in ast.walk(ast.parse(path.read_text("utf-8")))
        if isinstance(node, ast.Compare) and isinstance(node.left, ast.Constant)
        for right in node.comparators
        if isinstance(right, ast.Name | ast.Attribute)
        and "quirks" in (getattr(right, "id", ""), getattr(right, "attr", ""))
    }
    assert len(asked) > 20
    assert {quirk for quirk, _ in asked} <= set(Quirk)
