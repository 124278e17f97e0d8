"""Help pages, and what methods can do, without their libraries."""

import re
import subprocess
import sys
from pathlib import Path

import msgspec
import pytest

from backends.methods.capabilities import Ability, ability
from backends.methods.entries import MethodEntry
from backends.methods.help_page import SECTIONS, docstring, page, summary
from backends.methods.registry import entries
from state.errors import UnavailableError
from tests.backends.samples import folder_on_disk


def test_a_page_says_what_it_is_comes_from_and_does() -> None:
    text = page(entries()["dcp"])
    assert text.startswith("dcp: distributed checkpoint")
    assert "family: PyTorch, from ckpt-tui 0" in text
    assert "with: torch 2" in text
    positions = [text.index(f"\n{heading.upper()}\n") for heading in SECTIONS]
    assert positions == sorted(positions)
    assert len(re.findall(r"^https://", text, re.MULTILINE)) > 1, "each source in a line of its own"


def test_a_page_names_the_version_of_every_library_that_takes_part() -> None:
    versions = {
        "orbax": r"jax 0[.\d]+, orbax.checkpoint 0[.\d]+, tensorstore 0[.\d]+",
        "jax": r"jax 0[.\d]+, tensorstore 0[.\d]+, flatbuffers [.\d]+",
        "safetensors": r"torch 2[.\d]+(\+\w+)?, safetensors 0[.\d]+",
    }
    for name, words in versions.items():
        assert re.search(f"^with: {words}$", page(entries()[name]), re.MULTILINE)


def test_a_page_says_what_to_install_instead_of_a_version() -> None:
    entry = msgspec.structs.replace(entries()["dcp"], requires=("no_such_library",), install="ckpt-tui[x]")
    assert "cannot run here: it needs the package no_such_library: pip install 'ckpt-tui[x]'" in page(entry)


def test_another_packages_method_is_read_without_running_a_line_of_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "x_pack").mkdir()
    (tmp_path / "x_pack" / "__init__.py").write_text("raise RuntimeError('imported')")
    text = '"""Mine.\n\n    Fidelity:\n        Full."""'
    (tmp_path / "x_pack" / "deep.py").write_text(f"raise RuntimeError\nclass Mine:\n    {text}")
    monkeypatch.syspath_prepend(tmp_path)
    assert docstring(MethodEntry("mine", "x_pack.deep:Mine", "")).startswith("Mine.")
    assert page(MethodEntry("mine", "x_pack.deep:Mine", "half a sentence")).endswith("Mine.\n\nFIDELITY\nFull.")
    assert "x_pack" not in sys.modules


def test_the_first_line_of_another_packages_docstring_is_its_summary(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "x_mine.py").write_text('class Mine:\n    """Mine, raw.\n\n    More."""')
    monkeypatch.syspath_prepend(tmp_path)
    assert summary(MethodEntry("mine", "x_mine:Mine", "from x", provider="x")) == "Mine, raw, from x"
    assert summary(MethodEntry("mine", "x_gone:Mine", "from x", provider="x")) == "from x"
    assert summary(entries()["direct"]) == entries()["direct"].summary


@pytest.mark.parametrize("target", ["x_gone:Mine", "json:Nonesuch", "sys:Mine", "backends.nonesuch:Mine", "", "a..b:C"])
def test_a_source_that_cannot_be_read_leaves_the_rest_of_the_page(target: str) -> None:
    assert page(MethodEntry("mine", target, "half a sentence", provider="x")) == (
        "mine: half a sentence\nfamily: other, from x"
    )


def test_a_child_tells_what_a_method_can_do() -> None:
    assert ability("dcp-async") == Ability(("cpu", "cuda"), None, syncs_itself=True, lazy_load=False, asynchronous=True)


def test_a_method_that_cannot_be_asked_says_why() -> None:
    with pytest.raises(UnavailableError, match=r"nonesuch cannot be asked.*there is no method"):
        ability("nonesuch")


#: Run in a process of its own, since some of it sets options for all that follows.
_TRY_ALL = """
import os, pathlib, sys, traceback
import jax, numpy, torch
from backends.methods.help_page import CODE, docstring, sections
from backends.methods.registry import entries

state = {"a": torch.arange(12.0).reshape(3, 4), "b": torch.ones(300, 70, dtype=torch.int32)}
pages = {entry.target: docstring(entry) for entry in entries().values() if entry.provider == "ckpt-tui"}
for number, (target, text) in enumerate(pages.items()):
    folder = pathlib.Path(sys.argv[1], str(number))
    folder.mkdir()
    names = {"state": state, "folder": folder, "torch": torch, "jax": jax, "os": os}
    try:
        lines = sections(text)[1][CODE].splitlines()
        exec("\\n".join(line[4:] for line in lines), names)
        for name, tensor in state.items():
            assert numpy.array_equal(numpy.asarray(names["loaded"][name]), tensor.numpy()), name
    except Exception:
        print(target, traceback.format_exc())
print(len(pages), "tried")
"""


def test_the_code_of_every_page_saves_and_loads(tmp_path: Path) -> None:
    with folder_on_disk(tmp_path) as disk:
        done = subprocess.run(
            [sys.executable, "-c", _TRY_ALL, str(disk)], capture_output=True, text=True, check=True, timeout=120
        )
    assert done.stdout.splitlines() == ["16 tried"]
