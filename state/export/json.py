"""A run as a JSON document, and back."""

import re
from pathlib import Path
from typing import Final

import msgspec

from state.analysis.ranking import fastest
from state.analysis.results import method_results
from state.errors import ExportError, RequestError
from state.model import Model
from state.needs import MemoryPlan
from state.plan import OPERATIONS, Plan
from state.run.environment import Environment
from state.run.limits import limits_of
from state.run.records import SCHEMA_VERSION, Failure, Limits, Run, RunStatus, SaveResult, TrialRecord


def pretty(document: object) -> bytes:
    """A document as JSON that people can read, ending in a line end."""
    return msgspec.json.format(msgspec.json.encode(document), indent=2) + b"\n"


def to_json(run: Run) -> bytes:
    """The whole run: plan, environment, one object per method, and every trial."""
    document = {
        "schema_version": SCHEMA_VERSION,
        "run_id": run.run_id,
        "created_at": run.created_at,
        "status": run.status,
        "refusal": run.refusal,
        "plan": run.plan,
        "environment": run.environment,
        "model": run.model,
        "memory": run.memory,
        "limits": limits_of(run),
        "limits_failure": run.limits_failure,
        "other_limits": run.other_limits,
        "advice": run.advice,
        "results": method_results(run),
        "fastest": {operation: fastest(run, operation) for operation in OPERATIONS},
        "trials": run.records,
    }
    return pretty(document)


class _Version(msgspec.Struct):
    """What says how to read the rest of a document."""

    schema_version: int


class _Document(msgspec.Struct):
    """What of a document is not derived from the rest."""

    run_id: str
    created_at: str
    plan: Plan
    environment: Environment
    trials: tuple[TrialRecord, ...]
    model: Model | None = None
    memory: MemoryPlan | None = None
    limits: Limits = Limits()
    limits_failure: Failure | None = None
    other_limits: dict[str, Limits] = {}
    status: RunStatus = "finished"
    refusal: Failure | None = None
    advice: tuple[str, ...] = ()


#: No trial is shorter than a tick of the clock or longer than thirty years.
_SHORTEST_S: Final = 1e-9
_LONGEST_S: Final = 1e9
_RUN_ID: Final = re.compile(r"[0-9A-Za-z][0-9A-Za-z._-]{0,99}")


def from_json(data: bytes) -> Run:
    """The run that `to_json` wrote.

    Raises:
        ExportError: If it is no such document, or one of a newer program.
        RequestError: If its plan is none that could be measured.
    """
    try:
        version = msgspec.json.decode(data, type=_Version).schema_version
        if version > SCHEMA_VERSION:
            raise ExportError(
                f"it was written by a newer ckpt-tui (schema {version}, this program reads up to {SCHEMA_VERSION})",
                "use the newer program",
            )
        document = msgspec.json.decode(data, type=_Document)
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise ExportError(f"it holds no run ({error})", "choose a .json file that ckpt-tui wrote") from None
    if not _RUN_ID.fullmatch(document.run_id):
        raise ExportError(f"{document.run_id[:40]!a} is no id of a run", "choose a .json file that ckpt-tui wrote")
    results = [record.result for record in document.trials if record.result is not None]
    if any(not _SHORTEST_S <= result.time_s <= _LONGEST_S for result in results):
        raise ExportError("a trial in it took no possible time", "choose a .json file that ckpt-tui wrote")
    if any(result.stored_bytes < 0 for result in results if isinstance(result, SaveResult)):
        raise ExportError("a checkpoint in it has less than no bytes", "choose a .json file that ckpt-tui wrote")
    fields = msgspec.structs.asdict(document)
    return Run(records=fields.pop("trials"), **fields)


def read_export(path: Path) -> Run:
    """The run in a .json file that `write_export` wrote.

    Raises:
        RequestError: If the file cannot be read, or holds none.
    """
    try:
        return from_json(path.read_bytes())
    except (OSError, ValueError) as error:  # a null byte in the name is a ValueError
        reason = error.strerror if isinstance(error, OSError) else error
        raise ExportError(
            f"{str(path)!a} cannot be read ({reason})", "choose a .json file that ckpt-tui wrote"
        ) from None
    except RequestError as error:
        raise ExportError(f"{path} cannot be taken in: {error.what}", error.do) from None
