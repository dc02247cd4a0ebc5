"""`make size`: how large each layer and function is once Lambda has unpacked it. Fails past the wheels' limit."""

import sys
from pathlib import Path

BUILD = Path(__file__).parents[1] / ".aws-sam" / "build"
WHEELS = "DependenciesLayer"
WHEELS_LIMIT = 42.0


def main() -> None:
    sizes = {folder.name: _megabytes(folder, "*") for folder in sorted(BUILD.iterdir()) if folder.is_dir()}
    print(f"{'unpacked':24}{'MB':>8}{'of it bytecode':>18}")
    for name, size in sizes.items():
        print(f"{name:24}{size:8.2f}{_megabytes(BUILD / name, '*.pyc'):18.2f}")
    if sizes[WHEELS] > WHEELS_LIMIT:
        sys.exit(f"{WHEELS} is larger than {WHEELS_LIMIT:.0f} MB")


def _megabytes(folder: Path, pattern: str) -> float:
    return sum(path.stat().st_size for path in folder.rglob(pattern) if path.is_file()) / 1e6


if __name__ == "__main__":
    main()
