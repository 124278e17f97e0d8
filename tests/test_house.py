"""Rules of the house that nobody should have to remember."""

import ast
import collections
import importlib.metadata
import statistics
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PACKAGES = ("tui", "backends", "state")


def test_no_other_distribution_provides_our_packages() -> None:
    providers = importlib.metadata.packages_distributions()
    for package in PACKAGES:
        assert set(providers.get(package, ["ckpt-tui"])) == {"ckpt-tui"}


@pytest.mark.parametrize("package", PACKAGES)
def test_our_packages_come_from_here_whatever_the_working_folder(package: str, tmp_path: Path) -> None:
    (tmp_path / package).mkdir()
    (tmp_path / package / "__init__.py").write_text("")
    code = f"import {package}; print({package}.__file__)"
    result = subprocess.run(
        [sys.executable, "-P", "-c", code], cwd=tmp_path, capture_output=True, text=True, check=True
    )
    assert Path(result.stdout.strip()) == ROOT / package / "__init__.py"


def test_the_import_contracts_are_kept() -> None:
    command = Path(sys.executable).with_name("lint-imports")
    result = subprocess.run([command], cwd=ROOT, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stdout


def modules(package: str) -> list[Path]:
    return sorted((ROOT / package).rglob("*.py"))


@pytest.mark.parametrize("package", PACKAGES)
def test_modules_and_folders_stay_small_enough_to_be_read(package: str) -> None:
    lines = {path: len(path.read_text().splitlines()) for path in modules(package)}
    assert {path: count for path, count in lines.items() if count > 400} == {}
    assert statistics.median(lines.values()) <= 100
    folders = collections.Counter(path.parent for path in lines if path.name != "__init__.py")
    assert {folder: count for folder, count in folders.items() if count > 16} == {}


@pytest.mark.parametrize("package", PACKAGES)
def test_every_folder_says_what_it_is_for_and_what_it_says_is_typed(package: str) -> None:
    assert (ROOT / package / "py.typed").exists()
    for folder in {path.parent for path in modules(package)}:
        described = ast.get_docstring(ast.parse((folder / "__init__.py").read_text()))
        assert described, f"{folder} has no __init__.py with a docstring"


def test_tests_mirror_the_tree() -> None:
    """A test of one module lies in its folder; what concerns several lies in a folder above them all."""
    places: dict[str, set[Path]] = collections.defaultdict(set)
    for path in (path for package in PACKAGES for path in modules(package)):
        places[path.stem] |= {path.parent.relative_to(ROOT), *path.parent.relative_to(ROOT).parents}
    for package in PACKAGES:
        for test in (ROOT / "tests" / package).rglob("test_*.py"):
            folder, name = test.parent.relative_to(ROOT / "tests"), test.stem.removeprefix("test_")
            assert (ROOT / folder).is_dir(), f"{test} lies beside no module"
            assert name not in places or folder in places[name], f"{test} lies elsewhere than the module of its name"


def test_the_wheel_holds_all_of_the_three_packages_and_nothing_else(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--wheel-dir", str(tmp_path), str(ROOT)]
    subprocess.run(command, check=True, capture_output=True)
    (wheel,) = tmp_path.glob("*.whl")
    listing = subprocess.run(
        [sys.executable, "-m", "zipfile", "-l", str(wheel)], capture_output=True, text=True, check=True
    ).stdout
    for path in (path for package in PACKAGES for path in (ROOT / package).rglob("*") if path.is_file()):
        assert "__pycache__" in path.parts or str(path.relative_to(ROOT)) in listing, f"{path} is missing"
    assert "tests/" not in listing


def test_every_pinned_version_is_the_one_that_is_tested() -> None:
    pins = dict(
        line.split("==") for line in (ROOT / "constraints.txt").read_text().splitlines() if not line.startswith("#")
    )
    for name, version in pins.items():
        try:
            installed = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
        assert installed.partition("+")[0] == version, name
