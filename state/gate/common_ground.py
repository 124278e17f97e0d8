"""What two runs must have in common for a change of time to mean that the program became slower or faster."""

from collections.abc import Callable
from typing import Final

from state.analysis.comparison import Difference
from state.run.records import Run
from state.units import size_argument


def _tensors(run: Run) -> str:
    if run.model is None:
        return ""
    return f"{len(run.model.tensors)} of {', '.join(run.model.dtypes)}, {run.model.logical_bytes:,} bytes"


def _training_state(run: Run) -> str:
    return "weights and optimizer" if run.plan.with_optimizer else "weights alone"


def _switched_on(run: Run, switch: str) -> str:
    """The value of a switch; empty where no method of the run has it on."""
    settings = filter(None, (run.plan.optimizations(method) for method in run.plan.methods))
    value = next((value for found in settings if (value := getattr(found, switch)) is not None), None)
    return "" if value is None else size_argument(value) if switch == "chunk_bytes" else str(value)


#: What it is called -> what a run has of it in words; an empty text is unknown.
_GROUNDS: Final[dict[str, Callable[[Run], str]]] = {
    "machine": lambda run: run.environment.hostname,
    "processor": lambda run: run.environment.cpu,
    "number of cores": lambda run: str(run.environment.cores or ""),
    "model": lambda run: run.model.name if run.model is not None else "",
    "tensors": _tensors,
    "training state": _training_state,
    "device": lambda run: run.plan.device,
    "codec": lambda run: _switched_on(run, "codec"),
    "chunk size": lambda run: _switched_on(run, "chunk_bytes"),
    "concurrency": lambda run: _switched_on(run, "concurrency"),
    "storage folder": lambda run: run.environment.storage,
    "file system": lambda run: run.environment.filesystem.type.replace("unknown", ""),
    "disk": lambda run: run.environment.filesystem.source,
    "durability": lambda run: run.plan.durability,
    "page cache": lambda run: run.plan.cache,
    "memory": lambda run: run.plan.memory,
}


def not_in_common(before: Run, after: Run) -> tuple[Difference, ...]:
    """What is known of both runs and not the same.

    What a run does not tell, as those of older programs, is taken to be the same.
    """
    found = (Difference(what, words(before), words(after)) for what, words in _GROUNDS.items())
    return tuple(one for one in found if one.before and one.after and one.before != one.after)


def grounds_words(differences: tuple[Difference, ...]) -> str:
    """``these runs are not of the same machine (A here, B there) or codec (A gzip:1, B zstd:3)``."""
    listed = " or ".join(f"{one.what} (A {one.before}, B {one.after})" for one in differences)
    return f"these runs are not of the same {listed}"
