import random
from typing import get_args

import pytest
from rich.console import Console

from state.analysis.effects import Measure, effects
from state.optimizations import CELLS
from state.plan import CELL_NAMES, Plan
from state.run.records import Run
from tests.state.factories import run_of
from tests.state.simulated import NOISES, cells
from tui.text.glyphs import ASCII, BLOCKS, Glyphs
from tui.text.styled import for_output, for_screen
from tui.text.why import missing_line, why_lines

TRUE_S = {name: 4.0 * 0.5**c * 0.05**k * 4.0**z for name, (c, k, z) in CELLS.items()}


def measured(rounds: int = 3) -> Run:
    return cells(random.Random(3), TRUE_S, NOISES["log-normal"], 0.02, rounds)


def text(run: Run, measure: Measure = "save", *, width: int = 78, glyphs: Glyphs = BLOCKS) -> str:
    return for_screen(why_lines(effects(run)[measure], run.plan, width=width, glyphs=glyphs)).plain


def test_every_cell_effect_interaction_and_share_stands_there() -> None:
    page = text(measured())
    assert "128 at a time, gzip:1" in page
    for heading in ("The eight cells", "From tensorstore to t5x", "What each switch does", "Together"):
        assert heading in page
    assert page.count("alone") == 3
    assert "all three, beyond the pairs" in page


@pytest.mark.parametrize("measure", get_args(Measure))
@pytest.mark.parametrize("width", [58, 78, 118, 198])
def test_no_line_is_wider_than_the_screen(measure: Measure, width: int) -> None:
    run = measured()
    lines = why_lines(effects(run)[measure], run.plan, width=width, glyphs=BLOCKS)
    wide = [line for line in for_screen(lines).plain.splitlines() if len(line) > max(width, 76)]
    assert wide == []


def test_the_waterfall_goes_left_for_faster_and_right_for_slower_in_proportion() -> None:
    rows = text(measured(), width=118).splitlines()
    start = rows.index(next(row for row in rows if row.startswith("From tensorstore")))
    first, concurrency, chunking, compression, last = rows[start + 1 : start + 6]
    assert concurrency.count("▇") < compression.count("▇") < chunking.count("▇")
    assert "◀" in concurrency
    assert "◀" in chunking
    assert "▶" in compression
    assert last.index("●") < first.index("●")
    assert chunking.index("◀") == compression.index("▇"), "a step begins where the one before has ended"


def test_plain_characters_are_ascii() -> None:
    assert text(measured(), glyphs=ASCII).replace("–", "-").isascii()


def test_cells_that_are_missing_are_named_with_what_measures_them() -> None:
    plan = Plan(methods=CELL_NAMES[:-1], repeats=3)
    run = run_of(plan, {(m, op): [1.0, 1.1, 0.9] for m in plan.methods for op in ("save", "load")})
    assert missing_line(effects(run), "r measures them") == "1 of 8 cells are missing: t5x. r measures them."
    assert "missing" in text(run)
    assert missing_line(effects(measured()), "r") == ""


def test_one_round_has_factors_without_intervals() -> None:
    page = text(measured(rounds=1))
    assert "alone" in page
    assert page.count("(no interval)") >= 12
    assert "–" not in page


def test_standard_output_gets_the_same_lines() -> None:
    run = measured()
    lines = why_lines(effects(run)["load"], run.plan, width=78, glyphs=BLOCKS)
    console = Console(width=200, force_terminal=False)
    with console.capture() as capture:
        console.print(for_output(lines), highlight=False)
    assert [row.rstrip() for row in capture.get().splitlines()] == [
        row.rstrip() for row in for_screen(lines).plain.splitlines()
    ]
