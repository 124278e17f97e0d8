"""Live progress of a run on a terminal, drawn from the session alone; a line per trial where there is none."""

import contextlib
import os
from collections.abc import Iterator

from rich.console import Console, Group
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from state.analysis.results import method_results
from state.analysis.rows import MethodResult
from state.analysis.words import model_line
from state.live.session import Progress, Session, run_left_s
from state.plan import LIMIT
from state.run.events import Event, RunRequested
from state.run.records import Run
from state.units import format_bytes, format_duration, format_rate, format_seconds
from tui.text.log_lines import narrate

_REFRESH_PER_S = 4
_GLYPHS = {"queued": "·", "running": "▶", "done": "✓", "failed": "✗", "cancelled": "–"}
_STYLES = {"queued": "dim", "running": "bold", "done": "green", "failed": "red", "cancelled": "yellow"}


class ProgressConsole(Console):
    """Standard error, whose reader may go away: then it is silent, and the run goes on."""

    def __init__(self) -> None:
        super().__init__(stderr=True)

    def on_broken_pipe(self) -> None:
        """Write no more. Rich's own way would end the program, and standard output with it."""
        self.quiet = True


class ProgressDisplay:
    """Shows one run while it goes on.

    Args:
        console: Where to draw: a live table on a terminal that can move its cursor, else plain lines, which are what
            the logs of CI and of editors can keep.
        quiet: Show nothing at all.
    """

    def __init__(self, console: Console, *, quiet: bool = False) -> None:
        self._console = console
        self._quiet = quiet
        self._session = Session()
        # Not what rich takes for a terminal: FORCE_COLOR asks for colours and not for a cursor that moves.
        self._live = console.file.isatty() and not console.is_dumb_terminal and not os.environ.get("CI")

    @contextlib.contextmanager
    def shown(self) -> Iterator[None]:
        """Draw while the body runs, and leave the terminal without a trace."""
        if self._quiet or not self._live:
            yield
            return
        live = Live(
            get_renderable=lambda: render(self._session),
            console=self._console,
            refresh_per_second=_REFRESH_PER_S,
            transient=True,
        )
        with contextlib.suppress(OSError):  # the terminal may have gone away; the results have not
            live.start()
        try:
            yield
        finally:
            with contextlib.suppress(OSError):
                live.stop()

    def update(self, session: Session, event: Event) -> None:
        """The session after an event."""
        self._session = session
        if self._quiet:
            return
        lines: tuple[str, ...] = ()
        if isinstance(event, RunRequested) and session.run is not None:
            lines = tuple(f"! {sentence}" for sentence in session.run.advice)  # before an hour of measuring, not after
        elif not self._live:
            lines = narrate(session, event)
        self._print(*lines)

    def say(self, sentence: str) -> None:
        """A line for people, whatever the run is about."""
        if not self._quiet:
            self._print(sentence)

    def _print(self, *lines: str) -> None:
        with contextlib.suppress(OSError):
            for line in lines:
                self._console.print(line, soft_wrap=True, highlight=False, markup=False)


def render(session: Session) -> Group:
    """The run as it stands: a line about it, and a row for every method."""
    run, progress = session.run, session.progress
    if run is None:
        return Group(Text("starting"))
    return Group(_headline(session, run), _table(run, progress))


def _headline(session: Session, run: Run) -> Text:
    if run.model is None:
        waiting = "the libraries are being imported" if session.worker != "ready" else "the model's table is being read"
        return Text(f"{run.plan.model}: {waiting} …")
    if session.progress is None and session.done_count == 0:
        return Text(f"building {model_line(run)} …", overflow="ellipsis", no_wrap=True)
    left_s = run_left_s(run, session.progress)
    left = f" · ≈ {format_duration(left_s)} left" if left_s is not None else ""
    return Text(
        f"trial {min(session.done_count + 1, len(run.records))} of {len(run.records)}{left} · {model_line(run)}",
        overflow="ellipsis",
        no_wrap=True,
    )


def _table(run: Run, progress: Progress | None) -> Table:
    table = Table(box=None, padding=(0, 2, 0, 0), show_header=False)
    table.add_column(no_wrap=True)
    table.add_column(no_wrap=True)
    table.add_column(min_width=10, ratio=1)
    table.add_column(no_wrap=True, overflow="ellipsis")
    current = run.records[progress.trial].trial if progress else None
    for result in method_results(run):
        running = progress is not None and current is not None and current.method == result.method
        status = "running" if running else ("queued" if result.status == "running" else result.status)
        name = Text(f"{_GLYPHS[status]} {result.method}", style=_STYLES[status])
        if running and progress is not None and current is not None:
            bar = ProgressBar(total=1.0, completed=progress.fraction, width=16)
            table.add_row(name, f"{current.operation} {progress.phase or 'start'}", bar, _flow(progress))
        else:
            table.add_row(name, f"{result.rounds_done}/{run.plan.repeats}", "", _outcome(result))
    if progress is not None and current is not None and current.method == LIMIT:
        name = Text("▶ the device's limit", style=_STYLES["running"])
        table.add_row(name, f"{current.operation} {progress.phase or 'start'}", "", _flow(progress))
    return table


def _flow(progress: Progress) -> str:
    """Bytes, rate and time left of the trial that runs, all seen from outside."""
    if progress.phase not in {"measure", "sync"} or not progress.moved_bytes:
        return ""
    left = f", {format_duration(progress.left_s)} left" if progress.left_s is not None else ""
    moved, rate = format_bytes(progress.moved_bytes), format_rate(progress.rate_bytes_per_s)
    return f"≈ {progress.fraction:.0%}, {moved}, {rate}{left}"


def _outcome(result: MethodResult) -> str:
    if result.error:
        return result.error
    parts = [
        f"{operation} {format_seconds(summary.median_s)} s"
        for operation, summary in (("save", result.save), ("load", result.load))
        if summary
    ]
    return "  ".join(parts)
