import random

import pytest

from state.stats.two_groups import BY_CHANCE, TwoGroups, two_groups
from tests.state.simulated import NOISES, TWO_STATE, sample


def test_times_of_a_machine_in_two_states_are_parted() -> None:
    found = two_groups([0.31, 0.46, 0.32, 0.47, 0.31, 0.30])
    assert found == TwoGroups(fast_s=0.31, fast_count=4, slow_s=(0.46 + 0.47) / 2, slow_count=2)


@pytest.mark.parametrize(
    "times",
    [
        [1.0, 1.0, 2.0, 2.0],  # chance makes two groups of four
        [1.0, 1.0, 1.0, 1.0, 2.0],  # one that stands apart is an outlier
        [1.0] * 8,
        [1.0, 1.02, 1.0, 1.02, 1.0, 1.02],  # who cares
        [1.0, 1.2, 1.4, 1.6, 1.8, 2.0, 2.2],
    ],
)
def test_other_times_are_one_group(times: list[float]) -> None:
    assert two_groups(times) is None


@pytest.mark.parametrize("noise", NOISES)
@pytest.mark.parametrize("rounds", [5, 7, 10, 20])
def test_noise_is_rarely_taken_for_two_states(noise: str, rounds: int) -> None:
    rng = random.Random(f"{noise}/{rounds}")
    said = [two_groups(sample(rng, 1.0, NOISES[noise], 0.3, rounds)) is not None for _ in range(1000)]
    # Noise of which one in ten is far away makes groups of two of its own.
    assert sum(said) / 1000 <= (4 * BY_CHANCE if noise == "outliers" else 2 * BY_CHANCE)


def test_two_states_are_found_in_ten_rounds() -> None:
    rng, noise = random.Random(2), TWO_STATE["two states, a third slow"]
    found = [two_groups(sample(rng, 1.0, noise, 0.05, 10)) for _ in range(300)]
    assert sum(groups is not None for groups in found) >= 200
