"""Which switch did what: the eight cells, the effects, and the way from all off to all on, as text."""

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Final

from state.analysis.effects import INTERACTIONS, Effects, Measure, SimpleEffect
from state.analysis.steps import SWITCHES, Switch
from state.optimizations import BASELINE, CELL_OF, CELLS
from state.plan import Plan
from state.stats.intervals import Estimate
from state.units import format_bytes, format_seconds, size_argument
from tui.text.change_words import change_words
from tui.text.glyphs import Glyphs
from tui.text.styled import Line, Meaning, Piece

MEASURES: Final[dict[Measure, str]] = {"save": "Save time", "load": "Load time", "size": "Size on disk"}
_NAME_WIDTH: Final = 15
_SETTING_WIDTH: Final = 36
#: Below this many columns a bar says nothing.
_MIN_BAR: Final = 8


def missing_line(found: Mapping[Measure, Effects], remedy: str) -> str:
    """Which cells are not measured yet and what helps; empty where none is missing.

    Args:
        found: The effects.
        remedy: What helps.
    """
    missing = found["save"].missing
    if not missing:
        return ""
    return f"{len(missing)} of {len(CELLS)} cells are missing: {', '.join(missing)}. {remedy}."


def why_lines(found: Effects, plan: Plan, *, width: int, glyphs: Glyphs) -> list[Line]:
    """Everything about one measure.

    Args:
        found: Its effects.
        plan: For the values of the switches.
        width: Columns.
        glyphs: The signs to draw with.
    """
    unit = "" if found.measure == "size" else ", s"
    lines: list[Line] = [[("The eight cells", "title"), (f"  {MEASURES[found.measure].lower()}{unit}", "dim")]]
    lines += _cells(found, plan, glyphs)
    if found.shares and found.total is not None:
        lines += [
            [],
            [
                (f"From {BASELINE} to t5x", "title"),
                ("  Shapley shares, geometric means", "dim"),
            ],
        ]
        lines += _waterfall(found, width, glyphs)
    if found.simple:
        lines += [[], [("What each switch does", "title"), (_legend(found), "dim")]]
    for switch in SWITCHES:
        if any(effect.switch == switch for effect in found.simple):
            lines += _switch(found, switch, glyphs)
    if found.interactions:
        lines += [[], [("Together", "title"), ("  against the product of the single effects", "dim")]]
        lines += [_interaction(found, names, glyphs) for names in INTERACTIONS]
    return lines


def _legend(found: Effects) -> str:
    note = f"  {'factor' if found.measure != 'size' else 'change of size'}"
    if found.measure != "size":
        note += ", 95 % interval"
    return f"{note}{', ≈ from several runs' if found.estimated else ''}"


# Figures -----------------------------------------------------------------------------------------------------------


def _value(found: Effects, cell: str) -> str:
    value = found.cells.get(cell)
    if value is None:
        return "missing"
    return format_bytes(value) if found.measure == "size" else format_seconds(value)


def _change(found: Effects, change: Estimate, glyphs: Glyphs) -> Piece:
    """A change in words, with its interval: ``x2.70 faster (2.51–2.90)``."""
    if found.measure == "size":
        percent = 100 * math.expm1(change.value)
        meaning: Meaning = "dim" if abs(percent) < 0.05 else "faster" if percent < 0 else "slower"
        return (f"{percent:+.1f} %" if meaning != "dim" else "same size", meaning)
    return change_words(change, glyphs.estimate if found.estimated else "")


# Parts -------------------------------------------------------------------------------------------------------------


