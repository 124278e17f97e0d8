"""The reducer: (session, event) -> session. No I/O and no clock; the screen draws the session and nothing else."""

from statistics import median
from typing import Literal

import msgspec

from state.analysis.advice import advise
from state.run.events import (
    CheckpointDeleted,
    Event,
    GpuUse,
    MachineMeasured,
    ModelBuilding,
    ModelReady,
    Phase,
    PhaseEntered,
    RoundAdded,
    RunFinished,
    RunInterrupted,
    RunRefused,
    RunRequested,
    Sampled,
    TrialFailed,
    TrialFinished,
    TrialStarted,
    WorkerReady,
    WorkerStarting,
)
from state.run.records import FINAL, Failure, Run, SaveResult, TrialRecord
from state.schedule import one_more_round, schedule

WorkerState = Literal["starting", "ready", "dead"]


class Progress(msgspec.Struct, frozen=True):
    """How far the trial that runs has come. Everything here is an estimate, seen from outside.

    Attributes:
        trial: Its number in the schedule.
        pid: Its process.
        expected_bytes: How many bytes it will probably move.
        phase: What it is doing; None before its first word.
        start_bytes: The kernel's count when the clock started.
        start_s: Time since the fork when the clock started, as far as the samples tell.
        moved_bytes: Bytes moved under the clock so far, never falling.
        elapsed_s: Since the fork.
        rss_bytes: Resident memory.
        cpu_fraction: Share of one core.
        gpu: What the driver says of the run's GPU; None without one.
    """

    trial: int
    pid: int
    expected_bytes: int
    phase: Phase | None = None
    start_bytes: int = 0
    start_s: float = 0.0
    moved_bytes: int = 0
    elapsed_s: float = 0.0
    rss_bytes: int = 0
    cpu_fraction: float = 0.0
    gpu: GpuUse | None = None

    @property
    def fraction(self) -> float:
        """Estimated share that is done, from 0 to 0.99 while the clock runs, 1 afterwards."""
        if self.phase == "verify":
            return 1.0
        return min(0.99, self.moved_bytes / self.expected_bytes) if self.expected_bytes else 0.0

    @property
    def rate_bytes_per_s(self) -> float:
        """Estimated throughput since the clock started; 0 before the first sample."""
        measured_s = self.elapsed_s - self.start_s
        return self.moved_bytes / measured_s if measured_s > 0 else 0.0

    @property
    def left_s(self) -> float | None:
        """Estimated time until the clock stops, or None before there is a rate."""
        rate = self.rate_bytes_per_s
        return max(0.0, self.expected_bytes - self.moved_bytes) / rate if rate else None


class Session(msgspec.Struct, frozen=True):
    """Everything that a screen may show.

    Attributes:
        worker: State of the worker process.
        run: The run that goes on or went last; None before the first.
        progress: The trial that runs, if one does.
    """

    worker: WorkerState = "starting"
    run: Run | None = None
    progress: Progress | None = None

    @property
    def done_count(self) -> int:
        """Trials that have reached a final state."""
        return sum(record.status in FINAL for record in self.run.records) if self.run else 0


