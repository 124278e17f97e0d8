"""How often the intervals hold the truth, and how often equal things are called different.

Simulated rounds around a known median, with noise of several kinds and sizes:

    python -m bench.coverage --repeats 4000
"""

import math
import random
from collections.abc import Callable

import click
from rich.console import Console
from rich.table import Table

from state.plan import Plan
from state.statistics import ratio, summarise
from state.stopping import MAX_ROUNDS, is_settled
from state.verdict import verdict
from tests.state.simulated import NOISES, ONE_SIDED, Noise, covered, sample, share

ROUNDS = (3, 5, 7, 10, 15, 20)
SIZES = (0.02, 0.1, 0.5)


@click.command()
@click.option("--repeats", type=click.IntRange(1), default=2000, show_default=True, help="Experiments per figure.")
def main(repeats: int) -> None:
    """Print three tables."""
    console = Console(width=110)
    console.print(_table("Share of 95 % intervals that hold the true median", repeats, _coverage))
    console.print(_table("Share of equal pairs that are called faster or slower", repeats, _false_alarms))
    console.print(
        f"With --precision 5%, noise of 5 %: the intervals hold the truth in {_stopped(repeats, 0.05):.1%}; "
        f"with noise of 20 %: in {_stopped(repeats, 0.2):.1%}."
    )


def _table(title: str, repeats: int, figure: Callable[[Noise, int, int], float]) -> Table:
    table = Table(title=f"{title} ({repeats} repeats, noise of {', '.join(f'{s:.0%}' for s in SIZES)})")
    table.add_column("noise")
    for rounds in ROUNDS:
        table.add_column(f"{rounds} rounds", justify="right")
    for name, noise in {**NOISES, **ONE_SIDED}.items():
        table.add_row(name, *(f"{figure(noise, rounds, repeats):.1%}" for rounds in ROUNDS))
    return table


def _coverage(noise: Noise, rounds: int, repeats: int) -> float:
    return min(covered(random.Random(f"{rounds}/{size}"), noise, size, rounds, repeats) for size in SIZES)


def _false_alarms(noise: Noise, rounds: int, repeats: int) -> float:
    rates = []
    for size in SIZES:
        rng = random.Random(f"aa/{rounds}/{size}")
        pairs = [(sample(rng, 1.0, noise, size, rounds), sample(rng, 1.0, noise, size, rounds)) for _ in range(repeats)]
        rates.append(share([verdict(ratio(*pair)) for pair in pairs], "faster", "slower"))
    return max(rates)


def _stopped(repeats: int, size: float) -> float:
    """Coverage where rounds are added until the interval is narrow, as `state.stopping` does for one method."""
    rng, hits, precision = random.Random(f"stop/{size}"), 0, 0.05
    for _ in range(repeats):
        times = sample(rng, 1.0, NOISES["log-normal"], size, Plan().repeats)
        while len(times) < MAX_ROUNDS and not is_settled(times, precision):
            times += sample(rng, 1.0, NOISES["log-normal"], size, 1)
        found = summarise(times)
        assert found is not None
        hits += (found.low or math.inf) <= 1.0 <= (found.high or -math.inf)
    return hits / repeats


if __name__ == "__main__":
    main()
