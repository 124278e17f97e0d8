"""What `bench.peers` concludes from times, and what it admits."""

import asyncio
from collections.abc import Iterator
from pathlib import Path

import click
import msgspec
import pytest
from click.testing import CliRunner

from backends.process.launcher import Launcher
from bench import harness_tax, peers
from bench.peers import FIO, FRESH_MEMORY, Times, all_times, doubts, put_together, verdicts
from state.errors import WorkerError
from state.plan import LIMIT, OPERATIONS, Operation, Plan
from state.run.records import Failure, LoadResult, Run, TrialRecord
from state.schedule import Trial
from tests.backends.samples import folder_on_disk
from tests.state.factories import run_of

PLAN = Plan(methods=("direct", "dcp"), repeats=3)
NOISE = (0.99, 1.0, 1.01)


def run(*, ours_s: float, peer_s: float, limit_s: float = 1.0) -> Run:
    figures = {"direct": ours_s, "dcp": peer_s, LIMIT: limit_s}
    operations: tuple[Operation, ...] = ("save", "load")
    return run_of(PLAN, {(name, op): [s * n for n in NOISE] for name, s in figures.items() for op in operations})


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    with folder_on_disk(tmp_path) as folder:
        yield folder


def said(operation: Operation, measured: Run, beside: Times | None = None) -> list[str]:
    times = all_times(measured, beside or {})
    return [line.rpartition(": ")[2] for line in verdicts(times) if line.startswith(operation)]


def test_a_verdict_is_yes_only_where_the_figure_is_reached() -> None:
    assert said("load", run(ours_s=1.02, peer_s=2.0)) == ["yes", "yes", "no peer"]
    assert said("load", run(ours_s=1.2, peer_s=1.1)) == ["NO", "NO", "dcp"]


def test_a_durable_save_is_to_be_a_tenth_faster_than_the_best_peer_and_a_load_no_slower() -> None:
    measured = run(ours_s=1.0, peer_s=1.05)
    assert said("save", measured) == ["yes", "NO", "no peer"]
    assert said("load", measured) == ["yes", "yes", "no peer"]


def test_what_the_interval_leaves_open_is_not_shown() -> None:
    assert said("load", run(ours_s=1.05, peer_s=2.0)) == ["yes by the medians, not shown", "yes", "no peer"]
    assert said("load", run(ours_s=1.056, peer_s=2.0)) == ["NO by the medians, not shown", "yes", "no peer"]


def test_a_peer_is_faster_only_if_its_interval_says_so() -> None:
    assert said("load", run(ours_s=1.0, peer_s=0.99)) == ["yes", "NO by the medians, not shown", "no peer"]


def test_references_are_no_peers() -> None:
    beside: Times = {(name, op): [0.1] * 3 for name in (FIO, FRESH_MEMORY) for op in OPERATIONS}
    assert said("load", run(ours_s=1.02, peer_s=2.0), beside) == ["yes", "yes", "no peer"]


def test_what_was_not_measured_is_no_yes() -> None:
    times = all_times(run(ours_s=1.0, peer_s=2.0), {})
    del times["direct", "load"], times[LIMIT, "save"]
    assert [line.rpartition(": ")[2] for line in verdicts(times)] == ["NO", "NO"]


def test_a_load_that_is_not_proven_to_be_cold_and_a_trial_that_failed_are_told() -> None:
    measured = run(ours_s=1.0, peer_s=2.0)
    assert doubts(measured) == ["every trial succeeded, and every load is proven to be cold"]

    def spoiled(record: TrialRecord) -> TrialRecord:
        if record.trial == Trial(2, "direct", "load"):
            assert isinstance(record.result, LoadResult)
            return msgspec.structs.replace(record, result=msgspec.structs.replace(record.result, cache="unknown"))
        if record.trial == Trial(1, "dcp", "save"):
            return msgspec.structs.replace(record, status="failed", result=None, failure=Failure("no", "none"))
        return record

    assert doubts(msgspec.structs.replace(measured, records=tuple(map(spoiled, measured.records)))) == [
        "direct: 1 of 3 loads are not proven to be cold",
        "dcp: 1 of 3 saves failed",
    ]


def test_rounds_measured_apart_are_one_run() -> None:
    single = msgspec.structs.replace(PLAN, repeats=1)
    rounds = [run_of(single, {("direct", "save"): [s], ("direct", "load"): [s]}) for s in (1.0, 2.0, 3.0)]
    whole = put_together(rounds, single)
    assert whole.plan == msgspec.structs.replace(PLAN, storage="DIR")
    assert whole.times_s("direct", "save") == [1.0, 2.0, 3.0]
    assert (whole.environment.hostname, whole.environment.storage) == ("", "DIR"), "whose machine it was is told"
    assert not any("One round" in sentence for sentence in whole.advice)


def test_a_round_that_fails_ends_the_measuring_and_loses_none_before_it(
    disk: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    single = msgspec.structs.replace(PLAN, repeats=1, storage=str(disk))
    left = [run_of(single, {("direct", op): [1.0] for op in OPERATIONS}) for _ in range(2)]

    async def measure_round(launcher: Launcher, plan: Plan) -> Run:
        if not left:
            raise WorkerError("the worker is gone", "look at the log")
        return left.pop()

    monkeypatch.setattr(peers, "measure_round", measure_round)
    measured, _ = asyncio.run(peers.measure(single, 5))
    assert measured.plan.repeats == 2
    assert "stopped in round 3: the worker is gone" in capsys.readouterr().err
    assert list(disk.iterdir()) == []
    with pytest.raises(WorkerError):
        asyncio.run(peers.measure(single, 5))


@pytest.mark.parametrize(
    ("bench", "options"),
    [
        (peers.main, ("--methods", "nonesuch")),
        (peers.main, ("--size", "much")),
        (peers.main, ("--rounds", "0")),
        (harness_tax.main, ("--size", "much")),
        (harness_tax.main, ("--method", "direct")),
    ],
)
def test_a_bench_refuses_in_one_sentence(bench: click.Command, options: tuple[str, ...], disk: Path) -> None:
    result = CliRunner().invoke(bench, ["--storage", str(disk), *options])
    assert result.exit_code == 2
    assert result.stderr.splitlines()[-1].startswith("Error: ")


def test_a_plain_script_that_fails_is_told_and_waits_for_nobody(disk: Path) -> None:
    plain = harness_tax.Plain("pytorch", disk / "no-such-file.safetensors", "cpu", None)
    try:
        with pytest.raises(click.ClickException, match="the plain script of pytorch has failed"):
            plain.measure(disk)
    finally:
        plain.close()