def _cells(found: Effects, plan: Plan, glyphs: Glyphs) -> Iterator[Line]:
    """Four rows and two columns, with what large chunks do in each row."""
    chunks = f"chunks {size_argument(plan.chunk_bytes)}"
    label_width = len(f"{plan.concurrency} at a time, {plan.codec}") + 1
    yield [(f"{'':<{label_width}}{'64x64 tiles':>12}  {chunks:>14}  chunking makes it", "dim")]
    simple = {(effect.switch, effect.others): effect for effect in found.simple}
    for compression in (False, True):
        for concurrency in (False, True):
            label = f"{plan.concurrency if concurrency else 'one'} at a time, {plan.codec if compression else 'plain'}"
            off, on = (_value(found, CELL_OF[concurrency, chunking, compression]) for chunking in (False, True))
            others = _others("chunking", {"concurrency": concurrency, "compression": compression})
            effect = simple.get(("chunking", others))
            change: Piece = _change(found, effect.change, glyphs) if effect is not None else ("", "plain")
            yield [(f"{label:<{label_width}}", "plain"), (f"{off:>12}", "strong"), (f"  {on:>14}  ", "strong"), change]


def _others(switch: Switch, on: Mapping[Switch, bool]) -> tuple[Switch, ...]:
    return tuple(other for other in SWITCHES if other != switch and on.get(other))


def _switch(found: Effects, switch: Switch, glyphs: Glyphs) -> Iterator[Line]:
    """The mean effect of a switch, and below it the effect at each setting of the two others."""
    main = found.main.get(switch)
    on_average: list[Piece] = [_change(found, main, glyphs), (" on average", "dim")] if main else []
    yield [(f"{switch:<{_SETTING_WIDTH}}", "strong"), *on_average]
    for effect in found.simple:
        if effect.switch == switch:
            yield [(f"  {_setting(effect):<{_SETTING_WIDTH - 2}}", "dim"), _change(found, effect.change, glyphs)]


def _setting(effect: SimpleEffect) -> str:
    return f"with {' and '.join(effect.others)}" if effect.others else "alone"


def _interaction(found: Effects, names: Sequence[Switch], glyphs: Glyphs) -> Line:
    """How much more (or less) switches do together than their single effects multiplied.

    An interaction as the literature has it is half the difference (of two switches; a quarter for three) of what is
    shown here.
    """
    scale = 2.0 ** (len(names) - 1)
    half = found.interactions[" x ".join(names)]
    change = Estimate(
        half.value * scale,
        half.low * scale if half.low is not None else None,
        half.high * scale if half.high is not None else None,
    )
    label = "all three, beyond the pairs" if len(names) == 3 else " and ".join(names)
    return [(f"{label:<{_SETTING_WIDTH}}", "plain"), _change(found, change, glyphs)]


def _waterfall(found: Effects, width: int, glyphs: Glyphs) -> Iterator[Line]:
    """A step for each switch, on a log scale, from the cell with all off to the one with all on."""
    words = {switch: _change(found, share, glyphs) for switch, share in found.shares.items()}
    total = found.total or Estimate(0.0)
    end_words = f"{_value(found, 't5x')}, {_change(found, total, glyphs)[0]}"
    text_width = max(len(end_words), *(len(text) for text, _ in words.values())) + 2
    room = width - _NAME_WIDTH - text_width
    position, steps = 0.0, [0.0]
    for switch in SWITCHES:
        position += found.shares[switch].value
        steps.append(position)
    low, high = min(steps), max(steps)
    columns = [round((step - low) / ((high - low) or 1.0) * (room - 1)) for step in steps]
    draw = room >= _MIN_BAR

    def row(name: str, text: str, meaning: Meaning, bar: str) -> Line:
        return [(f"{name:<{_NAME_WIDTH}}", "plain"), (f"{text:<{text_width}}", meaning), (bar if draw else "", meaning)]

    yield row(BASELINE, _value(found, BASELINE), "strong", " " * columns[0] + glyphs.on)
    for number, switch in enumerate(SWITCHES):
        start, end = columns[number], columns[number + 1]
        body = glyphs.full * (abs(end - start))
        bar = f"{glyphs.to_left}{body}" if end < start else f"{body}{glyphs.to_right}" if end > start else glyphs.step
        text, meaning = words[switch]
        yield row(f"  {switch}", text, meaning, " " * min(start, end) + bar)
    yield row("t5x", end_words, "strong", " " * columns[-1] + glyphs.on)
