import json
from pathlib import Path

import msgspec
import pytest

from state import autosave as module
from state.autosave import autosave
from state.paths import data_folder
from state.plan import Plan
from tests.state.factories import run_of

RUN = run_of(Plan(methods=("t5x",), repeats=1), {("t5x", "save"): [1.0]}, finished=False)


def test_a_run_is_kept_and_its_later_state_replaces_it() -> None:
    path = autosave(RUN)
    assert path is not None
    assert path.is_relative_to(data_folder())
    assert json.loads(path.read_bytes())["results"][0]["save"]["median_s"] == 1.0
    later = run_of(Plan(methods=("t5x",), repeats=1), {("t5x", "save"): [1.0], ("t5x", "load"): [2.0]})
    assert autosave(later) == path
    assert json.loads(path.read_bytes())["results"][0]["load"]["median_s"] == 2.0


def test_only_the_newest_are_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "KEPT", 3)
    for number in range(5):
        autosave(msgspec.structs.replace(RUN, run_id=f"2026010{number}-000000-aaaa"))
    kept = sorted(path.stem for path in (data_folder() / "runs").iterdir())
    assert kept == ["20260102-000000-aaaa", "20260103-000000-aaaa", "20260104-000000-aaaa"]


def test_a_folder_that_cannot_be_written_costs_no_run(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setattr(module, "data_folder", lambda: tmp_path / "file")
    assert autosave(RUN) is None
