"""Builds the contents of a layer or function; `sam build` calls it for each of them through build.mk.

Everything ships with bytecode, since Lambda's /opt and /var/task are read-only and every cold start would otherwise
compile every module. The bytecode is compiled by Lambda's version of Python and never checked against its source.
"""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]
PYTHON = "3.13"
REQUIREMENTS = ROOT / "layers" / "dependencies" / "requirements.txt"
# Lambda's system for Python 3.13 is Amazon Linux 2023, whose glibc is 2.34.
PLATFORMS = ("manylinux2014", "manylinux_2_17", "manylinux_2_28", "manylinux_2_34")
PROCESSORS = {"arm64": "aarch64", "x86_64": "x86_64"}
# Files that no function reads. Metadata stay, since packages look up their version and plug-ins there.
NEEDLESS = ("bin", "*-stubs", "**/tests", "**/*.pyi", "**/*.c", "**/swagger_ui/*.js", "**/swagger_ui/*.css")
KEPT_METADATA = ("METADATA", "entry_points.txt")
# Most licences ask to be distributed with what they are for. Newer packages have them in a folder of this name.
LICENCES = ("licenses", "LICEN[CS]E*", "COPYING*", "NOTICE*", "AUTHORS*")


def main() -> None:
    """`build.py <logical id> <folder> <architecture>` fills the folder."""
    logical_id, folder, architecture = sys.argv[1:]
    target = Path(folder)
    match logical_id:
        case "DependenciesLayer":
            install(target / "python", architecture)
            strip(target / "python")
            compile_all(target, "/opt")
        case "SharedLayer":
            copy(Path("shared"), target / "python")
            shutil.copy(ROOT / "LICENSE", target / "python" / "shared")
            compile_all(target, "/opt")
        case "RuntimeLayer":
            target.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / "layers" / "runtime" / "streaming-runtime", target)
        case _ if logical_id.endswith("Function"):
            copy(Path("functions", folder_of(logical_id)), target)
            shutil.copy(ROOT / "functions" / "__init__.py", target / "functions")
            compile_all(target, "/var/task")
        case _:
            sys.exit(f"layers/build.py knows no {logical_id}")


def folder_of(logical_id: str) -> str:
    """The folder of a function: batch_worker for BatchWorkerFunction."""
    words = re.findall("[A-Z][a-z0-9]*", logical_id.removesuffix("Function"))
    return "_".join(words).lower()


def install(target: Path, architecture: str) -> None:
    platforms = [f"--platform={platform}_{PROCESSORS[architecture]}" for platform in PLATFORMS]
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    pinned = ["--require-hashes", "--no-deps", "--only-binary=:all:", f"--requirement={REQUIREMENTS}"]
    lambda_ = ["--implementation=cp", f"--python-version={PYTHON}", *platforms]
    environment = {"PIP_ROOT_USER_ACTION": "ignore"}
    run([*pip, *pinned, *lambda_, "--no-compile", f"--target={target}"], environment)


def strip(packages: Path) -> None:
    for pattern in NEEDLESS:
        for path in list(packages.glob(pattern)):
            remove(path)
    for path in list(packages.glob("*.dist-info/*")):
        if not any(path.match(pattern) for pattern in (*KEPT_METADATA, *LICENCES)):
            remove(path)


def remove(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink()


def copy(package: Path, target: Path) -> None:
    """Copies a package, given by its path in the repository, to the same path in `target`."""
    shutil.copytree(ROOT / package, target / package, ignore=shutil.ignore_patterns("__pycache__", ".*"))


def compile_all(target: Path, home: str) -> None:
    """Compiles everything below `target`, which Lambda unpacks to `home`: tracebacks show that path."""
    options = ["--invalidation-mode=unchecked-hash", "-s", str(target), "-p", home]
    run([sys.executable, "-m", "compileall", "-q", *options, str(target)])


def run(command: list[str], environment: dict[str, str] | None = None) -> None:
    result = subprocess.run(command, env={**os.environ, **(environment or {})}, check=False)  # noqa: S603 - our own
    if result.returncode:
        sys.exit(f"failed: {' '.join(command)}")


if __name__ == "__main__":
    main()
