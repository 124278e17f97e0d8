"""Names of methods, ours and those of other packages."""

import itertools
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from backends.methods import registry
from backends.methods.entries import MethodEntry
from backends.methods.help_page import SECTIONS, docstring, sections
from backends.methods.pytorch.torch_save import PyTorch
from backends.methods.registry import create, entries
from backends.methods.tensorstore.zarr2 import TensorStore
from state.errors import UnavailableError
from state.optimizations import CELLS
from state.plan import SIX, Plan

ROOT = Path(__file__).parents[3]
OWN = {name: entry for name, entry in entries().items() if entry.provider == "ckpt-tui"}
TARGETS = sorted({entry.target for entry in OWN.values()})
#: Module of another package -> its source. `x_gone` is missing.
MODULES = {
    "x_mine": "from backends.methods.pytorch.torch_save import PyTorch\nclass Mine(PyTorch): pass",
    "x_import": "import no_such_library",
    "x_syntax": "class Mine(:",
    "x_temper": "raise RuntimeError('no licence')",
}
BROKEN = {"no-module": "x_gone", "bad-import": "x_import", "bad-syntax": "x_syntax", "bad-temper": "x_temper"}


@pytest.fixture
def third_party(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Another package with methods, as if it were installed."""
    targets = {name: f"{module}:Mine" for name, module in BROKEN.items()} | {"no-class": "x_mine:Other"}
    targets |= dict.fromkeys(("zebra", "ant", "pytorch", "t5x", "limit", "six", "fastest"), "x_mine:Mine")
    lines = "\n".join(f"{name} = {target}" for name, target in targets.items())
    (tmp_path / "x-1.0.dist-info").mkdir()
    (tmp_path / "x-1.0.dist-info" / "METADATA").write_text("Metadata-Version: 2.1\nName: x\nVersion: 1.0\n")
    (tmp_path / "x-1.0.dist-info" / "entry_points.txt").write_text(f"[other]\nno = x:y\n[ckpt_tui.methods]\n{lines}\n")
    for module, source in MODULES.items():
        (tmp_path / f"{module}.py").write_text(source)
    monkeypatch.syspath_prepend(tmp_path)


def test_ours_come_in_order_the_six_the_other_cells_and_then_family_by_family() -> None:
    assert list(entries())[: len(OWN)] == list(OWN), "ours come first"
    cells = [name for name in CELLS if name not in SIX]
    assert list(OWN)[: len(SIX) + len(cells)] == [*SIX, *cells]
    families = [entry.family for entry in list(OWN.values())[len(SIX) + len(cells) :]]
    groups = [family for family, _ in itertools.groupby(families)]
    assert len(groups) == len(set(groups)), "a family stays together"


@pytest.mark.parametrize("name", OWN)
def test_ours_have_a_summary_of_their_own_are_available_and_can_be_made(name: str) -> None:
    assert OWN[name].summary
    assert [other for other in OWN if OWN[other].summary == OWN[name].summary] == [name]
    assert OWN[name].unavailable is None
    made = type(create(name, Plan()))
    assert f"{made.__module__}:{made.__qualname__}" == OWN[name].target


def test_what_a_method_needs_beyond_our_own_packages_is_an_extra_that_exists() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    installed = {re.split(r"[^\w-]", requirement)[0].replace("-", "_") for requirement in project["dependencies"]}
    for entry in OWN.values():
        if not {module.partition(".")[0] for module in entry.requires} <= installed:
            extra = re.fullmatch(r"ckpt-tui\[([\w-]+)\]", entry.install)
            assert extra, f"{entry.name} needs {entry.requires} and does not say what to install"
            assert extra[1] in project["optional-dependencies"]


@pytest.mark.parametrize("target", TARGETS)
def test_every_method_has_a_help_page(target: str) -> None:
    _, found = sections(docstring(MethodEntry("", target, "")))
    assert tuple(found) == SECTIONS, f"the docstring of {target} lacks a section"
    assert "https://" in found["Sources"], f"{target} names no source"


@pytest.mark.parametrize("name", ["nonesuch", "", "Pytorch", "six", "t5x "])
def test_an_unknown_name_is_unavailable(name: str) -> None:
    with pytest.raises(UnavailableError, match="there is no method"):
        create(name, Plan())


def test_a_method_whose_package_is_missing_says_which(monkeypatch: pytest.MonkeyPatch) -> None:
    entry = MethodEntry(
        "pytorch", "x:Mine", "", requires=("torch", "no_such.library", "email.gone"), install="ckpt-tui[x]"
    )
    monkeypatch.setitem(registry._OWN, "pytorch", entry)
    words = r"needs the package no_such\.library, email\.gone: pip install 'ckpt-tui\[x\]'"
    with pytest.raises(UnavailableError, match=words):
        create("pytorch", Plan())


@pytest.mark.usefixtures("third_party")
def test_methods_of_another_package_come_last_by_name_and_cannot_take_ours() -> None:
    found = entries()
    assert list(found)[: len(OWN)] == list(OWN)
    others = [entry.name for entry in found.values() if entry.provider == "x"]
    assert others == sorted([*BROKEN, "no-class", "ant", "zebra"])
    assert found["zebra"].summary == "from x"
    assert type(create("zebra", Plan())).__module__ == "x_mine"
    assert type(create("pytorch", Plan())) is PyTorch
    assert type(create("t5x", Plan())) is TensorStore


@pytest.mark.usefixtures("third_party")
@pytest.mark.parametrize("name", ["no-class", *BROKEN])
def test_a_method_that_cannot_be_imported_is_unavailable_and_names_its_provider(name: str) -> None:
    with pytest.raises(UnavailableError, match=f"{name} cannot be imported from x "):
        create(name, Plan())


def test_listing_methods_imports_no_library() -> None:
    code = (
        "import sys; from backends.methods.registry import entries; from backends.methods.help_page import page;"
        "[page(e) for e in entries().values()];"
        "sys.exit(bool({'torch', 'tensorstore', 'numpy', 'backends.methods.base'} & sys.modules.keys()))"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_what_is_left_out_for_its_name_is_told(third_party: None) -> None:
    told = registry.taken_names()
    assert [sentence.split()[0] for sentence in told] == ["fastest", "limit", "pytorch", "six", "t5x"]
    assert told[0] == "fastest of x, for the name is ours"
