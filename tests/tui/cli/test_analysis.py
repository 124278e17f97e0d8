"""`ckpt-tui why`, `compare` and `aa`, as a user starts them."""

import json
import random
import re
from pathlib import Path

import msgspec
import pytest

from state.export.files import write_export
from state.history.store import History
from state.optimizations import CELLS
from state.paths import data_folder
from state.plan import CELL_NAMES, LIMIT, Plan
from state.run.records import Run
from tests.state.factories import run_of
from tests.state.simulated import NOISES, cells
from tests.tui.cli.test_main import assert_refused, ckpt_tui

STEADY = [1.0, 1.02, 0.98, 1.01, 0.99]


def named(run: Run, number: int) -> Run:
    created_at = f"2026-01-0{number}T12:00:00+00:00"
    return msgspec.structs.replace(run, run_id=f"2026010{number}-120000-{number:04x}", created_at=created_at)


def pytorch(number: int, times: float = 1.0) -> Run:
    plan = Plan(methods=("pytorch",), repeats=5)
    return named(run_of(plan, {("pytorch", op): [times * s for s in STEADY] for op in ("save", "load")}), number)


@pytest.fixture
def runs() -> None:
    """Two runs of pytorch, the second slower, and one of all cells, the newest."""
    true_s = {name: 4.0 * 0.5**c * 0.05**k * 4.0**z for name, (c, k, z) in CELLS.items()}
    every = named(cells(random.Random(3), true_s, NOISES["log-normal"], 0.02, 3), 3)
    with History() as history:
        for run in (pytorch(1), pytorch(2, 1.2), every):
            history.keep(run)
        history.set_baseline(pytorch(1).run_id)


@pytest.mark.usefixtures("runs")
def test_why_says_what_does_it_and_shows_everything() -> None:
    shown = ckpt_tui("why")
    assert shown.returncode == 0, shown.stderr
    assert shown.stdout.startswith("Fastest: ts+concurrency+chunks")
    assert "Chunking does it: saves x" in shown.stdout
    assert shown.stdout.count("What each switch does") == 3
    document = json.loads(ckpt_tui("why", "last", "--format", "json").stdout)
    assert document["conclusion"] == shown.stdout.splitlines()[0]
    assert set(document["effects"]["save"]["shares"]) == {"concurrency", "chunking", "compression"}


def test_why_puts_the_cells_of_several_runs_together_and_says_what_measures_missing_ones() -> None:
    true_s = {name: 4.0 * 0.5**c * 0.05**k * 4.0**z for name, (c, k, z) in CELLS.items()}
    whole = cells(random.Random(3), true_s, NOISES["log-normal"], 0.02, 3)
    with History() as history:
        for number, methods in ((1, CELL_NAMES[:5]), (2, CELL_NAMES[5:])):
            plan = msgspec.structs.replace(whole.plan, methods=methods, concurrency=64)
            records = tuple(r for r in whole.records if r.trial.method in (*methods, LIMIT))
            history.keep(named(msgspec.structs.replace(whole, plan=plan, records=records), number))
    one = ckpt_tui("why").stdout
    assert "5 of 8 cells are missing" in one
    assert "ckpt-tui run --methods cells --concurrency 64 --repeats 3 measures all." in one
    both = ckpt_tui("why", "last", "last~1").stdout
    assert "missing" not in both
    assert "≈ from several runs" in both


@pytest.mark.usefixtures("runs")
def test_why_without_any_cell_says_how_to_measure_them() -> None:
    assert_refused(ckpt_tui("why", "baseline"), "has none of the eight cells", "--methods cells")


@pytest.mark.usefixtures("runs")
def test_compare_takes_references_and_its_exit_status_is_for_scripts() -> None:
    slower = ckpt_tui("compare", "baseline", "last~1", "--fail-if-slower", "10%")
    assert slower.returncode == 1
    assert "2 slower" in slower.stdout
    assert "pytorch save is slower, its median by more than 10%: B takes x1.20 (" in slower.stderr
    assert ckpt_tui("compare", "baseline", "last~1", "--fail-if-slower", "30%").returncode == 0
    assert ckpt_tui("compare", "last~1", "baseline", "--fail-if-slower", "10%").returncode == 0
    document = json.loads(ckpt_tui("compare", "baseline", "last~1", "--format", "json").stdout)
    assert [c["verdict"] for c in document["changes"] if c["method"] == "pytorch"] == ["slower", "slower"]
    assert document["noise_floor"] is None


@pytest.mark.usefixtures("runs")
def test_compare_takes_files_and_refuses_what_is_none(tmp_path: Path) -> None:
    path = tmp_path / "elsewhere.json"
    write_export(pytorch(4, 0.5), path)
    shown = ckpt_tui("compare", "baseline", path)
    assert shown.returncode == 0, shown.stderr
    assert "2 faster" in shown.stdout
    assert_refused(ckpt_tui("compare", "baseline", "baseline"), "both are the run")
    assert_refused(ckpt_tui("compare", "baseline", tmp_path / "none.json"), "none.json")
    assert_refused(ckpt_tui("compare", "nonesuch"), "nonesuch")
    assert_refused(ckpt_tui("compare", "--fail-if-slower", "10"), "10", "%")


def test_an_empty_history_says_what_to_do() -> None:
    assert_refused(ckpt_tui("why"), "history is empty", "ckpt-tui run")
    assert_refused(ckpt_tui("compare"), "baseline")


def test_aa_measures_equal_runs_and_the_next_comparison_knows_their_noise(small_model: Path, storage: Path) -> None:
    options = ("--model", small_model, "--storage", storage, "--methods", "pytorch", "--repeats", "3")
    shown = ckpt_tui("aa", "--quiet", *options)
    assert shown.returncode == 0, shown.stderr
    assert "1 pair of equal runs, 2 comparisons:" in shown.stdout
    assert re.search(r"Noise alone changed medians by x\d+\.\d+ typically", shown.stdout), shown.stdout
    with History() as history:
        assert [entry.tags for entry in history.runs()] == [("aa",), ("aa",)]
    assert "Plan, model and machine are the same." in ckpt_tui("compare", "last~1", "last").stdout
    document = json.loads(ckpt_tui("compare", "last~1", "last", "--format", "json").stdout)
    assert document["noise_floor"]["pairs"] == 1
    assert document["noise_floor"]["typical"] >= 1


def test_aa_refuses_what_run_refuses(storage: Path) -> None:
    assert_refused(ckpt_tui("aa", "--storage", storage, "--methods", "nonesuch"), "nonesuch")
    assert_refused(ckpt_tui("aa", "--storage", storage, "--precision", "0%"), "precision")


def test_two_files_can_be_compared_where_there_can_be_no_history(tmp_path: Path) -> None:
    data_folder().parent.mkdir(parents=True)
    data_folder().touch()
    before, after = tmp_path / "a.json", tmp_path / "b.json"
    write_export(pytorch(1), before)
    write_export(pytorch(2, 1.2), after)
    shown = ckpt_tui("compare", before, after)
    assert shown.returncode == 0, shown.stderr
    assert "2 slower" in shown.stdout
