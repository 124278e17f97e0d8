"""What is happening now, in one line: the trial that runs, its rate over the last minute, and the time left."""

from collections import deque
from typing import Final

from textual.content import Content
from textual.widgets import Static

from state.live.explorer import Explorer
from state.live.session import Progress, run_left_s
from state.run.events import GpuUse
from state.units import format_bytes, format_duration, format_rate

_MINUTE: Final = 300  # samples, five a second
_BLOCKS: Final = " ▁▂▃▄▅▆▇█"
_ASCII: Final = " .:-=+*%#"


def sparkline(values: list[float], width: int, levels: str) -> str:
    """The values as a line of characters, each the highest of its share of them."""
    if not values or width < 1:
        return ""
    top = max(values) or 1.0
    count = min(width, len(values))
    line = ""
    for column in range(count):
        part = values[column * len(values) // count : (column + 1) * len(values) // count]
        line += levels[round(max(part) / top * (len(levels) - 1))]
    return line


class LiveStrip(Static):
    """The strip above the command line.

    Args:
        ascii_only: Draw with plain characters.
    """

    DEFAULT_CSS = "LiveStrip { height: 1; padding: 0 1; background: $panel; }"

    def __init__(self, *, ascii_only: bool) -> None:
        super().__init__(id="live")
        self._levels = _ASCII if ascii_only else _BLOCKS
        self._estimate = "~" if ascii_only else "≈"
        self._rates: deque[float] = deque(maxlen=_MINUTE)
        self._last: Progress | None = None

    def show(self, explorer: Explorer, hint: str) -> None:
        """Draw the present state; `hint` is what to do where nothing runs."""
        run, progress = explorer.session.run, explorer.session.progress
        if not explorer.running or run is None:
            self._rates.clear()
            self._last = None
            self.update(Content(hint), layout=False)
            return
        done = f"trial {min(explorer.session.done_count + 1, len(run.records))}/{len(run.records)}"
        left_s = run_left_s(run, progress)
        if left_s is not None:
            done += f", {self._estimate}{format_duration(left_s)} left"
        if progress is None:
            waiting = "importing libraries" if explorer.session.worker != "ready" else "building the model"
            what = "between two trials" if explorer.session.done_count else waiting
            self.update(Content.assemble((f"{what} ", "bold $primary"), (f" {done}", "")), layout=False)
            return
        if self._last is None or progress.trial != self._last.trial:
            self._last = progress
        elif progress.elapsed_s > self._last.elapsed_s:
            moved = max(0, progress.moved_bytes - self._last.moved_bytes)
            self._rates.append(moved / (progress.elapsed_s - self._last.elapsed_s))
            self._last = progress
        trial = run.records[progress.trial].trial
        self.update(
            Content.assemble(
                (f"{trial.method} {trial.operation} {progress.phase or 'start'} ", "bold $primary"),
                f" {' · '.join(self._figures(progress, done))} ",
                (self._spark(), "$primary"),
            ),
            layout=False,  # its place never changes, and a layout five times a second would cost more than the rest
        )

    def _figures(self, progress: Progress, done: str) -> list[str]:
        """The dearest first, since the end may be cut off."""
        parts = [f"{progress.elapsed_s:.0f} s"]
        if progress.phase in ("measure", "sync") and progress.moved_bytes:
            if progress.left_s is not None:
                parts[0] += f", {self._estimate}{format_duration(progress.left_s)} to go"
            parts.append(f"{self._estimate}{format_rate(progress.rate_bytes_per_s)}")
        parts.append(done)
        if progress.rss_bytes:
            parts.append(f"{format_bytes(progress.rss_bytes)} memory, {progress.cpu_fraction:.1f} cores")
        if progress.gpu is not None:
            parts.append(_gpu_figures(progress.gpu))
        return parts

    def _spark(self) -> str:
        width = max(0, min(60, self.size.width - 100))
        return sparkline(list(self._rates), width, self._levels)


def _gpu_figures(gpu: GpuUse) -> str:
    figures = [f"GPU {format_bytes(gpu.memory_bytes)}"]
    if gpu.busy_fraction is not None:
        figures.append(f"{gpu.busy_fraction:.0%} busy")
    if gpu.to_host_bytes_per_s is not None and gpu.to_device_bytes_per_s is not None:
        figures.append(f"PCIe {format_rate(gpu.to_host_bytes_per_s)} out, {format_rate(gpu.to_device_bytes_per_s)} in")
    return ", ".join(figures)
