"""The list of kept runs on standard output."""

import sys
from collections.abc import Sequence

from rich import box
from rich.markup import escape
from rich.table import Table

from state.export.json import pretty
from state.history.entry import RunEntry
from tui.cli.report import standard_console
from tui.text.run_words import memory_words, methods_words, model_words, state_words, storage_words, when

#: Heading -> the width of a terminal from which on it is shown. A pipe is wide enough for all.
_COLUMNS = {
    "run": 0,
    "name": 0,
    "model": 0,
    "trials": 0,
    "when": 100,
    "methods": 120,
    "memory": 120,
    "tags": 120,
    "storage": 150,
    "machine": 170,
}


def print_entries(entries: Sequence[RunEntry], output: str, *, search: str) -> None:
    """A table for people, or JSON with everything that is known of each run."""
    if output == "json":
        sys.stdout.write(pretty(entries).decode())
        return
    out = standard_console()
    if not entries:
        nothing = f"no run matches {search!r}" if search else "no runs yet: ckpt-tui run measures and keeps one"
        out.print(nothing, markup=False, highlight=False)
        return
    table = Table(box=box.SIMPLE, padding=(0, 1), pad_edge=False)
    rows = [_cells(entry) for entry in entries]
    headings = [heading for heading, width in _COLUMNS.items() if out.width >= width]
    if not any(cells["memory"] for cells in rows):
        headings = [heading for heading in headings if heading != "memory"]
    for heading in headings:
        table.add_column(heading, no_wrap=True, overflow="fold" if heading == "run" else "ellipsis")
    for cells in rows:
        table.add_row(*(escape(cells[heading]) for heading in headings))
    out.print(table)


def _cells(entry: RunEntry) -> dict[str, str]:
    return {
        "run": entry.run_id,
        "name": f"{entry.name} (baseline)".strip() if entry.baseline else entry.name,
        "model": model_words(entry),
        "trials": state_words(entry),
        "when": when(entry),
        "methods": methods_words(entry),
        "memory": memory_words(entry),
        "tags": " ".join(entry.tags),
        "storage": storage_words(entry),
        "machine": entry.hostname,
    }
