"""One result stands in tables, charts, sentences and files, and nowhere says something else.

Runs of any times are rendered in every way; the values that each way states are read back and compared.
"""

import csv
import io
import math
import random
import re
from collections import defaultdict
from collections.abc import Iterator
from typing import Final

import msgspec
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from state.analysis.conclusion import conclusion
from state.analysis.effects import effects
from state.analysis.ranking import fastest, fastest_lines
from state.analysis.results import method_results
from state.analysis.table import TABLE_HEADINGS
from state.export.csv import to_csv
from state.export.markdown import to_markdown
from state.live.explorer import Explorer
from state.live.session import Session
from state.optimizations import BASELINE
from state.plan import CELL_NAMES, LIMIT, OPERATIONS, Operation, Plan
from state.run.records import Failure, Run
from state.units import format_factor, format_seconds, format_share
from tests.state.factories import finished
from tests.state.simulated import NOISES, TWO_STATE, sample
from tui.text.charts import run_charts
from tui.text.details import details
from tui.text.glyphs import BLOCKS
from tui.text.method_columns import Row, columns_for
from tui.text.next_step import hint
from tui.text.why import why_lines
from tui.widgets.chart import Chart

METHODS: Final = CELL_NAMES


@st.composite
def runs(draw: st.DrawFn) -> Run:
    """All cells and the limit in one to twenty rounds: levels and noise from thousandths to a factor of hundred."""
    rounds, dice = draw(st.sampled_from((1, 2, 3, 4, 5, 7, 20))), random.Random(draw(st.integers(0, 10**6)))
    spread, noise = draw(st.sampled_from((0.0, 0.003, 0.1, 2.0))), draw(st.sampled_from((0.0, 0.001, 0.05, 0.5)))
    kind = draw(st.sampled_from((NOISES["log-normal"], TWO_STATE["two states, nearly half slow"])))
    times = {
        (method, operation): sample(dice, math.exp(dice.gauss(0, spread)), kind, noise, rounds)
        for method in (*METHODS, LIMIT)
        for operation in OPERATIONS
    }
    run = finished(Plan(methods=METHODS, repeats=rounds), times)
    # Some loads came back different: those rounds do not count.
    broken = {(draw(st.sampled_from(METHODS)), dice.randint(2, 8)) for _ in range(draw(st.integers(0, 4)))}
    records = tuple(
        msgspec.structs.replace(record, status="failed", result=None, failure=Failure("other bits"))
        if (record.trial.method, record.trial.round) in broken and record.trial.operation == "load"
        else record
        for record in run.records
    )
    return msgspec.structs.replace(run, records=records)


#: The first run imports what statistics takes.
few = settings(max_examples=60, deadline=None, report_multiple_bugs=False, suppress_health_check=[HealthCheck.too_slow])


def csv_rows(run: Run) -> Iterator[tuple[str, Operation, dict[str, str]]]:
    for row in csv.DictReader(io.StringIO(to_csv(run).decode(), newline="")):
        yield row["method"], "save" if row["operation"] == "save" else "load", row


def markdown_cells(run: Run) -> dict[str, dict[str, str]]:
    lines = [line for line in to_markdown(run).decode().splitlines() if line.startswith("| ")]
    headings, *rows = [[cell.strip() for cell in line.strip("|").split(" | ")] for line in lines]
    assert set(headings) <= set(TABLE_HEADINGS)
    return {row[0]: dict(zip(headings, row, strict=True)) for row in rows}


def bars(text: str) -> dict[str, tuple[str, int]]:
    """Label -> the value in words and the length of the bar, from a chart's lines."""
    found = re.findall(r"^(\S.*?)  +(\S+?\??) ([█▓░▒│]*)", text, re.MULTILINE)
    return {name: (words, len(bar.replace("│", ""))) for name, words, bar in found}


