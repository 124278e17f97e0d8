"""The bench of what is promised runs through, and compares the set of before with that of now."""

import random

from click.testing import CliRunner

from bench.coverage import main, uncorrected
from state.stats.fastest_set import fastest_set
from tests.state.simulated import NOISES, table


def test_every_table_is_printed() -> None:
    told = CliRunner().invoke(main, ["--repeats", "4"])
    assert told.exit_code == 0, told.output
    assert told.output.count("(4 repeats)") == 7 + 3 * 3
    assert told.output.count("two states, a third slow") >= 15
    assert "With --precision 5%" in told.output


def test_the_set_of_before_leaves_out_equal_methods_more_often() -> None:
    rng = random.Random(6)
    runs = [table(rng, [1.0] * 6, NOISES["log-normal"], [0.1] * 6, 5) for _ in range(200)]
    before, now = (sum(len(procedure(run)) < 6 for run in runs) for procedure in (uncorrected, fastest_set))
    assert now <= 0.08 * 200 < before
