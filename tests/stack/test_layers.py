"""What the build leaves of an installed package."""

from pathlib import Path

from layers.build import strip


def test_licences_stay_with_the_packages_that_they_are_for(tmp_path: Path) -> None:
    kept = [
        "old-1.0.dist-info/METADATA",
        "old-1.0.dist-info/LICENSE.txt",
        "old-1.0.dist-info/NOTICE",
        "old-1.0.dist-info/entry_points.txt",
        "new-2.0.dist-info/licenses/LICENCE",
        "new-2.0.dist-info/licenses/vendored/COPYING",
        "new/__init__.py",
    ]
    removed = [
        "old-1.0.dist-info/RECORD",
        "old-1.0.dist-info/WHEEL",
        "new-2.0.dist-info/sboms/new.json",
        "new/tests/test_new.py",
        "new/__init__.pyi",
        "bin/new",
    ]
    for name in (*kept, *removed):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(name, "utf-8")
    strip(tmp_path)
    assert sorted(str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*") if path.is_file()) == sorted(kept)