@few
@given(runs())
def test_medians_factors_and_verdicts_are_the_same_everywhere(run: Run) -> None:
    cells, results = markdown_cells(run), {result.method: result for result in method_results(run)}
    chart = Chart(ascii_only=False)
    speedups = bars("".join(text for text, _ in chart._part(tuple(results.values()), "speed-up", 200)))
    for method, operation, row in csv_rows(run):
        median_s, words = float(row["median_s"]), format_seconds(float(row["median_s"]))
        result = results[method]
        columns = {
            c.heading: c.write(Row(method, "done", True, False, result), c.width, BLOCKS)
            for c in columns_for(400, BLOCKS)
        }
        page = details(run, result).partition("SAVE" if operation == "save" else "LOAD")[2]
        assert cells[method][f"{operation} s"].split()[0] == words == columns[f"{operation} s"].split()[0]
        assert f"median {words} s" in page
        if row["low_s"]:
            assert float(row["low_s"]) <= median_s <= float(row["high_s"])
        share = format_share(float(row["limit_fraction"]))
        assert share in cells[method]["of limit"].split(" / ")[OPERATIONS.index(operation)]
        assert f"{share} of the limit" in page

        speedup, cell = float(row["speedup_vs_tensorstore"]), cells[method][f"{operation} vs tensorstore"]
        factor, shown = format_factor(speedup), row["verdict_vs_tensorstore"] in ("", "faster", "slower")
        assert cell.split()[0] == factor + "?" * (not shown and not row["speedup_low"])
        assert columns[f"{operation} x"] == speedups[f"{method} {operation}"][0] == factor + "?" * (not shown)
        if method == BASELINE:
            assert speedup == 1
            continue
        assert f"against {BASELINE}: {factor}" in page
        assert page.partition(f"against {BASELINE}: ")[2].splitlines()[0].endswith(row["verdict_vs_tensorstore"])
        if interval := re.search(r"\[([\d.]+)–([\d.]+)\]", cell):
            assert float(interval[1]) <= float(factor[1:]) <= float(interval[2])
        if shown:
            percent = float(cell.partition("(")[2].removesuffix(" %)"))
            assert (percent > 0) == (speedup > 1) == (row["verdict_vs_tensorstore"] == "faster")
            assert abs(percent - 100 * (1 - 1 / speedup)) <= 0.5001
            assert 0 != percent < 100
        elif row["speedup_low"]:
            assert row["verdict_vs_tensorstore"] in cell
        else:
            assert "%" in cell


@few
@given(runs())
def test_longer_bars_are_larger_values_in_every_chart(run: Run) -> None:
    results = method_results(run)
    for operation, part in zip(OPERATIONS, run_charts(run, width=120, colour=False).split("\n\n"), strict=False):
        drawn = bars(part)
        for result in results:
            summary = result.of(operation)
            assert summary is not None
            assert drawn[result.method][0] == format_seconds(summary.median_s)
        order = sorted(
            (summary.median_s, drawn[r.method][1]) for r in results if (summary := r.of(operation)) is not None
        )
        assert [length for _, length in order] == sorted(length for _, length in order)


@few
@given(runs())
def test_the_fastest_is_the_same_in_every_sentence(run: Run) -> None:
    lines = dict(zip(OPERATIONS, fastest_lines(run), strict=False))
    complete = dict(zip(OPERATIONS, fastest_lines(run, complete=True), strict=False))
    report = to_markdown(run).decode()
    found = effects(run)
    for operation in OPERATIONS:
        best = fastest(run, operation)
        enough = [name for name in METHODS if len(run.rounds_s(name, operation)) >= 3]
        if len(enough) < 2:
            assert best is None
            assert not lines
            assert not found[operation].best
            continue
        assert best is not None
        medians = {r.method: s.median_s for r in method_results(run) if (s := r.of(operation)) is not None}
        alike = (best.method, *best.alike)
        assert best.median_s == medians[best.method] == min(medians[name] for name in enough)
        if len(enough) == len(METHODS):
            assert found[operation].best == alike
        lowest = f"{best.method} has the lowest median, " if best.nobody_slower else f": {best.method}, "
        assert f"{lowest}{format_seconds(best.median_s)} s" in lines[operation]
        assert best.nobody_slower == (set(alike) == {name for name in METHODS if run.rounds_s(name, operation)})
        assert ("not shown to be slower" in lines[operation]) == (bool(best.alike) and not best.nobody_slower)
        assert all(name in complete[operation] for name in alike) or best.nobody_slower
        assert complete[operation] in report
        if not best.alike:
            stated = re.search(r"takes x([\d.]+) as long", lines[operation])
            assert stated is not None
            assert 1 <= float(stated[1]) == float(format_factor(best.behind)[1:])
    explorer = Explorer(run.plan, available=METHODS, selected=frozenset(METHODS), session=Session(run=run))
    line = hint(explorer, defaultdict(str))
    for best in (fastest(run, operation) for operation in OPERATIONS):
        if best is not None:
            more = f" or {len(best.alike)} more" if best.alike else ""
            words = "not shown" if best.nobody_slower else f"{re.escape(best.method)}{more}"
            assert re.search(rf"{best.operation} {words}(,| ·)", line)


@few
@given(runs())
def test_the_conclusion_states_what_the_tables_of_why_state(run: Run) -> None:
    found = effects(run)
    sentence = conclusion(found)
    tables = {
        operation: "\n".join(
            "".join(text for text, _ in line)
            for line in why_lines(found[operation], run.plan, width=120, glyphs=BLOCKS)
        )
        for operation in OPERATIONS
    }
    for operation, noun in zip(OPERATIONS, ("saves", "loads"), strict=True):
        for factor in re.findall(rf"{noun} (x[\d.]+) faster", sentence):
            assert f"{factor} faster (" in tables[operation]
        for factor in re.findall(rf"(x[\d.]+) on {operation}", sentence):
            assert f"{factor} slower (" in tables[operation]
    assert "x1.00 " not in sentence
