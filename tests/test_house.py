"""Rules of the house that nobody should have to remember."""

import importlib.metadata
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent


def test_no_other_distribution_provides_our_packages() -> None:
    providers = importlib.metadata.packages_distributions()
    for package in ("tui", "backends", "state"):
        assert set(providers.get(package, ["ckpt-tui"])) == {"ckpt-tui"}


@pytest.mark.parametrize("package", ["tui", "backends", "state"])
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


def test_the_wheel_holds_the_three_packages_and_the_architecture_files(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--wheel-dir", str(tmp_path), str(ROOT)]
    subprocess.run(command, check=True, capture_output=True)
    (wheel,) = tmp_path.glob("*.whl")
    listing = subprocess.run(
        [sys.executable, "-m", "zipfile", "-l", str(wheel)], capture_output=True, text=True, check=True
    ).stdout
    for name in ("tui/cli/main.py", "backends/process/worker.py", "state/plan.py", "backends/architectures/demo.json"):
        assert name in listing
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
