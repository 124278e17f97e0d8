"""Results and lists on standard output."""

import sys
from collections.abc import Iterator, Mapping, Sequence

from rich import box
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from backends.models.architectures import Architecture
from state.analysis.ranking import fastest_lines
from state.analysis.table import TABLE_HEADINGS, table_rows
from state.analysis.words import limits_line, model_line, settings_line
from state.export.csv import to_csv
from state.export.json import to_json
from state.export.markdown import to_markdown
from state.run.records import Run
from state.units import format_bytes
from tui.text.charts import run_charts

_FORMATS = {"json": to_json, "csv": to_csv, "markdown": to_markdown}
#: Width for a file or a pipe, which has none of its own: wide enough that no cell is cut.
_FILE_WIDTH = 280
_CHART_WIDTH = 100


def print_report(run: Run, output: str) -> None:
    """The results in the format asked for; `table` adds charts and advice for people."""
    if output in _FORMATS:
        sys.stdout.write(_FORMATS[output](run).decode())
        return
    console = standard_console()
    lines = [model_line(run), settings_line(run), limits_line(run)]
    console.print(*filter(None, lines), sep="\n", markup=False, highlight=False)
    console.print()
    if console.width < _NARROW:
        console.print(*_listing(run), sep="\n", markup=False, highlight=False)
    else:
        for table in _results_tables(run, console.width):
            console.print(table)
    blocks_shown = (console.encoding or "").lower().startswith("utf")
    charts = run_charts(
        run,
        width=min(console.width, _CHART_WIDTH),
        colour=console.color_system is not None and not console.no_color,
        ascii_only=not blocks_shown,
    )
    if charts and console.is_terminal:
        console.print()
        sys.stdout.write(f"{charts}\n")
    for sentence in fastest_lines(run, complete=True):
        console.print(sentence, markup=False, highlight=False)
    for sentence in run.advice:
        console.print(f"! {sentence}", markup=False, highlight=False)


def standard_console() -> Console:
    """Standard output: a terminal with its own width, or something wide enough for everything."""
    console = Console()
    return console if console.is_terminal else Console(width=_FILE_WIDTH)


#: The columns of a terminal too narrow for one table; the method stands before each part.
_PARTS = (
    ("save s", "stall s", "load s", "cache", "memory", "state"),
    ("size", "files", "extra memory", "of limit", "bound by"),
    ("save vs tensorstore", "load vs tensorstore"),
)
_WIDE = 220
_NARROW = 64
_TEXTS = {"method", "cache", "memory", "bound by", "state"}


def _results_tables(run: Run, width: int) -> list[Table]:
    """One table where there is room, else two, with the range of the times below the median."""
    rows = [dict(zip(TABLE_HEADINGS, cells, strict=True)) for cells in table_rows(run)]
    if width >= _WIDE:
        return [_table(rows, TABLE_HEADINGS)]
    rows = [{heading: cell.replace(" (", "\n(") for heading, cell in row.items()} for row in rows]
    filled = [part for part in _PARTS if any(row[heading] for row in rows for heading in part)]
    return [_table(rows, ("method", *part)) for part in filled]


def _listing(run: Run) -> Iterator[str]:
    """A method after the other, with a line for each cell, for terminals without room for columns."""
    label_width = max(map(len, TABLE_HEADINGS)) + 1
    for method, *cells in table_rows(run):
        yield method
        for heading, cell in zip(TABLE_HEADINGS[1:], cells, strict=True):
            if cell:
                yield f"  {heading:<{label_width}}{cell}"
        yield ""


def _table(rows: Sequence[Mapping[str, str]], headings: Sequence[str]) -> Table:
    table = Table(box=box.SIMPLE, padding=(0, 1), pad_edge=False)
    headings = [heading for heading in headings if any(row[heading] for row in rows)]
    for heading in headings:
        table.add_column(heading, justify="left" if heading in _TEXTS else "right", no_wrap=heading == "method")
    for row in rows:
        table.add_row(*(escape(row[heading]) for heading in headings))
    return table


def print_models(presets: Mapping[str, Architecture]) -> None:
    """Every preset with its size as it comes and the largest that it can be scaled to."""
    table = Table(box=box.SIMPLE, padding=(0, 1), pad_edge=False)
    table.add_column("model", no_wrap=True)
    for heading in ("parameters", "dtype", "size", "--size up to"):
        table.add_column(heading, justify="left" if heading == "dtype" else "right", no_wrap=True)
    table.add_column("what it is")
    for name, preset in presets.items():
        item_bytes = 4 if preset.dtype == "float32" else 2
        table.add_row(
            name,
            f"{preset.parameters / 1e6:,.0f} M",
            preset.dtype,
            format_bytes(preset.parameters * item_bytes),
            format_bytes(preset.largest_parameters * item_bytes),
            preset.summary,
        )
    console = standard_console()
    console.print(table)
    console.print(
        "--model also takes a folder with safetensors or pytorch_model.bin files, a .safetensors, .pt or .pth file, "
        "or a hub id such as openlm-research/open_llama_3b.",
        markup=False,
        highlight=False,
    )
