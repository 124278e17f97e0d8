import math
import random
from fractions import Fraction
from itertools import permutations
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from state.analysis.conclusion import conclusion
from state.analysis.effects import INTERACTIONS, TOTAL_WEIGHTS, effect_weights, effects, share_weights, simple_weights
from state.analysis.steps import SWITCHES, Switch
from state.optimizations import CELLS
from state.plan import CELL_NAMES, Plan
from state.stats.intervals import contrast
from tests.state.factories import run_of
from tests.state.simulated import NOISES, cells

#: The pilot plant of Box, Hunter and Hunter, "Statistics for Experimenters", 2nd ed., table 5.2: temperature,
#: concentration and catalyst in the place of our three switches, two runs of each setting, yield in grams.
_PLANT = {
    (False, False, False): (59, 61),
    (True, False, False): (74, 70),
    (False, True, False): (50, 58),
    (True, True, False): (69, 67),
    (False, False, True): (50, 54),
    (True, False, True): (81, 85),
    (False, True, True): (46, 44),
    (True, True, True): (79, 81),
}
PLANT = {name: _PLANT[cell] for name, cell in CELLS.items()}
#: What the book finds.
FOUND: dict[tuple[Switch, ...], float] = {
    ("concurrency",): 23.0,
    ("chunking",): -5.0,
    ("compression",): 1.5,
    ("concurrency", "chunking"): 1.5,
    ("concurrency", "compression"): 10.0,
    ("chunking", "compression"): 0.0,
    ("concurrency", "chunking", "compression"): 0.5,
}
logs = st.dictionaries(
    st.sampled_from(CELL_NAMES), st.integers(-1000, 1000), min_size=len(CELL_NAMES), max_size=len(CELL_NAMES)
)


def value(weights: Any, values: dict[str, Any]) -> Fraction:
    return sum((weight * Fraction(values[name]) for name, weight in weights.items()), Fraction(0))


@pytest.mark.parametrize("switches", FOUND)
def test_effects_are_those_of_the_pilot_plant(switches: tuple[Switch, ...]) -> None:
    weights = effect_weights(switches)
    means = {name: Fraction(sum(pair), 2) for name, pair in PLANT.items()}
    assert value(weights, means) == Fraction(FOUND[switches])
    # Its standard error is 1.4 grams: the square root of 8/2 (variance of a mean of two) times eight weights of 1/4.
    pairs = {name: [float(y) for y in pair] * 2 for name, pair in PLANT.items()}
    found = contrast([pairs[name] for name in weights], [float(w) for w in weights.values()])
    assert found.value == pytest.approx(FOUND[switches])


@given(logs)
def test_shares_add_up_to_all_of_the_way(values: dict[str, int]) -> None:
    shares = [value(share_weights(switch), values) for switch in SWITCHES]
    assert sum(shares, Fraction(0)) == value(TOTAL_WEIGHTS, values)


@given(logs)
def test_a_share_is_the_mean_over_the_orders_in_which_switches_can_be_flipped(values: dict[str, int]) -> None:
    names: dict[tuple[bool, ...], str] = {cell: name for name, cell in CELLS.items()}
    for switch in SWITCHES:
        gains = []
        for order in permutations(SWITCHES):
            flipped = set(order[: order.index(switch)])
            before = tuple(s in flipped for s in SWITCHES)
            after = tuple(s in flipped or s == switch for s in SWITCHES)
            gains.append(Fraction(values[names[after]] - values[names[before]]))
        assert value(share_weights(switch), values) == sum(gains, Fraction(0)) / len(gains)


@given(logs, st.sampled_from(SWITCHES))
def test_a_switch_that_does_nothing_has_no_effect_and_no_share(values: dict[str, int], switch: Switch) -> None:
    number = SWITCHES.index(switch)
    dull = {
        name: values[next(n for n, c in CELLS.items() if c == tuple(b and i != number for i, b in enumerate(cell)))]
        for name, cell in CELLS.items()
    }
    assert value(effect_weights((switch,)), dull) == 0
    assert value(share_weights(switch), dull) == 0
    assert all(value(effect_weights(names), dull) == 0 for names in INTERACTIONS if switch in names)