def reduce(session: Session, event: Event) -> Session:
    """The session after an event. An event that does not fit the state changes nothing."""
    match event:
        case WorkerStarting():
            return msgspec.structs.replace(session, worker="starting")
        case WorkerReady():
            return msgspec.structs.replace(session, worker="ready")
        case RunRequested():
            records = tuple(TrialRecord(trial) for trial in schedule(event.plan))
            started = Run(event.run_id, event.created_at, event.plan, event.environment, records)
            return msgspec.structs.replace(session, run=advise(started), progress=None)
        case RunInterrupted():
            return _lose(msgspec.structs.replace(session, worker="dead"), event.failure)
    run = session.run
    if run is None or run.status != "running":
        return session
    match event:
        case ModelBuilding():
            run = msgspec.structs.replace(run, model=event.model, memory=event.needs.memory)
            return msgspec.structs.replace(session, run=advise(run))
        case ModelReady():
            return msgspec.structs.replace(session, run=advise(msgspec.structs.replace(run, model=event.model)))
        case MachineMeasured():
            # A worker that took over after a death may fail at it: then what the first one measured still holds.
            limits = run.limits if event.failure is not None else event.limits
            run = msgspec.structs.replace(run, limits=limits, limits_failure=event.failure)
            return msgspec.structs.replace(session, run=advise(run))
        case RunRefused():
            run = msgspec.structs.replace(run.stopped(), status="refused", refusal=event.failure)
            return msgspec.structs.replace(session, run=run, progress=None)
        case TrialStarted() if session.progress is None and _status(run, event.trial) == "queued":
            run = _replace(run, event.trial, status="running")
            progress = Progress(event.trial, event.pid, event.expected_bytes)
            return msgspec.structs.replace(session, run=run, progress=progress)
        case PhaseEntered() | Sampled() if session.progress and session.progress.trial == event.trial:
            return msgspec.structs.replace(session, progress=_advance(session.progress, event))
        case TrialFinished() if _status(run, event.trial) == "running":
            run = _replace(run, event.trial, status="done", result=event.result)
            return msgspec.structs.replace(session, run=advise(run), progress=None)
        case TrialFailed() if _status(run, event.trial) in {"queued", "running"}:
            was_running = _status(run, event.trial) == "running"
            run = _replace(run, event.trial, status="failed", failure=event.failure)
            return msgspec.structs.replace(session, run=advise(run), progress=None if was_running else session.progress)
        case CheckpointDeleted() if 0 <= event.trial < len(run.records):
            result = run.records[event.trial].result
            if isinstance(result, SaveResult):
                run = _replace(run, event.trial, result=msgspec.structs.replace(result, delete_s=event.delete_s))
            return msgspec.structs.replace(session, run=run)
        case RoundAdded():
            plan = one_more_round(run.plan)
            added = tuple(TrialRecord(trial) for trial in schedule(plan)[len(run.records) :])
            run = msgspec.structs.replace(run, plan=plan, records=run.records + added)
            return msgspec.structs.replace(session, run=advise(run))
        case RunFinished():
            status = "cancelled" if event.cancelled else "finished"
            run = msgspec.structs.replace(run.stopped(), status=status)
            return msgspec.structs.replace(session, run=run, progress=None)
    return session


def run_left_s(run: Run, progress: Progress | None) -> float | None:
    """Estimated time until the run is done, from finished trials of the same kind; None while a kind has none."""
    times_s: dict[tuple[str, str], list[float]] = {}
    for record in run.records:
        if record.result is not None:
            kind = (record.trial.method, record.trial.operation)
            times_s.setdefault(kind, []).append(sum(record.result.stages_s.values()))
    typical_s = {kind: median(samples) for kind, samples in times_s.items()}
    left_s = 0.0
    for number, record in enumerate(run.records):
        if record.status in FINAL:
            continue
        expected_s = typical_s.get((record.trial.method, record.trial.operation))
        if expected_s is None:
            return None
        spent_s = progress.elapsed_s if progress and progress.trial == number else 0.0
        left_s += max(0.0, expected_s - spent_s)
    return left_s


def _advance(progress: Progress, event: PhaseEntered | Sampled) -> Progress:
    if isinstance(event, PhaseEntered):
        if event.phase == "measure":
            return msgspec.structs.replace(
                progress, phase=event.phase, start_bytes=event.moved_bytes, start_s=progress.elapsed_s
            )
        return msgspec.structs.replace(progress, phase=event.phase)
    moved_bytes = progress.moved_bytes
    if progress.phase in {"measure", "sync"}:
        moved_bytes = max(moved_bytes, event.moved_bytes - progress.start_bytes)
    return msgspec.structs.replace(
        progress,
        moved_bytes=moved_bytes,
        elapsed_s=max(progress.elapsed_s, event.elapsed_s),
        rss_bytes=event.rss_bytes,
        cpu_fraction=event.cpu_fraction,
        gpu=event.gpu,
    )


def _lose(session: Session, failure: Failure) -> Session:
    """The worker is dead: the trial that ran, if any, has failed."""
    run = session.run
    if run is None or session.progress is None:
        return msgspec.structs.replace(session, progress=None)
    run = advise(_replace(run, session.progress.trial, status="failed", failure=failure))
    return msgspec.structs.replace(session, run=run, progress=None)


def _status(run: Run, trial: int) -> str | None:
    return run.records[trial].status if 0 <= trial < len(run.records) else None


def _replace(run: Run, trial: int, **changes: object) -> Run:
    records = list(run.records)
    records[trial] = msgspec.structs.replace(records[trial], **changes)
    return msgspec.structs.replace(run, records=tuple(records))
