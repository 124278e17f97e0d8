"""What people have set, in words: the title of the main screen, and what the three switches make."""

from collections.abc import Iterator

from textual.content import Content

from state.analysis.words import rounds_words, speedup_words
from state.live.explorer import Explorer
from state.run.limits import limits_of
from state.run.records import Limits, Run
from state.units import format_bytes, format_rate, size_argument
from tui.text.glyphs import Glyphs


def title_words(explorer: Explorer, where: str, glyphs: Glyphs) -> str:
    """Model, device, storage, limit and rules in one line.

    Args:
        explorer: What is known.
        where: The storage for people: its folder and its file system.
        glyphs: The signs to draw with.
    """
    plan = explorer.plan
    model = explorer.shown.model if explorer.shown is not None else None
    size = size_argument(plan.size_bytes) if plan.size_bytes is not None else ""
    if model is not None:
        size = f"{format_bytes(model.logical_bytes)} {model.dtypes[0]}"
    parts = [f"{plan.model} {size}".rstrip()]
    parts += [plan.device, where, *_limit_words(explorer.shown, glyphs)]
    parts += [f"{plan.cache} loads", f"{plan.durability} saves", rounds_words(plan.repeats)]
    parts += ["memory as found"] * (plan.memory == "as-found")
    return " · ".join(parts)


def _limit_words(run: Run | None, glyphs: Glyphs) -> Iterator[str]:
    """What the device gives, once it is known."""
    limits = limits_of(run) if run is not None else Limits()
    if limits.write_bytes_per_s is not None and limits.read_bytes_per_s is not None:
        write, read = format_rate(limits.write_bytes_per_s), format_rate(limits.read_bytes_per_s)
        yield f"limit {glyphs.write}{write} {glyphs.read}{read}"


def cell_words(explorer: Explorer, run_key: str) -> Content:
    """What the three switches make, and what that brings.

    Args:
        explorer: What is known.
        run_key: What measures, for people.
    """
    result = next((result for result in explorer.results if result.method == explorer.cell), None)
    words = f"not measured: {run_key} measures it" if result is None else result.status
    if result is not None and result.save is not None and result.load is not None:
        save, load = speedup_words(result.save), speedup_words(result.load)
        words = f"save {save}, load {load}" if save and load else "tensorstore not measured"
    if explorer.cell == "tensorstore":
        words = "all off: the baseline"
    dim = "$foreground 70%"
    told = str(explorer.plan.optimizations(explorer.cell))
    return Content.assemble(("= ", dim), (explorer.cell, "bold $accent"), (f"\n{told}\n{words}", dim))
