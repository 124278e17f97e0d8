"""Names of methods, ours and those of other packages."""

import subprocess
import sys
from pathlib import Path

import pytest

from backends.methods import registry
from backends.methods.pytorch import PyTorch
from backends.methods.registry import Entry, create, entries
from backends.methods.tensorstore import TensorStore
from state.errors import UnavailableError
from state.plan import Plan

NINE = [
    *("pytorch", "tensorstore", "t5x", "ts+concurrency", "ts+chunks", "ts+compression"),
    *("ts+concurrency+chunks", "ts+concurrency+compression", "ts+chunks+compression"),
]
#: Module of another package -> its source. `x_gone` is missing.
MODULES = {
    "x_mine": "from backends.methods.pytorch import PyTorch\nclass Mine(PyTorch): pass",
    "x_import": "import no_such_library",
    "x_syntax": "class Mine(:",
    "x_temper": "raise RuntimeError('no licence')",
}
BROKEN = {"no-module": "x_gone", "bad-import": "x_import", "bad-syntax": "x_syntax", "bad-temper": "x_temper"}


@pytest.fixture
def third_party(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Another package with methods, as if it were installed."""
    targets = {name: f"{module}:Mine" for name, module in BROKEN.items()} | {"no-class": "x_mine:Other"}
    targets |= dict.fromkeys(("zebra", "ant", "pytorch", "t5x", "limit"), "x_mine:Mine")
    lines = "\n".join(f"{name} = {target}" for name, target in targets.items())
    (tmp_path / "x-1.0.dist-info").mkdir()
    (tmp_path / "x-1.0.dist-info" / "METADATA").write_text("Metadata-Version: 2.1\nName: x\nVersion: 1.0\n")
    (tmp_path / "x-1.0.dist-info" / "entry_points.txt").write_text(f"[other]\nno = x:y\n[ckpt_tui.methods]\n{lines}\n")
    for module, source in MODULES.items():
        (tmp_path / f"{module}.py").write_text(source)
    monkeypatch.syspath_prepend(tmp_path)


@pytest.mark.parametrize("name", NINE)
def test_the_nine_are_in_order_available_and_can_be_made(name: str) -> None:
    assert [entry.name for entry in entries().values() if entry.provider == "ckpt-tui"] == NINE
    assert [other for other in NINE if entries()[other].summary == entries()[name].summary] == [name]
    assert entries()[name].unavailable is None
    assert type(create(name, Plan())) is (PyTorch if name == "pytorch" else TensorStore)


@pytest.mark.parametrize("name", ["nonesuch", "", "Pytorch", "six", "t5x "])
def test_an_unknown_name_is_unavailable(name: str) -> None:
    with pytest.raises(UnavailableError, match="there is no method"):
        create(name, Plan())


def test_a_method_whose_package_is_missing_says_which(monkeypatch: pytest.MonkeyPatch) -> None:
    entry = Entry("pytorch", "x:Mine", "", requires=("torch", "no_such_library"), install="ckpt-tui[x]")
    monkeypatch.setitem(registry._OWN, "pytorch", entry)
    with pytest.raises(UnavailableError, match=r"needs the package no_such_library: pip install 'ckpt-tui\[x\]'"):
        create("pytorch", Plan())


@pytest.mark.usefixtures("third_party")
def test_methods_of_another_package_come_last_by_name_and_cannot_take_ours() -> None:
    found = entries()
    assert list(found)[: len(NINE)] == NINE
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
        "import sys; from backends.methods.registry import entries; [e.unavailable for e in entries().values()];"
        "sys.exit(bool({'torch', 'tensorstore', 'numpy', 'backends.methods.base'} & sys.modules.keys()))"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
