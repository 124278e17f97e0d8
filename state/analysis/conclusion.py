"""What the 2x2x2 experiment shows, in plain words. Nothing is said here that an interval does not show."""

import math
from collections.abc import Mapping
from typing import Final

from state.analysis.effects import Effects, Measure
from state.analysis.steps import SWITCHES, Switch
from state.plan import Operation
from state.stats.intervals import Estimate
from state.units import format_factor

_NOUNS: Final[dict[Operation, str]] = {"save": "saves", "load": "loads"}
#: Less of the size than this is not worth a word.
_SIZE_SHARE: Final = 0.005
#: More cells that may be the fastest than this make no recommendation.
_FEW: Final = 3
_BOTH: Final = 2
#: Nor is an effect on time below 5 %.
_WORTH_A_WORD: Final = math.log(1.05)
#: A sentence picks among six effects (three switches, saves and loads), so each has to be beyond an interval that is
#: half again as wide: Bonferroni's correction for six asks for 1.35 times with much data and 1.51 with eight degrees of
#: freedom. That way a whole sentence is wrong no more often than an interval.
_STRICTER: Final = 1.5


def conclusion(found: Mapping[Measure, Effects]) -> str:
    """A few sentences on which cell is best and what the switches do to saves, loads and size.

    A switch "does it" if it makes things faster by more than any other, its whole interval beyond the others'. A
    switch costs something if its whole interval is above "no change". The factors are means over the four settings of
    the two other switches; where a switch helps at one of them and harms at another, that is said instead.
    """
    operations = [operation for operation in _NOUNS if not found[operation].missing]
    if not operations:
        return "Cells are missing: only all eight show what a switch does by itself."
    if any(estimate.low is None for operation in operations for estimate in found[operation].main.values()):
        return "Too few rounds: from three on there are intervals, and only they can back a sentence."
    sentences = [
        _best(found, operations),
        _helps(found, operations),
        _helps_too(found, operations),
        *_costs(found, operations),
        _mixed(found, operations),
    ]
    said = [sentence for sentence in sentences if sentence]
    if not any(sentences[1:]):
        return "No switch is shown to change anything: the noise is larger than the effects."
    if any(found[operation].estimated for operation in operations):
        said.append("The cells come from several runs, and noise between runs is in no interval.")
    return " ".join(said)


def _best(found: Mapping[Measure, Effects], operations: list[Operation]) -> str:
    """The fastest cell of each operation, with up to two others that may be as fast."""
    parts = []
    for operation in operations:
        best = found[operation].best
        if best and len(best) <= _FEW:
            parts.append(f"{' or '.join(best)} for {_NOUNS[operation]}")
    if len(parts) == _BOTH and found["save"].best == found["load"].best:
        return f"Fastest: {' or '.join(found['save'].best)}."
    return f"Fastest: {', '.join(parts)}." if parts else ""


def _clear(found: Effects) -> dict[Switch, Estimate]:
    """Main effects that are beyond doubt, without the switches that help here and harm there."""
    mixed = _mixed_switches(found)
    return {switch: effect for switch, effect in found.main.items() if _is_sure(effect) and switch not in mixed}


def _is_sure(effect: Estimate) -> bool:
    if effect.low is None or effect.high is None:
        return False
    return abs(effect.value) > max(_WORTH_A_WORD, _STRICTER * (effect.high - effect.low) / 2)


def _leaders(found: Effects) -> tuple[Switch, ...]:
    """The switch that helps most, and those whose intervals overlap with its own; none where a mixed one does more."""
    helping = {s: e for s, e in _clear(found).items() if e.high is not None and e.high < 0}
    if not helping:
        return ()
    best = min(helping.values(), key=_value)
    if any(found.main[switch].value < best.value for switch in _mixed_switches(found)):
        return ()
    return tuple(s for s, e in helping.items() if e.low is not None and best.high is not None and e.low <= best.high)


def _helps(found: Mapping[Measure, Effects], operations: list[Operation]) -> str:
    leaders = {operation: _leaders(found[operation]) for operation in operations}
    led = [operation for operation in operations if leaders[operation]]
    if not led:
        return ""
    if len({leaders[operation] for operation in led}) == 1:
        names = leaders[led[0]]
        figures = ", ".join(f"{_NOUNS[o]} {_factors(found[o], names)} faster" for o in led)
        return f"{_join(names).capitalize()} {'does' if len(names) == 1 else 'do'} it: {figures} on average."
    parts = [f"{_join(leaders[o])} for {_NOUNS[o]} ({_factors(found[o], leaders[o])} faster on average)" for o in led]
    return f"What does it: {'; '.join(parts)}."


def _helps_too(found: Mapping[Measure, Effects], operations: list[Operation]) -> str:
    """Switches that help beyond doubt, and less than the one that does it."""
    parts = []
    for switch in SWITCHES:
        figures = [
            f"{_NOUNS[operation]} {_factors(found[operation], (switch,))}"
            for operation in operations
            if switch not in _leaders(found[operation])
            and (effect := _clear(found[operation]).get(switch)) is not None
            and effect.value < 0
        ]
        if figures:
            parts.append(f"{switch} ({', '.join(figures)})")
    text = " and ".join(parts)
    return f"{text[0].upper()}{text[1:]} {'helps' if len(parts) == 1 else 'help'}, too." if text else ""


def _costs(found: Mapping[Measure, Effects], operations: list[Operation]) -> list[str]:
    sentences = []
    for switch in SWITCHES:
        slower = [
            f"{'≈' if found[operation].estimated else ''}{format_factor(effect.factor)} on {operation}"
            for operation in operations
            if (effect := _clear(found[operation]).get(switch)) is not None and effect.value > 0
        ]
        size = found["size"].main.get(switch)
        share = 1 - size.factor if size is not None else 0.0
        space = ""
        if abs(share) >= _SIZE_SHARE:
            space = f"takes {abs(share):.0%} {'less' if share > 0 else 'more'} space"
        costs = f"costs {' and '.join(slower)}" if slower else ""
        if costs or space:
            sentences.append(f"{switch.capitalize()} {' and '.join(filter(None, (costs, space)))}.")
    return sentences


def _mixed_switches(found: Effects) -> dict[Switch, tuple[Estimate, Estimate]]:
    """Switches that help beyond doubt at one setting of the others and harm at another: both extremes."""
    mixed = {}
    for switch in SWITCHES:
        shown = [effect.change for effect in found.simple if effect.switch == switch and _is_sure(effect.change)]
        best, worst = min(shown, key=_value, default=None), max(shown, key=_value, default=None)
        if best is not None and worst is not None and best.value < 0 < worst.value:
            mixed[switch] = (best, worst)
    return mixed


def _mixed(found: Mapping[Measure, Effects], operations: list[Operation]) -> str:
    parts = [
        f"{switch} makes {_NOUNS[operation]} from {format_factor(1 / best.factor)} faster to "
        f"{format_factor(worst.factor)} slower, as the other switches stand"
        for operation in operations
        for switch, (best, worst) in _mixed_switches(found[operation]).items()
    ]
    text = "; ".join(parts)
    return f"{text[0].upper()}{text[1:]}." if text else ""


def _value(estimate: Estimate) -> float:
    return estimate.value


def _factors(found: Effects, switches: tuple[Switch, ...]) -> str:
    mark = "≈" if found.estimated else ""
    return " and ".join(f"{mark}{format_factor(1 / found.main[switch].factor)}" for switch in switches)


def _join(switches: tuple[Switch, ...]) -> str:
    return " and ".join(switches) if len(switches) < 3 else f"{', '.join(switches[:-1])} and {switches[-1]}"
