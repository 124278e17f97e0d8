import random

import pytest

from state.analysis.shaky_times import shaky
from state.plan import OPERATIONS, Plan
from state.run.records import Result
from state.schedule import Trial
from tests.state.factories import load, save
from tests.state.simulated import NOISES, sample


def measured(times: dict[str, list[float]]) -> list[tuple[Trial, Result]]:
    """Saves and loads of methods that take these times in each round."""
    return [
        (Trial(number + 1, method, operation), (save if operation == "save" else load)(time_s))
        for method, samples in times.items()
        for operation in OPERATIONS
        for number, time_s in enumerate(samples)
    ]


STEADY = [1.0, 1.01, 0.99, 1.0, 1.01]


@pytest.mark.parametrize(("repeats", "words"), [(1, "One round has"), (2, "Two rounds have")])
def test_too_few_rounds_are_said_before_they_are_measured(repeats: int, words: str) -> None:
    (sentence,) = shaky(Plan(repeats=repeats), ())
    assert sentence.startswith(words)


def test_steady_times_need_no_words() -> None:
    assert list(shaky(Plan(repeats=5), measured({"pytorch": STEADY, "t5x": STEADY}))) == []


def test_a_drift_is_said_with_its_size_and_direction() -> None:
    rising = {"pytorch": [1.0, 1.1, 1.2, 1.3, 1.4], "t5x": [2.0, 2.2, 2.4, 2.61, 2.8]}
    (sentence,) = shaky(Plan(repeats=5), measured(rising))
    assert sentence.startswith("Times rose by 40% from the first round to the last")
    falling = {method: times[::-1] for method, times in rising.items()}
    assert next(shaky(Plan(repeats=5), measured(falling))).startswith("Times fell by 29%")


def test_a_small_drift_changes_no_decision_and_a_method_that_broke_off_hides_none() -> None:
    small = {"pytorch": [1.0, 1.02, 1.04, 1.06, 1.08]}
    assert list(shaky(Plan(repeats=5), measured(small))) == []
    rising = {"pytorch": [1.0, 1.1, 1.2, 1.3, 1.4], "t5x": [2.0]}
    assert any(sentence.startswith("Times rose by 40%") for sentence in shaky(Plan(repeats=5), measured(rising)))


def test_a_machine_in_two_states_is_said_with_the_clearest_example() -> None:
    times = {
        "pytorch": [1.0, 1.5, 1.01, 1.52, 0.99, 1.0],
        "t5x": [2.0, 2.01, 3.1, 2.0, 3.2, 2.01],
        "dcp": [*STEADY, 1.0],
    }
    words = "The times of 4 of 6 rows fall into two groups (t5x save: 4 near 2.00 s, 2 near 3.15 s). The machine seems"
    assert any(sentence.startswith(words) for sentence in shaky(Plan(repeats=6), measured(times)))


def test_one_row_in_two_groups_of_many_may_be_chance() -> None:
    times = {f"method-{number}": [*STEADY, 1.0] for number in range(20)} | {"t5x": [2.0, 2.01, 3.1, 2.0, 3.2, 2.01]}
    rows = [(trial, r) for trial, r in measured(times) if (trial.method, trial.operation) != ("t5x", "load")]
    assert not any("two groups" in sentence for sentence in shaky(Plan(repeats=6), rows))


def test_a_precision_that_is_not_reached_is_said() -> None:
    plan = Plan(repeats=5, precision=0.005)
    (sentence,) = shaky(plan, measured({"pytorch": STEADY}))
    assert sentence == "2 of 2 intervals are not within the ±0.5% that was asked for."
    assert list(shaky(Plan(repeats=5, precision=0.5), measured({"pytorch": STEADY}))) == []


def test_noise_is_rarely_called_a_drift() -> None:
    rng = random.Random(5)
    said = 0
    for _ in range(200):
        times = {m: sample(rng, 1.0, NOISES["log-normal"], 0.2, 6) for m in ("a", "b", "c")}
        said += any("first round to the last" in s for s in shaky(Plan(repeats=6), measured(times)))
    assert said <= 14


def test_a_noisy_machine_and_lonely_trials_are_said() -> None:
    wild = {"pytorch": [1.0, 3.0, 0.7, 2.0, 1.2]}
    assert any("this machine is noisy" in sentence for sentence in shaky(Plan(repeats=5), measured(wild)))
    lonely = {"pytorch": [1.0, 1.01, 0.99, 1.0, 1.02, 4.0], "t5x": [1.0, 1.02, 0.99, 1.01, 1.0, 0.98]}
    sentences = list(shaky(Plan(repeats=6), measured(lonely)))
    assert any(sentence.startswith("2 of 24 trials stand far apart") for sentence in sentences)