@given(logs, st.sampled_from(SWITCHES))
def test_a_main_effect_is_the_mean_of_its_four_simple_effects(values: dict[str, int], switch: Switch) -> None:
    simple = [
        value(simple_weights(switch, cell), values) for cell in CELLS.values() if not cell[SWITCHES.index(switch)]
    ]
    assert value(effect_weights((switch,)), values) == sum(simple, Fraction(0)) / 4


@pytest.mark.parametrize("noise", ["log-normal", "Student t, 3 degrees"])
@pytest.mark.parametrize("rounds", [3, 5])
def test_effects_and_shares_hold_the_truth_as_often_as_they_say(noise: str, rounds: int) -> None:
    rng = random.Random(f"{noise}/{rounds}")
    # Concurrency halves, chunking divides by ten, compression doubles, and the last two get in each other's way.
    true_s = {n: 4.0 * 0.5**c * 0.1**k * 2.0**z * 1.5 ** (k and z) for n, (c, k, z) in CELLS.items()}
    truth = {name: math.log(time_s) for name, time_s in true_s.items()}
    hits: list[bool] = []
    for _ in range(150):
        found = effects(cells(rng, true_s, NOISES[noise], 0.1, rounds, drift=0.05))["save"]
        pairs = [(found.main[s], effect_weights((s,))) for s in SWITCHES]
        pairs += [(found.shares[s], share_weights(s)) for s in SWITCHES]
        pairs += [(found.interactions[" x ".join(names)], effect_weights(names)) for names in INTERACTIONS]
        for estimate, weights in pairs:
            assert estimate.low is not None
            assert estimate.high is not None
            hits.append(estimate.low <= float(value(weights, truth)) <= estimate.high)
    assert sum(hits) / len(hits) >= 0.93


def test_a_run_of_the_cells_has_every_figure_for_save_load_and_size() -> None:
    rng = random.Random(1)
    true_s = {n: 4.0 * 0.5**c * 0.1**k * 2.0**z for n, (c, k, z) in CELLS.items()}
    found = effects(cells(rng, true_s, NOISES["log-normal"], 0.02, 3))
    assert {measure: one.missing for measure, one in found.items()} == dict.fromkeys(("save", "load", "size"), ())
    save = found["save"]
    assert save.main["chunking"].factor == pytest.approx(0.1, rel=0.1)
    assert save.total is not None
    assert save.total.value == pytest.approx(sum(share.value for share in save.shares.values()))
    assert len(save.simple) == 12
    assert save.cells["tensorstore"] == pytest.approx(4.0, rel=0.1)
    assert found["size"].main["compression"].value == 0  # the factory's checkpoints are all of one size
    alone = next(e for e in save.simple if e.switch == "concurrency" and not e.others)
    assert alone.change.factor == pytest.approx(0.5, rel=0.1)


def test_missing_cells_are_named_and_what_is_there_is_still_said() -> None:
    plan = Plan(methods=("tensorstore", "ts+chunks", "t5x"), repeats=3)
    times = {(m, op): [4.0 / (k + 1)] * 3 for k, m in enumerate(plan.methods) for op in ("save", "load")}
    found = effects(run_of(plan, times))
    save = found["save"]
    assert save.missing == tuple(name for name in CELL_NAMES if name not in plan.methods)
    assert not save.main
    assert not save.shares
    assert [(e.switch, e.others) for e in save.simple] == [("chunking", ())]
    assert save.total is not None
    assert conclusion(found) == "Cells are missing: only all eight show what a switch does by itself."


def test_the_best_cell_is_named_with_those_that_may_be_as_fast() -> None:
    rng = random.Random(6)
    true_s = {n: 4.0 * 0.9**c * 0.1**k * 2.0**z for n, (c, k, z) in CELLS.items()}
    assert effects(cells(rng, true_s, NOISES["log-normal"], 0.005, 5))["save"].best == ("ts+concurrency+chunks",)
    assert set(effects(cells(rng, true_s, NOISES["log-normal"], 0.2, 3))["save"].best) >= {
        "ts+chunks",
        "ts+concurrency+chunks",
    }
    assert effects(cells(rng, true_s, NOISES["log-normal"], 0.2, 1))["save"].best == ()


