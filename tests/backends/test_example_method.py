"""The guide's example is what it says: a package that can be installed, passes the suite, and is measured."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

DOCS = Path(__file__).parents[2] / "docs"
EXAMPLE = DOCS / "example-method"
COMMAND = Path(sys.executable).with_name("ckpt-tui")


def run(*command: str | Path, cwd: Path) -> str:
    result = subprocess.run(command, capture_output=True, text=True, cwd=cwd, stdin=subprocess.DEVNULL, check=False)
    assert result.returncode == 0, result.stdout + result.stderr
    return result.stdout


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Its source; installed as pip does it, and found by processes that are started from here."""
    source = tmp_path / "source"
    shutil.copytree(EXAMPLE, source)  # building leaves files beside the source
    pip = (sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--no-build-isolation")
    run(*pip, "--target", tmp_path / "site", source, cwd=tmp_path)
    (source / "ckpt_flat.py").unlink()
    monkeypatch.setenv("PYTHONPATH", f"{DOCS.parent}{os.pathsep}{tmp_path / 'site'}")
    return source


def test_the_example_passes_the_suite_is_listed_and_measured(package: Path, small_model: Path, storage: Path) -> None:
    told = run(sys.executable, "-m", "pytest", "-q", f"--basetemp={storage}/pytest", package, cwd=package)
    assert re.search(r"3\d passed, 3 skipped in", told), told
    listed = run(COMMAND, "methods", cwd=storage)
    assert re.search(r"^ +flat +One file, written .*, from ckpt-flat", listed, re.MULTILINE), listed
    arguments = ("--methods", "flat,flat-async,pytorch", "--model", small_model, "--storage", storage, "--repeats", "1")
    table = run(COMMAND, "run", *arguments, cwd=storage)
    for method in ("flat", "flat-async", "pytorch"):
        assert re.search(rf"^ {method} .* verified", table, re.MULTILINE), table


def test_the_guide_shows_what_is_tested() -> None:
    files = [path.read_text() for path in EXAMPLE.iterdir() if path.is_file()]
    blocks = re.findall(r"```(?:python|toml)\n(.*?)```", (DOCS / "writing-a-method.md").read_text(), re.DOTALL)
    assert len(blocks) >= 4
    for block in blocks:
        assert any(block in file for file in files), block
