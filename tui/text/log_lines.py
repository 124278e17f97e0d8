"""What happened, in sentences for a log."""

from state.analysis.ranking import fastest_lines
from state.analysis.words import memory_words, model_line
from state.live.session import Session
from state.run.events import (
    Event,
    MachineMeasured,
    ModelBuilding,
    ModelReady,
    RunFinished,
    RunInterrupted,
    TrialFailed,
    TrialFinished,
    WorkerReady,
)
from state.units import format_rate, format_seconds


def narrate(session: Session, event: Event) -> tuple[str, ...]:
    """Lines about an event, given the session after it; none for events that happen all the time."""
    match event:
        case WorkerReady():
            return (f"the worker is ready, its libraries took {format_seconds(event.import_s)} s",)
        case RunInterrupted():
            return (f"{event.failure.what}: {event.failure.do}",)
    run = session.run
    if run is None:
        return ()
    match event:
        case ModelBuilding():
            return (f"building {model_line(run)}", f"memory: {memory_words(event.needs.memory)}")
        case ModelReady():
            return (f"ready in {format_seconds(event.build_s)} s: {model_line(run)}",)
        case MachineMeasured() if event.failure is not None:
            return (f"what the machine gives was not measured: {event.failure.what}",)
        case MachineMeasured():
            rates = {
                "memory copies": event.limits.memory_copy_bytes_per_s,
                f"{run.plan.codec} encodes": event.limits.codec_encode_bytes_per_s,
                "decodes": event.limits.codec_decode_bytes_per_s,
            }
            known = ", ".join(f"{what} {format_rate(rate)}" for what, rate in rates.items() if rate is not None)
            return (f"one core: {known}",) if known else ()
        case TrialFinished() | TrialFailed():
            record = run.records[event.trial]
            outcome = (
                f"{format_seconds(event.result.time_s)} s"
                if isinstance(event, TrialFinished)
                else f"failed: {event.failure.what}"
            )
            count = f"[{session.done_count}/{len(run.records)}]"
            return (f"{count} round {record.trial.round} {record.trial.method} {record.trial.operation}: {outcome}",)
        case RunFinished() if event.cancelled:
            ended = sum(record.status in ("done", "failed") for record in run.records)
            return (f"stopped, {ended} of {len(run.records)} trials have ended",)
        case RunFinished():
            return ("the run is finished", *fastest_lines(run))
    return ()