def test_one_round_gives_values_without_intervals_and_no_sentence() -> None:
    times = {(m, op): [1.0] for m in CELL_NAMES for op in ("save", "load")}
    found = effects(run_of(Plan(methods=CELL_NAMES, repeats=1), times))
    assert found["save"].main["chunking"].low is None
    assert conclusion(found).startswith("Too few rounds")


def conclude(
    factors: tuple[float, float, float], noise: float = 0.02, *, together: float = 1.0, size: float = 1.0
) -> str:
    """What is said of a run in which each switch multiplies times by a factor, chunks and codec together by another."""
    c, k, z = factors
    true_s = {
        n: 4.0 * c**on_c * k**on_k * z**on_z * together ** (on_k and on_z) for n, (on_c, on_k, on_z) in CELLS.items()
    }
    run = cells(random.Random(3), true_s, NOISES["log-normal"], noise, 5)
    records = []
    for record in run.records:
        result = record.result
        if CELLS.get(record.trial.method, (False, False, False))[2] and record.trial.operation == "save":
            assert result is not None
            result = msgspec.structs.replace(result, stored_bytes=round(1_000_000 * size))
        records.append(msgspec.structs.replace(record, result=result))
    return conclusion(effects(msgspec.structs.replace(run, records=tuple(records))))


def test_the_sentence_says_what_does_it_and_what_it_costs() -> None:
    sentence = conclude((1.0, 0.1, 30.0), size=0.92)
    assert sentence.startswith(
        ("Fastest: ts+chunks or ts+concurrency+chunks.", "Fastest: ts+concurrency+chunks or ts+chunks.")
    )
    assert "Chunking does it: saves x" in sentence
    assert "faster on average" in sentence
    assert "Compression costs x" in sentence
    assert "and takes 8% less space." in sentence
    assert "Concurrency" not in sentence


def test_two_switches_that_help_alike_are_named_together() -> None:
    assert "Concurrency and chunking do it: " in conclude((0.5, 0.5, 1.0), noise=0.2)


def test_a_switch_that_helps_here_and_harms_there_is_said_to() -> None:
    sentence = conclude((1.0, 0.5, 1.0), together=8.0)
    assert "Chunking makes saves from x2" in sentence
    assert "slower, as the other switches stand" in sentence
    assert "does it" not in sentence


def test_a_switch_that_does_more_but_is_mixed_lets_no_other_be_the_one_that_does_it() -> None:
    sentence = conclude((0.8, 0.1, 1.0), together=16.0)
    assert "does it" not in sentence
    assert "Chunking makes saves from x" in sentence


def test_of_two_switches_that_help_only_the_clearly_better_one_does_it() -> None:
    sentence = conclude((0.6, 0.2, 1.0))
    assert "Chunking does it: saves x" in sentence
    assert "Concurrency (saves x1.6" in sentence
    assert "helps, too." in sentence


def test_cells_of_several_runs_are_marked_as_estimates() -> None:
    true_s = {name: 4.0 * 0.1**k for name, (_, k, _) in CELLS.items()}
    run = cells(random.Random(4), true_s, NOISES["log-normal"], 0.02, 3)
    other = tuple(
        msgspec.structs.replace(r, run_id="another" if CELLS.get(r.trial.method, (True,))[0] else "")
        for r in run.records
    )
    found = effects(msgspec.structs.replace(run, records=other))
    assert found["save"].estimated
    assert not found["size"].estimated
    sentence = conclusion(found)
    assert "Chunking does it: saves ≈x" in sentence
    assert "noise between runs is in no interval" in sentence


@pytest.mark.parametrize("rounds", [3, 5])
def test_noise_alone_backs_a_sentence_in_at_most_one_of_twenty(rounds: int) -> None:
    rng, true_s = random.Random(rounds), dict.fromkeys(CELL_NAMES, 1.0)
    said = [conclusion(effects(cells(rng, true_s, NOISES["log-normal"], 0.5, rounds))) for _ in range(200)]
    assert sum(not sentence.startswith("No switch is shown") for sentence in said) <= 10
