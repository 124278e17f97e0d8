"""The worker's language: commands to it, events from it, one JSON object a line.

The first event of every worker is `WorkerReady` with the version of this language; the launcher refuses another.
Events that only the UI process makes (`RunRequested`, `Sampled`, `RunInterrupted`, …) have the same shape, so that
the session's reducer sees one stream.
"""

from typing import Final, Literal

import msgspec

from state.model import Model
from state.needs import Needs
from state.plan import Plan
from state.run.environment import Environment
from state.run.records import Failure, Limits, Result

PROTOCOL_VERSION: Final = 1

Phase = Literal["warm-up", "settle", "evict", "measure", "sync", "verify"]


class Command(msgspec.Struct, frozen=True, tag_field="command"):
    """Anything that the launcher tells the worker."""


class StartRun(Command, frozen=True, tag="start"):
    """Measure these trials, numbers in `state.schedule.schedule`'s order; some may be done already."""

    run_id: str
    plan: Plan
    trials: tuple[int, ...]


class CancelRun(Command, frozen=True, tag="cancel"):
    """Kill the trial that runs, clean up and stay ready."""


class Event(msgspec.Struct, frozen=True, tag_field="event"):
    """Anything that happened."""


# From the worker ---------------------------------------------------------------------------------------------------


class WorkerReady(Event, frozen=True, tag="worker-ready"):
    """The worker has imported its libraries and waits."""

    version: int
    pid: int
    import_s: float


class WorkerStarting(Event, frozen=True, tag="worker-starting"):
    """A worker is being started; only the UI process says so."""


class ModelBuilding(Event, frozen=True, tag="model-building"):
    """The model's table is known, and what a run on it needs; its tensors are being filled."""

    model: Model
    needs: Needs


class ModelReady(Event, frozen=True, tag="model-ready"):
    """The tensors are in shared memory."""

    model: Model
    build_s: float


class RunRefused(Event, frozen=True, tag="run-refused"):
    """The run cannot start: wrong model, no space, no such device."""

    failure: Failure


class MachineMeasured(Event, frozen=True, tag="machine-measured"):
    """What the machine gives besides the storage device was measured before the trials, or could not be.

    Attributes:
        limits: Without the device's own rates, which come from the trials.
        failure: Why there are none, if it failed.
    """

    limits: Limits
    failure: Failure | None = None


class TrialStarted(Event, frozen=True, tag="trial-started"):
    """A child was forked for this trial.

    Attributes:
        expected_bytes: How many bytes it will probably move; an estimate for the progress bar.
    """

    trial: int
    pid: int
    expected_bytes: int


class PhaseEntered(Event, frozen=True, tag="phase"):
    """The trial's child has come to this phase.

    Attributes:
        moved_bytes: Its own count of bytes written (save) or read (load) so far; the progress starts from there.
    """

    trial: int
    phase: Phase
    moved_bytes: int = 0


class TrialFinished(Event, frozen=True, tag="trial-finished"):
    """The trial was measured, and a load verified."""

    trial: int
    result: Result


class TrialFailed(Event, frozen=True, tag="trial-failed"):
    """The trial has no result."""

    trial: int
    failure: Failure


class CheckpointDeleted(Event, frozen=True, tag="checkpoint-deleted"):
    """The checkpoint that this save wrote is gone again."""

    trial: int
    delete_s: float


class ScratchLeft(Event, frozen=True, tag="scratch-left"):
    """The run's files could not be deleted.

    Attributes:
        what: Which, and why, in words.
    """

    what: str


class RunFinished(Event, frozen=True, tag="run-finished"):
    """Every trial was tried, or the run was cancelled."""

    cancelled: bool


# From the UI's own process -----------------------------------------------------------------------------------------


class RunRequested(Event, frozen=True, tag="run-requested"):
    """Somebody asked for a run."""

    run_id: str
    created_at: str
    plan: Plan
    environment: Environment


class RoundAdded(Event, frozen=True, tag="round-added"):
    """The intervals are not as narrow as the plan asks for, so every method is measured once more."""


class GpuUse(msgspec.Struct, frozen=True):
    """What the driver says of a GPU, whoever uses it; None where it does not tell.

    Attributes:
        memory_bytes: In use.
        busy_fraction: Share of the time in which a kernel ran.
        to_host_bytes_per_s: What went over the bus to the host.
        to_device_bytes_per_s: What came over it.
    """

    memory_bytes: int
    busy_fraction: float | None = None
    to_host_bytes_per_s: float | None = None
    to_device_bytes_per_s: float | None = None


class Sampled(Event, frozen=True, tag="sampled"):
    """What the trial that runs looks like from outside. Costs the trial little; all figures are estimates.

    Attributes:
        moved_bytes: Bytes written (save) or read (load) since the process began, as the kernel counts them.
        elapsed_s: Since the trial's process was forked.
        rss_bytes: Its resident memory.
        cpu_fraction: Its share of one core since the last sample; 2.0 is two cores.
        gpu: What the driver says of the run's GPU; None without one.
    """

    trial: int
    moved_bytes: int
    elapsed_s: float
    rss_bytes: int
    cpu_fraction: float
    gpu: GpuUse | None = None


class RunInterrupted(Event, frozen=True, tag="run-interrupted"):
    """The worker died. The trial that ran is lost; the launcher may go on with the next in a new worker."""

    failure: Failure


WorkerEvent = (
    WorkerReady
    | ModelBuilding
    | ModelReady
    | RunRefused
    | MachineMeasured
    | TrialStarted
    | PhaseEntered
    | TrialFinished
    | TrialFailed
    | CheckpointDeleted
    | ScratchLeft
    | RunFinished
)

_encoder = msgspec.json.Encoder()
_event_decoder: msgspec.json.Decoder[WorkerEvent] = msgspec.json.Decoder(WorkerEvent)
_command_decoder: msgspec.json.Decoder[StartRun | CancelRun] = msgspec.json.Decoder(StartRun | CancelRun)


def encode(message: Command | Event) -> bytes:
    """One line, newline included."""
    return _encoder.encode(message) + b"\n"


def decode_event(line: bytes) -> WorkerEvent:
    """Read one line of the worker's.

    Raises:
        msgspec.DecodeError: If it is no event.
    """
    return _event_decoder.decode(line)


def decode_command(line: bytes) -> StartRun | CancelRun:
    """Read one line of the launcher's.

    Raises:
        msgspec.DecodeError: If it is no command.
    """
    return _command_decoder.decode(line)
