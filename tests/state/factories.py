"""Small plans, models and runs for tests."""

from collections.abc import Mapping

import msgspec

from state.analysis.advice import advise
from state.live.session import Session, reduce
from state.model import Model, TensorInfo
from state.needs import MemoryPlan, Needs
from state.plan import Operation, Plan
from state.run.environment import Environment, FileSystem
from state.run.events import Event, ModelReady, RunFinished, RunRequested, TrialFinished, TrialStarted
from state.run.records import Cost, LoadResult, Run, SaveResult, TrialRecord
from state.schedule import schedule

#: Method and operation -> the time of each round, in seconds.
Times = Mapping[tuple[str, str], list[float]] | Mapping[tuple[str, Operation], list[float]]

NEEDS = Needs(2 * 10**6, 10, MemoryPlan(10**6, 10**6, "loading with pytorch"))
MODEL = Model("tiny", "made for a test", (TensorInfo("w", "float16", (1000, 500), 1_000_000),), gzip_ratio=0.9)
ENVIRONMENT = Environment(hostname="here", storage="/disk", filesystem=FileSystem("ext4", "/", "/dev/x"), cores=2)
COST = Cost(cpu_s=0.5, peak_rss_bytes=300, extra_rss_bytes=100, device_write_bytes=1_000_000, device_read_bytes=900_000)


def request(plan: Plan) -> RunRequested:
    return RunRequested("20260101-000000-abcd", "2026-01-01T00:00:00+00:00", plan, ENVIRONMENT)


def save(time_s: float, *, stored_bytes: int = 1_000_000) -> SaveResult:
    return SaveResult(time_s / 2, time_s, COST, stored_bytes, 3, {"driver": "zarr"}, stages_s={"measure": time_s})


def load(time_s: float) -> LoadResult:
    return LoadResult(time_s, "cold", 0, True, COST, {"measure": time_s})


def events(plan: Plan, times: Times) -> list[Event]:
    """What happens in a run whose trials take these times; trials without one never start."""
    happened: list[Event] = [request(plan), ModelReady(MODEL, 0.1)]
    for number, trial in enumerate(schedule(plan)):
        samples = next((s for kind, s in times.items() if kind == (trial.method, trial.operation)), [])
        if trial.round <= len(samples):
            time_s = samples[trial.round - 1]
            result = save(time_s) if trial.operation == "save" else load(time_s)
            happened += [TrialStarted(number, 1000 + number, 1_000_000), TrialFinished(number, result)]
    return happened


def run_of(plan: Plan, times: Times, *, finished: bool = True) -> Run:
    session = Session()
    for event in [*events(plan, times), *([RunFinished(cancelled=False)] if finished else [])]:
        session = reduce(session, event)
    assert session.run is not None
    return session.run


def finished(plan: Plan, times: Times) -> Run:
    """What `run_of` gives where every trial has a time, without going through each event: for thousands of runs."""
    records = []
    for trial in schedule(plan):
        time_s = next(samples for kind, samples in times.items() if kind == (trial.method, trial.operation))[
            trial.round - 1
        ]
        records.append(TrialRecord(trial, "done", save(time_s) if trial.operation == "save" else load(time_s)))
    start = request(plan)
    run = Run(start.run_id, start.created_at, plan, ENVIRONMENT, tuple(records), MODEL, status="finished")
    return advise(run)


def with_advice(run: Run, *sentences: str) -> Run:
    return msgspec.structs.replace(run, advice=sentences)


def with_stalls(run: Run, method: str, stall_s: float) -> Run:
    """The run as if a method had saved in the background."""
    records = tuple(
        msgspec.structs.replace(record, result=msgspec.structs.replace(record.result, stall_s=stall_s))
        if record.trial.method == method and isinstance(record.result, SaveResult)
        else record
        for record in run.records
    )
    return msgspec.structs.replace(run, records=records)
