"""What the details of a method say."""

import msgspec

from state.analysis.results import method_results
from state.plan import Plan
from state.run.records import Run, SaveResult
from tests.state.factories import run_of, with_stalls
from tui.text.details import details

TIMES = {("pytorch", "save"): [1.0, 3.0, 2.0], ("pytorch", "load"): [1.0, 1.0, 1.0]}


def told(run: Run) -> list[str]:
    """The lines for the only method."""
    return [line.strip() for line in details(run, method_results(run)[0]).splitlines()]


def test_an_asynchronous_save_has_three_times() -> None:
    lines = told(with_stalls(run_of(Plan(methods=("pytorch",)), TIMES), "pytorch", 0.05))
    assert "training stands still for 0.0500 s, the save returns after 1.00 s (medians)" in lines
    assert any(line.startswith("median 2.00 s") for line in lines), "the time until it is durable"
    assert lines.count("training went on after 0.0500 s; what it changed was not saved") == 3


def test_a_synchronous_save_says_nothing_of_a_stall() -> None:
    assert not [line for line in told(run_of(Plan(methods=("pytorch",)), TIMES)) if "training" in line]


def test_a_note_of_a_trial_is_told() -> None:
    run = run_of(Plan(methods=("pytorch",)), TIMES)
    records = tuple(
        msgspec.structs.replace(record, result=msgspec.structs.replace(record.result, spec={"note": "not past it"}))
        if isinstance(record.result, SaveResult) and record.trial.round == 2
        else record
        for record in run.records
    )
    assert told(msgspec.structs.replace(run, records=records)).count("not past it") == 1
