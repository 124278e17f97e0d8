"""Where people see that memory was not at hand."""

import msgspec
import pytest

from state.analysis.results import method_results
from state.analysis.words import settings_line
from state.history.entry import RunEntry
from state.history.store import History
from state.plan import Memory, Plan
from state.run.records import MemoryState, Run
from tests.state.factories import run_of
from tui.cli.history_report import print_entries
from tui.text import method_columns, run_columns
from tui.text.glyphs import ASCII, BLOCKS, Glyphs
from tui.text.method_columns import Row
from tui.text.preview import preview

TIMES = {("pytorch", operation): [1.0] * 3 for operation in ("save", "load")}


def with_memory(save: MemoryState, load: MemoryState) -> Run:
    """A run whose saves and loads found their memory so."""
    run = run_of(Plan(methods=("pytorch",)), TIMES)
    memory = {"save": save, "load": load}
    records = tuple(
        msgspec.structs.replace(r, result=msgspec.structs.replace(r.result, memory=memory[r.trial.operation]))
        if r.result is not None
        else r
        for r in run.records
    )
    return msgspec.structs.replace(run, records=records)


def kept(memory: Memory) -> RunEntry:
    """The entry of a run with this plan."""
    with History() as history:
        history.keep(run_of(Plan(methods=("pytorch",), memory=memory), TIMES))
        (entry,) = history.runs()
    return entry


@pytest.mark.parametrize(
    ("save", "load", "sign"),
    [
        ("at hand", "at hand", ""),
        ("unknown", "unknown", ""),
        ("at hand", "partly at hand", "partly"),
        ("partly at hand", "at hand", "partly"),
        ("as found", "as found", "as_found"),
    ],
)
@pytest.mark.parametrize("glyphs", [BLOCKS, ASCII])
@pytest.mark.parametrize("width", [74, 120, 200])
def test_a_row_of_the_explorer_has_a_sign_that_takes_no_room(
    save: MemoryState, load: MemoryState, sign: str, glyphs: Glyphs, width: int
) -> None:
    def written(run: Run) -> str:
        return method_columns.line(Row("pytorch", "done", True, False, method_results(run)[0]), width, glyphs).plain

    plain, shown = written(with_memory("at hand", "at hand")), written(with_memory(save, load))
    name = shown.index("pytorch")
    assert shown[name - 1] == (getattr(glyphs, sign) if sign else " ")
    assert shown[: name - 1] + " " + shown[name:] == plain


def test_the_history_has_the_sign_and_the_words_only_where_memory_was_left_as_found(
    capsys: pytest.CaptureFixture[str],
) -> None:
    at_hand, as_found = kept("at-hand"), kept("as-found")
    for width in (80, 200):
        plain = run_columns.line(at_hand, width, BLOCKS, marked=False).plain
        shown = run_columns.line(as_found, width, BLOCKS, marked=False).plain
        assert BLOCKS.as_found not in plain
        assert shown.replace(BLOCKS.as_found, " ") == plain
    assert as_found.matches(["found"])
    assert not at_hand.matches(["found"])
    print_entries([at_hand], "table", search="")
    assert "memory" not in capsys.readouterr().out
    print_entries([at_hand, as_found], "table", search="")
    assert "as found" in capsys.readouterr().out


def test_the_settings_line_names_memory_only_if_it_was_left_as_found() -> None:
    assert "memory" not in settings_line(run_of(Plan(), {}))
    assert "cold loads · memory as found · cpu" in settings_line(run_of(Plan(memory="as-found"), {}))


def test_the_preview_has_a_column_of_memory_where_there_is_room() -> None:
    shown = preview(with_memory("at hand", "partly at hand"), 120, ascii_only=False).plain
    assert "at hand / partly at hand" in shown
